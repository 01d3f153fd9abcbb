"""What SUMO writes of each trip, and the measures that follow from it.

The delay is the one of the RESCO benchmark (Ault and Sharon, NeurIPS 2021), over *all* vehicles: time loss (against the
free trip) plus departure delay, with those that were still under way at the end, and with those for which there was no
room to enter: they have waited from their scheduled departure to the end.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from wayside.cloud.sim.errors import PlantError

OPTIONS = ("--tripinfo-output.write-unfinished", "--tripinfo-output.write-undeparted")


class Trips(NamedTuple):
    vehicles: int
    arrived: int
    undeparted: int
    delay_s: float  # mean; 0.0 where there are no vehicles
    stops: float  # mean
    pedestrians: int
    ped_wait_s: float  # mean
    ped_wait_max_s: float
    co2_kg: float
    nox_g: float
    fuel_kg: float


def read_trips(path: Path) -> Trips:
    """Raises: PlantError: it is no output of trips, or not whole."""
    vehicles = arrived = undeparted = stops = 0
    delay_s = 0.0
    emitted = {"CO2_abs": 0.0, "NOx_abs": 0.0, "fuel_abs": 0.0}  # mg
    waits: list[float] = []
    try:
        for _, element in ElementTree.iterparse(path):  # noqa: S314  (our own SUMO wrote it)
            a = element.attrib
            if element.tag == "tripinfo":
                vehicles += 1
                departed = float(a["depart"]) >= 0
                arrived += float(a["arrival"]) >= 0
                undeparted += not departed
                stops += int(a["waitingCount"]) if departed else 0
                delay_s += float(a["departDelay"]) + (float(a["timeLoss"]) if departed else 0.0)
                for emissions in element.iter("emissions"):
                    for name in emitted:
                        emitted[name] += float(emissions.attrib.get(name, 0.0))
                element.clear()
            elif element.tag == "personinfo":
                waits.append(_wait(element))
                element.clear()
    except (OSError, ElementTree.ParseError, KeyError, ValueError) as exc:
        raise PlantError(f"SUMO's output of trips, {path}, cannot be read: {exc!r}") from exc
    return Trips(
        vehicles,
        arrived,
        undeparted,
        delay_s / vehicles if vehicles else 0.0,
        stops / vehicles if vehicles else 0.0,
        len(waits),
        sum(waits) / len(waits) if waits else 0.0,
        max(waits, default=0.0),
        emitted["CO2_abs"] / 1e6,
        emitted["NOx_abs"] / 1e3,
        emitted["fuel_abs"] / 1e6,
    )


def _wait(person: ElementTree.Element) -> float:
    """Seconds that a person lost while walking."""
    losses = [float(walk.attrib.get("timeLoss", 0.0)) for walk in person.iter("walk")]
    return sum(loss for loss in losses if loss > 0)
