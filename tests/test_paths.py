"""Any name of a folder or file works, whatever the characters mean to an address; and ~ is a home."""

from __future__ import annotations

import asyncio
import os
import pwd
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from rich.progress import Task, TextColumn
from rich.table import Table
from typer.testing import CliRunner

from wayside.__main__ import main
from wayside.cloud.hub.cli import hub
from wayside.cloud.hub.engine import DATABASE, migrate
from wayside.cloud.sim.scenario import load_energy
from wayside.cloud.sim.tariff import load_tariff
from wayside.cloud.train.taskfile import load_task
from wayside.contracts.node_config import load_node_config
from wayside.contracts.wire import ContractError
from wayside.edge.agent import Agent
from wayside.edge.cli import node
from wayside.edge.configuration.check import check_file
from wayside.edge.errors import EdgeError
from wayside.edge.outbox import Outbox, last_decisions, peek
from wayside.edge.status import OUTBOX_FILE
from wayside.errors import WaysideError
from wayside.firmware_bridge.flash.record import default_folder
from wayside.firmware_bridge.line.recording import Recorder
from wayside.firmware_bridge.line.transport import open_transport
from wayside.paths import homeless, listed, placed, sqlite_uri, with_homes
from wayside.terminal import Bars, Screen

ROOT = Path(__file__).parents[1]
NAMES = ["a?mode=rwc", "city%20a", "city#1", "city 1", "a&b=c", "file:x", ":memory:", "50%", "x;y", "n" * 255, "~"]
NAMES += ["a\nb\tc", "[red]{x}$HOME'\"\\*", "-x", "%(here)s"]


@pytest.fixture(params=NAMES, ids=lambda name: ascii(name[:12]))
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    made = tmp_path / request.param
    made.mkdir()
    return made


def test_a_hub_lives_in_any_folder(folder: Path) -> None:
    run = CliRunner()
    assert run.invoke(hub, ["init", "--data", str(folder)]).exit_code == 0
    assert (folder / DATABASE).exists()
    made = run.invoke(hub, ["token", "--data", str(folder)])
    assert made.exit_code == 0, made.output
    assert [p.name for p in folder.parent.iterdir()] == [folder.name], "nothing was made beside it"


def test_a_nodes_state_is_read_in_any_folder(folder: Path) -> None:
    file, state = folder / "node.toml", folder / "state"
    file.write_text('node = "n"\nstate_dir = "state"\n')
    Agent(load_node_config(file.read_bytes()), file.parent).close()
    outbox = Outbox(state / OUTBOX_FILE, 1_000_000)
    outbox.commit(state={"enrolled": True})
    outbox.close()
    assert peek(state / OUTBOX_FILE, "enrolled") is True
    assert last_decisions(state / OUTBOX_FILE, None, 5) == []
    shown = CliRunner().invoke(node, ["outbox", str(file)])
    assert (shown.exit_code, shown.output) == (0, "0 rows wait\n")


def test_what_only_reads_makes_no_database(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError):
        sqlite3.connect(sqlite_uri(tmp_path / "a?mode=rwc"), uri=True)
    assert not list(tmp_path.iterdir())


def test_a_recording_is_played_from_any_folder(folder: Path) -> None:
    path = folder / "r?speed.jsonl"
    Recorder(path, "x", 9600).close()

    async def play(url: str) -> str:
        return open_transport(url, 9600).url

    for url in (f"replay://{path}?speed=50", f"replay://{path}"):
        assert asyncio.run(play(url)) == url


def test_the_migrations_themselves_may_lie_in_any_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = folder / "migrations"
    link.symlink_to(Path(hub.__module__ and migrate.__code__.co_filename).parent / "migrations")
    monkeypatch.setattr("wayside.cloud.hub.engine.MIGRATIONS", link)
    migrate(folder)
    assert (folder / DATABASE).exists()


def test_a_library_that_takes_no_bytes_as_a_name_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("wayside.cloud.hub.engine.migrate", lambda data, **_: str(data).encode())
    assert main(["hub", "init", "--data", str(tmp_path / os.fsdecode(b"\xff"))]) == 1
    assert "is a name that is not UTF-8" in capfd.readouterr().err


