"""Light strong forecaster: card.

One small network shared by all sites that corrects a strong float baseline:

- *Profile*: what is usual for this site at this time of day and week (a table, shrunk towards coarser ones where there
  are few days). The network sees, and predicts, deviations from it; a missing value deviates as the rest of its window.
- *Ridge*: deviations ahead as weighted sums of the window's deviations (Hoerl & Kennard, "Ridge regression", 1970),
  solved in closed form on the training windows. An untrained module is this baseline.
- *Trunk*: a perceptron on the normalized window, the profile ahead, and embeddings of site, time of day and day of week
  (STID: Shao et al., "Spatial-temporal identity", CIKM 2022). It alone is int8.
- Normalization of the window is optional and reversed at the end (RevIN: Kim et al., ICLR 2022).

All tables are inside the graph. A site that was never seen has its own row in each of them, trained by hiding sites at
random (``site_dropout``). Quantiles cannot cross: the median, and steps beside it that cannot be negative.

Profiles know their own training targets, which makes them look better in training than they are. ``training_loss``
removes that: a value counts for ``leverage`` of its cell, so without it the cell would be further away (leave-one-out
residuals, Allen, "The relationship between variable selection and data augmentation", 1974).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

from contracts.task import TaskSpec
from models.errors import ModelConfigError
from models.features import Columns, index, known, present, rising, spread_of

YEAR = 365.25
RIDGE_ROWS = 200_000  # windows that the closed form looks at
DAY, KINDS, WEEK = (0,) * 7, (0, 0, 0, 0, 0, 1, 2), (0, 1, 2, 3, 4, 5, 6)
DAY_KINDS = {"week": WEEK, "kinds": KINDS, "day": DAY}
COARSER = {WEEK: (DAY, KINDS, WEEK), KINDS: (DAY, KINDS), DAY: (DAY,)}


class Light(nn.Module):
    """(B, T, F) physical units → (B, H), or (B, H, Q), physical units.

    Args:
        hidden, depth: units and layers of the trunk.
        members: trunks side by side, averaged.
        site_size, hour_size, weekday_size: of the embeddings; 0: none.
        profile: one day for each weekday, for workday, Saturday and Sunday, one for all, or none (site means).
        slot: minutes of a profile's cell; 0: the task's interval.
        shrink: days of a coarser profile mixed into each cell.
        root: work on square roots (counts); the forecast is squared.
        centre: what is taken off the window before the network and put back after it (RevIN).
        spread: what deviations are divided by: the site's, or the window's own.
        ridge: strength of the closed form's shrinkage, relative to the deviations' variance.
        rows: newest rows of each further input that the trunk sees.
        dropout: in the trunk. site_dropout: share of training windows whose site is hidden.
        missing: share of training windows of which a random stretch is hidden.
        loss: what ``training_loss`` makes small (with quantiles: of the median; the others are always pinball).
    """

    profile_table: torch.Tensor  # ((S + 1) · P,) usual values, working units
    leverage: torch.Tensor  # ((S + 1) · P,) share of a cell that one training value makes
    scale: torch.Tensor  # (S + 1,) spread of the deviations, working units
    level_mean: torch.Tensor  # (1,)
    level_std: torch.Tensor  # (1,)
    other_mean: torch.Tensor  # (E,)
    other_std: torch.Tensor  # (E,)

    def __init__(
        self,
        task: TaskSpec,
        *,
        hidden: int = 64,
        depth: int = 2,
        members: int = 1,
        site_size: int = 8,
        hour_size: int = 8,
        weekday_size: int = 4,
        profile: Literal["week", "kinds", "day", "none"] = "week",
        slot: float = 0,
        shrink: float = 1.0,
        root: bool = False,
        centre: Literal["none", "last", "mean"] = "none",
        spread: Literal["site", "window"] = "site",
        ridge: float = 1e-3,
        rows: int = 1,
        dropout: float = 0.0,
        site_dropout: float = 0.0,
        missing: float = 0.0,
        loss: Literal["mae", "mse"] = "mae",
    ) -> None:
        super().__init__()
        for name, value, allowed in (
            ("profile", profile, (*DAY_KINDS, "none")),
            ("centre", centre, ("none", "last", "mean")),
            ("spread", spread, ("site", "window")),
            ("loss", loss, ("mae", "mse")),
        ):
            if value not in allowed:
                raise ModelConfigError(f"light: {name} = {value!r}; choose one of {', '.join(allowed)}")
        columns = Columns(task)
        self.columns, self.sites = columns, len(task.sites)
        self.window, self.horizon, self.lead = task.window, task.horizon, task.lead
        self.quantiles = task.quantiles
        self.root, self.centre, self.spread, self.ridge, self.shrink = root, centre, spread, ridge, shrink
        self.rows, self.site_dropout, self.missing, self.loss = min(rows, task.window), site_dropout, missing, loss
        self.floor = task.inputs[columns.output].low if columns.output is not None else None
        self.kinds = DAY_KINDS[profile] if profile != "none" and columns.hour is not None else None
        if self.kinds is not None and columns.weekday is None:
            self.kinds = DAY
        self.step = task.interval_s / 3600  # hours
        self.slot = (slot / 60) or min(self.step, 24.0)  # hours
        self.slots = round(24 / self.slot)
        cells = (max(self.kinds) + 1) * self.slots if self.kinds is not None else 1
        self.cells = cells
        self.register_buffer("kind", torch.tensor(self.kinds or (0,) * 7))
        self.register_buffer("profile_table", torch.zeros((self.sites + 1) * cells))
        self.register_buffer("leverage", torch.zeros((self.sites + 1) * cells), persistent=False)
        self.register_buffer("scale", torch.ones(self.sites + 1))
        self.register_buffer("level_mean", torch.zeros(1))
        self.register_buffer("level_std", torch.ones(1))
        others = len(columns.others) * self.rows + len(columns.ahead) * task.horizon
        self.register_buffer("other_mean", torch.zeros(len(columns.others) + len(columns.ahead)))
        self.register_buffer("other_std", torch.ones(len(columns.others) + len(columns.ahead)))

        lags = task.window if columns.output is not None else 0
        self.lags = lags
        into = task.horizon + others + (lags + (1 if centre != "none" else 0) + (1 if spread == "window" else 0))
        if columns.site is not None and site_size:
            self.site_embedding = nn.Embedding(self.sites + 1, site_size)
            into += site_size
        else:
            self.site_embedding = None
        if columns.hour is not None and hour_size:
            self.hour_embedding = nn.Embedding(self.slots, hour_size)
            into += hour_size
        else:
            self.hour_embedding = None
        if columns.weekday is not None and weekday_size:
            self.weekday_embedding = nn.Embedding(7, weekday_size)
            into += weekday_size
        else:
            self.weekday_embedding = None
        if columns.yearday is not None:
            into += 4
        self.ridge_weight = nn.Parameter(torch.zeros(task.horizon, max(1, lags)), requires_grad=lags > 0)
        self.steps = task.horizon * max(1, len(task.quantiles))
        self.trunks = nn.ModuleList(self._trunk(into, hidden, depth, dropout) for _ in range(members))

    def _trunk(self, into: int, hidden: int, depth: int, dropout: float) -> nn.Sequential:
        layers: list[nn.Module] = []
        for _ in range(depth):
            layers += [nn.Linear(into, hidden), nn.ReLU()]
            if dropout:
                layers.append(nn.Dropout(dropout))
            into = hidden
        last = nn.Linear(into, self.steps)
        nn.init.zeros_(last.weight)  # an untrained module is its baseline
        nn.init.zeros_(last.bias)
        return nn.Sequential(*layers, last)

    def prepare(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """Profiles, scales and the closed form, from training windows (N, T, F) and targets (N, H)."""
        site, ahead = self._site(x), self._targets(x)
        u = self._into(y)  # (N, H)
        self._take_profile(site, x, u[:, 0])
        profile = self.profile_table[ahead]  # (N, H)
        loo = (u - profile) / (1 - self.leverage[ahead])
        total, count = (
            _sums(site, loo[:, 0].square(), self.sites + 1),
            _sums(site, torch.ones_like(u[:, 0]), self.sites + 1),
        )
        mean = total.sum() / count.sum()
        self.scale.copy_(torch.sqrt((total + mean) / (count + 1)).clamp_min(1e-3))
        self.scale[-1] = torch.sqrt(mean).clamp_min(1e-3)
        self.level_mean.copy_(profile.mean())
        self.level_std.copy_(spread_of(profile.reshape(-1)))
        columns = self.columns.others + self.columns.ahead
        if columns:
            newest = x[:, -1, columns]  # (N, E)
            self.other_mean.copy_(known(newest.nanmean(0)))
            self.other_std.copy_(spread_of(newest))
        if self.lags:
            some = slice(None, None, 1 + len(x) // RIDGE_ROWS)
            z, centre, s = self._window(x[some], site[some], training=True)
            target = (loo[some] - centre) / s  # (n, H)
            gram = z.double().T @ z.double()
            gram += self.ridge * gram.diagonal().mean() * torch.eye(self.lags, dtype=gram.dtype)
            with torch.no_grad():
                self.ridge_weight.copy_(torch.linalg.solve(gram, z.double().T @ target.double()).T)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self._out(*self._forecast(x))

    def training_loss(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Of ``loss``, in units of the output, leave-one-out of the profiles; hides sites and values at random."""
        site = self._site(x)
        if self.site_dropout:
            site = torch.where(torch.rand(len(x)) < self.site_dropout, torch.full_like(site, self.sites), site)
        if self.missing and self.lags:
            x = self._hide(x)
        baseline, change = self._forecast(x, site)
        cell = self._targets(x, site)
        lever = self.leverage[cell]
        # Without this value its cell would be lever / (1 - lever) of the deviation further away.
        own = (self._into(y) - self.profile_table[cell]) * lever / (1 - lever)  # (B, H)
        forecast = self._out(baseline - own, change)
        if not self.quantiles:
            return nn.functional.mse_loss(forecast, y) if self.loss == "mse" else nn.functional.l1_loss(forecast, y)
        levels = y.new_tensor(self.quantiles)
        error = y.unsqueeze(2) - forecast  # (B, H, Q)
        if self.loss == "mse":  # of the middle; the outer quantiles as usual
            middle = self.quantiles.index(0.5)
            levels[middle] = 0
            square = error[:, :, middle].square().mean() / self.scale.mean()
            return square + torch.maximum(levels * error, (levels - 1) * error * (levels > 0)).mean()
        return torch.maximum(levels * error, (levels - 1) * error).mean()

    def _forecast(self, x: torch.Tensor, site: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Baseline (B, H) and change (B, H · Q), working units."""
        site = self._site(x) if site is None else site
        profile = self.profile_table[self._targets(x, site)]  # (B, H)
        parts = [(profile - self.level_mean) / self.level_std]
        baseline, s = profile, self.scale[site].unsqueeze(1)
        if self.lags:
            z, centre, s = self._window(x, site, training=self.training)
            parts.append(z)
            if self.centre != "none":
                parts.append(centre / self.scale[site].unsqueeze(1))
            if self.spread == "window":
                parts.append(torch.log(s / self.scale[site].unsqueeze(1)))
            # Products and a sum instead of a matrix: the exporters would quantize that.
            if self.training:
                ridge = nn.functional.linear(z, self.ridge_weight)
            else:
                ridge = (z.unsqueeze(1) * self.ridge_weight).sum(dim=2)  # (B, 1, T) · (H, T) → (B, H)
            baseline = profile + centre + s * ridge
        parts += self._context(x, site)
        into = torch.cat(parts, dim=1)
        change = self.trunks[0](into)
        for trunk in self.trunks[1:]:
            change = change + trunk(into)
        return baseline, (s / len(self.trunks)) * change

    def _out(self, baseline: torch.Tensor, change: torch.Tensor) -> torch.Tensor:
        change = rising(change, self.horizon, self.quantiles)
        forecast = (baseline.unsqueeze(2) if self.quantiles else baseline) + change
        if self.root:
            return torch.relu(forecast).square()
        return torch.clamp(forecast, min=self.floor) if self.floor is not None else forecast

    def _into(self, values: torch.Tensor) -> torch.Tensor:
        """Physical → working units."""
        return torch.sqrt(torch.relu(values)) if self.root else values

    def _site(self, x: torch.Tensor) -> torch.Tensor:
        """(B,) index of the site; the last one is the unknown."""
        if self.columns.site is None:
            return index(x[:, -1, 0] * 0, self.sites + 1, self.sites)
        return index(x[:, -1, self.columns.site], self.sites + 1, self.sites)

    def _rows(self, x: torch.Tensor, site: torch.Tensor) -> torch.Tensor:
        """(B, T) cells of the profile at the window's rows."""
        base = (site * self.cells).unsqueeze(1)
        if self.kinds is None:
            return base.expand(-1, self.window)
        hour = known(x[:, :, self.columns.hour])
        time = self._slot(hour)
        if self.columns.weekday is None:
            return base + time
        day = self.kind[index(x[:, :, self.columns.weekday], 7)]
        return base + day * self.slots + time

    def _targets(self, x: torch.Tensor, site: torch.Tensor | None = None) -> torch.Tensor:
        """(B, H) cells of the profile at the targets, reckoned from the newest row."""
        site = self._site(x) if site is None else site
        base = (site * self.cells).unsqueeze(1)
        if self.kinds is None:
            return base.expand(-1, self.horizon)
        later = self.step * (self.lead + torch.arange(self.horizon, device=x.device))  # (H,) hours
        hour = known(x[:, -1:, self.columns.hour]) + later  # (B, H)
        days = torch.floor(hour / 24 + 1e-4)
        time = self._slot(hour - 24 * days)
        if self.columns.weekday is None:
            return base + time
        day = known(x[:, -1:, self.columns.weekday]) + days
        day = day - 7 * torch.floor(day / 7 + 1e-4)
        return base + self.kind[index(day, 7)] * self.slots + time

    def _slot(self, hour: torch.Tensor) -> torch.Tensor:
        slot = torch.floor(hour / self.slot + 1e-3)
        return torch.clamp(slot, 0, self.slots - 1).long()

    def _window(
        self, x: torch.Tensor, site: torch.Tensor, *, training: bool
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Normalized deviations (B, T), their centre (B, 1) and spread (B, 1), working units."""
        raw = x[:, :, self.columns.output]
        there = present(raw)  # (B, T)
        cells = self._rows(x, site)
        deviation = (self._into(known(raw)) - self.profile_table[cells]) * there
        if training:
            deviation = deviation / (1 - self.leverage[cells])
        count = torch.clamp(there.sum(dim=1, keepdim=True), min=1)  # (B, 1)
        mean = deviation.sum(dim=1, keepdim=True) / count
        deviation = deviation + (1 - there) * mean
        if self.centre == "last":
            centre = deviation[:, -1:]
        else:
            centre = mean if self.centre == "mean" else torch.zeros_like(mean)
        own = self.scale[site].unsqueeze(1)  # (B, 1)
        rest = deviation - centre
        if self.spread == "window":
            own = torch.sqrt((rest.square() * there).sum(dim=1, keepdim=True) / count + (0.05 * own) ** 2)
        return rest / own, centre, own

    def _context(self, x: torch.Tensor, site: torch.Tensor) -> list[torch.Tensor]:
        c, parts = self.columns, []
        if self.site_embedding is not None:
            parts.append(self.site_embedding(site))
        if self.hour_embedding is not None:
            parts.append(self.hour_embedding(self._slot(known(x[:, -1, c.hour]))))
        if self.weekday_embedding is not None:
            parts.append(self.weekday_embedding(index(x[:, -1, c.weekday], 7)))
        if c.yearday is not None:
            angle = known(x[:, -1:, c.yearday]) * (2 * torch.pi / YEAR)
            parts += [torch.sin(angle), torch.cos(angle), torch.sin(2 * angle), torch.cos(2 * angle)]
        for n, i in enumerate(c.others + c.ahead):
            rows = self.rows if n < len(c.others) else self.horizon
            parts.append(known((x[:, -rows:, i] - self.other_mean[n]) / self.other_std[n]))
        return parts

    def _hide(self, x: torch.Tensor) -> torch.Tensor:
        """Training windows of which some have lost a stretch of the output."""
        n = len(x)
        start = (torch.rand(n, 1) * self.window).floor()
        length = 1 + (torch.rand(n, 1) * self.window).floor()
        row = torch.arange(self.window)
        gone = (row >= start) & (row < start + length) & (torch.rand(n, 1) < self.missing)
        x = x.clone()
        x[:, :, self.columns.output] = x[:, :, self.columns.output].masked_fill(gone, float("nan"))
        return x

    def _take_profile(self, site: torch.Tensor, x: torch.Tensor, u: torch.Tensor) -> None:
        """Cell means of the targets ``u`` (N,), each shrunk to coarser ones: week → kind of day → day → site → all."""
        s = self.sites + 1
        if self.kinds is None:
            day, time, slots = torch.zeros_like(site), torch.zeros_like(site), 1
        else:
            slots = self.slots
            hour = known(x[:, -1, self.columns.hour]) + self.step * self.lead
            days = torch.floor(hour / 24 + 1e-4)
            time = self._slot(hour - 24 * days)
            day = torch.zeros_like(site)
            if self.columns.weekday is not None:
                day = index(torch.remainder(known(x[:, -1, self.columns.weekday]) + days, 7), 7)
        cell = (site * 7 + day) * slots + time
        total = _sums(cell, u, s * 7 * slots).reshape(s, 7, slots)
        count = _sums(cell, torch.ones_like(u), s * 7 * slots).reshape(s, 7, slots)
        # The unknown site is all sites together.
        total[-1], count[-1] = total.sum(0), count.sum(0)
        mean = (total.sum((1, 2)) / count.sum((1, 2)).clamp_min(1)).reshape(s, 1, 1).expand(s, 7, slots)
        mean = torch.where(count.sum((1, 2), keepdim=True) > 0, mean, mean[-1:])
        own = torch.zeros_like(mean)  # share of one value in its cell
        levels = list(COARSER[self.kinds]) if self.kinds is not None else []
        for days in levels:
            group = torch.tensor(days)
            t = torch.zeros(s, max(days) + 1, slots).index_add(1, group, total)[:, group]  # (S + 1, 7, slots)
            n = torch.zeros(s, max(days) + 1, slots).index_add(1, group, count)[:, group]
            own = (1 + self.shrink * own) / (n + self.shrink).clamp_min(1)
            mean = torch.where(n > 0, (t + self.shrink * mean) / (n + self.shrink).clamp_min(1e-6), mean)
        first = [self.kinds.index(k) for k in range(max(self.kinds) + 1)] if self.kinds is not None else [0]
        self.profile_table.copy_(mean[:, first].reshape(-1))
        self.leverage.copy_(own[:, first].reshape(-1).clamp(0, 0.9))


def _sums(cell: torch.Tensor, values: torch.Tensor, size: int) -> torch.Tensor:
    return torch.zeros(size, dtype=values.dtype).index_add(0, cell, values)
