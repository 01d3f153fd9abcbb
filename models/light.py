"""Light strong forecaster: card.

One small network shared by all sites that corrects a strong float baseline:

- *Profile*: what is usual for this site at this time of day and week, from a table in the graph. The network sees, and
  predicts, deviations from it; a missing value deviates as the rest of its window does. Beside it, if wanted, a finer
  profile (each weekday for itself), and both of them ``reach`` intervals before and after the targets, so that noise of
  one cell can be smoothed away.
- *Ridge*: the deviation ahead as a weighted sum of the window's deviations and of the profiles' shape (Hoerl & Kennard,
  "Ridge regression", 1970), solved in closed form on the training windows. An untrained module is this baseline.
- *Trunk*: a perceptron on the same numbers and embeddings of site, time of day and day of week (STID: Shao et al.,
  "Spatial-temporal identity", CIKM 2022). It alone is int8.
- The window's own centre and spread may be taken off and put back at the end (RevIN: Kim et al., ICLR 2022).

A site never seen has its own row in each table, trained by hiding sites at random. Quantiles cannot cross: the median,
and steps beside it that cannot be negative.

A profile knows its own training targets, and so looks better in training than it is. ``training_loss`` takes each value
out of the cells that it helped to make (leave-one-out residuals: Allen, "The relationship between variable selection
and data augmentation and a method for prediction", 1974).

Longer than the house's files: it is exported as one graph, and reads as one.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

from wayside.contracts.task import TaskSpec
from wayside.models.errors import ModelConfigError
from wayside.models.features import Columns, index, known, present, rising, spread_of

YEAR = 365.25
WORD_SIZE = 4  # of the embedding of a word
RIDGE_ROWS = 200_000  # windows that the closed form looks at
DAY, KINDS, WEEK = (0,) * 7, (0, 0, 0, 0, 0, 1, 2), (0, 1, 2, 3, 4, 5, 6)
DAY_KINDS = {"day": DAY, "kinds": KINDS, "week": WEEK}
"""Which weekdays (Monday first) share a day of the profile."""


class Profile(nn.Module):
    """What is usual per site and time of week: a table, each cell shrunk towards coarser ones where days are few."""

    table: torch.Tensor  # ((S + 1) · kinds · slots,) working units; the last site is the unknown
    leverage: torch.Tensor  # the same shape: share of its cell that one training value makes
    kind: torch.Tensor  # (7,)

    def __init__(self, sites: int, slots: int, days: tuple[int, ...], shrink: float) -> None:
        super().__init__()
        self.sites, self.slots, self.days, self.shrink = sites, slots, days, shrink
        self.cells = (max(days) + 1) * slots
        self.register_buffer("kind", torch.tensor(days), persistent=False)
        self.register_buffer("table", torch.zeros((sites + 1) * self.cells))
        self.register_buffer("leverage", torch.zeros((sites + 1) * self.cells), persistent=False)

    def cell(self, site: torch.Tensor, day: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        """(B, 1) site, (B, P) weekday and slot of the day → (B, P) index into the table."""
        return site * self.cells + self.kind[day] * self.slots + torch.clamp(time, max=self.slots - 1)

    def take(self, site: torch.Tensor, day: torch.Tensor, time: torch.Tensor, values: torch.Tensor) -> None:
        """Cell means of ``values`` (N,): all → site → day → kind of day → weekday, as far as this profile goes."""
        s, slots = self.sites + 1, self.slots
        cell = (site * 7 + day) * slots + time
        total = torch.zeros(s * 7 * slots).index_add(0, cell, values).reshape(s, 7, slots)
        count = torch.zeros(s * 7 * slots).index_add(0, cell, torch.ones_like(values)).reshape(s, 7, slots)
        total[-1], count[-1] = total.sum(0), count.sum(0)  # the unknown site is all sites together
        whole = count.sum((1, 2), keepdim=True)
        mean = torch.where(whole > 0, total.sum((1, 2), keepdim=True) / whole.clamp_min(1), total[-1].sum() / whole[-1])
        mean, own = mean.expand(s, 7, slots), torch.zeros(s, 7, slots)
        for days in (DAY, KINDS, WEEK):
            group = torch.tensor(days)
            t = torch.zeros(s, max(days) + 1, slots).index_add(1, group, total)[:, group]  # (S + 1, 7, slots)
            n = torch.zeros(s, max(days) + 1, slots).index_add(1, group, count)[:, group]
            mean = torch.where(n > 0, (t + self.shrink * mean) / (n + self.shrink).clamp_min(1e-6), mean)
            own = (1 + self.shrink * own) / (n + self.shrink).clamp_min(1)
            if days == self.days:
                break
        first = [self.days.index(k) for k in range(max(self.days) + 1)]  # a weekday of each kind
        self.table.copy_(mean[:, first].reshape(-1))
        self.leverage.copy_(own[:, first].reshape(-1).clamp(0, 0.9))

    def forward(self, cell: torch.Tensor, seen: torch.Tensor | None = None) -> torch.Tensor:
        """(B, P) cells → (B, P). Values ``seen`` in training (NaN: none) are taken out of their cells."""
        usual = self.table[cell]
        if seen is None:
            return usual
        own = self.leverage[cell]
        return usual - known((seen - usual) * own / (1 - own))


class Light(nn.Module):
    """(B, T, F) physical units → (B, H), or (B, H, Q), physical units.

    Args:
        hidden, depth: units and layers of the trunk.
        members: trunks side by side, averaged.
        site_size, hour_size, weekday_size: of the embeddings; 0: none.
        profile: a day for each weekday, for workday, Saturday and Sunday, one for all, or none (the site's mean).
        finer: a second profile beside it.
        reach: intervals before and after the targets at which the profiles are looked at.
        slot: minutes of a profile's cell; 0: the task's interval.
        shrink: days of a coarser profile mixed into each cell.
        root: work on square roots (counts); the forecast is squared.
        centre: what is taken off the window before the network and put back after it (RevIN).
        spread: what deviations are divided by: the site's, or the window's own.
        ridge: strength of the closed form's shrinkage, relative to the mean square of what it sees; 0: no closed form.
        rows: newest rows of each further input that the trunk sees.
        words: inputs that are indices of words, and how many there are: embedded instead of standardized.
        harmonics: of the year, where the day of the year is an input.
        dropout: in the trunk.
        missing: share of training windows of which a random stretch is hidden.
        loss: what ``training_loss`` makes small (with quantiles: of the median; the others are always pinball).
    """

    scale: torch.Tensor  # (S + 1,) spread of the deviations, working units
    level_mean: torch.Tensor  # (1,) of the profile
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
        profile: Literal["week", "kinds", "day", "none"] = "kinds",
        finer: Literal["week", "kinds", "none"] = "none",
        reach: int = 2,
        slot: float = 0,
        shrink: float = 1.0,
        root: bool = False,
        centre: Literal["none", "last", "mean"] = "none",
        spread: Literal["site", "window"] = "site",
        ridge: float = 1e-3,
        rows: int = 1,
        words: dict[str, int] | None = None,
        harmonics: int = 2,
        dropout: float = 0.0,
        missing: float = 0.0,
        loss: Literal["mae", "mse"] = "mae",
    ) -> None:
        super().__init__()
        for name, value, allowed in (
            ("profile", profile, (*DAY_KINDS, "none")),
            ("finer", finer, ("week", "kinds", "none")),
            ("centre", centre, ("none", "last", "mean")),
            ("spread", spread, ("site", "window")),
            ("loss", loss, ("mae", "mse")),
        ):
            if value not in allowed:
                raise ModelConfigError(f"light: {name} = {value!r}; choose one of {', '.join(allowed)}")
        c = self.columns = Columns(task)
        self.sites, self.window, self.horizon, self.lead = len(task.sites), task.window, task.horizon, task.lead
        self.quantiles, self.root, self.centre, self.spread, self.loss = task.quantiles, root, centre, spread, loss
        self.ridge, self.missing = ridge, missing
        self.rows = min(rows, task.window)
        self.lags = task.window if c.output is not None else 0
        self.floor = task.inputs[c.output].low if c.output is not None else None
        self.step = task.interval_s / 3600  # hours
        self.slot = min(slot / 60 if slot else self.step, 24.0)  # hours
        self.slots = round(24 / self.slot) if c.hour is not None else 1
        slots = self.slots if profile != "none" else 1
        if slots == 1:
            profile, finer, reach = "day", "none", 0
        if c.weekday is None:
            profile, finer = "day", "none"
        self.reach = reach
        self.usual = Profile(self.sites, slots, DAY_KINDS[profile], shrink)
        self.finer = Profile(self.sites, slots, DAY_KINDS[finer], shrink) if finer != "none" else None
        # Times around the newest row, in intervals, at which profiles are looked up: the window, what follows, targets.
        self.first = min(1 - task.window if self.lags else task.lead, task.lead - reach)
        self.times = range(self.first, task.lead + task.horizon + reach)
        shape = task.horizon + 2 * reach
        names = [i.name for i in task.inputs]
        self.words = {names.index(name): count for name, count in (words or {}).items()}
        self.others = [i for i in c.others if i not in self.words]
        self.harmonics = harmonics if c.yearday is not None else 0
        others = len(self.others) * self.rows + len(c.ahead) * task.horizon
        self.register_buffer("scale", torch.ones(self.sites + 1))
        self.register_buffer("level_mean", torch.zeros(1))
        self.register_buffer("level_std", torch.ones(1))
        self.register_buffer("other_mean", torch.zeros(len(self.others) + len(c.ahead)))
        self.register_buffer("other_std", torch.ones(len(self.others) + len(c.ahead)))

        weighed = self.lags + (shape if reach else 0) + (shape if finer != "none" else 0)
        self.ridge_weight = nn.Parameter(torch.zeros(task.horizon, weighed), requires_grad=weighed > 0 and ridge > 0)
        into = weighed + task.horizon + others + (centre != "none") + (spread == "window") + 2 * self.harmonics
        self.embeddings = nn.ModuleDict()
        for name, column, rows_of, size in (
            ("site", c.site, self.sites + 1, site_size),
            ("hour", c.hour, self.slots, hour_size),
            ("weekday", c.weekday, 7, weekday_size),
        ):
            if column is not None and size:
                self.embeddings[name] = nn.Embedding(rows_of, size)
                into += size
        for i, count in self.words.items():
            self.embeddings[f"words_{i}"] = nn.Embedding(count + 1, WORD_SIZE)  # the last row: none of them
            into += WORD_SIZE
        out = task.horizon * max(1, len(task.quantiles))
        self.trunks = nn.ModuleList(_trunk(into, hidden, depth, dropout, out) for _ in range(members))

    def prepare(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """Profiles, scales and the closed form, from training windows (N, T, F) and targets (N, H)."""
        site = self._site(x)
        day, time = self._calendar(x)
        u, target = self._into(y), self.lead - self.first
        for profile in self._profiles():
            profile.take(site, day[:, target], torch.clamp(time[:, target], max=profile.slots - 1), u[:, 0])
        usual, _ = self._usual(x, site, self._seen(x, y))
        off = (u - usual[:, target : target + self.horizon])[:, 0].square()
        total = torch.zeros(self.sites + 1).index_add(0, site, off)
        count = torch.zeros(self.sites + 1).index_add(0, site, torch.ones_like(off))
        self.scale.copy_(torch.sqrt((total + off.mean()) / (count + 1)).clamp_min(1e-3))
        self.scale[-1] = off.mean().sqrt().clamp_min(1e-3)
        self.level_mean.copy_(u.mean())
        self.level_std.copy_(spread_of(usual.reshape(-1)))
        if columns := self.others + self.columns.ahead:
            newest = x[:, -1, columns]  # (N, E)
            self.other_mean.copy_(known(newest.nanmean(0)))
            self.other_std.copy_(spread_of(newest))
        if self.ridge_weight.requires_grad:
            some = slice(None, None, 1 + len(x) // RIDGE_ROWS)
            base, s, weighed, _ = self._weighed(x[some], site[some], self._seen(x[some], y[some]))
            z, off = weighed.double(), ((u[some] - base) / s).double()
            gram = z.T @ z
            gram += self.ridge * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype)
            with torch.no_grad():
                self.ridge_weight.copy_(torch.linalg.solve(gram, z.T @ off).T)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self._forecast(x, self._site(x), None)

    def training_loss(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Of ``loss``, in units of the output; in training mode leave-one-out, and with some values hidden."""
        site, seen = self._site(x), None
        if self.training:
            seen = self._seen(x, y)
            if self.missing and self.lags:
                x = self._hide(x)
        forecast = self._forecast(x, site, seen)
        if not self.quantiles:
            return nn.functional.mse_loss(forecast, y) if self.loss == "mse" else nn.functional.l1_loss(forecast, y)
        levels = y.new_tensor(self.quantiles)
        error = y.unsqueeze(2) - forecast  # (B, H, Q)
        pinball = torch.maximum(levels * error, (levels - 1) * error)
        if self.loss == "mse":
            middle = self.quantiles.index(0.5)
            square = error[:, :, middle].square() / self.scale.mean()
            return square.mean() + (pinball.sum(2) - pinball[:, :, middle]).mean()
        return pinball.mean()

    def _forecast(self, x: torch.Tensor, site: torch.Tensor, seen: torch.Tensor | None) -> torch.Tensor:
        base, s, weighed, parts = self._weighed(x, site, seen)
        # Products and a sum instead of a matrix: the exporters would quantize that.
        if self.training:
            ridge = nn.functional.linear(weighed, self.ridge_weight)
        else:
            ridge = (weighed.unsqueeze(1) * self.ridge_weight).sum(dim=2)  # (B, 1, W) · (H, W) → (B, H)
        into = torch.cat([weighed, *parts, *self._context(x, site)], dim=1)
        change = self.trunks[0](into)  # (B, H · Q)
        for trunk in self.trunks[1:]:
            change = change + trunk(into)
        base = base + s * ridge
        change = rising((s / len(self.trunks)) * change, self.horizon, self.quantiles)
        forecast = (base.unsqueeze(2) if self.quantiles else base) + change
        if self.root:
            return torch.relu(forecast).square()
        return torch.clamp(forecast, min=self.floor) if self.floor is not None else forecast

    def _weighed(
        self, x: torch.Tensor, site: torch.Tensor, seen: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, list[torch.Tensor]]:
        """Baseline (B, H) and spread (B, 1) in working units; what the ridge weighs (B, W); further parts."""
        usual, finer = self._usual(x, site, seen)  # (B, P)
        target = self.lead - self.first
        base = usual[:, target : target + self.horizon]  # (B, H)
        parts = [(base - self.level_mean) / self.level_std]
        own = s = self.scale[site].unsqueeze(1)  # (B, 1)
        weighed = []
        if self.lags:
            newest = -self.first + 1
            z, centre, s = self._window(x, usual[:, newest - self.window : newest], own)
            weighed.append(z)
            base = base + centre
            if self.centre != "none":
                parts.append(centre / own)
            if self.spread == "window":
                parts.append(torch.log(s / own))
        around = slice(target - self.reach, target + self.horizon + self.reach)
        if self.reach:
            shape = usual[:, around]
            weighed.append((shape - shape.mean(dim=1, keepdim=True)) / own)
        if finer is not None:
            weighed.append((finer[:, around] - usual[:, around]) / own)
        return base, s, torch.cat(weighed, dim=1) if weighed else usual[:, :0], parts

    def _window(
        self, x: torch.Tensor, usual: torch.Tensor, own: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Normalized deviations (B, T), their centre (B, 1) and spread (B, 1)."""
        raw = x[:, :, self.columns.output]
        there = present(raw)  # (B, T)
        deviation = (self._into(known(raw)) - usual) * there
        count = torch.clamp(there.sum(dim=1, keepdim=True), min=1)  # (B, 1)
        mean = deviation.sum(dim=1, keepdim=True) / count
        deviation = deviation + (1 - there) * mean
        centre = torch.zeros_like(mean)
        if self.centre != "none":
            centre = deviation[:, -1:] if self.centre == "last" else mean
        rest = deviation - centre
        if self.spread == "window":
            own = torch.sqrt((rest.square() * there).sum(dim=1, keepdim=True) / count + (0.05 * own).square())
        return rest / own, centre, own

    def _context(self, x: torch.Tensor, site: torch.Tensor) -> list[torch.Tensor]:
        """Embeddings, day of the year, and further inputs, each (B, …)."""
        c, parts = self.columns, []
        if "site" in self.embeddings:
            parts.append(self.embeddings["site"](site))
        if "hour" in self.embeddings:
            slot = torch.floor(known(x[:, -1, c.hour]) / self.slot + 1e-3)
            parts.append(self.embeddings["hour"](index(slot, self.slots)))
        if "weekday" in self.embeddings:
            parts.append(self.embeddings["weekday"](index(x[:, -1, c.weekday], 7)))
        parts += [self.embeddings[f"words_{i}"](index(x[:, -1, i], n + 1, n)) for i, n in self.words.items()]
        if self.harmonics:
            turns = torch.arange(1, self.harmonics + 1) * (2 * torch.pi / YEAR)
            angles = known(x[:, -1:, c.yearday]) * turns  # (B, 1) → (B, harmonics)
            parts += [torch.sin(angles), torch.cos(angles)]
        for n, i in enumerate(self.others + c.ahead):
            rows = self.rows if n < len(self.others) else self.horizon
            parts.append(known((x[:, -rows:, i] - self.other_mean[n]) / self.other_std[n]))
        return parts

    def _usual(
        self, x: torch.Tensor, site: torch.Tensor, seen: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Both profiles (B, P) at ``self.times``."""
        day, time = self._calendar(x)
        profiles = [p(p.cell(site.unsqueeze(1), day, time), seen) for p in self._profiles()]
        return profiles[0], profiles[1] if len(profiles) > 1 else None

    def _profiles(self) -> list[Profile]:
        return [self.usual] if self.finer is None else [self.usual, self.finer]

    def _calendar(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, P) weekday and slot of the day at ``self.times``, reckoned from the newest row."""
        c = self.columns
        later = self.step * torch.tensor(self.times, dtype=torch.float32)  # (P,) hours
        hour = (known(x[:, -1:, c.hour]) if c.hour is not None else 0 * known(x[:, -1:, 0])) + later  # (B, P)
        days = torch.floor(hour / 24 + 1e-5)
        time = torch.clamp(torch.floor((hour - 24 * days) / self.slot + 1e-3), 0, self.slots - 1).long()
        day = known(x[:, -1:, c.weekday]) + days if c.weekday is not None else 0 * days
        return index(day - 7 * torch.floor(day / 7 + 1e-3), 7), time

    def _site(self, x: torch.Tensor) -> torch.Tensor:
        """(B,) index of the site; the last one is the unknown."""
        column = x[:, -1, self.columns.site] if self.columns.site is not None else 0 * known(x[:, -1, 0])
        return index(column, self.sites + 1, self.sites)

    def _into(self, values: torch.Tensor) -> torch.Tensor:
        """Physical → working units."""
        return torch.sqrt(torch.relu(values)) if self.root else values

    def _seen(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """(B, P) what training knows at ``self.times``: window and targets, working units, NaN elsewhere."""
        seen = torch.full((len(x), len(self.times)), torch.nan)
        newest, target = -self.first + 1, self.lead - self.first
        if self.lags:
            seen[:, newest - self.window : newest] = self._into(x[:, :, self.columns.output])
        seen[:, target : target + self.horizon] = self._into(y)
        return seen

    def _hide(self, x: torch.Tensor) -> torch.Tensor:
        """Training windows of which some have lost a stretch of the output."""
        start = (torch.rand(len(x), 1) * self.window).floor()
        end = start + 1 + (torch.rand(len(x), 1) * self.window).floor()
        row = torch.arange(self.window)
        gone = (row >= start) & (row < end) & (torch.rand(len(x), 1) < self.missing)
        x = x.clone()
        x[:, :, self.columns.output] = x[:, :, self.columns.output].masked_fill(gone, torch.nan)
        return x


def _trunk(into: int, hidden: int, depth: int, dropout: float, out: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += [nn.Linear(into, hidden), nn.ReLU()]
        if dropout:
            layers.append(nn.Dropout(dropout))
        into = hidden
    last = nn.Linear(into, out)
    nn.init.zeros_(last.weight)  # an untrained module is its baseline
    nn.init.zeros_(last.bias)
    return nn.Sequential(*layers, last)