def test_a_tilde_is_a_home_in_the_name_of_a_task_a_tariff_and_a_scenario(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    (tmp_path / "t.toml").write_text("mine = 1\n")
    for load in (load_task, load_tariff, load_energy):
        with pytest.raises(WaysideError) as refused:
            load("~/t.toml")
        assert "No such file" not in str(refused.value)
    assert default_folder() == tmp_path / ".local" / "state" / "wayside" / "flashes"


def test_a_path_with_commas_is_one_name_of_a_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a,b,c").mkdir()
    (tmp_path / "a,b,c" / "t.toml").touch()
    assert listed("i94, a,b,c/t.toml , pjm,a,b") == ["i94", "a,b,c/t.toml", "pjm", "a", "b"]
    assert listed("a,,b") == ["a", "", "b"]
    assert listed("x" * 5000 + ",\0") == ["x" * 5000, "\0"]


def test_no_name_is_taken_for_colours(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen()
    made = Table("[/b]", title="[/c]")
    made.add_row("[/red]x")
    screen.print("out/[/x] [bold]:boom:")
    screen.print(made)
    with Bars(TextColumn("{task.description} [/z]"), screen=screen) as bars:
        bars.columns[0](Task(0, "[/y]", 1.0, 0.0, _get_time=float, fields={}))  # type: ignore[operator]
    told = capsys.readouterr().out
    assert all(text in told for text in ("out/[/x] [bold]:boom:", "[/b]", "[/c]", "[/red]x"))


def test_a_folder_whose_name_is_no_text_is_told_as_well_as_it_can_be(tmp_path: Path) -> None:
    """As a process: only there are stdout and stderr as strict as they come."""
    folder = tmp_path / os.fsdecode(b"\xff[/x]\n")
    for words in (["hub", "init", "--data"], ["hub", "token", "--data"]):
        command = [sys.executable, "-m", "wayside", *words, str(folder)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8:strict"}
        done = subprocess.run(command, capture_output=True, timeout=120, env=environment, check=False)
        assert (done.returncode, b"Traceback" in done.stderr) == (0, False), done.stderr


@pytest.mark.parametrize(
    ("home", "text", "path"),
    [
        ("/home/me", "~/state", "/home/me/state"),
        ("/home/me", "~", "/home/me"),
        ("/home/me", "~//x/../y", "/home/me/x/../y"),
        ("/home/me", "~root/x", "~root"),
        ("/home/me", "~nobody-of-this-name/x", "/etc/~nobody-of-this-name/x"),
        ("/home/me", "a~/b", "/etc/a~/b"),
        ("/home/me", "./~", "/etc/~"),
        ("/home/me", "state", "/etc/state"),
        ("", "~/state", "~of-the-user"),
        ("relative", "~/state", "~of-the-user"),
        (None, "~/state", "~of-the-user"),
    ],
)
def test_a_tilde_is_a_home_or_a_character(
    home: str | None, text: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if home is None:
        monkeypatch.delenv("HOME", raising=False)
    else:
        monkeypatch.setenv("HOME", home)
    if path.startswith("~"):
        user = pwd.getpwnam("root") if path == "~root" else pwd.getpwuid(os.getuid())
        path = f"{user.pw_dir}/{text.partition('/')[2]}"
    assert placed(Path("/etc"), text) == Path(path)
    assert (homeless(text) is not None) == text.startswith("~nobody")


def test_whoever_has_no_home_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(_: int) -> None:
        raise KeyError

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    assert placed(Path("/etc"), "~/state") == Path("/etc/~/state")
    (tmp_path / "node.toml").write_text('node = "n"\nstate_dir = "~/state"\n[model]\ntuf_root = "~nobody-here/r"\n')
    told = check_file(tmp_path / "node.toml").hints
    assert [t.split(": ")[0] for t in told if "on this computer, so that ~" in t] == ["$.state_dir", "$.model.tuf_root"]


@pytest.mark.parametrize("state_dir", ["loop/state", "file/state", "n" * 300])
def test_a_state_dir_that_cannot_be_is_one_sentence_of_every_verb(state_dir: str, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").touch()
    file = tmp_path / "node.toml"
    file.write_text(f'node = "n"\nstate_dir = "{state_dir}"\n')
    assert check_file(file).mistakes
    with pytest.raises(EdgeError, match="state_dir"):
        Agent(load_node_config(file.read_bytes()), tmp_path)
    for verb in ("status", "outbox", "why"):
        told = CliRunner().invoke(node, [verb, str(file)])
        assert isinstance(told.exception, WaysideError | SystemExit), told.exception


@pytest.mark.parametrize("field", ["state_dir", "tuf_root", "ca"])
def test_a_path_with_a_nul_is_refused_by_its_field(field: str) -> None:
    paths = {"state_dir": "state", "tuf_root": "root.json", "ca": "ca.pem"} | {field: "a\\u0000b"}
    text = 'node = "n"\nstate_dir = "{state_dir}"\n[model]\ntuf_root = "{tuf_root}"\n'
    text += '[hub]\nurl = "https://h"\nca = "{ca}"'
    with pytest.raises(ContractError, match=rf"{field}: is no path: it holds a NUL"):
        load_node_config(text.format(**paths))


def test_a_tilde_is_a_home_in_a_file_and_after_an_options_equals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    words = ["hub", "init", "--data=~/hub", "--out=~", "--task=~x", "~/y", "--note=a~/b"]
    assert with_homes(words) == ["hub", "init", f"--data={tmp_path}/hub", f"--out={tmp_path}", *words[4:]]
    file = tmp_path / "node.toml"
    file.write_text('node = "n"\nstate_dir = "~/deep/state"\n')
    Agent(load_node_config(file.read_bytes()), Path("/etc")).close()
    assert (tmp_path / "deep" / "state" / OUTBOX_FILE).exists()
