"""The plant: SUMO with the lights of a map, second by second, in this process.

One run a process: SUMO's library repeated in one process gives other results (:mod:`wayside.cloud.sim.traffic.process`
starts them). The board's clock goes in steps of 0.1 s within each second of SUMO.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from wayside.cloud.sim.errors import NetError, PlantError
from wayside.cloud.sim.traffic import loops as loop_names
from wayside.cloud.sim.traffic import trips
from wayside.cloud.sim.traffic.board_light import BoardLight, Edge
from wayside.cloud.sim.traffic.intersection import Intersection
from wayside.cloud.sim.traffic.loops import Loops
from wayside.cloud.sim.traffic.maps import TrafficMap, find_map
from wayside.cloud.sim.traffic.rules import Rules
from wayside.cloud.sim.traffic.simple_configuration import configure
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


def run(spec: RunSpec, tell: Tell = lambda share: None) -> RunResult:
    """One run, from its begin to its end.

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
    with tempfile.TemporaryDirectory(prefix="wayside-sim-") as scratch:
        return Plant(spec, place, Path(scratch)).run(tell)


class Plant:
    def __init__(self, spec: RunSpec, place: TrafficMap, scratch: Path) -> None:
        self._spec, self._place, self._scratch = spec, place, scratch
        self._sumo = load_sumo()
        self._trips = scratch / "trips.xml"

    def run(self, tell: Tell) -> RunResult:
        began = time.perf_counter()
        intersections = self._intersections()
        self._start(self._command(self._additional(intersections)))
        try:
            observed = self._drive(intersections, tell)
        except self._sumo.TraCIException as exc:
            raise PlantError(f"SUMO stopped: {exc}") from exc
        finally:
            self._sumo.close()
        return observed.result(self._spec, self._place, trips.read_trips(self._trips), time.perf_counter() - began)

    def _intersections(self) -> list[Intersection]:
        self._start(self._command(None))
        try:
            lights = self._sumo.trafficlight.getIDList()
            if not lights:
                raise NetError(f"{self._place.name} has no traffic light")
            return [configure(self._sumo, light) for light in lights]
        finally:
            self._sumo.close()

    def _additional(self, intersections: Sequence[Intersection]) -> Path:
        path = self._scratch / "loops.add.xml"
        path.write_text(f"<additional>{''.join(loop_names.additional(intersections))}</additional>", encoding="utf-8")
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
        set_state = sumo.trafficlight.setRedYellowGreenState
        lights = []
        observed = Observed()
        for each in intersections:
            width = len(sumo.trafficlight.getRedYellowGreenState(each.light))
            light = BoardLight(each, width)
            state = light.step((), 0)
            set_state(each.light, state)
            lights.append((each, light, Loops(sumo, each)))
            observed.add(each, {})
        for second in range(1, round(seconds) + 1):
            sumo.simulationStep()
            for each, light, loops in lights:
                edges: Sequence[Edge] = loops.read(begin_s, begin_s + second)
                state = light.step(edges, second * 1000)
                set_state(each.light, state)
                observed.look(second, each.light, state, loops)
            observed.count(sumo, second)
            if second % TELL_S == 0:
                tell(second / seconds)
        observed.end(seconds)
        return observed


class Observed:
    """What is seen of a run while it goes on."""

    def __init__(self) -> None:
        self._rules: dict[str, Rules] = {}
        self._waits: dict[str, Waits] = {}
        self._queue: list[int] = []
        self._teleports = self._collisions = 0

    def add(self, intersection: Intersection, foes: dict[int, frozenset[int]]) -> None:
        self._rules[intersection.light] = Rules(intersection, foes)
        self._waits[intersection.light] = Waits(intersection)

    def look(self, at_s: float, light: str, state: str, loops: Loops) -> None:
        self._rules[light].look(at_s, state)
        self._waits[light].look(at_s, state, loops)

    def count(self, sumo: Any, second: int) -> None:
        halting = sumo.edge.getLastStepHaltingNumber
        if second == 1:
            self._edges = [edge for edge in sumo.edge.getIDList() if not edge.startswith(":")]
        waiting = len(sumo.simulation.getPendingVehicles())
        self._queue.append(waiting + sum(halting(edge) for edge in self._edges))
        self._teleports += sumo.simulation.getStartingTeleportNumber()
        self._collisions += sumo.simulation.getCollidingVehiclesNumber()

    def end(self, at_s: float) -> None:
        for waits in self._waits.values():
            waits.end(at_s)

    def result(self, spec: RunSpec, place: TrafficMap, done: trips.Trips, wall_s: float) -> RunResult:
        longest_red_s, who = max((waits.longest for waits in self._waits.values()), default=(0.0, ""))
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
            violations=tuple(line for rules in self._rules.values() for line in rules.broken),
            violation_count=sum(rules.count for rules in self._rules.values()),
            requests={},
            greens=tuple(green for waits in self._waits.values() for green in waits.greens),
            queue=tuple(sum(queue[at : at + 60]) / len(queue[at : at + 60]) for at in range(0, len(queue), 60)),
            wall_s=wall_s,
        )
