"""Networks that a run may use: by name from the data folder, or a path."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from wayside.cloud.sim.errors import NetError
from wayside.cloud.sim.traffic import generated
from wayside.text import open_file

HOUR_S = 3600.0
# Of RESCO (docs/signals.md): the second of the day at which the hour begins that everybody simulates.
RESCO = {"cologne1": 25_200.0, "cologne3": 25_200.0, "ingolstadt1": 57_600.0}


class TrafficMap(NamedTuple):
    name: str
    net: Path
    routes: Path
    begin_s: float
    seconds: float


def find_map(
    name: str,
    data: Path | None,
    routes: Path | None = None,
    begin_s: float | None = None,
    seconds: float | None = None,
    *,
    seed: int = 1,
) -> TrafficMap:
    """The map that is called ``name``, or whose network is the file ``name``. ``seed``: of the trips of our own nets.

    Raises:
        NetError: there is none, or its routes are not there.
    """
    if name in RESCO:
        if data is None:
            raise NetError(f"{name} is a map of the data folder: name it with --data or WAYSIDE_DATA")
        folder = data / "traffic" / "resco" / name
        net, own, first_s = folder / f"{name}.net.xml.gz", folder / f"{name}.rou.xml.gz", RESCO[name]
    elif name in generated.KINDS:
        made = generated.generate(name, seed)
        net, own, first_s = made.net, routes or made.routes, 0.0
    else:
        net, first_s = Path(name), 0.0
        if ".net.xml" not in net.name:
            raise NetError(
                f"there is no map {name!r}: {', '.join((*generated.KINDS, *RESCO))}, or the path of a .net.xml or "
                ".net.xml.gz"
            )
        stem = net.name.partition(".net.xml")[0]
        beside = [net.with_name(f"{stem}.rou.xml{end}") for end in ("", ".gz")]
        own = routes or next((path for path in beside if path.exists()), beside[0])
    for what, path in (("network", net), ("routes", own)):
        if not path.exists():
            raise NetError(f"the {what} {path} are not there" + ("" if name in RESCO else ": name them with --routes"))
        try:
            open_file(path).close()  # at a pipe SUMO would wait for ever
        except OSError as exc:
            raise NetError(f"the {what} {path} cannot be read: {exc.strerror}") from exc
    return TrafficMap(name, net, own, first_s if begin_s is None else begin_s, seconds or HOUR_S)
