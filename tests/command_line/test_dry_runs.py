"""``--dry-run``: everything is looked at, nothing is changed, at a hub, on a card or on this computer."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command_line.every import OUTSIDE, WRITES
from tests.hub.bundles import bundle_of
from tests.hub.conftest import OPERATOR, HubProcess, initialise
from tests.hub.offline_keys import OfflineKeys
from tests.simulators.base_image import NODE_TOML, ROOT_JSON, make_base, make_wheels, needs_tools
from tests.simulators.verb import typed

HUB = {
    "hub token": ["--node", "node-9"],
    "hub node revoke": ["node-1", "--reason", "stolen"],
    "hub node retire": ["node-1"],
    "hub node rename": ["node-1", "Elm and Main"],
    "hub node site": ["node-1", "Elm St"],
    "hub user add": ["eve", "--role", "technician"],
    "hub user role": ["ann", "viewer"],
    "hub user password": ["ann"],
    "hub user link": ["ann"],
    "hub user disable": ["ann"],
    "hub user enable": ["ann"],
    "hub api-token make": ["meter", "--role", "viewer"],
    "hub api-token withdraw": ["reader"],
    "hub department set": ["roads", "--node", "node-1"],
    "hub open add": ["node-1", "corner/vehicles"],
    "hub open remove": ["node-1", "corner/vehicles"],
    "replace": ["node-1", "--reason", "lightning"],
    "rollout start": ["traffic-flow", "1.0.1", "--phases", "100"],
    "rollout pause": ["traffic-flow"],
    "rollout resume": ["traffic-flow"],
    "rollout abort": ["traffic-flow"],
    "rollout back": ["traffic-flow", "--now"],
    "rollout withdraw": ["traffic-flow", "1.0.0", "--reason", "double in rain"],
    "rollout release-hold": [],
}
ELSEWHERE = {  # tests/export/test_cli.py, tests/firmware_bridge/test_flash.py, test_service.py of edge and of hub, ...
    "hub retention run",  # ... tests/hub/test_retention.py
    "release init",
    "release publish",
    "release renew",
    "flash",
    "node install-service",
    "hub install-service",
}


def test_every_command_that_changes_something_outside_is_tried_here() -> None:
    outside = {name for name, writes in WRITES.items() if writes == OUTSIDE}
    assert outside == {*HUB, "image write", "provision", *ELSEWHERE}


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    process = HubProcess(initialise(tmp_path_factory.mktemp("hub") / "data")).start()
    try:
        node = process.node("node-1")
        keys = OfflineKeys(process.client)
        keys.initialise()
        for version in ("1.0.0", "1.0.1"):
            keys.publish(version, bundle_of(version))
        node.sync()
        start = ["rollout", "start", "traffic-flow", "1.0.0", "--hub", process.url, "--phases", "100"]
        assert typed(*start, "--operator-token", OPERATOR).status == 0
        at = ["--hub", process.url, "--operator-token", OPERATOR]
        assert typed("hub", "user", "add", "ann", "--no-password", *at).status == 0
        assert typed("hub", "api-token", "make", "reader", *at).status == 0
        yield process
    finally:
        process.kill()


def stored(hub: HubProcess) -> list[str]:
    with sqlite3.connect(f"file:{hub.data / 'hub.sqlite'}?mode=ro", uri=True) as db:
        return list(db.iterdump())


@pytest.mark.parametrize("name", HUB)
def test_a_dry_run_changes_nothing_at_the_hub(name: str, hub: HubProcess) -> None:
    before = stored(hub)
    words = [*name.split(), *HUB[name], "--hub", hub.url, "--operator-token", OPERATOR, "--dry-run"]
    done = typed(*words)
    assert done.status == 0, done.err
    assert done.out
    as_json = typed(*words, "--json")
    assert isinstance(json.loads(as_json.out), dict), as_json.err
    assert stored(hub) == before


def test_a_dry_run_names_what_would_fail(hub: HubProcess) -> None:
    at = ["--hub", hub.url, "--operator-token", OPERATOR, "--dry-run"]
    assert typed("replace", "nobody", *at).status == 1
    assert typed("rollout", "pause", "nothing", *at).status == 1
    assert "say why" in typed("rollout", "withdraw", "traffic-flow", "1.0.0", *at).err


def fingerprints(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@needs_tools
def test_a_dry_run_makes_no_image_no_token_and_no_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base, wheels, out = make_base(tmp_path / "base.img"), tmp_path / "wheels", tmp_path / "out"
    make_wheels(wheels)
    (tmp_path / "root.json").write_bytes(ROOT_JSON)
    (tmp_path / "node.toml").write_text(NODE_TOML)
    template = NODE_TOML.replace('node = "main-5th"', 'node = "$node"')
    (tmp_path / "template.toml").write_text(template)
    (tmp_path / "sites.csv").write_text("node,site\nmain-5th,Main & 5th\n")
    monkeypatch.setenv("WAYSIDE_OPERATOR_TOKEN", "nobody is asked")
    common = ["--root", tmp_path / "root.json", "--wheels", wheels]
    words = ["provision", tmp_path / "sites.csv", "--base", base, *common, "--template", tmp_path / "template.toml"]
    before = fingerprints(tmp_path)
    done = typed(*words, "--hub", "http://127.0.0.1:9", "--out", out, "--dry-run", "--json")
    assert done.status == 0, done.err
    assert json.loads(done.out)["made"] == ["main-5th"]
    assert fingerprints(tmp_path) == before
    assert not out.exists()

    (tmp_path / "token").write_text("t" * 43)
    built = ["image", "build", base, "--config", tmp_path / "node.toml", *common, "--token-file", tmp_path / "token"]
    assert typed(*built, "--out", tmp_path / "node.img").status == 0
    card = tmp_path / "card"
    with card.open("wb") as file:
        file.truncate(80 << 20)
    before = fingerprints(tmp_path)
    done = typed("image", "write", tmp_path / "node.img", card, "--dry-run", "--json")
    assert done.status == 0, done.err
    assert json.loads(done.out)["node"] == "main-5th"
    assert "would be ERASED" in done.err
    assert fingerprints(tmp_path) == before
