"""From a net to what node and board are told: both accept it, and it says what the net says."""

from __future__ import annotations

import gzip
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from tests.sim.traffic import needs, small
from wayside.cloud.sim.errors import NetError, PlantError
from wayside.cloud.sim.traffic.board_light import BoardLight
from wayside.cloud.sim.traffic.cli import sim
from wayside.cloud.sim.traffic.configure import configure
from wayside.cloud.sim.traffic.generated import KINDS, generate
from wayside.cloud.sim.traffic.intersection import Intersection
from wayside.cloud.sim.traffic.lint import lint
from wayside.cloud.sim.traffic.nets import Net, read_net
from wayside.cloud.sim.traffic.timing import RULE
from wayside.contracts.node_check import checked_node_config
from wayside.firmware_bridge import signal_plan

pytestmark = [needs.sumo]
replace = msgspec.structs.replace


@pytest.fixture(scope="module")
def nets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Net]:
    folder = tmp_path_factory.mktemp("nets")
    return {kind: read_net(generate(kind, 1, folder).net) for kind in KINDS}


def only(net: Net) -> Intersection:
    return configure(net, next(iter(net.lights)))


@pytest.mark.parametrize("kind", KINDS)
def test_the_lint_finds_no_error_in_what_is_configured(kind: str, nets: dict[str, Net]) -> None:
    for light in nets[kind].lights:
        assert [str(f) for f in lint(nets[kind], configure(nets[kind], light)) if f.severity == "error"] == []


@needs.compiler
@pytest.mark.parametrize("kind", KINDS)
def test_the_boards_core_runs_the_plan(kind: str, nets: dict[str, Net]) -> None:
    intersection = only(nets[kind])
    light = BoardLight(intersection, 1 + max(link for lamps in intersection.phases.values() for link in lamps) + 4)
    assert "G" in light.step((), 1000)


@pytest.mark.parametrize("kind", KINDS)
def test_the_verb_writes_files_that_node_check_and_the_board_take(
    kind: str, tmp_path: Path, nets: dict[str, Net]
) -> None:
    light = next(iter(nets[kind].lights))
    done = CliRunner().invoke(sim, ["configure", str(nets[kind].path), "--tls", light, "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    config = checked_node_config((tmp_path / "node.toml").read_text()).config
    assert config.signal == only(nets[kind]).signal
    assert len(config.detectors) == len(config.signal.loops) > 0
    plan = signal_plan.load(tmp_path / "plan.toml")
    assert plan.encode() == only(nets[kind]).plan.encode()
    mapped = msgspec.json.decode((tmp_path / "map.json").read_bytes())
    assert len(mapped["loops"]) == len(config.signal.loops)


def test_several_lights_and_no_choice_are_told_with_their_ids(tmp_path: Path, nets: dict[str, Net]) -> None:
    done = CliRunner().invoke(sim, ["configure", str(nets["arterial"].path), "--out", str(tmp_path)])
    assert done.exit_code == 1
    assert "c1, c2, c3, c4" in done.output + str(done.stderr if done.stderr_bytes else "")


def test_a_lane_has_loops_at_the_line_near_it_and_far_and_calls_one_phase(nets: dict[str, Net]) -> None:
    intersection = only(nets["crossing"])
    for lane in {p.loop.lane for p in intersection.loops}:
        own = [p.loop for p in intersection.loops if p.loop.lane == lane]
        assert [(loop.function, loop.at_m) for loop in own] == [
            ("stop_line", RULE.stop_line_m), ("middle", RULE.middle_m), ("advance", RULE.advance_m)
        ]  # fmt: skip
        assert len({loop.phase for loop in own}) == 1
    callers = [channel for p in intersection.plan.phases for channel in p.detectors]
    assert len(callers) == len(set(callers))


def test_a_left_lane_calls_its_own_phase_late_and_may_also_go_in_the_other(nets: dict[str, Net]) -> None:
    intersection = only(nets["crossing"])
    lefts = [p for p in intersection.plan.phases if p.call_delay_s]
    assert [p.phase for p in lefts] == [2, 4]
    assert {p.loop.also for p in intersection.loops if p.loop.phase == 2} == {(1,)}


def test_rows_of_one_barrier_run_beside_each_other_and_others_do_not(nets: dict[str, Net]) -> None:
    limits = only(nets["dual_ring"]).signal.by_phase
    assert set(limits[1].conflicts) == set(limits[2].conflicts) == {7, 8}
    assert set(limits[8].conflicts) == {1, 2}


def test_a_crossing_is_walked_with_the_phase_beside_it_for_as_long_as_it_takes(nets: dict[str, Net]) -> None:
    intersection = only(nets["dual_ring"])
    light = nets["dual_ring"].light("c")
    assert [c.phase for c in intersection.crossings] == [2, 4, 6, 8]
    assert len({c.button for c in intersection.crossings}) == 4
    for crossing in intersection.crossings:
        length_m = next(k.length_m for k in light.links if k.index in crossing.links)
        assert intersection.signal.by_phase[crossing.phase].ped_clearance_s >= length_m / 1.2
        green = {link for link, letter in intersection.phases[crossing.phase].items() if letter == "G"}
        assert not green & next(k.foes for k in light.links if k.index in crossing.links)


@needs.compiler
def test_a_phase_that_nobody_calls_is_refused_unless_that_is_meant_and_then_passed_over() -> None:
    plain = small.intersection()
    phases = [replace(p, detectors=[1] if p.phase == 1 else []) for p in plain.plan.phases]
    with pytest.raises(PlantError, match="TABLE_DETECTORS"):
        BoardLight(plain._replace(plan=replace(plain.plan, phases=phases)), 4)
    phases[1] = replace(phases[1], host_only=True)
    light = BoardLight(plain._replace(plan=replace(plain.plan, phases=phases)), 4)
    shown = [light.step((), second * 1000) for second in range(120)]
    assert "Gg" in shown[-1]
    assert all("G" not in state[2:] for state in shown)


def test_a_file_that_is_no_net_is_told_by_its_name(tmp_path: Path) -> None:
    for name, content in (
        ("a.net.xml", b"<net"),
        ("b.net.xml", b"<routes/>"),
        ("c.net.xml.gz", gzip.compress(b"x", mtime=0)[:9]),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(NetError, match=name):
            read_net(tmp_path / name)
    with pytest.raises(NetError, match="cannot read the net"):
        read_net(tmp_path / "none.net.xml")
