"""Cycle forecaster for long horizons: card.

- *Cycle*: what repeats every day or week, a learned table for each site, is taken off the window and put back onto the
  forecast (CycleNet: Lin et al., "Enhancing time series forecasting through modeling periodic patterns", NeurIPS 2024).
- *Level*: each branch takes off the mean of the rows it sees, and puts it back (RevIN: Kim et al., ICLR 2022).
- *Branches*: linear maps of low rank from the newest rows to all steps (few weights and less noise than a full matrix;
  linear maps alone are hard to beat here: Zeng et al., AAAI 2023), one for each look-back; a map from days to days
  that all times of the day share (SparseTSF: Lin et al., ICML 2024); and a perceptron. Averaged.

All sites share all weights but the cycle. Missing values lie on the level. A site that was never seen has no cycle.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from wayside.contracts.task import TaskSpec
from wayside.models.errors import ModelConfigError
from wayside.models.features import Columns, index, known, present, rising

MAX_CYCLE = 24 * 7
CALM = 0.1  # variance, of a site's own, below which windows count alike


class _Sparse(nn.Module):
    """(B, days · day) → (B, H): each time of the day is forecast from the same time, and the hours around it, on the
    days before."""

    def __init__(self, days: int, day: int, horizon: int) -> None:
        super().__init__()
        self.days, self.day, self.horizon, self.rows = days, day, horizon, days * day
        self.around = nn.AvgPool1d(1 + 2 * (day // 2), stride=1, padding=day // 2)
        self.ahead = nn.Linear(2 * days, -(-horizon // day), bias=False)

    def times(self, values: torch.Tensor) -> torch.Tensor:
        """(B, days · day) → (B, day, 2 · days)"""
        both = torch.cat([values, self.around(values.unsqueeze(1)).squeeze(1)], dim=1)
        return both.reshape(-1, 2 * self.days, self.day).transpose(1, 2)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        ahead: torch.Tensor = self.ahead(self.times(values)).transpose(1, 2)  # (B, days ahead, day)
        return ahead.reshape(-1, self.ahead.out_features * self.day)[:, : self.horizon]

    def solve(self, past: torch.Tensor, target: torch.Tensor, ridge: float) -> None:
        """Closed form from (N, rows) and (N, H); a last day that is not whole is left out."""
        whole = self.horizon // self.day
        if not whole:
            return
        times = self.times(past).reshape(-1, 2 * self.days).double()  # (N · day, 2 · days)
        ahead = target[:, : whole * self.day].reshape(-1, whole, self.day).transpose(1, 2).reshape(-1, whole)
        second = times.T @ times / len(times) + ridge * torch.eye(2 * self.days, dtype=times.dtype)
        weight = torch.linalg.solve(second, times.T @ ahead.double() / len(times))  # (2 · days, days ahead)
        with torch.no_grad():
            self.ahead.weight[:whole] = weight.T.float()


class Cycle(nn.Module):
    """(B, T, F) physical units → (B, H), or (B, H, Q), physical units.

    Args:
        looks: newest rows that each linear branch sees.
        rank: of the linear branches.
        ridge: strength of the shrinkage where the linear branches begin.
        sparse: newest rows, whole days, that the branch from days to days sees; 0: none.
        hidden: units of the perceptron on the whole window; 0: none.
        pull: part of the way that forecasts go back to the site's usual mean: levels do not stay where they are.
        hours: length of the cycle, 24 or 168; shorter where the task has no hour or weekday.
        dropout: in the perceptron.
    """

    usual: torch.Tensor  # (S + 1,) mean of each site, physical units; the last: a site never seen
    spread: torch.Tensor  # (S + 1,)

    def __init__(
        self,
        task: TaskSpec,
        *,
        looks: Sequence[int] = (336,),
        rank: int = 32,
        sparse: int = 0,
        hidden: int = 0,
        ridge: float = 0.03,
        pull: float = 0.0,
        hours: int = MAX_CYCLE,
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        c = self.columns = Columns(task)
        self.window, self.horizon, self.lead, self.quantiles = task.window, task.horizon, task.lead, task.quantiles
        self.sites, self.ridge, self.pull = len(task.sites), ridge, pull
        self.step = task.interval_s / 3600  # hours
        days = (hours // 24 if c.weekday is not None else 1) if c.hour is not None else 0
        self.size = round(days * 24 / self.step)  # rows of the cycle
        self.table = nn.Parameter(torch.zeros((self.sites + 1) * max(1, self.size)))
        self.register_buffer("usual", torch.zeros(self.sites + 1))
        self.register_buffer("spread", torch.ones(self.sites + 1))
        steps = task.horizon * max(1, len(task.quantiles))
        self.looks = tuple(min(look, task.window) for look in looks) if c.output is not None else ()
        self.linears = nn.ModuleList(
            nn.Sequential(nn.Linear(look, rank, bias=False), nn.Linear(rank, steps)) for look in self.looks
        )
        day = max(1, round(24 / self.step))
        self.sparse = _Sparse(min(sparse, task.window) // day, day, task.horizon) if sparse >= day else None
        if self.sparse is not None and task.quantiles:
            raise ModelConfigError("the sparse branch has no quantiles")
        self.perceptron = None
        if hidden or not (self.linears or self.sparse):
            self.perceptron = nn.Sequential(
                nn.Linear(task.window, hidden or rank), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden or rank, steps)
            )
        for branch in (*self.linears, *([self.perceptron] if self.perceptron is not None else [])):
            nn.init.normal_(branch[-1].weight, std=1e-2)
            nn.init.zeros_(branch[-1].bias)

    def prepare(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """Levels and spreads from training windows (N, T, F) and targets (N, H)."""
        site, first = self._site(x[:, -1:]), y[:, 0]
        size = self.sites + 1
        count = torch.zeros(size).index_add(0, site, torch.ones_like(first))
        total = torch.zeros(size).index_add(0, site, first)
        count[-1], total[-1] = len(first), first.sum()
        usual = torch.where(count > 0, total / count.clamp_min(1), total[-1] / count[-1])
        square = torch.zeros(size).index_add(0, site, (first - usual[site]).square())
        square[-1] = (first - usual[-1]).square().sum()
        spread = torch.where(count > 1, square / count.clamp_min(1), square[-1] / count[-1]).sqrt()
        self.usual.copy_(usual)
        self.spread.copy_(torch.where(spread > 1e-6, spread, torch.ones_like(spread)))
        if self.columns.output is not None and not self.quantiles:
            self._solve(x, y, site)

    def _solve(self, x: torch.Tensor, y: torch.Tensor, site: torch.Tensor) -> None:
        """Begin the linear branches with reduced-rank ridges (Izenman 1975), in closed form; the cycle is still 0."""
        usual, spread = self.usual[site].unsqueeze(1), self.spread[site].unsqueeze(1)  # (N, 1)
        there = present(x[:, :, self.columns.output])
        values = (known(x[:, :, self.columns.output]) - usual) / spread * there  # (N, T)
        target = (y - usual) / spread  # (N, H)
        if self.sparse is not None:
            past, level = _around_level(values[:, -self.sparse.rows :], there[:, -self.sparse.rows :])
            share = _share(past)
            self.sparse.solve(past * share, (target - level) * share, self.ridge)
        for look, (into, out) in zip(self.looks, self.linears, strict=True):
            past, level = _around_level(values[:, -look:], there[:, -look:])
            share = _share(past)
            second = ((past * share).T @ (past * share) / len(x)).double()  # (look, look)
            cross = ((past * share).T @ ((target - level) * share) / len(x)).double()  # (look, H)
            second += self.ridge * torch.eye(look, dtype=second.dtype)
            weight = torch.linalg.solve(second, cross)  # (look, H)
            # Directions of the answers with the most variance.
            top = torch.linalg.eigh(weight.T @ second @ weight)[1][:, -into.out_features :]  # (H, ≤ rank)
            with torch.no_grad():
                into.weight[: top.shape[1]] = (weight @ top).T
                out.weight[:, : top.shape[1]] = top
                into.weight[top.shape[1] :] = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        site = self._site(x)
        usual, spread = self.usual[site].unsqueeze(1), self.spread[site].unsqueeze(1)  # (B, 1)
        raw = x[:, :, self.columns.output if self.columns.output is not None else 0]
        there = present(raw)  # (B, T)
        past, ahead = self._cycle(x, site)  # (B, T), (B, H)
        if self.columns.output is None:
            there = there * 0
        values = ((known(raw) - usual) / spread - past) * there
        parts = [
            self._branch(linear, values[:, -look:], there[:, -look:])
            for look, linear in zip(self.looks, self.linears, strict=True)
        ]
        if self.sparse is not None:
            parts.append(self._branch(self.sparse, values[:, -self.sparse.rows :], there[:, -self.sparse.rows :]))
        if self.perceptron is not None:
            parts.append(self._branch(self.perceptron, values, there))
        change = parts[0]
        for part in parts[1:]:
            change = change + part
        change = rising(change * ((1 - self.pull) / len(parts)), self.horizon, self.quantiles)
        if self.quantiles:
            return usual.unsqueeze(2) + spread.unsqueeze(2) * (change + ahead.unsqueeze(2))
        return usual + spread * (change + ahead)

    def _branch(self, branch: nn.Module, values: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
        """(B, look) → (B, H · Q), around the mean of what is known."""
        past, level = _around_level(values, there)
        out: torch.Tensor = branch(past)
        if not self.quantiles:
            return out + level
        lift = torch.zeros(len(self.quantiles))
        lift[self.quantiles.index(0.5)] = 1  # the others are steps beside the median
        return out + level * lift.repeat(self.horizon)

    def _cycle(self, x: torch.Tensor, site: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Of the window's rows (B, T) and of the targets (B, H), in spreads."""
        if not self.size:
            zero = 0 * known(x[:, -1:, 0])
            return zero.expand(-1, self.window), zero.expand(-1, self.horizon)
        hour = known(x[:, -1:, self.columns.hour])
        if self.columns.weekday is not None and self.size * self.step > 24:
            hour = hour + 24 * known(x[:, -1:, self.columns.weekday])
        newest = torch.floor(hour / self.step + 1e-3)  # (B, 1) rows since the cycle's start
        rows = torch.cat([torch.arange(1 - self.window, 1), torch.arange(self.lead, self.lead + self.horizon)])
        place = newest + rows.to(x.device)  # (B, T + H)
        place = place - self.size * torch.floor((place + 0.5) / self.size)
        start = (site * self.size).unsqueeze(1)
        cycle = self.table[start + index(place, self.size)]
        return cycle[:, : self.window], cycle[:, self.window :]

    def _site(self, x: torch.Tensor) -> torch.Tensor:
        """(B,) index of the site; the last one is a site never seen."""
        column = self.columns.site
        site = known(x[:, -1, 0]) * 0 + self.sites if column is None else x[:, -1, column]
        return index(site, self.sites + 1, self.sites)


def _share(past: torch.Tensor) -> torch.Tensor:
    """(N, k) → (N, 1): wild windows count for less, as if errors were in spreads of the window (RevIN)."""
    share = torch.rsqrt(past.square().mean(dim=1, keepdim=True) + CALM)
    return share / share.square().mean().sqrt()


def _around_level(values: torch.Tensor, there: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, k), zero where nothing is known → deviations (B, k) from the mean of what is known (B, 1)."""
    level = values.sum(dim=1, keepdim=True) / torch.clamp(there.sum(dim=1, keepdim=True), min=1)
    return (values - level) * there, level
