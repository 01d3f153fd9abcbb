"""`wayside commission` with a wiring check, as it is typed: the real verb, the real board, traffic over its loops."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path

from tests.edge.test_cli import wayside
from tests.edge.test_commission_terminal import cabinet, the_record
from tests.simulators.agent import node_toml
from tests.simulators.board import BoardProcess, Edge
from tests.simulators.crossing import events, loops, rewired
from tests.simulators.person import Person
from wayside.edge.commission.wiring.step import seconds_of
from wayside.edge.identity import load_or_create
from wayside.firmware_bridge.line.conversation import HELLO_S

SPEED = 300.0
LOOPS = tuple(loop for loop in loops() if loop.phase != 1)
TABLES = "".join(
    f"[[actuators.loops]]\nchannel = {loop.channel}\nphase = {loop.phase}\nlane = {loop.lane}\nat_m = {loop.at_m}\n"
    f'function = "{loop.function}"\n'
    for loop in LOOPS
)
TRAFFIC = events(seed=4, minutes=60)


def intersection(folder: Path, wires: Mapping[int, int]) -> BoardProcess:
    board = BoardProcess(folder, rewired(TRAFFIC, wires), speed=SPEED)
    toml = node_toml(board.port, anchor_s=time.time(), clock="system", detectors=(4,), extra=TABLES)
    (folder / "node.toml").write_text(toml)
    load_or_create(folder / "state")
    return board


def csv_of(traffic: list[Edge], path: Path) -> Path:
    codes = {(1, 1): 82, (1, 0): 81, (2, 0): 1, (3, 0): 8, (4, 0): 10}
    rows = [f"{ms / 1000},{codes[kind, value]},{channel}" for ms, kind, channel, value in traffic]
    path.write_text("\n".join(["TimeStamp,EventId,Parameter", *rows]) + "\n")
    return path


def test_a_walk_with_a_wiring_check_puts_swapped_wires_into_the_signed_record(tmp_path: Path) -> None:
    with (
        intersection(tmp_path, {4: 10, 10: 4}),
        Person("commission", tmp_path / "node.toml", "--by", "A", "--wiring", "25m", columns=200) as person,
    ):
        person.sees("Drive over det/4 now")
        person.types("s")
        person.sees("Why is it skipped?")
        person.types("traffic\n")
        person.sees("9 detectors, 25 min of traffic")
        person.sees("min left")
        status, said = person.ends()
    assert status == 1
    assert "swapped with channel 10?" in said
    assert "Look at the wires of channel 4, 10" in said
    wiring = the_record(tmp_path).wiring
    assert wiring is not None
    assert not wiring.partial
    assert {c.channel for c in wiring.suspects} == {4, 10}
    shown = wayside("commission", "show", str(tmp_path / "node.toml"), "--html", str(tmp_path / "page.html"))
    assert "wiring: channel 4" in shown.stdout
    assert "The signature is right" in shown.stdout
    assert "swapped with channel 4?" in (tmp_path / "page.html").read_text()


def test_ctrl_c_ends_the_listening_and_what_was_heard_is_a_partial_record(tmp_path: Path) -> None:
    with (
        intersection(tmp_path, {}),
        Person("commission", tmp_path / "node.toml", "--by", "A", "--wiring", "4h", term="dumb") as person,
    ):
        person.sees("Drive over det/4 now")
        person.types("straffic\n")
        person.sees("240 min of traffic")
        time.sleep(HELLO_S + 900 / SPEED)  # a quarter of an hour of its clock
        person.interrupts()
        assert person.ends()[0] == 1  # a sensor was skipped
    wiring = the_record(tmp_path).wiring
    assert wiring is not None
    assert wiring.partial
    assert 60 < wiring.seconds < seconds_of("1h")
    assert not wiring.suspects


def test_without_loops_in_the_configuration_it_says_what_to_write(tmp_path: Path) -> None:
    with cabinet(tmp_path):
        refused = wayside("commission", "wiring", str(tmp_path / "node.toml"))
    assert "[[actuators.loops]]" in refused.stderr


def test_a_log_or_a_recording_is_judged_without_a_board(tmp_path: Path) -> None:
    intersection(tmp_path, {})  # never started
    config = str(tmp_path / "node.toml")
    right = wayside("commission", "wiring", config, "--events", str(csv_of(TRAFFIC, tmp_path / "right.csv")), "--json")
    assert {c["verdict"] for c in json.loads(right.stdout)["channels"]} == {"matched"}
    wrong = csv_of(rewired(TRAFFIC, {4: 10, 10: 4}), tmp_path / "wrong.csv")
    found = wayside("commission", "wiring", config, "--events", str(wrong))
    assert "swapped with channel 10?" in found.stdout
    refused = wayside("commission", "wiring", config, "--events", str(tmp_path / "none"))
    assert "No such file" in refused.stderr


def test_a_recording_of_the_line_is_judged_as_the_line_itself(tmp_path: Path) -> None:
    with intersection(tmp_path, {4: 10, 10: 4}) as board:
        seconds = HELLO_S + 1500 / SPEED
        wayside("board", "watch", board.port, "--record", str(tmp_path / "line.jsonl"), "--seconds", f"{seconds:.1f}")
    config = str(tmp_path / "node.toml")
    found = wayside("commission", "wiring", config, "--events", str(tmp_path / "line.jsonl"), "--json")
    suspects = [c["channel"] for c in json.loads(found.stdout)["channels"] if c["verdict"] == "suspect"]
    assert suspects == [4, 10]
