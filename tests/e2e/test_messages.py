"""What a person does wrong is answered with one clear sentence and status 1: what happened, and what to do."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from tests.hub.conftest import OPERATOR, HubProcess, initialise
from tests.simulators.signed_hub import bundle
from tests.simulators.verb import Done, typed

ROOT = Path(__file__).parents[2]
NOBODY = "http://127.0.0.1:9"  # the discard port: nothing listens there
NODE = 'node = "n"\nstate_dir = "state"\n'


def complaint(said: Done, *parts: str, status: int = 1) -> None:
    assert said.status == status, said
    assert "Traceback" not in said.err
    assert "╭" not in said.err, "a traceback in a box is a traceback"
    assert said.err.strip().count("\n") == 0, said.err
    for part in parts:
        assert part in said.err


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with one of everything that can be wrong."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "400")
    for name in [n for n in os.environ if n.startswith("WAYSIDE")]:
        monkeypatch.delenv(name)
    texts = {
        "typo.toml": "node = ",
        "unknown.toml": NODE + 'stat_dir = "x"\n',
        "zone.toml": NODE + '[clock]\ntimezone = "Mars/Base"\n',
        "key.toml": 'node = "n"\nstate_dir = "spoilt"\n[hub]\nurl = "http://127.0.0.1:9"\n',
        "directory.toml": 'node = "n"\nstate_dir = "locked"\n[hub]\nurl = "http://127.0.0.1:9"\n',
        "state.toml": 'node = "n"\nstate_dir = "a-file/state"\n',
        "fresh.toml": NODE,
        "a-file": "not a directory",
        "header.csv": "when,where\n",
        "number.csv": "timestamp,detector,volume\n2024-04-18T07:15,a,many\n",
        "empty.csv": "",
        "not.bundle": "not a zip",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    for name in ("spoilt", "locked/node.key", "no-run", "no-keys", "taken"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "spoilt" / "node.key").write_text("not a key")
    yield tmp_path
    structlog.reset_defaults()  # `agent run` sends the log to its own stderr


AGENT = [
    ("missing.toml", "No such file"),
    (".", "Is a directory"),
    ("typo.toml", "typo.toml: no TOML: Invalid value"),
    ("binary.toml", "binary.toml: line 1: bytes that utf-16-le has not"),
    ("unknown.toml", "$.stat_dir: is unknown here; is state_dir meant?"),
    ("zone.toml", "'Mars/Base' is no time zone", "IANA"),
    ("key.toml", "node.key is not a key", "enrol this node anew"),
    ("directory.toml", "node.key", "must be able to read it"),
    ("state.toml", "Not a directory", "needs to write there"),
]


@pytest.mark.parametrize("case", AGENT, ids=lambda case: case[0])
def test_the_agent_says_what_is_wrong_with_its_configuration_or_state(here: Path, case: tuple[str, ...]) -> None:
    config, *parts = case
    complaint(typed("agent", "run", config), *parts)


OTHERS = [
    ("node status fresh.toml", "no agent has run", "wayside agent run"),
    ("node outbox fresh.toml", "no agent has run"),
    ("board watch /dev/no-such-port", "cannot open /dev/no-such-port: No such file", "plugged in"),
    ("board watch nonsense://x", "cannot open nonsense://x"),
    ("hub run --data nowhere", "wayside hub init --data nowhere"),
    ("hub run --data a-file", "a-file"),
    ("hub run --data taken", "no operator token", "wayside hub init"),
    ("hub init --data a-file", "a-file is a file, not a folder", "--data"),
    ("hub token --data nowhere", "wayside hub init --data nowhere"),
    ("train --out r --data missing.csv", "missing.csv", "No such file"),
    ("train --out r --data header.csv", "line 1", "column timestamp is missing"),
    ("train --out r --data number.csv", "line 2", "'many' is not a number"),
    ("train --out r --data empty.csv", "empty.csv", "header"),
    ("train --out r --task nonsense", "no task 'nonsense'", "traffic_flow"),
    ("export no-run --out b", "checkpoint.pt is missing", "wayside train"),
    ("release keys a-file", "a-file"),
    ("release init --keys no-keys --hub {nobody}", "does not answer"),
    ("release publish missing.bundle --keys no-keys --hub {nobody}", "No such file"),
    ("release publish not.bundle --keys no-keys --hub {nobody}", "not a sound zip"),
    ("release publish good.bundle --keys no-keys --hub {nobody}", "root.json", "wayside release init"),
    ("rollout start b 1.0.0 --hub {nobody}", "does not answer", "--hub"),
    ("rollout start b 1.0.0 --hub nonsense", "no address of a hub", "http://"),
    ("rollout start b 1.0.0 --phases all", "not a list of percentages"),
]


@pytest.mark.parametrize("case", OTHERS, ids=lambda case: case[0])
def test_every_verb_says_in_one_sentence_what_is_wrong(here: Path, case: tuple[str, ...]) -> None:
    line, *parts = case
    if "good.bundle" in line:
        (here / "good.bundle").write_bytes(bundle("1.0.0"))
    complaint(typed(*line.format(nobody=NOBODY).split()), *parts)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    one = HubProcess(initialise(tmp_path_factory.mktemp("messages") / "hub")).start()
    yield one
    one.stop()


def test_a_hub_that_refuses_is_quoted_with_what_to_do(
    here: Path, hub: HubProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = ("rollout", "start", "traffic-flow", "1.0.0", "--hub", hub.url)
    complaint(typed(*start), "operator's token", "WAYSIDE_OPERATOR_TOKEN")
    complaint(typed(*start, "--operator-token", "wrong"), "operator's token", "WAYSIDE_OPERATOR_TOKEN")
    monkeypatch.setenv("WAYSIDE_OPERATOR_TOKEN", OPERATOR)
    complaint(typed(*start), "not published", "wayside release publish")
    complaint(typed("rollout", "show", "99", "--hub", hub.url), "no rollout 99")
    assert typed("release", "keys", "keys").status == 0
    (here / "good.bundle").write_bytes(bundle("1.0.0"))
    publish = ("release", "publish", "good.bundle", "--keys", "keys", "--hub", hub.url)
    complaint(typed(*publish), "wayside release init")
    assert typed("release", "init", "--keys", "keys", "--hub", hub.url).status == 0
    complaint(typed(*publish, "--operator-token", "wrong"), "operator's token", status=3)
    assert typed(*publish).status == 0
    complaint(typed(*publish), "published already", "--version")
    complaint(typed(*start), "no node is enrolled")


def test_a_port_or_a_data_directory_in_use_and_a_damaged_database_are_named(
    here: Path, hub: HubProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("WAYSIDE_OPERATOR_TOKEN", OPERATOR)
        complaint(typed("hub", "run", "--data", hub.data, "--port", "0"), "another hub runs on", "stop it")
    assert typed("hub", "init", "--data", "mine").status == 0
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        complaint(typed("hub", "run", "--data", "mine", "--port", port), "already in use", "--port")
    complaint(typed("hub", "run", "--data", "mine", "--fd", "977"), "not an inherited socket")
    for extra in here.glob("mine/hub.sqlite*"):
        extra.unlink()
    (here / "mine" / "hub.sqlite").write_bytes(b"\x07" * 5000)
    complaint(typed("hub", "run", "--data", "mine", "--port", "0"), "is no database", "backup")


def test_an_agent_waits_for_a_port_that_is_not_there_and_a_second_one_is_refused(here: Path) -> None:
    (here / "node.toml").write_text(NODE + '[board]\nport = "/dev/no-such-port"\n')
    command = [sys.executable, str(ROOT / "wayside.py"), "agent", "run", "node.toml"]
    agent = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert agent.stderr is not None
    try:
        for line in agent.stderr:
            said = json.loads(line)
            if said["event"] == "board line down":
                break
        assert "cannot open /dev/no-such-port: No such file" in said["trouble"]
        complaint(typed("agent", "run", "node.toml"), "another agent runs", "stop it first")
    finally:
        agent.terminate()
        agent.communicate(timeout=30)
    assert agent.returncode == 0
