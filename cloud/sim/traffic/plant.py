"""The plant: SUMO with the lights of a map, second by second, in this process.

One run a process: SUMO's library repeated in one process gives other results (:mod:`wayside.cloud.sim.traffic.process`
starts them). The board's clock goes in steps of 0.1 s within each second of SUMO.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from wayside.cloud.sim.errors import NetError, PlantError
from wayside.cloud.sim.traffic import controllers, trips
from wayside.cloud.sim.traffic import loops as loop_names
from wayside.cloud.sim.traffic.configure import configure
from wayside.cloud.sim.traffic.events import EventsFile
from wayside.cloud.sim.traffic.intersection import Intersection
from wayside.cloud.sim.traffic.maps import TrafficMap, find_map
from wayside.cloud.sim.traffic.nets import read_net
from wayside.cloud.sim.traffic.observed import Observed
from wayside.cloud.sim.traffic.site import Site
from wayside.cloud.sim.traffic.spec import RunResult, RunSpec

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
        seed=spec.seed,
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
        sumo, begin_s = self._sumo, self._place.begin_s
        sites = [Site(sumo, self._spec, each, begin_s, first=each is intersections[0]) for each in intersections]
        observed = Observed(sumo, sites)
        for site in sites:
            site.step(0, begin_s)
        kept = EventsFile(Path(self._spec.events)) if self._spec.events else contextlib.nullcontext()
        with kept as events:
            self._seconds(sites, observed, events, tell)
        observed.end(self._place.seconds)
        return observed

    def _seconds(self, sites: Sequence[Site], observed: Observed, events: EventsFile | None, tell: Tell) -> None:
        sumo, begin_s, seconds = self._sumo, self._place.begin_s, self._place.seconds
        if self._comparator is not None:
            self._comparator.begin(sumo)
        for site in sites:
            if events is not None and site.board is not None:
                events.keep(site.intersection.light, site.board.started, site.board.begin_ms)
        for second in range(1, round(seconds) + 1):
            sumo.simulationStep()
            for site in sites:
                site.step(second, begin_s)
                if events is not None and site.board is not None:
                    events.keep(site.intersection.light, site.board.events, site.board.begin_ms)
            if self._comparator is not None:
                self._comparator.step(sumo)
            observed.look(second)
            if second % TELL_S == 0:
                tell(second / seconds)
