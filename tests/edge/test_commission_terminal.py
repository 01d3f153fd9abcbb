"""`wayside commission` as a technician types it: the real verb, the real board, a terminal between them."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.edge.test_cli import wayside
from tests.simulators.agent import ROOT, AgentProcess, free_port, node_toml
from tests.simulators.board import BoardProcess, Edge
from tests.simulators.interrupted import few_or_many
from tests.simulators.modbus import Cable, Meters
from tests.simulators.person import PATIENCE_S, Person
from wayside.contracts.commissioning import CommissioningRecord
from wayside.edge.commission.record import FOLDER, records
from wayside.edge.identity import load_or_create

BUTTON = (
    '[gpio]\nfactory = "mock"\n[[gpio.contacts]]\npin = 17\ndatastream = "ped/1/presses"\nrole = "ped_button"\n'
    "debounce_s = 0.01\n"
)
MINUTES_MS = 600_000


def pulses(channel: int, *, rest: int = 0, from_ms: int = 0, every_ms: int = 400, on_ms: int = 130) -> list[Edge]:
    """Vehicles over one detector; with ``rest`` 1 it is wired the wrong way round."""
    first = [(0, 1, channel, rest)] if rest else []
    return first + [
        (at + later, 1, channel, level)
        for at in range(from_ms + 100 * channel, MINUTES_MS, every_ms)
        for later, level in ((0, 1 - rest), (on_ms, rest))
    ]


def cabinet(folder: Path, *feeds: list[Edge], detectors: tuple[int, ...] = (1, 2), extra: str = "") -> BoardProcess:
    """A node that has run once, and its board."""
    board = BoardProcess(folder, sorted(edge for feed in feeds for edge in feed))
    toml = node_toml(board.port, anchor_s=time.time(), clock="system", detectors=detectors, extra=extra)
    (folder / "node.toml").write_text(toml)
    load_or_create(folder / "state")
    return board


def press(folder: Path) -> None:
    for level in (0, 1):
        fd = os.open(folder / "state" / "gpio.fifo", os.O_WRONLY | os.O_NONBLOCK)
        os.write(fd, f"17 {level}\n".encode())
        os.close(fd)
        time.sleep(0.1)


def the_record(folder: Path) -> CommissioningRecord:
    (found,) = records(folder / "state")
    assert found.trouble is None
    assert found.record is not None
    return found.record


def outcomes(record: CommissioningRecord) -> dict[str, str]:
    return {s.datastream: s.outcome for s in record.sensors}


def test_a_walk_from_the_first_sensor_to_the_signed_record(tmp_path: Path) -> None:
    with (
        cabinet(tmp_path, pulses(1, from_ms=8000), pulses(2), extra=BUTTON),
        Person("commission", tmp_path / "node.toml", "--site", "5th / Main") as person,
    ):
        person.sees("Your name:")
        person.types("A. Muster\n")
        person.sees("1 of 3: Drive over det/1 now")
        person.types("yyy")  # too early
        person.sees("not yet")
        person.sees("Was that your vehicle?")
        person.types("y")
        person.sees("2 of 3: Drive over det/2 now")
        person.resizes(10, 40)
        person.sees("Was that your vehicle?")
        person.types("n")  # somebody else's
        person.sees("not yours")
        person.resizes(24, 80)
        person.sees("Was that your vehicle?")
        person.types("\x1b[A\ny")  # an arrow, Enter and a key
        person.sees("3 of 3: Press ped/1/presses now")
        press(tmp_path)
        status, said = person.ends()
    assert status == 0, said
    assert "everything passed" in said
    record = the_record(tmp_path)
    assert outcomes(record) == dict.fromkeys(("det/1", "det/2", "ped/1/presses"), "passed")
    assert (record.by, record.site, record.node) == ("A. Muster", "5th / Main", "node-1")
    assert record.board is not None
    assert record.board.identity == "board-1"
    assert {d.check for d in record.doctor} >= {"time", "disk", "board", "sensors"}
    assert [p.suffix for p in (tmp_path / "state" / FOLDER).iterdir()] == [".json"]
    shown = wayside("commission", "show", str(tmp_path / "node.toml"), "--html", str(tmp_path / "page.html"))
    assert "The signature is right" in shown.stdout
    assert "5th / Main" in (tmp_path / "page.html").read_text()
    assert json.loads(wayside("commission", "show", str(tmp_path / "node.toml"), "--json").stdout)["trouble"] is None


def test_a_walk_that_is_interrupted_goes_on_where_it_was(tmp_path: Path) -> None:
    with cabinet(tmp_path, pulses(1), pulses(2)):
        with Person("commission", tmp_path / "node.toml", "--by", "A") as person:
            person.sees("Was that your vehicle?")
            person.types("y")
            person.sees("2 of 2")
            person.interrupts()
            status, said = person.ends()
            assert status == 130
            assert "run the same command to go on" in said
        with Person("commission", tmp_path / "node.toml") as person:
            person.sees("Going on with the walk of A; done: det/1 passed")
            person.sees("2 of 2: Drive over det/2 now")
            person.types("q")
            assert person.ends()[0] == 1
        with Person("commission", tmp_path / "node.toml") as person:
            person.sees("2 of 2: Drive over det/2 now")
            person.types("s")
            person.sees("Why is it skipped?")
            person.types("\n")
            person.sees("needs a reason")
            person.types("sno loopx\x7f yet")
            person.sees("no loop yet_")
            person.types("\n")
            status, said = person.ends()
    assert status == 1  # not everything passed
    assert "skipped  det/2 (channel 2): no loop yet" in said
    assert outcomes(the_record(tmp_path)) == {"det/1": "passed", "det/2": "skipped"}


def test_swapped_wires_and_an_inverted_detector_are_found(tmp_path: Path) -> None:
    feeds = (pulses(2, from_ms=0), pulses(3, rest=1, every_ms=5000, on_ms=60))
    with (
        cabinet(tmp_path, *feeds, detectors=(1, 2, 3)),
        Person("commission", tmp_path / "node.toml", "--by", "A") as person,
    ):
        person.sees("others that moved: det/2")  # not by chance the other one, between two vehicles
        person.types("w")
        person.sees("Mend it and press r")
        person.types("f")
        person.sees("2 of 3")
        person.sees("Was that your vehicle?")
        person.types("y")
        person.sees("3 of 3")
        # Asked for in the middle of a pulse it looks right at first: not our vehicle, again.
        while person.sees("It reads OCCUPIED. Is the lane empty?", "Was that your vehicle?"):
            person.types("n")
            person.sees("not yours")
        person.types("y")
        person.sees("inverted: reads occupied while nobody is there")
        person.types("f")
        status, _ = person.ends()
    assert status == 1
    first, second, third = the_record(tmp_path).sensors
    assert (first.outcome, first.polarity) == ("failed", "unknown")
    assert "det/2" in first.elsewhere
    assert second.outcome == "passed"
    assert (third.outcome, third.polarity) == ("failed", "inverted")


def test_swapped_wires_are_found_also_where_one_detector_alone_is_walked(tmp_path: Path) -> None:
    with (
        cabinet(tmp_path, pulses(2)),
        Person("commission", tmp_path / "node.toml", "--by", "A", "--only", "det/1") as person,
    ):
        person.sees("1 of 1")
        person.sees("others that moved: det/2")
        person.types("wf")
        status, _ = person.ends()
    assert status == 1
    (check,) = the_record(tmp_path).sensors
    assert check.elsewhere == ("det/2",)


def test_on_a_dumb_terminal_it_prints_what_is_new_and_takes_the_same_keys(tmp_path: Path) -> None:
    with (
        cabinet(tmp_path, pulses(1, every_ms=2000), detectors=(1,)),
        Person("commission", tmp_path / "node.toml", "--by", "A", "--json", term="dumb") as person,
    ):
        person.sees("1 of 1: Drive over det/1 now")
        person.sees("Was that your vehicle?")
        person.types("y")
        person.sees("det/1: passed")
        status, said = person.ends()
    assert status == 0
    assert json.loads(said[said.index("{") : said.rindex("}") + 1])["by"] == "A"
    assert "\x1b" not in said


def test_registers_are_compared_with_their_meters(tmp_path: Path) -> None:
    rows = "".join(
        f'[[modbus.registers]]\ndevice = {device}\naddress = 0\ndatastream = "m/{device}"\nscale = 0.1\nunit = "Cel"\n'
        "poll_s = 0.2\n"
        for device in (1, 9)
    )
    with Cable(tmp_path, silent=(9,)) as cable, Meters(cable.device, {1: [215]}):
        load_or_create(tmp_path / "state")
        modbus = f'[modbus]\nport = "{cable.node}"\ntimeout_s = 0.2\n{rows}'
        (tmp_path / "node.toml").write_text(f'node = "kiosk"\nstate_dir = "state"\n{modbus}')
        with Person("commission", tmp_path / "node.toml", "--by", "A") as person:
            person.sees("Does the meter show 21.5 Cel?")
            person.types("y")
            person.sees("device 9 on")
            person.types("f")
            status, said = person.ends()
    assert status == 1
    assert "passed   m/1 (register 0): shows 21.5 Cel" in said
    assert outcomes(the_record(tmp_path)) == {"m/1": "passed", "m/9": "failed"}


def test_what_other_systems_tell_is_compared_and_not_confirmed(tmp_path: Path) -> None:
    load_or_create(tmp_path / "state")
    (tmp_path / "beds.csv").write_text("time;beds\n2026-03-01T10:00Z;7\n2026-03-01T11:00Z;8\n")
    port = free_port()
    (tmp_path / "node.toml").write_text(
        f"""node = "forecourt"
