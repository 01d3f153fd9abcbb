"""Bad air that comes: people who want to be warned in time, and equipment that needs some hours to help.

Both are one thing to be switched on before it is needed. What is on has a price each hour; it is worth something in
hours that it covers, which it does once it has been on for a while. A warning covers an hour over the threshold when it
has stood for ``notice_h`` hours. Equipment takes ``effect`` of the pollution away when it has run for ``lag_h`` hours.

The share of what perfect foresight gains is the economic value of a forecast in the cost-loss model (Richardson, "Skill
and relative economic value of the ECMWF ensemble prediction system", Q. J. R. Meteorol. Soc. 126, 2000).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from wayside.cloud.sim.optimum import best_hours, effective
from wayside.cloud.sim.replay import Replay, clock
from wayside.contracts.wire import Document

Numbers = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Hours = Annotated[int, msgspec.Meta(ge=0, le=168)]
Share = Annotated[float, msgspec.Meta(gt=0, lt=1)]
LONGEST_NOTICE_H = 48


class AirPlant(Document, frozen=True, kw_only=True):
    """What is assumed. The defaults are round numbers for comparison; none is measured at real equipment.

    ``cost_loss``: an hour under warning costs so much of what an hour over the threshold costs people who were not
    warned. ``hour_cost``: an hour of equipment is worth while where it takes away more than so many µg/m³·h.
    """

    model: str = "beijing_day"
    threshold: Annotated[float, msgspec.Meta(gt=0, le=2000)] = 150.0
    gap_h: Hours = 6  # an episode ends when the air has been under the threshold for longer
    notice_h: Hours = 6
    cost_loss: Share = 0.2
    lag_h: Hours = 2
    effect: Share = 0.4
    hour_cost: Annotated[float, msgspec.Meta(gt=0, le=1e6)] = 60.0
    fixed_hours: tuple[tuple[float, float], ...] = ((7.0, 10.0), (17.0, 21.0))  # of a fixed schedule: rush hours …
    fixed_months: tuple[int, ...] = (11, 12, 1, 2, 3)  # … of the heating season; warnings stand there always


class WarningResult(NamedTuple):
    """One month of warnings."""

    gain: float  # against no warning at all, in hours over the threshold that nobody was warned of
    hours: float  # under warning
    over_h: int  # hours over the threshold …
    covered_h: int  # … of which people had been warned in time
    episodes: int
    leads_h: tuple[float, ...]  # of each episode: since when a warning stood as it began; 0: none did
    warnings: int
    false_alarms: int  # of them: no hour over the threshold while they stood, nor within the notice after


class AbatementResult(NamedTuple):
    """One month of equipment."""

    gain: float  # µg/m³·h, its price taken off
    hours: float
    avoided: float  # µg/m³·h
    exposure: float  # µg/m³·h without it
    starts: int


def warned(replay: Replay, plant: AirPlant, on: Numbers) -> WarningResult:
    """What the warnings ``on`` (N,) were worth."""
    over, stood = exceeded(replay, plant), on > 0
    covered = over & effective(stood, plant.notice_h)
    step_h = replay.step_h
    spells, episodes = _spells(stood), _episodes(over, plant.gap_h)
    leads = []
    for first, _ in episodes:
        begun = first
        while begun > 0 and stood[begun - 1]:
            begun -= 1
        leads.append(min(LONGEST_NOTICE_H, (first - begun) * step_h) if stood[first] else 0.0)
    false = sum(1 for first, end in spells if not over[first : end + plant.notice_h].any())
    return WarningResult(
        gain=float(covered.sum()) - plant.cost_loss * float(stood.sum()),
        hours=float(stood.sum()) * step_h,
        over_h=int(over.sum()),
        covered_h=int(covered.sum()),
        episodes=len(episodes),
        leads_h=tuple(leads),
        warnings=len(spells),
        false_alarms=false,
    )


def abated(replay: Replay, plant: AirPlant, on: Numbers) -> AbatementResult:
    """What equipment that ran such a share of each step (N,) was worth; a step counts when it ran for all of it."""
    level, step_h = np.nan_to_num(replay.values), replay.step_h
    helps = effective(on >= 1.0, plant.lag_h)
    avoided = float((level * helps).sum()) * plant.effect * step_h
    hours = float(on.sum()) * step_h
    starts = int(((on[1:] > 0) & (on[:-1] == 0)).sum() + (on[0] > 0))
    return AbatementResult(avoided - plant.hour_cost * hours, hours, avoided, float(level.sum()) * step_h, starts)


def best_warnings(replay: Replay, plant: AirPlant) -> Numbers:
    over = exceeded(replay, plant).astype(float)
    return best_hours(over, plant.cost_loss, plant.notice_h).astype(float)


def best_abatement(replay: Replay, plant: AirPlant) -> Numbers:
    level = np.nan_to_num(replay.values)
    return best_hours(level * plant.effect, plant.hour_cost, plant.lag_h).astype(float)


def fixed_warnings(replay: Replay, plant: AirPlant) -> Numbers:
    return np.full(len(replay.ends), float(int(replay.month[-2:]) in plant.fixed_months))


def fixed_abatement(replay: Replay, plant: AirPlant) -> Numbers:
    """In the months and hours that a clock was set to; it begins early enough to help by then."""
    hours, _ = clock(replay.ends, replay.task.interval_s)
    in_season = int(replay.month[-2:]) in plant.fixed_months
    spans = [((begins - plant.lag_h) % 24, until) for begins, until in plant.fixed_hours]
    on = np.zeros(len(hours))
    for begins, until in spans:
        on[(hours - begins) % 24 < (until - begins) % 24] = float(in_season)
    return on


def exceeded(replay: Replay, plant: AirPlant) -> Flags:
    """(N,) a missing hour counts as none over the threshold, for all alike."""
    return np.nan_to_num(replay.values) > plant.threshold


def _spells(on: Flags) -> Sequence[tuple[int, int]]:
    """First step and the one after the last of each stretch."""
    edges = np.flatnonzero(np.diff(np.r_[False, on, False].astype(int)))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def _episodes(over: Flags, gap: int) -> Sequence[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for first, end in _spells(over):
        if joined and first - joined[-1][1] <= gap:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((first, end))
    return joined
