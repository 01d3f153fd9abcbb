"""The site that no training data have: index ``len(task.sites)`` in every family.

``[fit] site_dropout`` hides the site of a share of the training windows, so that what a model keeps for that index is
trained like the rest of it; evaluation asks the same of held-out windows (the passport's slice "unknown site").
"""

from __future__ import annotations

import torch

from wayside.contracts.task import TaskSpec
from wayside.contracts.task_config import SITE


def column(task: TaskSpec) -> int | None:
    """Index of the site among the inputs; None: the task has no sites."""
    names = [i.name for i in task.inputs]
    return names.index(SITE) if SITE in names else None


def hide(x: torch.Tensor, task: TaskSpec, share: float, draw: torch.Generator) -> torch.Tensor:
    """Windows (B, T, F) of which a ``share``, drawn at random, are of the unknown site."""
    at = column(task)
    if not share or at is None:
        return x
    hidden = torch.rand(len(x), 1, generator=draw) < share  # (B, 1)
    x = x.clone()
    x[:, :, at] = x[:, :, at].masked_fill(hidden, float(len(task.sites)))
    return x