state_dir = "state"
manual.port = {port}
[[manual.values]]
datastream = "ed/arrivals"
kind = "events"
[[manual.values]]
datastream = "ed/beds"
kind = "gauge"
[[manual.files]]
path = "beds.csv"
columns = {{ beds = "ed/beds" }}
"""
    )
    with Person("commission", tmp_path / "node.toml", "--by", "A") as person:
        person.sees("Let its system tell ed/arrivals now")
        told = httpx.post(
            f"http://127.0.0.1:{port}/v1/values",
            json={"datastream": "ed/arrivals", "value": 3, "id": "a"},
            trust_env=False,
        )
        assert told.status_code == 503, "nobody would count it: the system has to send it again"
        person.sees("Does its system show 3 1?")
        person.types("y")
        person.sees("Does its system show 8 1?")
        person.types("y")
        person.ends()
    assert outcomes(the_record(tmp_path)) == {"ed/arrivals": "passed", "ed/beds": "passed"}


def test_beside_a_running_agent_no_event_is_lost_and_its_contacts_are_asked_of_it(tmp_path: Path) -> None:
    with cabinet(tmp_path, pulses(1), pulses(2), extra=BUTTON) as board:
        toml = (tmp_path / "node.toml").read_text()
        with AgentProcess(tmp_path, toml) as agent:
            agent.wait(lambda a: a.status.get("board", {}).get("connected"))
            with Person("commission", tmp_path / "node.toml", "--by", "A") as person:
                person.sees("An agent runs")
                for number in (1, 2):
                    person.sees(f"{number} of 3")
                    person.sees("Was that your vehicle?")
                    person.types("y")
                person.sees("3 of 3")
                person.sees("shows released")
                press(tmp_path)
                status, said = person.ends()
            assert status == 0, said
            agent.wait(lambda a: a.status["board"]["connected"])
            agent.wait(lambda a: a.counters().get("readings_received", 0) > board.stats()["produced"] // 2)
            assert agent.stop() == 0
            counters = agent.counters()
    assert outcomes(the_record(tmp_path)) == dict.fromkeys(("det/1", "det/2", "ped/1/presses"), "passed")
    assert counters["readings_lost"] == 0
    assert counters["readings_received"] == counters["readings_sent"]


def test_another_board_on_the_port_is_refused_by_name_before_anybody_walks(tmp_path: Path) -> None:
    with cabinet(tmp_path, pulses(1)):
        toml = (tmp_path / "node.toml").read_text().replace("baud = 921600", 'baud = 921600\nidentity = "board-9"')
        (tmp_path / "node.toml").write_text(toml)
        with Person("commission", tmp_path / "node.toml", "--by", "A") as person:
            status, said = person.ends()
    assert status == 1
    assert "board 'board-1' answers where 'board-9' should" in said.replace("\n", " ")


def test_a_hundred_detectors_fit_a_small_screen(tmp_path: Path) -> None:
    if shutil.which("tmux") is None:
        pytest.skip("there is no tmux here")
    many = tuple(range(1, 101))
    with cabinet(tmp_path, pulses(1), detectors=many):
        tmux = ["tmux", "-L", tmp_path.name]
        command = f"{sys.executable} {ROOT}/wayside.py commission {tmp_path}/node.toml --by A"
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        try:
            subprocess.run([*tmux, "new-session", "-d", "-x", "80", "-y", "24", command], check=True, env=environment)

            def screen(until: str) -> list[str]:
                deadline = time.monotonic() + PATIENCE_S
                while True:
                    done = subprocess.run([*tmux, "capture-pane", "-p"], capture_output=True, text=True, check=False)
                    if until in done.stdout or time.monotonic() > deadline:
                        assert until in done.stdout, done.stdout
                        return done.stdout.splitlines()
                    time.sleep(0.05)

            lines = screen("Was that your vehicle?")
            assert lines[0].startswith("Commissioning node-1, by A")
            assert any("[y] yes  [n] no" in line for line in lines)
            assert any(line.strip() == "> det/1" for line in lines)
            subprocess.run([*tmux, "send-keys", "y"], check=True)
            screen("2 of 100")
            for number in (2, 3):
                subprocess.run([*tmux, "send-keys", "f"], check=True)
                screen(f"{number + 1} of 100")
            assert any("failed" in line for line in screen("> det/4"))
        finally:
            subprocess.run([*tmux, "kill-server"], check=False, capture_output=True)


# --- killed at any moment ---------------------------------------------------------------------------------------------


class Typist:
    """Runs the verb on pipes and answers its questions; may kill it at any moment."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "wayside.py"), "commission", str(folder / "node.toml"), "--by", "A"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            start_new_session=True,
        )
        self.said: list[str] = []
        self._thread = threading.Thread(target=self._type, daemon=True)
        self._thread.start()

    def _type(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stdin is not None
        for line in self.process.stdout:
            self.said.append(line)
            if "Was that your vehicle?" in line:
                try:
                    self.process.stdin.write("y")
                    self.process.stdin.flush()
                except OSError:
                    return

    def killed_after(self, seconds: float) -> bool:
        """Whether it was still running then."""
        try:
            self.process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            return True
        return False

    def done(self) -> int:
        status = self.process.wait(timeout=120)
        self.close()
        return status

    def close(self) -> None:
        self._thread.join()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):  # an answer that a killed one never read
                pipe.close()


