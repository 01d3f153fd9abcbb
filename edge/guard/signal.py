"""May this be given to the board of a signal: green times, or a request? The legal limits, nothing learned.

The board's firmware checks again. Each rule is a line of :func:`check`, :func:`check_request` or :func:`check_maxima`.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from wayside.contracts.actuator_config import PhaseLimits, SignalConfig
from wayside.contracts.beat import Ask, Head, Maxima, Request, Shows, Walk
from wayside.edge.guard.verdict import Verdict

STEP_S = 1.0  # from one step of a beat policy to the next
TENTH_S = 0.05  # the board counts in tenths: sums may be off by half of one


def check(
    proposal: Mapping[int, float],
    signal: SignalConfig,
    *,
    last: Mapping[int, float] | None,
    quality_ok: bool,
    clock_known: bool,
) -> Verdict:
    """Judge ``proposal`` (green seconds by phase).

    ``last`` are the greens in force, ``quality_ok`` says that the readings behind the forecast may be believed,
    ``clock_known`` that the calendar behind it is known. Yellow and red clearance are the configuration's own (their
    contract holds 3–6 s and 0–6 s, MUTCD 4F.17): a proposal cannot shorten them, only fail to leave room for them.
    """
    reasons = []
    if not clock_known:
        reasons.append("the clock is not known: the fixed plan holds")
    if not quality_ok:
        reasons.append("readings behind the forecast are stale or doubtful: the fixed plan holds")
    limits = signal.by_phase
    if limits.keys() != proposal.keys():
        reasons += [f"phase {phase} gets no green" for phase in sorted(limits.keys() - proposal.keys())]
        reasons += [f"phase {phase} is not of this intersection" for phase in sorted(proposal.keys() - limits.keys())]
    rings: dict[int, list[float]] = {}  # the seconds of each member
    for phase, limit in limits.items():
        green = proposal.get(phase)
        rings.setdefault(limit.ring, []).append((green or 0.0) + limit.yellow_s + limit.red_clearance_s)
        if green is None:
            continue
        if not math.isfinite(green):
            reasons.append(f"phase {phase}: green is not a number")
            continue
        if green < limit.min_green_s:
            reasons.append(f"phase {phase}: green {green:.1f} s is under the minimum {limit.min_green_s:.1f} s")
        if green > limit.max_green_s:
            reasons.append(f"phase {phase}: green {green:.1f} s is over the maximum {limit.max_green_s:.1f} s")
        before = last.get(phase) if last else None
        if before is not None and abs(green - before) > signal.max_change_s + 1e-9:
            reasons.append(
                f"phase {phase}: green changes by {abs(green - before):.1f} s, over {signal.max_change_s:.1f} s at once"
            )
    for ring, members in sorted(rings.items()):
        total = sum(members)
        if not abs(total - signal.cycle_s) <= TENTH_S * len(members):  # so that NaN is refused
            reasons.append(f"ring {ring} sums to {total:.1f} s, the cycle is {signal.cycle_s:.1f} s")
    return Verdict(tuple(reasons))


# --- requests of a policy with the beat of the line ---------------------------------------------------


class Rule(enum.Enum):
    """Which limit a request breaks."""

    NONSENSE = "nonsense"  # of another type, or not a number
    PHASE = "unknown_phase"
    NOT_GREEN = "not_green"
    MINIMUM = "minimum_green"
    MAXIMUM = "maximum_green"
    PEDESTRIAN = "pedestrian"
    LONGEST_RED = "longest_red"
    DETECTOR = "detector_fault"
    RATE = "rate"
    BOARD = "board"  # it refused, or takes none now


class Refusal(NamedTuple):
    rule: Rule
    why: str  # names what was asked and the limit


class Seen(NamedTuple):
    """What is true when a request comes; times are the board's clock, ms."""

    now_ms: int
    heads: Mapping[int, Head]
    waits: Mapping[int, int] = {}
    """phases that are not green and where somebody waits → since when"""
    faulty: frozenset[int] = frozenset()  # phases with a faulty detector
    maxima: Mapping[int, float] = {}  # in force, seconds by phase; else the legal ones

    def shown_s(self, head: Head) -> float:
        return (self.now_ms - head.since_ms) / 1000


def check_request(asked: Request, signal: SignalConfig, seen: Seen) -> Refusal | None:
    """Judge one request; None: it is allowed.

    The board holds minimum green, pedestrians and conflicts itself. What it does not know is who waits for how long.
    """
    return next(_broken(asked, signal, seen), None)


def check_maxima(asked: Maxima, signal: SignalConfig, seen: Seen) -> Refusal | None:
    """Judge maximum greens; None: they are allowed. How far they may move at once is the runner's."""
    return next(_broken_maxima(asked, signal, seen), None)


