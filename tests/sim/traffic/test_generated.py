"""Nets of our own: the same bytes every time, and the plan that Webster would give them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sim.traffic import needs
from wayside.cloud.sim.errors import NetError
from wayside.cloud.sim.traffic import demand
from wayside.cloud.sim.traffic.generated import KINDS, generate
from wayside.cloud.sim.traffic.nets import read_net
from wayside.cloud.sim.traffic.rows import rows_of

pytestmark = [needs.sumo]


@pytest.mark.parametrize("kind", KINDS)
def test_a_net_and_its_trips_are_the_same_bytes_wherever_they_are_made(kind: str, tmp_path: Path) -> None:
    one, two = generate(kind, 7, tmp_path / "one"), generate(kind, 7, tmp_path / "two")
    assert one.net.read_bytes() == two.net.read_bytes()
    assert one.routes.read_bytes() == two.routes.read_bytes()
    assert str(tmp_path).encode() not in one.net.read_bytes()


def test_another_seed_draws_other_trips_on_the_same_net(tmp_path: Path) -> None:
    one, two = generate("crossing", 1, tmp_path), generate("crossing", 2, tmp_path)
    assert one.net == two.net
    assert one.routes.read_bytes() != two.routes.read_bytes()


def test_as_many_drive_as_the_demand_says_and_more_of_them_in_the_peak() -> None:
    text = demand.routes("crossing", 3)
    departs = [float(line.split('depart="')[1].split('"')[0]) for line in text.splitlines() if "<trip" in line]
    wanted = sum(way.per_hour for way in demand.WAYS["crossing"])
    assert abs(len(departs) - wanted) < 4 * wanted**0.5
    assert departs == sorted(departs)
    assert sum(1800 <= at < 2700 for at in departs) > sum(at < 900 for at in departs)


def test_the_signals_of_the_arterial_have_one_cycle(tmp_path: Path) -> None:
    net = read_net(generate("arterial", 1, tmp_path).net)
    cycles = {sum(stage.duration_s for stage in light.stages) for light in net.lights.values()}
    assert len(net.lights) == 4
    assert len(cycles) == 1


def test_the_rings_of_the_dual_ring_meet_at_their_barriers(tmp_path: Path) -> None:
    rows = rows_of(read_net(generate("dual_ring", 1, tmp_path).net).light("c"))
    length = {(ring, barrier): 0.0 for ring in (1, 2) for barrier in (0, 1)}
    for row in rows:
        length[row.ring, row.barrier] += row.green_s + row.red_s
    assert [row.phase for row in rows] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert length[1, 0] == length[2, 0]
    assert length[1, 1] == length[2, 1]


def test_a_net_that_nobody_makes_is_named_with_those_that_there_are() -> None:
    with pytest.raises(NetError, match="there is no net 'square': crossing, dual_ring, arterial"):
        generate("square", 1)