def answers(folder: Path) -> Iterator[dict[str, Any]]:
    for path in (folder / "state" / FOLDER).glob("*.json"):
        yield json.loads(json.loads(path.read_bytes())["record"])


@few_or_many
def test_a_walk_that_is_killed_at_any_moment_is_run_again_to_one_whole_record(times: int, tmp_path: Path) -> None:
    chance = random.Random(0)
    hit = count = 0
    with cabinet(tmp_path, *(pulses(c, every_ms=300) for c in (1, 2, 3)), detectors=(1, 2, 3)):
        begun = time.monotonic()
        assert Typist(tmp_path).done() == 0
        longest_s = undisturbed_s = time.monotonic() - begun
        while hit < times:
            count += 1
            assert count < 10 * times
            begun = time.monotonic()
            first = Typist(tmp_path)
            if first.killed_after(chance.uniform(0, longest_s)):
                hit += 1
            else:
                longest_s = time.monotonic() - begun
            first.close()
            kept = {p.name for p in (tmp_path / "state" / FOLDER).glob("*.json")}
            if len(kept) <= count:  # its record was not there yet
                again = Typist(tmp_path)
                assert again.done() == 0, "".join(again.said)
            found = list(records(tmp_path / "state"))
            assert len(found) == count + 1
            assert all(f.record is not None and f.trouble is None and f.record.passed for f in found)
            assert all(set(outcomes(f.record)) == {"det/1", "det/2", "det/3"} for f in found if f.record)
            leftover = {p.suffix for p in (tmp_path / "state" / FOLDER).iterdir()}
            if leftover - {".json"}:  # killed between the record and the end of its walk: the next run clears it
                assert leftover <= {".json", ".walk", ".tmp"}
    print(f"wayside commission: killed {hit} times while it ran, in {count} rounds ({undisturbed_s:.2f} s undisturbed)")