def _broken(asked: Request, signal: SignalConfig, seen: Seen) -> Iterator[Refusal]:
    phase = asked.phase
    limit, head = signal.by_phase.get(phase), seen.heads.get(phase)
    if limit is None or head is None:
        yield Refusal(Rule.PHASE, f"phase {phase} is not of this intersection")
        return
    green_s = seen.shown_s(head) if head.shows is Shows.GREEN else None
    match asked.ask:
        case Ask.PED_CALL:
            if limit.walk_s <= 0:
                yield Refusal(Rule.PEDESTRIAN, f"phase {phase} has no crossing")
        case Ask.FORCE_OFF:
            yield from _may_not_end(limit, head, green_s, seen)
        case Ask.HOLD:
            yield from _may_not_stay(limit, green_s, signal, seen)
        case Ask.CALL:
            passed = [p for p in signal.rings_by_phase[phase] if p.phase != phase]
            yield from _may_not_wait(phase, passed, limit.min_green_s + _clearance_s(limit), signal, seen)
        case Ask.OMIT:
            if phase in seen.faulty:
                yield Refusal(Rule.DETECTOR, f"phase {phase}: a detector of it is faulty, so nobody knows who waits")
            if head.ped_called:
                yield Refusal(Rule.PEDESTRIAN, f"phase {phase}: a pedestrian waits")
            others = [p for p in signal.rings_by_phase[phase] if p.phase != phase]
            others_s = sum(p.min_green_s + _clearance_s(p) for p in others)
            yield from _may_not_wait(phase, [limit], others_s, signal, seen)


def _may_not_end(limit: PhaseLimits, head: Head, green_s: float | None, seen: Seen) -> Iterator[Refusal]:
    phase, least_s = limit.phase, limit.min_green_s
    if green_s is None:
        yield Refusal(Rule.NOT_GREEN, f"phase {phase} is not green: nothing can be ended")
    elif green_s < least_s:
        yield Refusal(Rule.MINIMUM, f"phase {phase}: green of {green_s:.1f} s is under the minimum {least_s:.1f} s")
    if head.walk is not Walk.DONT:
        yield Refusal(Rule.PEDESTRIAN, f"phase {phase}: somebody may be crossing")
    if phase in seen.faulty:
        yield Refusal(Rule.DETECTOR, f"phase {phase}: a detector of it is faulty, so nobody knows who still comes")


def _may_not_stay(limit: PhaseLimits, green_s: float | None, signal: SignalConfig, seen: Seen) -> Iterator[Refusal]:
    phase = limit.phase
    if green_s is None:
        yield Refusal(Rule.NOT_GREEN, f"phase {phase} is not green: nothing can be held")
        return
    rivals = [p for p in signal.phases if p.phase in seen.waits and signal.conflicting(phase, p.phase)]
    most_s = min(limit.max_green_s, seen.maxima.get(phase, limit.max_green_s))
    if rivals and green_s >= most_s:
        yield Refusal(Rule.MAXIMUM, f"phase {phase}: green of {green_s:.1f} s is at the maximum {most_s:.1f} s")
    yield from _may_not_wait(phase, rivals, STEP_S, signal, seen)


def _may_not_wait(
    phase: int, others: Sequence[PhaseLimits], more_s: float, signal: SignalConfig, seen: Seen
) -> Iterator[Refusal]:
    """Those of ``others`` that cannot wait for ``more_s`` and until what is green has cleared."""
    most_s = signal.longest_red_s
    for other in others:
        since = seen.waits.get(other.phase)
        if since is None:
            continue
        waited_s = (seen.now_ms - since) / 1000
        if waited_s + more_s + _to_clear_s(other.phase, signal, seen) > most_s:
            why = f"somebody waits at phase {other.phase} for {waited_s:.0f} s"
            yield Refusal(Rule.LONGEST_RED, f"{why}: that of phase {phase} would make it longer than {most_s:.0f} s")


def _broken_maxima(asked: Maxima, signal: SignalConfig, seen: Seen) -> Iterator[Refusal]:
    for phase, most_s in asked.seconds.items():
        limit = signal.by_phase.get(phase)
        if limit is None:
            yield Refusal(Rule.PHASE, f"phase {phase} is not of this intersection")
            continue
        if isinstance(most_s, bool) or not isinstance(most_s, int | float) or not math.isfinite(most_s):
            yield Refusal(Rule.NONSENSE, f"phase {phase}: its maximum is not a number")
            continue
        least_s, legal_s = limit.min_green_s, limit.max_green_s
        if most_s < least_s:
            yield Refusal(Rule.MINIMUM, f"phase {phase}: maximum {most_s:.1f} s is under the minimum {least_s:.1f} s")
        if most_s > legal_s:
            yield Refusal(Rule.MAXIMUM, f"phase {phase}: maximum {most_s:.1f} s is over the legal {legal_s:.1f} s")
        if most_s < limit.walk_s + limit.ped_clearance_s:
            yield Refusal(Rule.PEDESTRIAN, f"phase {phase}: maximum {most_s:.1f} s is too short for those who cross")
        if phase in seen.faulty and most_s < seen.maxima.get(phase, legal_s):
            yield Refusal(Rule.DETECTOR, f"phase {phase}: a detector is faulty, its maximum is not made shorter")


def _clearance_s(limit: PhaseLimits) -> float:
    return limit.yellow_s + limit.red_clearance_s


def _to_clear_s(phase: int, signal: SignalConfig, seen: Seen) -> float:
    """How long until what conflicts with ``phase`` and is green or yellow can be out of its way, at the soonest."""
    soonest = 0.0
    for p in signal.phases:
        head = seen.heads.get(p.phase)
        if head is None or head.shows is Shows.RED or not signal.conflicting(phase, p.phase):
            continue
        left_s = max(0.0, p.min_green_s - seen.shown_s(head)) if head.shows is Shows.GREEN else -seen.shown_s(head)
        soonest = max(soonest, left_s + _clearance_s(p))
    return soonest
