"""A crossing of two streets as a policy sees it: two phases, a lane each way, three loops a lane."""

from __future__ import annotations

from collections.abc import Sequence

from wayside.contracts.actuator_config import LoopConfig, PhaseLimits, SignalConfig
from wayside.contracts.beat import Head, Loop, Shows

DISTANCES = (("stop_line", 3.0), ("middle", 28.0), ("advance", 120.0))


def loops_of(lane: int, phase: int, also: Sequence[int] = ()) -> list[LoopConfig]:
    """Channels 3 × lane + 1 to 3: stop line, middle, advance."""
    return [
        LoopConfig(channel=3 * lane + n, phase=phase, also=tuple(also), lane=lane, at_m=at_m, function=function)  # type: ignore[arg-type]
        for n, (function, at_m) in enumerate(DISTANCES, start=1)
    ]


def crossing(*, walk_s: float = 0.0, loops: Sequence[LoopConfig] | None = None) -> SignalConfig:
    return SignalConfig(
        name="crossing", cycle_s=66.0, loops=tuple(loops if loops is not None else [*loops_of(0, 1), *loops_of(1, 2)]),
        phases=tuple(
            PhaseLimits(
                phase=n, green_s=30.0, min_green_s=5.0, max_green_s=40.0, yellow_s=3.0, red_clearance_s=0.0,
                walk_s=walk_s, ped_clearance_s=walk_s,
            )
            for n in (1, 2)
        ),
    )  # fmt: skip


def dual_ring() -> SignalConfig:
    """Phases 1 and 2 in ring 1, 5 and 6 in ring 2; 1 and 5, 1 and 6, 2 and 6 may go together, 2 and 5 not."""
    return SignalConfig(
        name="dual", cycle_s=66.0,
        loops=tuple(loop for n, phase in enumerate((1, 2, 5, 6)) for loop in loops_of(n, phase)),
        phases=tuple(
            PhaseLimits(
                phase=phase, ring=1 if phase < 5 else 2, green_s=30.0, min_green_s=5.0, max_green_s=40.0, yellow_s=3.0,
                red_clearance_s=0.0, conflicts=(5,) if phase == 2 else (),
            )
            for phase in (1, 2, 5, 6)
        ),
    )  # fmt: skip


class Street:
    """Loops over which vehicles are sent by hand, second by second."""

    def __init__(self, signal: SignalConfig) -> None:
        self.now_s = 0.0
        self.loops = {each.channel: Loop() for each in signal.loops}
        self.heads = {p.phase: Head() for p in signal.phases}

    def show(self, *green: int) -> None:
        for phase, head in self.heads.items():
            shows = Shows.GREEN if phase in green else Shows.RED
            if shows is not head.shows:
                self.heads[phase] = Head(shows, int(self.now_s * 1000))

    def passes(self, channel: int) -> None:
        """A vehicle drives over it within this second."""
        loop = self.loops[channel]
        self.loops[channel] = loop._replace(rises=loop.rises + 1, since_ms=int(self.now_s * 1000), occupied=False)

    def stands(self, channel: int) -> None:
        loop = self.loops[channel]
        self.loops[channel] = loop._replace(rises=loop.rises + 1, since_ms=int(self.now_s * 1000), occupied=True)

    def leaves(self, channel: int) -> None:
        self.loops[channel] = self.loops[channel]._replace(since_ms=int(self.now_s * 1000), occupied=False)

    def breaks(self, channel: int) -> None:
        self.loops[channel] = self.loops[channel]._replace(fault=1)
