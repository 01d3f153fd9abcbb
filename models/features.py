"""What the simple families see: scaled values and an encoded calendar, computed inside the graph.

Normalization constants are buffers, so that a checkpoint, and every file exported from it, takes physical units; the
node cannot get the preprocessing wrong. Only operations that both exporters take and that stay float in int8.

Counts are Poisson-like: their spread grows with the square root of their level (Bartlett, "The square root
transformation in analysis of variance", 1936), so the root of what cannot be negative is what is standardized. Hours,
weekdays and days of the year become harmonics, which makes 23:59 a neighbour of 00:00.

Missing values (NaN) of the output take the mean of what the window has, those of other inputs their training mean; a
missing site is the unknown site.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from wayside.contracts.task import TaskSpec

HARMONICS = 3  # of the day: 24, 12 and 8 hours
YEAR_HARMONICS = 2
SITE_SIZE = 8  # of the embedding
CALENDAR = ("hour", "weekday", "yearday")


class Columns:
    """Where a task's inputs are: one index each for output and calendar (None if absent), the others as lists."""

    def __init__(self, task: TaskSpec) -> None:
        names = [i.name for i in task.inputs]
        self.output, self.hour, self.weekday, self.yearday, self.site = (
            names.index(n) if n in names else None for n in (task.output, *CALENDAR, "site")
        )
        further = [i for i, n in enumerate(names) if n not in (task.output, *CALENDAR, "site")]
        self.others = [i for i in further if not task.inputs[i].ahead]
        self.ahead = [i for i in further if task.inputs[i].ahead]


def present(x: torch.Tensor) -> torch.Tensor:
    """1 where there is a value, 0 where there is NaN."""
    return torch.where(torch.isnan(x), torch.zeros_like(x), torch.ones_like(x))


def known(x: torch.Tensor, fill: float = 0.0) -> torch.Tensor:
    """``x`` with ``fill`` where it is NaN."""
    return torch.where(torch.isnan(x), torch.full_like(x, fill), x)


def index(x: torch.Tensor, size: int, absent: int = 0) -> torch.Tensor:
    """A float column of whole numbers as int64 in 0 … ``size`` − 1; NaN and what lies outside become ``absent``."""
    inside = (x > -0.5) & (x < size - 0.5)  # NaN is not
    return torch.floor(torch.where(inside, x, torch.full_like(x, absent)) + 0.5).long()


def rising(raw: torch.Tensor, horizon: int, quantiles: tuple[float, ...]) -> torch.Tensor:
    """(B, H · Q) → (B, H, Q) that never cross: the median, and beside it steps that cannot be negative.

    Without quantiles (B, H) stays as it is.
    """
    if not quantiles:
        return raw
    median = quantiles.index(0.5)
    cells = raw.reshape(-1, horizon, len(quantiles))  # (B, H, Q)
    parts = [cells[:, :, median : median + 1]]
    for q in range(median + 1, len(quantiles)):
        parts.append(parts[-1] + nn.functional.softplus(cells[:, :, q : q + 1]))
    for q in range(median - 1, -1, -1):
        parts.insert(0, parts[0] - nn.functional.softplus(cells[:, :, q : q + 1]))
    return torch.cat(parts, dim=2)


def spread_of(x: torch.Tensor, dim: int = 0) -> torch.Tensor:
    """Standard deviation along ``dim`` without NaN; 1 for what is constant: leave it rather than divide by nothing."""
    mean = known(x.nanmean(dim, keepdim=True))
    std = known((x - mean).square().nanmean(dim).sqrt())
    return torch.where(std > 1e-6, std, torch.ones_like(std))


