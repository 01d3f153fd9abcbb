"""What is seen of a run while it goes on, and what it comes to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from wayside.cloud.sim.traffic import trips
from wayside.cloud.sim.traffic.maps import TrafficMap
from wayside.cloud.sim.traffic.rules import Rules
from wayside.cloud.sim.traffic.site import Site
from wayside.cloud.sim.traffic.spec import RunResult, RunSpec
from wayside.cloud.sim.traffic.waits import Waits


class Observed:
    def __init__(self, sumo: Any, sites: Sequence[Site]) -> None:
        self._sumo, self._sites = sumo, sites
        self._rules = [Rules(site.intersection, site.intersection.foes) for site in sites]
        self._waits = [Waits(site.intersection) for site in sites]
        self._edges = [edge for edge in sumo.edge.getIDList() if not edge.startswith(":")]
        self._queue: list[int] = []
        self._teleports = self._collisions = 0

    def look(self, second: int) -> None:
        for site, rules, waits in zip(self._sites, self._rules, self._waits, strict=True):
            state = site.state
            rules.look(second, state)
            waits.look(second, state, site.loops)
        halting, simulation = self._sumo.edge.getLastStepHaltingNumber, self._sumo.simulation
        self._queue.append(len(simulation.getPendingVehicles()) + sum(halting(edge) for edge in self._edges))
        self._teleports += simulation.getStartingTeleportNumber()
        self._collisions += simulation.getCollidingVehiclesNumber()

    def end(self, at_s: float) -> None:
        for waits in self._waits:
            waits.end(at_s)

    def result(self, spec: RunSpec, place: TrafficMap, done: trips.Trips, wall_s: float) -> RunResult:
        longest_red_s, who = max(waits.longest for waits in self._waits)
        queue = self._queue
        return RunResult(
            net=place.name,
            policy=spec.policy,
            seed=spec.seed,
            seconds=place.seconds,
            delay_s=done.delay_s,
            vehicles=done.vehicles,
            arrived=done.arrived,
            undeparted=done.undeparted,
            stops=done.stops,
            queue_mean=sum(queue) / len(queue),
            queue_max=max(queue),
            longest_red_s=longest_red_s,
            longest_red_phase=who,
            pedestrians=done.pedestrians,
            ped_wait_s=done.ped_wait_s,
            ped_wait_max_s=done.ped_wait_max_s,
            co2_kg=done.co2_kg,
            nox_g=done.nox_g,
            fuel_kg=done.fuel_kg,
            teleports=self._teleports,
            collisions=self._collisions,
            violations=tuple(line for rules in self._rules for line in rules.broken),
            violation_count=sum(rules.count for rules in self._rules),
            requests=dict(sum((site.board.became for site in self._sites if site.board is not None), Counter())),
            greens=tuple(green for waits in self._waits for green in waits.greens),
            queue=tuple(sum(queue[at : at + 60]) / len(queue[at : at + 60]) for at in range(0, len(queue), 60)),
            wall_s=wall_s,
        )
