"""What fitting a family takes and gives, however it is done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import nn

from wayside.cloud.train.datasets import Split
from wayside.cloud.train.taskfile import Fit
from wayside.contracts.task import TaskSpec


@dataclass(frozen=True, kw_only=True)
class Epoch:
    number: int  # from 1
    of: int
    train: float  # mean loss over the epoch's batches
    validation: float  # mean loss over the validation windows; NaN where nobody looks


OnEpoch = Callable[[Epoch], None]


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A trained module, in evaluation mode, with its best weights."""

    module: nn.Module
    config: dict[str, Any]  # what models.registry.build needs
    epochs: tuple[Epoch, ...] = ()
    best: int = 0  # the epoch whose weights these are; 0: the family knows no epochs
    notes: dict[str, Any] = field(default_factory=dict)


class Fitter(Protocol):
    """Fits one family: on ``data.train``, watching ``data.validation`` if it wants to."""

    def __call__(self, recipe: Fit, task: TaskSpec, data: Split, *, seed: int, on_epoch: OnEpoch) -> Fitted: ...
