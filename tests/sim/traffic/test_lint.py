"""Each fault that is planted into a good configuration is found, and by its own words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tests.sim.traffic import needs
from wayside.cloud.sim.traffic.configure import configure
from wayside.cloud.sim.traffic.generated import generate
from wayside.cloud.sim.traffic.intersection import Intersection
from wayside.cloud.sim.traffic.lint import lint
from wayside.cloud.sim.traffic.nets import Net, read_net

pytestmark = [needs.sumo]
replace = msgspec.structs.replace


def phase(x: Intersection, number: int, **changes: Any) -> Intersection:
    phases = [replace(p, **changes) if p.phase == number else p for p in x.plan.phases]
    return x._replace(plan=replace(x.plan, phases=phases))


def lamps(x: Intersection, number: int, shown: dict[int, str]) -> Intersection:
    return x._replace(phases=dict(x.phases) | {number: shown})


def channel(x: Intersection, phase_number: int) -> int:
    return next(p.loop.channel for p in x.loops if p.loop.phase == phase_number)


FAULTS: dict[str, tuple[str, Callable[[Intersection], Intersection], str]] = {
    "detector of another road": (
        "dual_ring", lambda x: phase(x, 1, detectors=[channel(x, 4)]), "in which none of its lane's movements goes"
    ),
    "channel that lies nowhere": ("crossing", lambda x: phase(x, 2, detectors=[39]), "lies nowhere"),
    "phase that nobody calls": ("dual_ring", lambda x: phase(x, 3, detectors=[]), "nothing calls it"),
    "phase whose movements go elsewhere": ("crossing", lambda x: phase(x, 2, detectors=[]), "no detector calls it"),
    "barrier that is not there": (
        "dual_ring",
        lambda x: x._replace(plan=replace(x.plan, phases=[replace(p, conflicts=[]) for p in x.plan.phases])),
        "both have protected green, and they cross",
    ),
    "left that does not yield": (
        "crossing", lambda x: lamps(x, 1, dict.fromkeys(x.phases[1], "G")), "both have protected green, and they cross"
    ),
    "phase twice": ("crossing", lambda x: lamps(x, 4, dict(x.phases[3])), "the same green"),
    "maximum under minimum": ("crossing", lambda x: phase(x, 1, max_green_s=4.0), "are in no order"),
    "first maximum over the second": ("crossing", lambda x: phase(x, 1, max_1_s=300.0), "outside its minimum"),
    "board and node differ": ("crossing", lambda x: phase(x, 1, min_green_s=6.0), "differ in min_green_s"),
    "passage of nobody": ("crossing", lambda x: phase(x, 1, passage_s=9.0), "passage 9 s"),
    "short clearance": ("dual_ring", lambda x: phase(x, 2, ped_clearance_s=5.0), "pedestrian clearance 5 s"),
    "short walk": ("dual_ring", lambda x: phase(x, 2, walk_s=2.0), "walk 2 s"),
    "crossing without a button": ("dual_ring", lambda x: phase(x, 2, ped_input=0), "nobody can call its crossing"),
    "lane without a loop": (
        "crossing", lambda x: x._replace(loops=tuple(p for p in x.loops if p.loop.lane != 0)), "no loop lies on it"
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Net, Intersection]]:
    nets = {kind: read_net(generate(kind, 1, tmp_path_factory.mktemp(kind)).net) for kind in ("crossing", "dual_ring")}
    return {kind: (net, configure(net, "c")) for kind, net in nets.items()}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault: str, good: dict[str, tuple[Net, Intersection]]) -> None:
    kind, plant, words = FAULTS[fault]
    net, intersection = good[kind]
    assert not any(words in finding.what for finding in lint(net, intersection))
    found = [finding for finding in lint(net, plant(intersection)) if words in finding.what]
    assert found
    assert all(finding.remedy for finding in found)


def test_a_shared_lane_must_not_call_the_protected_left(tmp_path_factory: pytest.TempPathFactory) -> None:
    net = read_net(generate("arterial", 1, tmp_path_factory.mktemp("arterial")).net)
    x = configure(net, "c1")
    side = next(p for p in x.loops if p.lane.startswith("n1_"))
    left = next(k.index for k in net.light("c1").links if k.lane == side.lane and k.direction == "l")
    wrong = phase(lamps(x, 2, {left: "G"}), 2, detectors=[side.loop.channel])
    (found,) = [f for f in lint(net, wrong) if "shared by left and other traffic" in f.what]
    assert found.severity == "error"
    assert found.where == f"channel {side.loop.channel}"
