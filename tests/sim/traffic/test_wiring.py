"""Swapped wires in the plant: the board hears of each loop what the other sees, and the wiring check finds it."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tests.sim.traffic.small import intersection
from wayside.cloud.sim.errors import ControllerError
from wayside.cloud.sim.traffic.board_light import Edge
from wayside.cloud.sim.traffic.faults import BrokenLoops
from wayside.cloud.sim.traffic.maps import find_map
from wayside.cloud.sim.traffic.plant import intersections_of
from wayside.cloud.sim.traffic.process import run_all
from wayside.cloud.sim.traffic.spec import Fault, RunSpec
from wayside.edge.commission.wiring.observed import Observer
from wayside.edge.commission.wiring.verdict import check_wiring
from wayside.firmware_bridge.line.messages import EventKind


def test_swapped_wires_tell_of_each_other_while_they_are() -> None:
    loops = BrokenLoops([Fault(kind="swapped", where="1,2", from_s=10)], intersection())
    edges = [Edge(9_000, 1, 1), Edge(9_000, 2, 0), Edge(9_500, 1, 1, EventKind.INPUT)]
    assert list(loops.change(edges, 9)) == edges
    assert [(e.channel, e.value) for e in loops.change(edges, 10)] == [(2, 1), (1, 0), (1, 1)]


def test_two_wires_are_swapped_and_no_other_number_of_them() -> None:
    with pytest.raises(ControllerError, match="two are swapped"):
        BrokenLoops([Fault(kind="swapped", where="1")], intersection())


def test_the_check_finds_wires_that_a_board_drives_by_in_sumo(tmp_path: Path) -> None:
    pytest.importorskip("libsumo", reason='SUMO is not installed: pip install "wayside[sim]"')
    place = find_map("crossing", None, seed=4)
    (crossing,) = intersections_of(place)
    stop_lines = [loop for loop in crossing.signal.loops if loop.function == "stop_line"]
    one = stop_lines[0]
    other = next(loop for loop in stop_lines if not {loop.phase, *loop.also} & {one.phase, *one.also})
    swapped = Fault(kind="swapped", where=f"{one.channel},{other.channel}")
    events = tmp_path / "events.csv"
    run_all([RunSpec(net="crossing", policy="board", seed=4, seconds=1800.0, events=str(events), faults=(swapped,))])
    observer = Observer()
    with events.open(newline="") as rows:
        for row in csv.DictReader(rows):
            observer.take(int(row["ms"]), int(row["kind"]), int(row["channel"]), int(row["value"]))
    check = check_wiring(crossing.signal, observer.observed())
    assert {c.channel for c in check.suspects} == {one.channel, other.channel}
