"""Which detector feeds which measure, and the rows that measures give."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from wayside.contracts.actuator_config import LoopConfig

Phases = Mapping[int, tuple[int, ...]]  # detector channel → phases


class Layout(NamedTuple):
    """Detectors by function, in the words of ``atspm``: Advance, Presence and Yellow_Red."""

    advance: Phases = {}
    presence: Phases = {}
    yellow_red: Phases = {}

    @classmethod
    def of(cls, loops: Iterable[LoopConfig]) -> Layout:
        """Loops upstream tell who arrives when; those at the stop line, who waits and who crosses it late."""
        advance: dict[int, tuple[int, ...]] = {}
        stop_line: dict[int, tuple[int, ...]] = {}
        for loop in loops:
            if loop.function == "advance":
                advance[loop.channel] = (*advance.get(loop.channel, ()), loop.phase)
            elif loop.function == "stop_line":
                stop_line[loop.channel] = (*stop_line.get(loop.channel, ()), loop.phase)
        return cls(advance, stop_line, stop_line)

    def by_phase(self, of: Phases) -> dict[int, set[int]]:
        """Phase → its detectors."""
        detectors: dict[int, set[int]] = {}
        for channel, phases in of.items():
            for phase in phases:
                detectors.setdefault(phase, set()).add(channel)
        return detectors


class Settings(NamedTuple):
    """Defaults are those of the library, but for what its documentation leaves to its user."""

    bin_ms: int = 900_000
    latency_ms: int = 0  # from a vehicle to the event of its detector
    red_ms: int = 5000  # of red whose occupancy a split failure is judged by
    green_occupancy: float = 0.8
    red_occupancy: float = 0.8
    min_red_offset_s: float = -8.0  # actuations longer before red are no matter
    no_data_ms: int = 300_000  # each so long must have
    min_events: int = 3  # so many events, else what spans it is not valid
    min_interval_s: float = 0.2  # pedestrian delays and preemptions that are shorter are noise
    patience_ms: int = 86_400_000
    """How long a cycle or a silent detector may hold a row back; then what is known is judged as it stands."""


class Row(NamedTuple):
    """One row of one measure. Times are the events' own, ms."""

    measure: str
    start_ms: int  # of its bin, or of the preemption
    phase: int  # or preemption input
    values: dict[str, float | int]
