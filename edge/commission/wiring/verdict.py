"""What the events say beside what the configuration says: matched, suspect or undecided, and what to do next. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from wayside.contracts.actuator_config import LoopConfig, LoopFunction, SignalConfig
from wayside.contracts.commissioning import WiredChannel, WiringCheck
from wayside.edge.commission.wiring.estimate import LEAST_VEHICLES, Estimate, Movement, estimate
from wayside.edge.commission.wiring.observed import Observed

LEAST_SECONDS = 300.0
_LEAST_SHIFTED, _SHARE_SHIFTED = 4, 0.8
_FUNCTIONS = {"stop_line": "at the stop line", "middle": "a few vehicles upstream", "advance": "far upstream"}


def check_wiring(
    signal: SignalConfig,
    observed: Observed,
    *,
    source: Literal["board", "file"] = "board",
    partial: bool = False,
) -> WiringCheck:
    """Judge every loop of ``signal``, in their order."""
    loops = {loop.channel: loop for loop in signal.loops}
    movements = sorted({_movement(loop) for loop in loops.values()}, key=sorted)
    estimates = estimate(observed, list(loops), movements) if observed.seconds >= LEAST_SECONDS else {}
    nothing = Estimate(0, (), frozenset(), None, 0.0)
    judged = {c: _Judged(loop, estimates.get(c, nothing)) for c, loop in loops.items()}
    shift = _shift(judged)
    channels = tuple(_channel(j, judged, shift, observed) for j in judged.values())
    return WiringCheck(seconds=round(observed.seconds, 1), source=source, partial=partial, channels=channels)


def next_step(check: WiringCheck) -> str:
    """One sentence for the technician."""
    suspects = check.suspects
    undecided = [c for c in check.channels if c.verdict == "undecided"]
    if suspects:
        names = ", ".join(str(c.channel) for c in suspects)
        return f"Look at the wires of channel {names} at the terminal strip, then check again."
    if len(undecided) == len(check.channels):
        return "Nothing can be told yet: listen again when there is traffic, for 30 minutes."
    if undecided:
        names = ", ".join(str(c.channel) for c in undecided)
        return f"No wire is suspect. Drive over what is undecided yourself, or listen longer: channel {names}."
    return "Every channel does what the configuration says."


def _movement(loop: LoopConfig) -> Movement:
    return frozenset((loop.phase, *loop.also))


class _Judged:
    def __init__(self, loop: LoopConfig, seen: Estimate) -> None:
        self.loop, self.seen = loop, seen
        self.configured = _movement(loop)
        left: Movement = frozenset().union(*seen.movements) if seen.movements else frozenset()
        self.candidates: Movement = seen.phases or left
        self.other_phase = bool(left) and not (self.candidates & self.configured)

    @property
    def amiss(self) -> bool:
        return self.other_phase or self.seen.function not in (None, self.loop.function)

    def looks_like(self, other: LoopConfig) -> bool:
        function = self.seen.function in (None, other.function)
        return bool(self.candidates & _movement(other)) and function


def _channel(judged: _Judged, all_judged: Mapping[int, _Judged], shift: int | None, observed: Observed) -> WiredChannel:
    loop, seen = judged.loop, judged.seen
    said = ""
    verdict: Literal["matched", "suspect", "undecided"] = "matched"
    if judged.other_phase:
        verdict = "suspect"
        said = (
            f"configured for phase {loop.phase}, its vehicles leave with phase {_words(judged.candidates)}"
            f"{_advice(judged, all_judged.values(), shift)}"
        )
    elif not seen.phases:
        verdict, said = "undecided", _undecided(judged, observed)
    elif shift is not None and judged.amiss:
        verdict = "suspect"
        said = f"it behaves as a loop {_FUNCTIONS[str(seen.function)]}{_advice(judged, (), shift)}"
    elif (swapped := _function_suspect(judged, all_judged.values())) is not None:
        verdict, said = "suspect", swapped
    elif seen.function not in (None, loop.function):
        said = f"its lane is right; it behaves as a loop {_FUNCTIONS[str(seen.function)]}"
    return WiredChannel(
        channel=loop.channel,
        phase=loop.phase,
        function=loop.function,
        verdict=verdict,
        seen_phases=tuple(sorted(judged.candidates)),
        seen_function=seen.function,
        confidence=seen.confidence,
        vehicles=seen.vehicles,
        said=said,
    )


def _undecided(judged: _Judged, observed: Observed) -> str:
    seen = judged.seen
    if observed.seconds < LEAST_SECONDS:
        return (
            f"only {observed.seconds / 60:.0f} min of events with greens: at least {LEAST_SECONDS / 60:.0f} are needed"
        )
    if seen.vehicles < LEAST_VEHICLES:
        return f"{seen.vehicles} vehicles in {observed.seconds / 60:.0f} min are too few"
    if judged.candidates:
        return f"phases {_words(judged.candidates)} are green together too often to tell them apart"
    return "its vehicles are not told from those of other lanes; a loop far upstream often is not"


def _words(phases: Iterable[int]) -> str:
    return " or ".join(str(p) for p in sorted(phases))


def _advice(judged: _Judged, others: Iterable[_Judged], shift: int | None) -> str:
    if shift is not None:
        return ": are all wires off by one terminal?"
    swaps = [
        o.loop.channel
        for o in others
        if o is not judged and o.other_phase and judged.looks_like(o.loop) and o.looks_like(judged.loop)
    ]
    if len(swaps) == 1:
        return f": swapped with channel {swaps[0]}?"
    if swaps:
        return f": swapped with one of channel {', '.join(map(str, swaps))}?"
    return ": at which terminal does its loop end?"


def _function_suspect(judged: _Judged, others: Iterable[_Judged]) -> str | None:
    """Suspect where the ends of a lane are taken for each other, or another loop of these phases has its function."""
    loop, seen = judged.loop, judged.seen
    if seen.function is None or seen.function == loop.function:
        return None
    swapped = [
        o.loop.channel
        for o in others
        if o.loop.function == seen.function
        and o.seen.function == loop.function
        and not o.other_phase
        and _movement(o.loop) & judged.configured
    ]
    ends: set[LoopFunction] = {seen.function, loop.function}
    if not swapped and ends != {"stop_line", "advance"}:
        return None
    question = f": swapped with channel {swapped[0]}?" if len(swapped) == 1 else ": is it another loop of its lane?"
    return f"configured {_FUNCTIONS[loop.function]}, it behaves as a loop {_FUNCTIONS[seen.function]}{question}"


def _shift(judged: Mapping[int, _Judged]) -> int | None:
    """By how many terminals all are off that are amiss, if it is by the same number and at least four are."""
    amiss = [j for j in judged.values() if j.amiss]
    for shift in (1, -1):
        origins = [judged.get(j.loop.channel - shift) for j in amiss]
        fitting = sum(o is not None and j.looks_like(o.loop) for j, o in zip(amiss, origins, strict=True))
        if fitting >= max(_LEAST_SHIFTED, _SHARE_SHIFTED * len(amiss)):
            return shift
    return None
