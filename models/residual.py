"""Forecast residual: card.

How far the newest row is from what a forecaster expected of it, given the rows before. The forecaster gives quantiles,
and the distance from the median is counted in the spread that it expected at this hour, site and level (0.8 standard
deviations are the mean distance of a normal variable; the 10 % and 90 % quantiles are 2.56 of them apart). So a typical
window scores about 1 wherever it is from, and the same threshold serves busy and quiet places (conformal scores of this
form: Romano et al., "Conformalized quantile regression", NeurIPS 2019).

Any family that forecasts quantiles will do; only its weighted part is int8.
"""

from __future__ import annotations

from typing import Any

import msgspec
import torch
from torch import nn

from wayside.contracts.task import TaskSpec
from wayside.models import registry
from wayside.models.errors import ModelConfigError
from wayside.models.features import Columns, known, present

QUANTILES = (0.1, 0.5, 0.9)
APART = 2.563  # standard deviations between the outer two of a normal variable
MEAN_ABSOLUTE = 0.798  # standard deviations that it is away from its median, on average
WIDE = 1e3  # spreads: bounds of values in units of their window
LESSON = 8.0  # spreads: the furthest value that is learned from
HIGHEST = 100.0  # of a score: what is further away is as unusual as can be


class Residual(nn.Module):
    """(B, T, F) physical units → (B, 1) how far the newest row is from its forecast; typical windows score about 1.

    A window whose newest row is missing scores 0: nothing was seen, and silence is for the quality rules to judge.

    Args:
        forecaster: a family that forecasts quantiles.
        of: its sizes.
        least: smallest spread, in the units that the forecaster works in: what never changed may change a little.
        own_units: the forecaster works in spreads of the window at hand, from its mean (RevIN: Kim et al., ICLR 2022),
            for tasks whose sites have nothing in common but being a number; else in steps from row to row, as they
            are on average.
    """

    unit: torch.Tensor  # (1,) physical units, of a step from row to row

    def __init__(
        self,
        task: TaskSpec,
        *,
        forecaster: str = "light",
        of: dict[str, Any] | None = None,
        least: float = 0.01,
        own_units: bool = False,
    ) -> None:
        super().__init__()
        self.columns = Columns(task)
        if self.columns.output is None:
            raise ModelConfigError(f"{task.name}: {task.output} is no input; a residual needs the observed value")
        self.output: int = self.columns.output
        self.least, self.own_units = least, own_units
        self.window = task.window
        self.register_buffer("unit", torch.ones(1))
        low = -WIDE if own_units or task.inputs[self.output].low < 0 else 0.0  # what is counted stays above 0
        inputs = tuple(
            msgspec.structs.replace(i, low=low, high=WIDE) if n == self.output else i for n, i in enumerate(task.inputs)
        )
        before = msgspec.structs.replace(
            task,
            kind="forecast",
            alarm=None,
            window=max(task.window - 1, 1),
            horizon=1,
            lead=1,
            inputs=inputs,
            quantiles=QUANTILES,
        )
        self.forecaster = registry.family(forecaster)(before, **({} if of is None else of))

    def prepare(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """The forecaster's constants, from training windows (N, T, F)."""
        values = x[:, -2:, self.output]
        steps = torch.diff(values[~torch.isnan(values).any(dim=1)], dim=1)
        if len(steps) > 1:
            self.unit.fill_(max(float(steps.std()), 1e-6))
        rows, newest = self._lesson(x)
        seen = ~torch.isnan(newest[:, 0])
        self.forecaster.prepare(rows[seen], newest[seen])

    def training_loss(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """The forecaster's own loss on the newest rows, or its quantiles' (Koenker & Bassett 1978)."""
        rows, newest = self._lesson(x)
        own = getattr(self.forecaster, "training_loss", None)
        if own is not None:
            loss: torch.Tensor = own(rows, newest)
            return loss
        error = newest.unsqueeze(2) - self.forecaster(rows)  # (B, 1, Q)
        levels = error.new_tensor(QUANTILES)
        return torch.maximum(levels * error, (levels - 1) * error).mean()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows, newest = self._apart(x)
        quantiles = self.forecaster(rows)  # (B, 1, 3)
        low, median, high = (quantiles[:, :, q] for q in range(3))  # (B, 1)
        spread = torch.relu(high - low) * (MEAN_ABSOLUTE / APART) + self.least
        distance = torch.abs(known(newest) - median) / spread
        return torch.clamp(distance, max=HIGHEST) * present(newest)

    def _lesson(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """As :meth:`_apart`, but one spike after a quiet window is not what all forecasts shall be about."""
        rows, newest = self._apart(x)
        return rows, torch.clamp(newest, -LESSON, LESSON) if self.own_units else newest

    def _apart(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The rows before (B, T − 1, F) and the newest value (B, 1), in the units that the forecaster works in."""
        rows, newest = x[:, : max(self.window - 1, 1)], x[:, -1:, self.output]
        column = torch.arange(x.shape[2]) == self.output  # (F,)
        if not self.own_units:
            return torch.where(column, rows / self.unit, rows), newest / self.unit
        values = rows[:, :, self.output]  # (B, T − 1)
        there = present(values)
        count = torch.clamp(there.sum(dim=1, keepdim=True), min=1)
        mean = known(values).sum(dim=1, keepdim=True) / count  # (B, 1)
        away = (known(values) - mean) * there
        # A thousandth of the level: what was constant may change a little.
        spread = torch.sqrt(away.square().sum(dim=1, keepdim=True) / count) + 1e-3 * torch.abs(mean) + 1e-6
        own = torch.where(there > 0, away / spread, values)  # NaN stays NaN
        rows = torch.where(column, own.unsqueeze(2), rows)
        return rows, torch.clamp((newest - mean) / spread, -WIDE, WIDE)
