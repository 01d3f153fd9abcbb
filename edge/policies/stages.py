"""Which phases of a signal can be green together, one a ring."""

from __future__ import annotations

from collections.abc import Sequence

from wayside.contracts.actuator_config import SignalConfig


def stages_of(signal: SignalConfig) -> Sequence[tuple[int, ...]]:
    """In the order of the phases. A phase that nothing of the other ring may be beside is a stage by itself."""
    rings = [[p.phase for p in ring] for ring in signal.rings]
    if len(rings) == 1:
        return [(phase,) for phase in rings[0]]
    first, second = rings
    stages: list[tuple[int, ...]] = [(a, b) for a in first for b in second if not signal.conflicting(a, b)]
    paired = {phase for stage in stages for phase in stage}
    return stages + [(phase,) for phase in (*first, *second) if phase not in paired]
