"""What training minimizes, by the names that a task file's ``[fit] loss`` has.

Errors are divided by a spread before the loss: of all training targets, of those of the site, or of the window at hand.
So a busy site does not drown a quiet one, and one learning rate fits vehicles and megawatts.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from wayside.cloud.train.errors import TaskError
from wayside.cloud.train.taskfile import Fit
from wayside.contracts.task import TaskSpec

Criterion = Callable[[nn.Module, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
"""(module, x (B, …), y (B, …), site (B,)) → mean loss of the batch, a scalar without unit."""

WINDOW_FLOOR = 0.1  # of the global spread: a silent window must not make an error infinite
POINTWISE: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "mse": torch.square,
    "mae": torch.abs,
    "huber": lambda e: functional.huber_loss(e, torch.zeros_like(e), reduction="none"),  # bends at one spread
}


def criterion(recipe: Fit, task: TaskSpec, y: torch.Tensor, site: torch.Tensor) -> Criterion:
    """The loss of ``recipe``; spreads are taken from the training targets y (N, …) and their site (N,).

    Raises:
        TaskError: the loss does not fit the task.
    """
    if recipe.loss == "family":
        return _of_the_family
    if recipe.loss == "cross-entropy":
        if task.kind != "classify":
            raise _unfit(recipe, task, "it is for tasks of kind classify")
        return lambda module, x, y, _: functional.cross_entropy(module(x), y)
    if task.kind not in ("forecast", "count"):
        raise _unfit(recipe, task, f"kind {task.kind} has no such errors; use cross-entropy or family")
    if (recipe.loss == "pinball") != bool(task.quantiles):
        raise _unfit(recipe, task, "pinball goes with quantiles, and quantiles with pinball")
    spread = _spread(recipe, task, y, site)
    if recipe.loss == "pinball":
        levels = torch.tensor(task.quantiles)  # (Q,)

        def pinball(module: nn.Module, x: torch.Tensor, y: torch.Tensor, site: torch.Tensor) -> torch.Tensor:
            """Koenker & Bassett, "Regression quantiles", 1978."""
            error = (y.unsqueeze(-1) - module(x)) / spread(x, site).unsqueeze(-1)  # (B, H, Q)
            return torch.maximum(levels * error, (levels - 1) * error).mean()

        return pinball
    of = POINTWISE[recipe.loss]
    return lambda module, x, y, site: of((module(x) - y) / spread(x, site)).mean()


def _of_the_family(module: nn.Module, x: torch.Tensor, y: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
    own = getattr(module, "training_loss", None)
    if own is None:
        raise TaskError(f'{type(module).__name__} has no training_loss; choose another [fit] loss than "family"')
    loss: torch.Tensor = own(x, y)
    return loss


def _spread(
    recipe: Fit, task: TaskSpec, y: torch.Tensor, site: torch.Tensor
) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """A function of x (B, …) and site (B,) that gives the spreads (B, 1) to divide by."""
    overall = _positive(y.std(), torch.ones(()))
    if recipe.scale == "site":
        sites = int(site.max()) + 1
        of = torch.stack([y[site == s].std() if (site == s).sum() > 1 else overall for s in range(sites)])
        table = _positive(of, overall).unsqueeze(1)  # (S, 1)
        return lambda _, site: table[site]
    if recipe.scale == "window":
        names = [i.name for i in task.inputs]
        if task.output not in names or task.window < 2:
            raise _unfit(recipe, task, 'scale = "window" needs the output among the inputs, and two rows')
        column = names.index(task.output)

        def window(x: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
            values = x[:, :, column]  # (B, T), NaN where missing
            middle = values.nanmean(dim=1, keepdim=True)  # (B, 1)
            variance = (values - middle).square().nanmean(dim=1, keepdim=True).nan_to_num(0.0)
            return variance.sqrt().clamp_min(WINDOW_FLOOR * overall)

        return window
    return lambda x, _: overall.expand(len(x), 1)


def _positive(spread: torch.Tensor, otherwise: torch.Tensor) -> torch.Tensor:
    # A constant series has no spread.
    return torch.where(spread > 1e-6, spread, otherwise)


def _unfit(recipe: Fit, task: TaskSpec, why: str) -> TaskError:
    return TaskError(f"task {task.name}: [fit] loss {recipe.loss!r} does not fit: {why}")
