"""Closed streams, broken pipes, full disks, terminals: no command shows a traceback or an escape sequence for them."""

from __future__ import annotations

import ast
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command_line.forks import HOW
from wayside.__main__ import VERBS

ROOT = Path(__file__).parents[2]
ACTS = [["docs"], ["docs", "node"], ["docs", "node", "--json"], ["completion", "bash"], ["--version"], []]
HELP = [[verb, "-h"] for verb in VERBS]


@pytest.fixture(scope="module")
def results() -> dict[str, list[tuple[list[str], int, str, str]]]:
    cases = [(how, argv) for how in HOW for argv in (HELP if how == "reader gone" else HELP[-3:]) + ACTS]
    command = [sys.executable, "-m", "tests.command_line.forks"]
    done = subprocess.run(command, input=json.dumps(cases), capture_output=True, text=True, check=True, cwd=ROOT)
    ended: dict[str, list[tuple[list[str], int, str, str]]] = {how: [] for how in HOW}
    for (how, argv), (status, out, err) in zip(cases, json.loads(done.stdout), strict=True):
        assert "Traceback" not in err, (how, argv, err)
        ended[how].append((argv, status, out, err))
    return ended


@pytest.mark.parametrize("how", ["closed stdin", "closed stdout", "closed stderr"])
def test_a_closed_stream_stops_no_command(how: str, results: dict[str, list[tuple[list[str], int, str, str]]]) -> None:
    for argv, status, out, err in results[how]:
        assert status == (0 if argv else 2), (argv, err)
        assert err == ""
        assert bool(out) == (how != "closed stdout"), argv


def test_a_reader_that_went_away_ends_a_command_quietly(
    results: dict[str, list[tuple[list[str], int, str, str]]],
) -> None:
    for argv, status, _, err in results["reader gone"]:
        assert (status, err) == (141, ""), argv


def test_a_full_disk_is_told_in_one_line(results: dict[str, list[tuple[list[str], int, str, str]]]) -> None:
    for argv, status, _, err in results["full disk"]:
        assert status == 1, argv
        assert "No space left on device" in err
        assert err.count("\n") == 1


def test_a_terminal_of_another_encoding_gets_question_marks(
    results: dict[str, list[tuple[list[str], int, str, str]]],
) -> None:
    for argv, status, out, err in results["latin-1"]:
        assert status == (0 if argv else 2), (argv, err)
        assert out, argv
    assert any("?" in out for _, _, out, _ in results["latin-1"])


def test_a_locale_that_knows_no_encoding_prints() -> None:
    bare = {"PATH": os.environ["PATH"], "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, "wayside.py", "docs", "node"]
    done = subprocess.run(command, capture_output=True, cwd=ROOT, env=bare, check=True)
    assert done.stdout.startswith(b"# ")
    assert done.stderr == b""


def test_head_takes_one_line_and_the_pipe_ends_without_a_word() -> None:
    shell = f"set -o pipefail; {sys.executable} wayside.py docs node | head -1"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode in (0, 141)
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""


@pytest.mark.parametrize(
    "environment", [{"NO_COLOR": "1", "TERM": "xterm-256color"}, {"TERM": "dumb"}], ids=["NO_COLOR", "dumb"]
)
def test_a_terminal_that_wants_it_plain_gets_no_escape_sequence(environment: dict[str, str], tmp_path: Path) -> None:
    node = tmp_path / "n.toml"
    node.write_text('node = "n"\nstate_dir = "s"\n[board]\nport = "/dev/no-such-board"\n')
    shown = on_a_terminal(["doctor", str(node), "--listen", "0.1"], environment)
    assert b"fail" in shown
    assert b"\x1b" not in shown
    if "NO_COLOR" in environment:  # the same terminal, not asked
        assert b"\x1b[" in on_a_terminal(["doctor", str(node), "--listen", "0.1"], {"TERM": "xterm-256color"})


def on_a_terminal(words: list[str], environment: dict[str, str]) -> bytes:
    ours, its = pty.openpty()
    clean = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "TERM", "FORCE_COLOR")}
    command = [sys.executable, "wayside.py", *words]
    with subprocess.Popen(command, cwd=ROOT, stdin=its, stdout=its, stderr=its, env=clean | environment):
        os.close(its)
        shown = b""
        while True:
            try:
                more = os.read(ours, 65_536)
            except OSError:  # the other end is closed
                break
            shown += more
    os.close(ours)
    return shown


def test_nothing_but_the_screen_of_this_house_writes_colours() -> None:
    """`Screen` is plain in pipes and where NO_COLOR or TERM say so: no room has another console."""
    for path in ROOT.glob("*/**/*.py"):
        if path.parts[len(ROOT.parts)] in ("tests", "build", ".venv", ".venv-edge", "wayside"):
            continue
        text = path.read_text()
        if "from rich" not in text:
            continue
        nodes = list(ast.walk(ast.parse(text)))
        froms = [n for n in nodes if isinstance(n, ast.ImportFrom) and (n.module or "").startswith("rich")]
        rich = {alias.name for n in froms for alias in n.names} & {"Console", "Progress", "print"}
        called = {n.func.id for n in nodes if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}
        assert not called & rich, path
