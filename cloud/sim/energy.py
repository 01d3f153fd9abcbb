"""A load that has to run some hours a day, beside all others on a transformer: what its timing costs.

The replayed series is the load of a grid; the site's own is like it, scaled so that its highest before the month is
``peak_kw``. The own load runs at ``own_kw`` while its set-point does. Every day is counted from deadline to deadline.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from wayside.cloud.sim.errors import ScenarioError
from wayside.cloud.sim.optimum import Shifting, cheapest_running, cheapest_whole_steps
from wayside.cloud.sim.replay import Replay, clock
from wayside.cloud.sim.tariff import Tariff
from wayside.contracts.actuator_config import SetpointConfig
from wayside.contracts.wire import Document

Numbers = npt.NDArray[np.float64]
KiloWatt = Annotated[float, msgspec.Meta(gt=0, le=1e6)]
DAY_H = 24.0


class EnergyPlant(Document, frozen=True, kw_only=True):
    """``timer``: local time at which a clock would switch the load on. ``model``: training task of the forecasts."""

    model: str = "victoria"
    tariff: str = "dynamic"
    peak_kw: KiloWatt = 400.0  # highest of the rest of the site
    own_kw: KiloWatt = 120.0
    timer: Annotated[str, msgspec.Meta(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")] = "22:00"


class EnergyResult(NamedTuple):
    """One month under one control."""

    cost: float  # all of the site's bill, and what was not served
    energy: float
    demand: float
    peak_kw: float
    missed_h: float  # that it had to run by a deadline and has not
    own_h: float
    starts: int


@dataclass(frozen=True)
class EnergyMonth:
    """A month of whole days from deadline to deadline, with all that a control is measured by."""

    replay: Replay
    base_kw: Numbers  # (N,)
    prices: Numbers  # (N,) per kWh
    days: Sequence[tuple[int, int]]  # first step and the one after the last, of each
    need: float  # steps a day
    plant: EnergyPlant
    tariff: Tariff

    def result(self, on: Numbers) -> EnergyResult:
        """Of a load that ran such a share of each step (N,)."""
        step_h, own = self.replay.step_h, self.plant.own_kw
        total = self.base_kw + own * on
        energy, demand = self.tariff.bill(total, self.prices, step_h)
        ran = np.array([on[first:end].sum() for first, end in self.days])
        missed_h = float(np.maximum(0.0, self.need - ran - 1e-6).sum()) * step_h
        starts = int(((on[1:] > 0) & (on[:-1] == 0)).sum() + (on[0] > 0))
        unserved = missed_h * own * self.tariff.unserved_per_kwh
        return EnergyResult(
            energy + demand + unserved, energy, demand, float(total.max()), missed_h, float(on.sum()) * step_h, starts
        )

    def at_once(self) -> Numbers:
        """Without a policy: from each deadline on, until it has run."""
        return self._started([first for first, _ in self.days])

    def timed(self, hour: float) -> Numbers:
        """By a clock that switches on at ``hour``; where that is too late for the deadline, before."""
        hours, _ = clock(self.replay.ends, self.replay.task.interval_s)
        starts = []
        for first, end in self.days:
            late = (hours[first:end] - hour) % DAY_H
            starts.append(first + int(late.argmin()))
        return self._started(starts)

    def best(self) -> Numbers:
        """What would have been cheapest, if the load could be throttled."""
        return cheapest_running(self._load)

    def best_whole(self) -> Numbers:
        """What would have been cheapest, on or off for whole steps."""
        return cheapest_whole_steps(self._load)

    @property
    def _load(self) -> Shifting:
        return Shifting(
            self.base_kw,
            self.prices,
            self.plant.own_kw,
            [(first, end, self.need) for first, end in self.days],
            self.tariff.demand_per_kw,
            self.replay.step_h,
        )

    def _started(self, starts: Sequence[int]) -> Numbers:
        on = np.zeros(len(self.base_kw))
        for (first, end), start in zip(self.days, starts, strict=True):
            begins = max(first, min(start, end - int(np.ceil(self.need))))
            whole = int(self.need)
            on[begins : begins + whole] = 1.0
            if self.need > whole:
                on[begins + whole] = self.need - whole
        return on


def month_of(replay: Replay, plant: EnergyPlant, limits: SetpointConfig, tariff: Tariff) -> EnergyMonth:
    """``replay`` from its first deadline to its last.

    Raises:
        ScenarioError: the actuator has no deadline, or no whole day lies in the month.
    """
    if limits.by is None or limits.must_run_s is None:
        raise ScenarioError(
            f"the actuator {limits.name} has no deadline: the load has to run for must_run_s seconds by a local time, "
            'by = "17:00"'
        )
    step_s = replay.task.interval_s
    hour, minute = map(int, limits.by.split(":"))
    since_midnight = (replay.ends - replay.ends.astype("datetime64[D]")).astype("timedelta64[s]").astype(float)
    ends_a_day = np.flatnonzero(
        np.abs((since_midnight - hour * 3600 - minute * 60 + 43200) % 86400 - 43200) < step_s / 2
    )
    if len(ends_a_day) < 2:
        raise ScenarioError(f"{replay.month} has no whole day from {limits.by} to {limits.by}")
    first, last = int(ends_a_day[0]) + 1, int(ends_a_day[-1]) + 1
    part = replay.cut(first, last)
    marks = (ends_a_day + 1 - first).tolist()
    values = _without_gaps(part.values)
    hours, weekdays = clock(part.ends, step_s)
    share = values / part.highest
    return EnergyMonth(
        part,
        share * plant.peak_kw,
        tariff.prices(hours, weekdays.tolist(), share),
        list(itertools.pairwise(marks)),
        limits.must_run_s / step_s,
        plant,
        tariff,
    )


def best_timer(replay: Replay, plant: EnergyPlant, limits: SetpointConfig, tariff: Tariff) -> float:
    """The hour at which a clock would have had the least bills in the year before: what a careful person can set."""
    step_s = replay.task.interval_s
    ends = replay.before_ends
    recent = ends > ends[-1] - np.timedelta64(365, "D")
    values, ends = _without_gaps(replay.before)[recent], ends[recent]
    months = (ends - np.timedelta64(1, "s")).astype("datetime64[M]")
    past = [
        month_of(_past(replay, values[months == m], ends[months == m], str(m)), plant, limits, tariff)
        for m in np.unique(months)
        if (months == m).sum() * step_s > 20 * 86400
    ]
    candidates = np.arange(0, DAY_H, max(0.5, replay.step_h))
    costs = [sum(month.result(month.timed(hour)).cost for month in past) for hour in candidates]
    return float(candidates[int(np.argmin(costs))])


def _past(replay: Replay, values: Numbers, ends: npt.NDArray[np.datetime64], month: str) -> Replay:
    none = np.full((len(values), *replay.bands.shape[1:]), np.nan)
    return dataclasses.replace(replay, month=month, values=values, ends=ends, bands=none, truth=none[:, :, 0])


def _without_gaps(values: Numbers) -> Numbers:
    """Gaps drawn straight: a bill is for what flowed, measured or not."""
    gap = np.isnan(values)
    if not gap.any():
        return values
    at = np.arange(len(values))
    return np.interp(at, at[~gap], values[~gap])