class Features(nn.Module):
    """(B, T, F) physical units → values (B, T), standardized, and context (B, C) of the newest row.

    With lead 0 the output is no input: values are (B, 0), and forecasts are changes of the training mean.
    """

    mean: torch.Tensor  # (1,) of the root of the values, or of the values
    std: torch.Tensor  # (1,)
    level: torch.Tensor  # (1,) of the target, physical units: the forecast from nothing
    spread: torch.Tensor  # (1,)
    turns: torch.Tensor  # (HARMONICS,) radians per hour
    seasons: torch.Tensor  # (YEAR_HARMONICS,) radians per day
    other_mean: torch.Tensor  # (E,) of the inputs that are neither output nor calendar
    other_std: torch.Tensor  # (E,)

    def __init__(self, task: TaskSpec, *, site: bool = True) -> None:
        super().__init__()
        columns = Columns(task)
        self.output, self.hour, self.weekday = columns.output, columns.hour, columns.weekday
        self.yearday, self.site = columns.yearday, columns.site if site else None
        self.sites = len(task.sites)
        self.horizon, self.quantiles = task.horizon, task.quantiles
        # Of what is known ahead the newest row holds the value at the last target; so does the first of the H newest.
        self.rows = [(i, -1) for i in columns.others] + [(i, -k) for i in columns.ahead for k in {1, task.horizon}]
        self.values_size = task.window if self.output is not None else 0
        self.root = self.output is not None and task.inputs[self.output].low >= 0
        self.register_buffer("mean", torch.zeros(1))
        self.register_buffer("std", torch.ones(1))
        self.register_buffer("level", torch.zeros(1))
        self.register_buffer("spread", torch.ones(1))
        self.register_buffer("turns", torch.arange(1, HARMONICS + 1) * (2 * math.pi / 24))
        self.register_buffer("seasons", torch.arange(1, YEAR_HARMONICS + 1) * (2 * math.pi / 365.25))
        self.register_buffer("other_mean", torch.zeros(len(self.rows)))
        self.register_buffer("other_std", torch.ones(len(self.rows)))
        if self.site is not None:
            self.embedding = nn.Embedding(self.sites + 1, SITE_SIZE)  # the last row: a site never seen

    @property
    def change_size(self) -> int:
        """How many numbers :meth:`add_change` takes."""
        return self.horizon * max(1, len(self.quantiles))

    @property
    def context_size(self) -> int:
        hour = 2 * HARMONICS if self.hour is not None else 0
        yearday = 2 * YEAR_HARMONICS if self.yearday is not None else 0
        site = SITE_SIZE if self.site is not None else 0
        return hour + (3 if self.weekday is not None else 0) + yearday + len(self.rows) + site

    def prepare(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """Take the constants from training windows (N, T, F) and targets (N, H)."""
        self.level.copy_(y.mean())
        self.spread.copy_(spread_of(y.reshape(-1)))
        if self.output is not None:
            scaled = self._transform(x[:, :, self.output].reshape(-1))
            self.mean.copy_(known(scaled.nanmean()))
            self.std.copy_(spread_of(scaled))
        if self.rows:
            rows = torch.stack([x[:, k, i] for i, k in self.rows], dim=1)  # (N, E)
            self.other_mean.copy_(known(rows.nanmean(0)))
            self.other_std.copy_(spread_of(rows))

    def values(self, x: torch.Tensor) -> torch.Tensor:
        """(B, T, F) → (B, T) of the output, physical units, without NaN; (B, 0) with lead 0."""
        if self.output is None:
            return x[:, :0, 0]
        raw = x[:, :, self.output]
        there = present(raw)
        count = there.sum(dim=1, keepdim=True)  # (B, 1)
        mean = known(raw).sum(dim=1, keepdim=True) / torch.clamp(count, min=1)
        mean = torch.where(count > 0, mean, self.level.expand_as(mean))
        return torch.where(there > 0, raw, mean)

    def add_change(self, x: torch.Tensor, change: torch.Tensor) -> torch.Tensor:
        """The newest value plus ``change`` (B, H · Q), in spreads at this window's level → (B, H) or (B, H, Q)."""
        change = rising(change, self.horizon, self.quantiles)
        if self.output is None:
            return self.level + self.spread * change
        values = self.values(x)  # (B, T)
        newest, spread = values[:, -1:], self.spread  # (B, 1), (1,)
        if self.root:  # counts spread with the root of their level; 1 keeps silence learnable
            spread = 1 + torch.sqrt(torch.relu(values.mean(dim=1, keepdim=True)))  # (B, 1)
        if self.quantiles:
            newest, spread = newest.unsqueeze(2), spread.unsqueeze(-1)  # (B, 1, 1)
        forecast = newest + spread * change
        return torch.relu(forecast) if self.root else forecast

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        scaled = (self._transform(self.values(x)) - self.mean) / self.std  # (B, T)
        parts = []
        if self.hour is not None:
            angles = known(x[:, -1:, self.hour]) * self.turns  # (B, 1) → (B, HARMONICS): one sine, one cosine to run
            parts += [torch.sin(angles), torch.cos(angles)]
        if self.weekday is not None:
            day = known(x[:, -1:, self.weekday])  # (B, 1), 0 = Monday
            angle = day * (2 * math.pi / 7)
            parts += [torch.sin(angle), torch.cos(angle), torch.clamp(day - 4, 0, 1)]  # the last: weekend
        if self.yearday is not None:
            angles = known(x[:, -1:, self.yearday]) * self.seasons
            parts += [torch.sin(angles), torch.cos(angles)]
        parts += [
            known((x[:, k, i : i + 1] - self.other_mean[n]) / self.other_std[n]) for n, (i, k) in enumerate(self.rows)
        ]
        if self.site is not None:
            parts.append(self.embedding(index(x[:, -1, self.site], self.sites + 1, self.sites)))  # (B, SITE_SIZE)
        # A task without calendar or further inputs has an empty context.
        context = torch.cat(parts, dim=1) if parts else x[:, 0, :0]
        return scaled, context

    def _transform(self, values: torch.Tensor) -> torch.Tensor:
        return torch.sqrt(torch.relu(values)) if self.root else values
