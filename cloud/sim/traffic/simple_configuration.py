"""An intersection from the program of its light: one ring, a row for each stage that is green."""

from __future__ import annotations

from typing import Any

from wayside.cloud.sim.traffic.intersection import Intersection, PlacedLoop
from wayside.contracts.actuator_config import LoopConfig, PhaseLimits, SignalConfig
from wayside.firmware_bridge.signal_plan import Detectors, Phase, SignalPlan


def configure(sumo: Any, light: str) -> Intersection:
    """Asks a SUMO that has loaded the network."""
    program = sumo.trafficlight.getAllProgramLogics(light)[0]
    links = sumo.trafficlight.getControlledLinks(light)
    stages = [s for s in program.phases if "y" not in s.state and "G" in s.state]
    rows = [
        (number, s.duration, {link: letter for link, letter in enumerate(s.state) if letter in "Gg"})
        for number, s in enumerate(stages, start=1)
    ]
    placed: list[PlacedLoop] = []
    for number, lane in enumerate(dict.fromkeys(ways[0][0] for ways in links if ways)):
        own = [link for link, ways in enumerate(links) if ways and ways[0][0] == lane]
        phases = [row for row, _, lamps in rows if any(lamps.get(link) == "G" for link in own)]
        length_m = sumo.lane.getLength(lane)
        for function, at_m in (("stop_line", 3.0), ("middle", 28.0)):
            if phases and at_m < length_m:
                loop = LoopConfig(channel=len(placed) + 1, phase=phases[0], also=tuple(phases[1:]), lane=number,
                    at_m=at_m, function=function)  # type: ignore[arg-type]  # fmt: skip
                placed.append(PlacedLoop(loop, lane, length_m - at_m))
    limits = tuple(
        PhaseLimits(phase=row, green_s=green_s, min_green_s=5.0, max_green_s=max(50.0, green_s), yellow_s=3.0,
            red_clearance_s=0.0)
        for row, green_s, _ in rows
    )  # fmt: skip
    cycle_s = sum(p.green_s + 3.0 for p in limits)
    signal = SignalConfig(name=light, cycle_s=cycle_s, phases=limits, loops=tuple(p.loop for p in placed))
    plan = SignalPlan(
        phases=[
            Phase(phase=p.phase, ring=1, green_s=p.green_s, min_green_s=p.min_green_s, max_green_s=p.max_green_s,
                yellow_s=p.yellow_s, red_clearance_s=p.red_clearance_s)
            for p in limits
        ],
        detectors=Detectors(count=len(placed)),
    )  # fmt: skip
    return Intersection(light, signal, plan, {row: lamps for row, _, lamps in rows}, tuple(placed))
