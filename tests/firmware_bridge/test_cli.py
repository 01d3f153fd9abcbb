"""``wayside board``: what a technician types."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.firmware_bridge.test_flash import device
from tests.firmware_bridge.test_signal_plan import PLAN, table
from tests.simulators.board import BoardProcess
from wayside.firmware_bridge import cli
from wayside.firmware_bridge.errors import PlanError
from wayside.firmware_bridge.line import frames, messages
from wayside.firmware_bridge.line.messages import (
    PROTOCOL,
    SCHEMA,
    Hello,
    Identity,
    PlanCode,
    PlanResult,
    Status,
    TableCommit,
)
from wayside.firmware_bridge.native import build, compile_program

ROOT = Path(__file__).parents[2]


def wayside(*args: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, ROOT / "wayside.py", "board", *args]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=60, check=False)


def test_build_puts_the_program_where_it_says(tmp_path: Path) -> None:
    done = wayside("build", "--out", tmp_path)
    assert done.stdout.strip() == str(tmp_path / "board")
    assert os.access(tmp_path / "board", os.X_OK)
    built = (tmp_path / "board").stat().st_mtime_ns
    build(tmp_path)
    assert (tmp_path / "board").stat().st_mtime_ns == built, "nothing changed: nothing is built"


def test_run_starts_a_board_and_a_signal_ends_it_cleanly(tmp_path: Path) -> None:
    (tmp_path / "feed.csv").write_text("ms,kind,channel,value\n10,1,3,1\n")
    command = [sys.executable, ROOT / "wayside.py", "board", "run", "--out", tmp_path / "build", "--id", "kiosk-7"]
    command += ["--feed", tmp_path / "feed.csv", "--pty-link", tmp_path / "tty", "--stats", tmp_path / "stats.json"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("READY ")
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10) == 0
    assert json.loads((tmp_path / "stats.json").read_text())["produced"] == 1
    assert not (tmp_path / "tty").is_symlink()


def test_watch_shows_readings_and_takes_none_from_the_agent(tmp_path: Path) -> None:
    with BoardProcess(tmp_path, [(5, 1, 3, 1), (9, 2, 4, 0)]) as board:
        shown = [
            json.loads(text) for text in wayside("watch", board.port, "--json", "--seconds", "1").stdout.splitlines()
        ]
        assert shown[0]["type"] == "Identity"
        assert [(m["seq"], m["channel"]) for m in shown if m["type"] == "Event"] == [(1, 3), (2, 4)]
        text = wayside("watch", board.port, "--seconds", "0.5").stdout
        assert "detector 3 = 1" in text
        assert "phase green 4 = 0" in text
        board.stop()
        assert board.stats()["acked"] == 0


def test_a_boards_name_is_shown_as_it_is(tmp_path: Path) -> None:
    with BoardProcess(tmp_path, board_id="[/b]") as board:
        assert "board [/b] firmware" in wayside("watch", board.port, "--seconds", "1").stdout


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (("watch", "/dev/no-such-port"), "cannot open /dev/no-such-port"),
        (("watch", "loop://", "--seconds", "0.2"), "no board answered within 0.2 s"),
        (("run", "--feed", "no-such-feed.csv"), "--feed no-such-feed.csv cannot be read"),
    ],
)
def test_a_users_mistake_is_one_sentence_and_status_1(tmp_path: Path, args: tuple[str, ...], complaint: str) -> None:
    done = wayside(*args, cwd=tmp_path)
    assert done.returncode == 1
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_compiler_and_a_broken_source_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from wayside.firmware_bridge.errors import BuildError

    (tmp_path / "broken.c").write_text("int main(void) { return x; }")
    with pytest.raises(BuildError, match="refused the firmware"):
        compile_program(tmp_path / "broken", (tmp_path / "broken.c",))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["broken.c"]
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(BuildError, match="no-such-compiler"):
        compile_program(tmp_path / "board", ())


def test_a_plan_is_checked_kept_or_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text(PLAN)
    (tmp_path / "short.toml").write_text(PLAN.replace("yellow_s = 3.0", "yellow_s = 2.0"))
    with BoardProcess(tmp_path, store=True) as board:
        assert "would be accepted" in wayside("plan", tmp_path / "plan.toml", board.port).stdout
        refused = wayside("plan", tmp_path / "short.toml", board.port, "--store")
        assert refused.returncode == 1
        assert "table limits, phase 8" in refused.stderr
        kept = wayside("plan", tmp_path / "plan.toml", board.port, "--store", "--json")
        assert json.loads(kept.stdout)["code"] == "ok"
    wrong = wayside("plan", tmp_path / "no-such.toml", board.port)
    assert (wrong.returncode, len(wrong.stderr.splitlines())) == (1, 1)


@pytest.mark.parametrize("text", [b'x = "\xff"', b"phases = [[", b"x = " + b"[" * 100_000])
def test_what_is_no_plan_is_one_sentence(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "plan.toml").write_bytes(text)
    done = wayside("plan", tmp_path / "plan.toml", "/dev/null")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "plan.toml: " in done.stderr


def refusing(code: int) -> Callable[[int], None]:
    """A board that answers each plan with ``code``."""
    decoder = frames.Decoder()

    def behaves(line: int) -> None:
        for payload in decoder.feed(os.read(line, 4096)):
            said = messages.decode(payload)
            answers: list[messages.Message] = []
            if isinstance(said, Hello):
                answers = [Identity(PROTOCOL, SCHEMA, 9, 0, 0, "board-1", 5, 1, 10), Status(1, 1, 1, 0, 0, 0, 0, 9)]
            elif isinstance(said, TableCommit):
                answers = [PlanResult(said.request, code, 1)]
            os.write(line, b"".join(frames.encode(messages.encode(one)) for one in answers))

    return behaves


def test_a_refusal_that_only_a_newer_board_knows_is_told_by_its_number(tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text(PLAN)
    with device(refusing(200)) as port:
        done = wayside("plan", tmp_path / "plan.toml", port)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "code 200, phase 1" in done.stderr


async def test_a_board_whose_signals_still_close_is_not_called_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "PLAN_S", 2.0)
    with device(refusing(PlanCode.BUSY)) as port, pytest.raises(PlanError, match="waits for its greens to end"):
        await cli._plan(port, 115_200, None, table(), True)


def test_a_chip_without_firmware_is_named() -> None:
    done = wayside("build", "--mcu", "z80")
    assert done.returncode == 1
    assert "atmega328p or atmega2560" in done.stderr
