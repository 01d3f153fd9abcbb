"""The plant: SUMO with the lights of a map, second by second, in this process.

One run a process: SUMO's library repeated in one process gives other results (:mod:`wayside.cloud.sim.traffic.process`
starts them). The board's clock goes in steps of 0.1 s within each second of SUMO.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from wayside.cloud.sim.errors import NetError, PlantError
from wayside.cloud.sim.traffic import controllers, trips
from wayside.cloud.sim.traffic import loops as loop_names
from wayside.cloud.sim.traffic.board_light import BoardLight
from wayside.cloud.sim.traffic.configure import configure
from wayside.cloud.sim.traffic.faults import BrokenLoops
from wayside.cloud.sim.traffic.intersection import Intersection
from wayside.cloud.sim.traffic.loops import Loops
from wayside.cloud.sim.traffic.maps import TrafficMap, find_map
from wayside.cloud.sim.traffic.nets import read_net
from wayside.cloud.sim.traffic.rules import Rules
from wayside.cloud.sim.traffic.spec import RunResult, RunSpec
from wayside.cloud.sim.traffic.waits import Waits

TELEPORT_S = 300
TELL_S = 60
Tell = Callable[[float], None]
"""The share of the run that is done."""


def load_sumo() -> Any:
    """Raises: PlantError: it is not installed here."""
    os.environ["LIBSUMO_AS_TRACI"] = "quiet"  # it warns of a pyarrow that nothing here hands to it
    try:
        import libsumo
    except ImportError as exc:
        raise PlantError('SUMO is not installed here: pip install "wayside[sim]"') from exc
    return libsumo


def run(spec: RunSpec, scratch: Path, tell: Tell = lambda share: None) -> RunResult:
    """One run, from its begin to its end. ``scratch``: a folder for SUMO's files.

    Raises:
        NetError: no such map. ControllerError: no such controller. PlantError: SUMO is not here, or it failed.
    """
    place = find_map(
        spec.net,
        Path(spec.data) if spec.data else None,
        Path(spec.routes) if spec.routes else None,
        spec.begin_s,
        spec.seconds,
    )
    return Plant(spec, place, scratch).run(tell)


def intersections_of(place: TrafficMap) -> list[Intersection]:
    """Every light of the map. Raises: NetError: it has none, or one that no board can drive."""
    net = read_net(place.net)
    if not net.lights:
        raise NetError(f"{place.net} has no traffic light: there is nothing to drive")
    return [configure(net, light) for light in net.lights]


class Plant:
    def __init__(self, spec: RunSpec, place: TrafficMap, scratch: Path) -> None:
        self._spec, self._place, self._scratch = spec, place, scratch
        self._sumo = load_sumo()
        self._trips = scratch / "trips.xml"

    def run(self, tell: Tell) -> RunResult:
        began = time.perf_counter()
        intersections = intersections_of(self._place)
        self._comparator = controllers.comparator(self._spec, self._place.net, intersections)
        self._start(self._command(self._additional(intersections)))
        try:
            observed = self._drive(intersections, tell)
        except self._sumo.TraCIException as exc:
            raise PlantError(f"SUMO stopped: {exc}") from exc
        finally:
            self._sumo.close()
        return observed.result(self._spec, self._place, trips.read_trips(self._trips), time.perf_counter() - began)

    def _additional(self, intersections: Sequence[Intersection]) -> Path:
        path = self._scratch / "loops.add.xml"
        elements = [*loop_names.additional(intersections)]
        if self._comparator is not None:
            elements.append(self._comparator.additional())
        path.write_text(f"<additional>{''.join(elements)}</additional>", encoding="utf-8")
        return path

    def _command(self, additional: Path | None) -> list[str]:
        place = self._place
        command = [
            "sumo",
            "--net-file",
            str(place.net),
            "--begin",
            f"{place.begin_s:g}",
            "--seed",
            str(self._spec.seed),
        ]
        command += ["--no-step-log", "--no-warnings", "--step-length", "1"]
        if additional is not None:
            command += ["--route-files", str(place.routes), "--additional-files", str(additional)]
            command += ["--end", f"{place.begin_s + place.seconds:g}", "--time-to-teleport", str(TELEPORT_S)]
            command += ["--tripinfo-output", str(self._trips), *trips.OPTIONS, "--device.emissions.probability", "1"]
        return command

    def _start(self, command: Sequence[str]) -> None:
        try:
            self._sumo.start(list(command))
        except self._sumo.TraCIException as exc:
            raise PlantError(f"SUMO does not start with {self._place.net}: {exc}") from exc

    def _drive(self, intersections: Sequence[Intersection], tell: Tell) -> Observed:
        sumo, begin_s, seconds = self._sumo, self._place.begin_s, self._place.seconds
        sites = [_Site(sumo, self._spec, each, first=each is intersections[0]) for each in intersections]
        observed = Observed(sumo, sites)
        for site in sites:
            site.step(0, begin_s)
        if self._comparator is not None:
            self._comparator.begin(sumo)
        for second in range(1, round(seconds) + 1):
            sumo.simulationStep()
            for site in sites:
                site.step(second, begin_s)
            if self._comparator is not None:
                self._comparator.step(sumo)
            observed.look(second)
            if second % TELL_S == 0:
                tell(second / seconds)
        observed.end(seconds)
        return observed


class _Site:
    """An intersection in the run: its loops, and its board where boards drive."""

    def __init__(self, sumo: Any, spec: RunSpec, intersection: Intersection, *, first: bool) -> None:
        self.intersection = intersection
        self.loops = Loops(sumo, intersection)
        self._sumo = sumo.trafficlight
        own = [f for f in spec.faults if f.light == intersection.light or (f.light is None and first)]
        self._broken = BrokenLoops(own, intersection)
        self._silent = [f for f in own if f.kind == "silent"]
        width = len(self._sumo.getRedYellowGreenState(intersection.light))
        self.board: BoardLight | None = None
        if spec.policy not in controllers.COMPARATORS:
            self.board = controllers.board_light(spec, intersection, width, own)
        self._shown = ""

    def step(self, second: int, begin_s: float) -> None:
        edges = self._broken.change(self.loops.read(begin_s, begin_s + second), second) if second else ()
        if self.board is None:
            return
        self.board.silent = any(fault.holds(second) for fault in self._silent)
        state = self.board.step(edges, second * 1000)
        if state != self._shown:
            self._sumo.setRedYellowGreenState(self.intersection.light, state)
            self._shown = state

    @property
    def state(self) -> str:
        return self._shown or str(self._sumo.getRedYellowGreenState(self.intersection.light))


class Observed:
    """What is seen of a run while it goes on."""

    def __init__(self, sumo: Any, sites: Sequence[_Site]) -> None:
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
