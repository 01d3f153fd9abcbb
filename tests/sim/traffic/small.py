"""A small intersection that a test can follow by hand: two phases of one ring, two links each, a loop a phase."""

from __future__ import annotations

from wayside.cloud.sim.traffic.intersection import Crossing, Intersection, PlacedLoop
from wayside.contracts.actuator_config import LoopConfig, PhaseLimits, SignalConfig
from wayside.firmware_bridge.signal_plan import Detectors, Phase, SignalPlan

GREEN_S, YELLOW_S, RED_S = 10.0, 3.0, 1.0
CYCLE_S = 2 * (GREEN_S + YELLOW_S + RED_S)


def intersection(*, crossing: bool = False) -> Intersection:
    """Phase 1 drives links 0 and 1, which yields; phase 2 links 2 and 3. Links 0 and 2 cross. Loops 1 and 2."""
    walk = {"walk_s": 4.0, "ped_clearance_s": 3.0} if crossing else {}
    limits = tuple(
        PhaseLimits(
            phase=phase, green_s=GREEN_S, min_green_s=5.0, max_green_s=30.0, yellow_s=YELLOW_S,
            red_clearance_s=RED_S, **(walk if phase == 1 else {}),
        )
        for phase in (1, 2)
    )  # fmt: skip
    placed = tuple(
        PlacedLoop(LoopConfig(channel=phase, phase=phase, lane=phase, at_m=3.0), f"in{phase}_0", 97.0)
        for phase in (1, 2)
    )
    plan = SignalPlan(
        phases=[
            Phase(
                phase=p.phase, ring=1, green_s=p.green_s, min_green_s=p.min_green_s, max_green_s=p.max_green_s,
                yellow_s=p.yellow_s, red_clearance_s=p.red_clearance_s, walk_s=p.walk_s,
                ped_clearance_s=p.ped_clearance_s, ped_input=1 if p.walk_s else 0,
            )
            for p in limits
        ],
        detectors=Detectors(count=2),
    )  # fmt: skip
    crossings = (Crossing(1, 1, (4,), (":c_c0",)),) if crossing else ()
    return Intersection(
        "light",
        SignalConfig(name="light", cycle_s=CYCLE_S, phases=limits, loops=tuple(p.loop for p in placed)),
        plan,
        {1: {0: "G", 1: "g"}, 2: {2: "G", 3: "G"}},
        placed,
        crossings,
        foes={0: frozenset({2}), 2: frozenset({0})},
    )
