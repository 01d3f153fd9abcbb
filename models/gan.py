"""Generator and discriminator of rare windows: card.

The *discriminator* scores how unusual a window is; it alone is exported. The *generator* bends typical windows into
rare ones: it sees a window's deviations from what is usual and noise, and adds a change to every row (Goodfellow et
al., "Generative adversarial nets", NeurIPS 2014; cloud/train/adversarial.py plays the two against each other). Both
work on deviations from a table of what is usual at this site, day and time, in spreads of the counts (a count's spread
grows with the root of its level: Bartlett 1936), so that what is learned at one site holds at the others.

What int8 touches is a perceptron that corrects a float sum of absolute deviations.
"""

from __future__ import annotations

import torch
from torch import nn

from wayside.contracts.task import TaskSpec
from wayside.models.errors import ModelConfigError
from wayside.models.features import Columns, index, known, present

LIMIT = 12.0  # spreads: what is further away is as unusual as can be


class Usual(nn.Module):
    """What is usual: tables of level and spread by site, kind of day (workday, weekend) and time of day.

    Args:
        slot: hours of a cell.
        own_level: the table's shape is taken at the level of the window at hand, so that it holds at sites that are
            busier or quieter than those it was made of; a window that is unusual as a whole then passes for usual.
    """

    level_table: torch.Tensor  # ((S + 1) · 2 · K,) physical units
    spread: torch.Tensor  # (S + 1,) of deviations, per root of the level

    def __init__(self, task: TaskSpec, slot: float = 0.5, *, own_level: bool = False) -> None:
        super().__init__()
        self.columns = Columns(task)
        if self.columns.output is None:
            raise ModelConfigError(f"{task.name}: {task.output} is no input; a window is scored by what was observed")
        self.output: int = self.columns.output
        self.low, self.high = task.inputs[self.output].low, task.inputs[self.output].high
        self.sites = len(task.sites)
        self.slot, self.own_level = slot, own_level
        self.slots = round(24 / slot) if self.columns.hour is not None else 1
        self.register_buffer("level_table", torch.zeros((self.sites + 1) * 2 * self.slots))
        self.register_buffer("spread", torch.ones(self.sites + 1))

    def prepare(self, x: torch.Tensor) -> None:
        """Take the tables from training windows (N, T, F): the newest row of each."""
        x = x[~torch.isnan(x[:, -1, self.output])]
        values, cell, site = x[:, -1, self.output], self._cells(x)[:, -1], self._site(x)
        shape = (self.sites + 1, 2, self.slots)
        total = torch.zeros(shape).view(-1).index_add(0, cell, values).view(shape)
        count = torch.zeros(shape).view(-1).index_add(0, cell, torch.ones_like(values)).view(shape)
        total[-1], count[-1] = total.sum(0), count.sum(0)  # the unknown site is all sites together
        level = total.sum((1, 2), keepdim=True) / count.sum((1, 2), keepdim=True).clamp(min=1)
        level = torch.where(count.sum((1, 2), keepdim=True) > 0, level, level[-1:])
        for dims in ((1,), ()):  # every day alike, then workdays and weekends; each shrunk to what is coarser
            t, n = (total.sum(dims, keepdim=True), count.sum(dims, keepdim=True)) if dims else (total, count)
            level = (t + level) / (n + 1)
        self.level_table.copy_(level.expand(shape).reshape(-1))
        level = self._level(x, present(x[:, :, self.output]))[:, -1]  # (N,)
        away = (values - level) / self._root(level)
        square = torch.zeros(self.sites + 1).index_add(0, site, away.square())
        of = torch.zeros(self.sites + 1).index_add(0, site, torch.ones_like(away))
        overall = away.square().mean().clamp(min=1e-12)
        self.spread.copy_(torch.sqrt((square + overall) / (of + 1)))
        self.spread[-1] = torch.sqrt(overall)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(B, T, F) → deviations (B, T) in spreads, 0 where missing; present (B, T); spreads (B, T), physical units."""
        values = x[:, :, self.output]
        there = present(values)
        level = self._level(x, there)
        spread = self._root(level) * self.spread[self._site(x)].unsqueeze(1)  # (B, T)
        away = torch.clamp((known(values) - level) / spread, -LIMIT, LIMIT) * there
        return away, there, spread

    def _level(self, x: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
        """(B, T) what is usual, physical units."""
        level = self.level_table[self._cells(x)]
        if not self.own_level:
            return level
        usual = (level * there).sum(dim=1, keepdim=True)  # (B, 1)
        # One vehicle more on both sides: an empty road at night is no level to divide by.
        return level * ((known(x[:, :, self.output]).sum(dim=1, keepdim=True) + 1) / (usual + 1))

    def _root(self, level: torch.Tensor) -> torch.Tensor:
        return torch.sqrt(torch.relu(level - max(self.low, -1e6)) + 1)

    def _site(self, x: torch.Tensor) -> torch.Tensor:
        """(B,) index of the site; the last one is the unknown."""
        if self.columns.site is None:
            return index(x[:, -1, 0] * 0, self.sites + 1, self.sites)
        return index(x[:, -1, self.columns.site], self.sites + 1, self.sites)

    def _cells(self, x: torch.Tensor) -> torch.Tensor:
        """(B, T) cells of the table."""
        cell = self._site(x).unsqueeze(1) * (2 * self.slots) + torch.zeros_like(x[:, :, 0]).nan_to_num().long()
        if self.columns.weekday is not None:
            cell = cell + (known(x[:, :, self.columns.weekday]) > 4.5).long() * self.slots
        if self.columns.hour is not None:
            # A row's time is the end of its interval: 24:00 belongs to the day's last slot, 08:00 to the one before.
            slot = torch.floor(known(x[:, :, self.columns.hour]) / self.slot - 1e-3)
            cell = cell + torch.remainder(slot, self.slots).long()
        return cell


class Discriminator(nn.Module):
    """(B, T, F) physical units → (B, 1) how unusual the window is, ≥ 0; typical windows score 1 on average.

    Args:
        hidden, depth: units and layers of the perceptron.
        slot, own_level: of the table of what is usual.
        noise: numbers that the generator draws for each window.
    """

    unit: torch.Tensor  # (1,) mean of what typical windows score

    def __init__(
        self,
        task: TaskSpec,
        *,
        hidden: int = 64,
        depth: int = 2,
        slot: float = 0.5,
        own_level: bool = False,
        noise: int = 8,
    ) -> None:
        super().__init__()
        self.usual = Usual(task, slot, own_level=own_level)
        layers: list[nn.Module] = []
        into = 2 * task.window
        for _ in range(depth):
            layers += [nn.Linear(into, hidden), nn.ReLU()]
            into = hidden
        self.net = nn.Sequential(*layers, nn.Linear(into, 1))
        self.sum = nn.Parameter(torch.full((task.window,), 1 / task.window))
        self.noise = noise
        self.register_buffer("unit", torch.ones(1))

    def prepare(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """Constants from training windows (N, T, F)."""
        self.usual.prepare(x)

    def logit(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 1) log odds that the window is not typical."""
        away, there, _ = self.usual(x)
        # A product and a sum: as a matrix it would be quantized.
        baseline = (torch.abs(away) * self.sum).sum(dim=1, keepdim=True)
        return baseline + self.net(torch.cat([away, there], dim=1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logit = self.logit(x)
        # log(1 + e^x), written so that it neither overflows nor needs an operation that a runtime lacks.
        return (torch.relu(logit) + torch.log(1 + torch.exp(-torch.abs(logit)))) / self.unit


class Generator(nn.Module):
    """Typical windows (B, T, F) and noise (B, Z) → rare windows (B, T, F), and the change (B, T) in spreads."""

    def __init__(self, usual: Usual, window: int, noise: int, hidden: int = 64) -> None:
        super().__init__()
        # The tables belong to the discriminator: not to be trained, nor saved twice.
        self._usual = (usual,)
        self.net = nn.Sequential(
            nn.Linear(window + noise, hidden),
            nn.LeakyReLU(0.2),
            nn.Linear(hidden, hidden),
            nn.LeakyReLU(0.2),
            nn.Linear(hidden, window),
        )

    def forward(self, x: torch.Tensor, noise: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        usual = self._usual[0]
        away, _, spread = usual(x)
        change = LIMIT * torch.tanh(self.net(torch.cat([away, noise], dim=1)) / LIMIT)  # (B, T)
        values = torch.clamp(x[:, :, usual.output] + change * spread, usual.low, usual.high)
        columns = torch.arange(x.shape[2]) == usual.output  # (F,)
        return torch.where(columns, values.unsqueeze(2), x), change
