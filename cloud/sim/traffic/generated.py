"""Nets of our own, made by SUMO's netconvert in a moment: :mod:`.layout`, :mod:`.programs` and :mod:`.demand` as files.

They are made when they are first asked for, in a cache folder, and the same every time.
"""

from __future__ import annotations

import functools
import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from pathlib import Path
from typing import NamedTuple

from wayside.cloud.sim.errors import NetError
from wayside.cloud.sim.traffic import demand, layout, programs
from wayside.cloud.sim.traffic.layout import Layout
from wayside.cloud.sim.traffic.nets import Net, motor_links, read_net
from wayside.cloud.sim.traffic.programs import Movement

CACHE = Path("var") / "nets"
KINDS = tuple(demand.WAYS)


class Generated(NamedTuple):
    net: Path
    routes: Path
    seconds: float = float(demand.HOUR_S)


def generate(kind: str, seed: int, cache: Path = CACHE) -> Generated:
    """The net ``kind`` and an hour of trips.

    Raises:
        NetError: there is no such net, netconvert is not installed or fails, or the folder cannot be written.
    """
    if kind not in KINDS:
        raise NetError(f"there is no net {kind!r}: {', '.join(KINDS)}")
    folder = cache / f"{kind}-{_edition()}"
    made = Generated(folder / f"{kind}.net.xml", folder / f"{kind}.{seed}.rou.xml")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not made.net.exists():
            _write(made.net, _net(kind))
        if not made.routes.exists():
            _write(made.routes, demand.routes(kind, seed))
    except OSError as exc:
        raise NetError(f"cannot write nets into {cache}: {exc.strerror}") from exc
    return made


@functools.cache
def _edition() -> str:
    """Of what is made: another one when what makes it is changed, so that no old net stays in use."""
    sources = (demand, layout, programs, sys.modules[__name__])
    return hashlib.sha256(b"".join(Path(str(m.__file__)).read_bytes() for m in sources)).hexdigest()[:8]


def _write(path: Path, text: str) -> None:
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, delete=False) as part:
        part.write(text)
    Path(part.name).replace(path)  # of two that make it at once the later one wins, with the same bytes


def _layout(kind: str) -> Layout:
    return layout.arterial() if kind == "arterial" else layout.crossing(sidewalks=kind == "dual_ring")


def _net(kind: str) -> str:
    drawn = _layout(kind)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "nodes.xml").write_text(layout.plain_nodes(drawn), encoding="utf-8")
        (folder / "edges.xml").write_text(layout.plain_edges(drawn), encoding="utf-8")
        (folder / "connections.xml").write_text(layout.plain_connections(drawn), encoding="utf-8")
        _netconvert(folder)
        text = (folder / "net.xml").read_text(encoding="utf-8")
        text = re.sub(r"<!--.*?-->\s*", "", text, flags=re.DOTALL)  # when, and with which paths, it was made
        (folder / "net.xml").write_text(text, encoding="utf-8")
        net = read_net(folder / "net.xml")
    movements = {signal: _movements(kind, net, drawn, signal) for signal in drawn.signals}
    if kind == "dual_ring":
        made = [programs.dual_ring(net.light(signal), its) for signal, its in movements.items()]
    else:
        cycle_s = max(programs.cycle_of(its) for its in movements.values())
        made = [programs.single_ring(net.light(signal), its, cycle_s) for signal, its in movements.items()]
    return _with_programs(text, made)


def _netconvert(folder: Path) -> None:
    beside = Path(sys.executable).with_name("netconvert")
    program = str(beside) if beside.exists() else shutil.which("netconvert")
    if program is None:
        raise NetError('netconvert is not installed here: pip install "wayside[sim]"')
    command = [
        program, "--node-files", "nodes.xml", "--edge-files", "edges.xml", "--connection-files", "connections.xml",
        "--output-file", "net.xml", "--no-turnarounds", "true", "--offset.disable-normalization", "true",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        raise NetError(f"netconvert failed: {done.stderr.strip()}")


def _movements(kind: str, net: Net, drawn: Layout, signal: str) -> list[Movement]:
    """Each link has the flow of its lane: drivers spread evenly over the lanes that lead where they go."""
    arm_of = {road.id: arm for arm, (road, _) in drawn.arms[signal].items()}
    flows = _flows(kind, drawn, signal)
    links = list(motor_links(net.light(signal), net))
    shared = Counter((arm_of[net.lanes[k.lane].edge], k.direction) for k in links)
    carried: defaultdict[str, float] = defaultdict(float)
    for k in links:
        at = arm_of[net.lanes[k.lane].edge], k.direction
        carried[k.lane] += flows[at] / shared[at]
    turning = Counter(k.lane for k in links if k.direction == "l")
    using = Counter(k.lane for k in links)
    return [
        Movement(k, arm_of[net.lanes[k.lane].edge], carried[k.lane], 0 < turning[k.lane] < using[k.lane]) for k in links
    ]


def _flows(kind: str, drawn: Layout, signal: str) -> dict[tuple[str, str], float]:
    """Vehicles an hour at a signal by arm and turn. On an arterial everybody who goes past it goes straight on."""
    flows: defaultdict[tuple[str, str], float] = defaultdict(float)
    for way in demand.WAYS[kind]:
        if way.on_foot:
            continue
        arms = _arms_passed(drawn, signal, way)
        if arms is not None:
            flows[arms[0], layout.turn(*arms)] += way.per_hour
    return flows


def _arms_passed(drawn: Layout, signal: str, way: demand.Way) -> tuple[str, str] | None:
    at = drawn.nodes[signal][0]
    roads = {road.id: road for road in drawn.roads}
    start, end = roads[way.start], roads[way.end]
    arms = drawn.arms[signal]
    comes = next((arm for arm, (road, _) in arms.items() if road.id == way.start), None)
    goes = next((arm for arm, (_, road) in arms.items() if road.id == way.end), None)
    first, last = drawn.nodes[start.end][0], drawn.nodes[end.start][0]
    if not min(first, last) <= at <= max(first, last):
        return None
    return comes or ("w" if first < at else "e"), goes or ("e" if last > at else "w")


def _with_programs(text: str, made: list[str]) -> str:
    """The net with our programs in the place of netconvert's."""
    parts = re.split(r"^    <tlLogic .*?</tlLogic>\n", text, flags=re.DOTALL | re.MULTILINE)
    if len(parts) != len(made) + 1:
        raise NetError(
            f"netconvert made {len(parts) - 1} programs for {len(made)} signals: it is a version nobody knows"
        )
    return parts[0] + "".join(made) + "".join(parts[1:])
