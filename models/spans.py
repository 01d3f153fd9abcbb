"""Spans forecaster: card.

Every step ahead is forecast by one network, shared by all steps, from what is known about that very step:

- *The same time on earlier days*: the output, and further inputs, so many days before the target.
- *Means over spans*: of the output's deviations, of their changes against the day and the week before, and of every
  further input, over the newest 1, 3, 6 … rows. A few spans tell a level, a trend and a change of weather apart with
  far fewer weights than all rows would need (as in HAR: Corsi, "A simple approximate long-memory model of realized
  volatility", 2009; one direct network for load: Hippert et al., "Neural networks for short-term load forecasting",
  IEEE Trans. Power Systems 2001).
- *The calendar of the target*: time of day, weekday, day of the year, and what is known ahead (holidays).

A ridge on these (Hoerl & Kennard 1970), solved in closed form by ``prepare`` and refined by training, is the float
baseline; perceptrons beside it, the int8 part, correct it. An untrained module is the baseline.

Missing values take the mean of the next longer span; a window without any value gives the usual level.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import nn

from wayside.contracts.task import TaskSpec
from wayside.models.errors import ModelConfigError
from wayside.models.features import Columns, index, known, present, rising, spread_of

YEAR = 365.25
LIMIT = 5.0  # of a standardized feature: int8 ranges stay useful, and a day never seen explodes nothing
PREPARE_ROWS = 100_000  # windows × steps that the closed form looks at
PRIOR = 1e-3  # values of the longer span mixed into a shorter one: all, where there is nothing else
HARMONICS = 4  # of the day
KINDS = (0, 0, 0, 0, 0, 1, 2)  # workday, Saturday, Sunday


class Spans(nn.Module):
    """(B, T, F) physical units → (B, H), or (B, H, Q), physical units.

    Args:
        hidden, depth: units and layers of each perceptron.
        members: perceptrons side by side, averaged.
        work: units in which the network works: as given, roots (counts) or logarithms (concentrations); further
            inputs in the output's unit are taken likewise.
        level: what the output deviates from: the site's mean, the window's own mean (forecasts scale with it), or the
            site's profile of the week (forecasts scale with it).
        shrink: weeks of the profile of its kind of day that are mixed into each cell of the profile.
        days: how many days before the target the output at the same time is seen; 0: none.
        spans: rows, newest ones, over which means of the output are taken.
        changes: the same for the change against the day and the week before.
        others: the same for each further input.
        other_days: days before the target of which further inputs and what is known ahead are seen.
        extremes: whether the greatest and least of each further input over the last day are seen.
        directions: further inputs that are parts of a turn (a wind direction from 0 to its ``high``).
        season: harmonics of the year.
        site_size, time_size: of the embeddings of the site and of the target's time of day; 0: none.
        ridge: strength of the closed form's shrinkage.
        dropout: in the perceptrons.
        noise: spread of noise on the features in training.
    """

    other_mean: torch.Tensor  # (E,) of the further inputs, working units
    other_std: torch.Tensor  # (E,)
    profile_table: torch.Tensor  # ((S + 1) · 7 · slots,) usual values, working units
    usual: torch.Tensor  # (S + 1,) mean of each site, working units; the last: a site never seen
    spread: torch.Tensor  # (S + 1,)
    feature_mean: torch.Tensor  # (D,)
    feature_std: torch.Tensor  # (D,)
    skip: torch.Tensor  # (D,) the ridge
    skip_bias: torch.Tensor  # (1,)
    weekdays: torch.Tensor  # (7, 7)

    def __init__(
        self,
        task: TaskSpec,
        *,
        hidden: int = 48,
        depth: int = 2,
        members: int = 1,
        work: Literal["linear", "root", "log"] = "linear",
        level: Literal["site", "window", "profile"] = "site",
        shrink: float = 4.0,
        days: int = 0,
        spans: Sequence[int] = (1, 3, 6, 12, 24, 48),
        changes: Sequence[int] = (),
        others: Sequence[int] = (1, 3, 6, 12, 24, 48),
        other_days: Sequence[int] = (),
        extremes: bool = False,
        directions: Sequence[str] = (),
        season: int = 2,
        site_size: int = 4,
        time_size: int = 0,
        ridge: float = 0.01,
        dropout: float = 0.0,
        noise: float = 0.0,
    ) -> None:
        super().__init__()
        c = self.columns = Columns(task)
        timed = c.hour is not None and c.weekday is not None
        if level == "profile" and not timed:
            raise ModelConfigError(f"a profile needs the inputs hour and weekday; task {task.name!r} has not both")
        self.window, self.horizon, self.lead, self.quantiles = task.window, task.horizon, task.lead, task.quantiles
        self.step = task.interval_s / 3600  # hours
        self.day = max(1, round(24 / self.step))  # rows
        self.work, self.level, self.shrink, self.ridge, self.noise = work, level, shrink, ridge, noise
        self.floor = task.inputs[c.output].low if c.output is not None else None
        furthest = task.lead + task.horizon - 1  # rows to the last target
        back = [d for d in range(1, 1 + task.window // self.day) if d * self.day >= furthest]
        lagged = c.output is not None
        self.days = [d for d in back if lagged and d * self.day - task.lead < task.window][:days]
        self.other_days = [d for d in back if d in other_days and d * self.day + task.horizon <= task.window]
        self.spans = sorted({min(k, task.window) for k in spans}, reverse=True)
        self.changes = sorted({k for k in changes if lagged and k + 7 * self.day <= task.window}, reverse=True)
        self.other_spans = sorted({min(k, task.window) for k in others}, reverse=True)
        self.extremes, self.season = extremes, season if c.yearday is not None else 0
        like = {i for i in c.others if task.inputs[i].unit == task.output_unit}
        self.turns = [
            (i, 2 * math.pi / (task.inputs[i].high + 1)) for i in c.others if task.inputs[i].name in directions
        ]
        turning = {i for i, _ in self.turns}
        self.alike = [i for i in c.others if i in like and i not in turning]
        self.plain = [i for i in c.others if i not in like and i not in turning]
        self.sites = len(task.sites)
        self.slots = self.day
        cells = 7 * self.slots if level == "profile" else 1
        self.cells = cells
        self.register_buffer("other_mean", torch.zeros(len(self.alike) + len(self.plain)))
        self.register_buffer("other_std", torch.ones(len(self.alike) + len(self.plain)))
        self.register_buffer("profile_table", torch.ones((self.sites + 1) * cells))
        self.register_buffer("usual", torch.ones(self.sites + 1))
        self.register_buffer("spread", torch.ones(self.sites + 1))
        self.register_buffer("weekdays", torch.eye(7))
        with torch.no_grad():
            features, _, _ = self._features(torch.zeros(1, task.window, len(task.inputs)))
        size = features.shape[2]
        self.register_buffer("feature_mean", torch.zeros(size))
        self.register_buffer("feature_std", torch.ones(size))
        self.skip = nn.Parameter(torch.zeros(size))
        self.skip_bias = nn.Parameter(torch.zeros(1))
        self.site_embedding = nn.Embedding(self.sites + 1, site_size) if c.site is not None and site_size else None
        self.time_embedding = nn.Embedding(self.slots, time_size) if c.hour is not None and time_size else None
        into = size + sum(e.embedding_dim for e in (self.site_embedding, self.time_embedding) if e is not None)
        self.outputs = max(1, len(task.quantiles))
        self.members = nn.ModuleList(self._perceptron(into, hidden, depth, dropout) for _ in range(members))

    def _perceptron(self, into: int, hidden: int, depth: int, dropout: float) -> nn.Sequential:
        layers: list[nn.Module] = []
        for _ in range(depth):
            layers += [nn.Linear(into, hidden), nn.ReLU()]
            if dropout:
                layers.append(nn.Dropout(dropout))
            into = hidden
        last = nn.Linear(into, self.outputs)
        nn.init.zeros_(last.weight)  # an untrained module is its baseline
        nn.init.zeros_(last.bias)
        return nn.Sequential(*layers, last)

    def prepare(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """Levels, profiles, spreads and the ridge, from training windows (N, T, F) and targets (N, H)."""
        site, w = self._site(x), self._into(y)  # (N,), (N, H)
        group, s = site, self.sites + 1
        count = _sums(group, torch.ones_like(w[:, 0]), s)
        total = _sums(group, w[:, 0], s)
        count[-1], total[-1] = count.sum(), total.sum()
        usual = torch.where(count > 0, total / count.clamp_min(1), total[-1] / count[-1])
        self.usual.copy_(usual)
        if self.level == "profile":
            self._take_profile(site, x, w[:, 0])
        rest = (w[:, 0] - usual[site]).square()
        square = _sums(group, rest, s)
        square[-1] = square.sum()
        spread = torch.where(count > 1, square / count.clamp_min(1), square[-1] / count[-1]).sqrt()
        self.spread.copy_((spread / usual.abs().clamp_min(1e-3) if self.level == "window" else spread).clamp_min(1e-3))
        some = x[:: 1 + len(x) // 20_000]
        for n, i in enumerate(self.alike + self.plain):
            values = some[:, -self.day :, i].reshape(-1)
            values = self._into(values) if i in self.alike else values
            self.other_mean[n] = known(values.nanmean())
            self.other_std[n] = spread_of(values)
        every = 1 + len(x) * self.horizon // PREPARE_ROWS
        with torch.no_grad():
            features, base, scale = self._features(x[::every])  # (n, H, D), (n, H), (n, H)
            flat = features.reshape(-1, features.shape[2])
            self.feature_mean.copy_(flat.mean(0))
            self.feature_std.copy_(spread_of(flat))
            flat = self._standardized(features).reshape(-1, features.shape[2]).double()
            target = ((w[::every] - base) / scale).reshape(-1).double()
            gram = flat.T @ flat / len(flat) + self.ridge * torch.eye(flat.shape[1], dtype=flat.dtype)
            mean = target.mean()
            self.skip.copy_(torch.linalg.solve(gram, flat.T @ (target - mean) / len(flat)))
            self.skip_bias.copy_(mean)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        features, base, scale = self._features(x)
        features = self._standardized(features)  # (B, H, D)
        if self.training and self.noise:
            features = features + self.noise * torch.randn_like(features)
        # A product and a sum instead of a matrix: the exporters would quantize that.
        linear = (features * self.skip).sum(dim=2) + self.skip_bias  # (B, H)
        parts = [features]
        if self.site_embedding is not None:
            own = self.site_embedding(self._site(x)).unsqueeze(1)  # (B, 1, ·)
            parts.append(own.expand(-1, self.horizon, -1))
        if self.time_embedding is not None:
            parts.append(self.time_embedding(self._target_time(x)[1]))  # (B, H, ·)
        flat = torch.cat(parts, dim=2).reshape(-1, sum(p.shape[2] for p in parts))  # (B · H, ·)
        change = self.members[0](flat)
        for member in self.members[1:]:
            change = change + member(flat)
        change = (change / len(self.members)).reshape(-1, self.horizon * self.outputs)  # (B, H · Q)
        change = rising(change, self.horizon, self.quantiles)
        middle = base + scale * linear  # (B, H)
        if self.quantiles:
            return self._out(middle.unsqueeze(2) + scale.unsqueeze(2) * change)
        return self._out(middle + scale * change)

    def training_loss(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Errors in parts of the value itself, for goals in percent; of quantiles, the pinball loss (Koenker & Bassett
        1978) beside the error of the median."""
        forecast, size = self(x), y.abs().clamp_min(0.01 * float(self.usual[-1].abs()) + 1e-6)  # (B, H)
        if not self.quantiles:
            return ((forecast - y) / size).abs().mean()
        error = ((y - forecast.movedim(2, 0)) / size).movedim(0, 2)  # (B, H, Q)
        levels = y.new_tensor(self.quantiles)
        pinball = torch.maximum(levels * error, (levels - 1) * error)
        return error[:, :, self.quantiles.index(0.5)].abs().mean() + pinball.mean()

    def _features(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Features (B, H, D), and what forecasts deviate from and are multiplied by (B, H), working units."""
        z, there, base, scale, centre = self._deviations(x)
        day, _, angle = self._target_time(x)
        # Of the window, (B, ·) each, and of each step, (B, H) each; how far ahead it is, whatever the task has.
        once: list[torch.Tensor] = []
        each = [torch.linspace(-1, 1, self.horizon, device=x.device) + 0 * angle]
        if self.columns.output is not None:
            self._add_output(once, each, z, there)
            if self.level == "window":
                once.append(centre / self.usual[-1] - 1)
        for values, where in self._others(x):
            self._add_other(once, each, values, where)
        for i in self.columns.ahead:
            for d in (0, *self.other_days):
                first = self.window - self.horizon - d * self.day  # row k holds the value of the last target after t_k
                each.append(known(x[:, first : first + self.horizon, i]))
        if self.columns.hour is not None:
            for n in range(1, HARMONICS + 1):
                each += [torch.sin(n * angle), torch.cos(n * angle)]
        for n in range(1, self.season + 1):
            turn = known(x[:, -1:, self.columns.yearday]) * (2 * math.pi * n / YEAR)
            once += [torch.sin(turn), torch.cos(turn)]
        parts = [torch.stack(each, dim=2)]
        if once:
            parts.append(torch.cat(once, dim=1).unsqueeze(1).expand(-1, self.horizon, -1))
        if self.columns.weekday is not None:
            parts.append(self.weekdays[day])  # (B, H, 7)
        return torch.cat(parts, dim=2), base, scale

    def _add_output(
        self, once: list[torch.Tensor], each: list[torch.Tensor], z: torch.Tensor, there: torch.Tensor
    ) -> None:
        once.append(self._means(z, there, self.spans))
        for k in self.changes:
            for shift in (self.day, 7 * self.day):
                change = z[:, -k:] - z[:, -k - shift : -shift]
                both = there[:, -k:] * there[:, -k - shift : -shift]
                once.append(_mean(change * both, both, 0.0))
        whole = z + (1 - there) * _mean(z, there, 0.0)  # (B, T)
        each += [self._at(whole, d) for d in self.days]

    def _add_other(
        self, once: list[torch.Tensor], each: list[torch.Tensor], values: torch.Tensor, there: torch.Tensor
    ) -> None:
        once.append(self._means(values, there, self.other_spans))
        whole = values + (1 - there) * _mean(values, there, 0.0)  # (B, T)
        if self.extremes:
            last = whole[:, -self.day :]
            once += [last.amax(dim=1, keepdim=True), last.amin(dim=1, keepdim=True)]
        each += [self._at(whole, d) for d in self.other_days]

    def _at(self, values: torch.Tensor, days: int) -> torch.Tensor:
        """(B, T) → (B, H): the values ``days`` before each target."""
        first = self.window - 1 + self.lead - days * self.day
        return values[:, first : first + self.horizon]

    def _deviations(
        self, x: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Deviations and where they are known (B, T), base and scale of the forecast (B, H), the window's level."""
        # A task without lags has no deviations: zeros that nothing looks at.
        raw = x[:, :, self.columns.output if self.columns.output is not None else 0]
        there = present(raw)  # (B, T)
        w = self._into(known(raw))
        site = self._site(x)
        usual = self.usual[site].unsqueeze(1)  # (B, 1)
        zero = torch.zeros(1, self.horizon, device=x.device)
        if self.level == "window":
            count = there.sum(dim=1, keepdim=True)
            centre = torch.where(count > 0, (w * there).sum(dim=1, keepdim=True) / count.clamp_min(1), usual)
            own = centre.clamp_min(0.01 * self.usual[-1]) * self.spread[site].unsqueeze(1)  # (B, 1)
            return (w - centre) / own * there, there, centre + zero, own + zero, centre
        if self.level == "profile":
            start = (site * self.cells).unsqueeze(1)
            hour = known(x[:, :, self.columns.hour])
            weekday = index(x[:, :, self.columns.weekday], 7)
            cells = start + weekday * self.slots + self._slot(hour)  # (B, T)
            day, slot, _ = self._target_time(x)
            base = self.profile_table[start + day * self.slots + slot]  # (B, H)
            return (w - self.profile_table[cells]) / usual * there, there, base, base.clamp_min(1e-3), usual
        own = self.spread[site].unsqueeze(1)
        return (w - usual) / own * there, there, usual + zero, own + zero, usual

    def _others(self, x: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Standardized further inputs and where they are known, (B, T) each; a direction is two of them."""
        parts = []
        for n, i in enumerate(self.alike + self.plain):
            there = present(x[:, :, i])
            values = self._into(known(x[:, :, i])) if i in self.alike else known(x[:, :, i])
            parts.append(((values - self.other_mean[n]) / self.other_std[n] * there, there))
        for i, turn in self.turns:
            there, angle = present(x[:, :, i]), known(x[:, :, i]) * turn
            parts += [(torch.sin(angle) * there, there), (torch.cos(angle) * there, there)]
        return parts

    def _means(self, values: torch.Tensor, there: torch.Tensor, spans: Sequence[int]) -> torch.Tensor:
        """(B, T) → (B, spans), longest first."""
        means = [_mean(values, there, 0.0)]
        for k in spans:
            means.append(_mean(values[:, -k:], there[:, -k:], means[-1]))
        return torch.cat(means[1:], dim=1)

    def _standardized(self, features: torch.Tensor) -> torch.Tensor:
        return torch.clamp((features - self.feature_mean) / self.feature_std, -LIMIT, LIMIT)

    def _target_time(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Weekday, slot of the day (B, H) int64, and angle of the day (B, H) of each target; 0 what is not known."""
        later = self.step * (self.lead + torch.arange(self.horizon, device=x.device))  # (H,) hours
        newest = known(x[:, -1:, self.columns.hour]) if self.columns.hour is not None else 0 * known(x[:, -1:, 0])
        hour = newest + later  # (B, H)
        days = torch.floor(hour / 24 + 1e-4)
        hour = hour - 24 * days
        if self.columns.weekday is not None:
            days = days + known(x[:, -1:, self.columns.weekday])
        day = index(days - 7 * torch.floor(days / 7 + 1e-4), 7)
        return day, self._slot(hour), hour * (2 * math.pi / 24)

    def _slot(self, hour: torch.Tensor) -> torch.Tensor:
        hour = hour - 24 * torch.floor(hour / 24 + 1e-4)
        return torch.clamp(torch.floor(hour / self.step + 1e-3), 0, self.slots - 1).long()

    def _site(self, x: torch.Tensor) -> torch.Tensor:
        """(B,) index of the site; the last one is a site never seen."""
        column = self.columns.site
        site = known(x[:, -1, 0]) * 0 + self.sites if column is None else x[:, -1, column]
        return index(site, self.sites + 1, self.sites)

    def _into(self, values: torch.Tensor) -> torch.Tensor:
        """Physical → working units."""
        if self.work == "linear":
            return values
        values = torch.clamp(values, min=0)
        return torch.sqrt(values) if self.work == "root" else torch.log(1 + values)

    def _out(self, values: torch.Tensor) -> torch.Tensor:
        """Working → physical units."""
        if self.work == "root":
            values = torch.relu(values).square()
        elif self.work == "log":
            values = torch.exp(torch.clamp(values, 0, 20)) - 1
        return torch.clamp(values, min=self.floor) if self.floor is not None else values

    def _take_profile(self, site: torch.Tensor, x: torch.Tensor, w: torch.Tensor) -> None:
        """Means of the first targets ``w`` (N,) by site, weekday and time, shrunk to those of their kind of day."""
        s = self.sites + 1
        day, slot, _ = self._target_time(x[:, -1:])
        cell = (site * 7 + day[:, 0]) * self.slots + slot[:, 0]
        total = _sums(cell, w, s * 7 * self.slots).reshape(s, 7, self.slots)
        count = _sums(cell, torch.ones_like(w), s * 7 * self.slots).reshape(s, 7, self.slots)
        total[-1], count[-1] = total.sum(0), count.sum(0)  # the unknown site is all sites together
        kind = torch.tensor(KINDS)
        t = torch.zeros(s, 3, self.slots).index_add(1, kind, total)[:, kind]
        n = torch.zeros(s, 3, self.slots).index_add(1, kind, count)[:, kind]
        usual = self.usual.reshape(-1, 1, 1)
        mean = torch.where(n > 0, t / n.clamp_min(1), usual)
        mean = torch.where(count > 0, (total + self.shrink * mean) / (count + self.shrink).clamp_min(1), mean)
        self.profile_table.copy_(mean.reshape(-1))


def _sums(cell: torch.Tensor, values: torch.Tensor, size: int) -> torch.Tensor:
    return torch.zeros(size, dtype=values.dtype).index_add(0, cell, values)


def _mean(values: torch.Tensor, there: torch.Tensor, instead: torch.Tensor | float) -> torch.Tensor:
    """(B, k), zero where nothing is known → (B, 1); ``instead`` where nothing is known at all."""
    total = values.sum(dim=1, keepdim=True) + PRIOR * instead
    return total / (there.sum(dim=1, keepdim=True) + PRIOR)
