"""``wayside new``: what it writes works before anything in it is changed, and nothing is overwritten."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from tests.simulators.verb import typed
from wayside.edge.policies import policy


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("kind", ["task", "domain", "node"])
def test_it_says_what_was_written_and_what_to_type_next(kind: str, here: Path) -> None:
    done = typed("new", kind, "first")
    assert done.status == 0
    assert "next: " in done.out
    told = json.loads(typed("new", kind, "second", "--json").out)
    assert {str(here / file) for file in told["files"]} == {str(p) for p in here.rglob("second*") if p.is_file()} | {
        str(p) for p in (here / "second").rglob("*") if p.is_file()
    }
    assert all(line.startswith(("wayside ", "pip install ")) for line in told["next"])


@pytest.mark.parametrize("kind", ["task", "domain", "node"])
def test_nothing_is_overwritten_and_nothing_is_half_written(kind: str, here: Path) -> None:
    typed("new", kind, "mine")
    written = {path: path.read_bytes() for path in here.rglob("*") if path.is_file()}
    last = list(written)[-1]
    for path in written:
        if path != last:
            path.unlink()
    done = typed("new", kind, "mine")
    assert done.status == 3
    assert "is there already, and nothing was written" in done.err
    assert {path for path in here.rglob("*") if path.is_file()} == {last}
    assert last.read_bytes() == written[last]


@pytest.mark.parametrize("name", ["", "1st", "a b", "../up", "ä", "x" * 33, "a.toml", "$name", 'a"b', "a/b"])
def test_a_name_that_would_not_do_is_wrong_usage(name: str, here: Path) -> None:
    for kind in ("task", "domain", "node"):
        done = typed("new", kind, "--", name)
        assert done.status == 2
        assert "begins with a letter" in done.err
    assert not list(here.iterdir())


@pytest.mark.parametrize("name", ["bikes", "x" * 32, "Main-5th_N"])
def test_the_nodes_file_is_in_order(name: str) -> None:
    assert typed("new", "node", name).status == 0
    checked = typed("node", "check", f"{name}.toml", "--json")
    assert checked.status == 0, checked.err
    assert json.loads(checked.out)["node"] == name
    assert checked.err == ""


@pytest.mark.parametrize("kind", ["task", "domain"])
def test_the_task_trains_on_its_sample_and_beats_both_floors(kind: str, here: Path) -> None:
    told = json.loads(typed("new", kind, "wells", "--json").out)
    words = told["next"][0].split()[1:]
    done = typed(*words, "--json", "--no-refit", *(["--epochs", "1"] if kind == "domain" else []))
    assert done.status == 0, done.err
    (report,) = json.loads(done.out)
    if kind == "task":
        scores = {name: score["mae"] for name, score in report["holdout"]["scores"].items()}
        assert scores.pop("mlp") < min(scores.values())


def test_the_domains_node_is_in_order_once_its_policy_is_installed(
    here: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    typed("new", "domain", "wells")
    node = here / "wells/node.toml"
    request.addfinalizer(policy.from_outside.cache_clear)
    policy.from_outside.cache_clear()
    assert "there is no policy 'wells_policy'" in typed("node", "check", node).err
    policy.from_outside.cache_clear()  # what is installed is looked up once in a process
    project = tomllib.loads((here / "wells/policy/pyproject.toml").read_text())["project"]
    ((name, target),) = project["entry-points"]["wayside.policies"].items()
    installed = here / "wells/policy" / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: 1.0.0\n")
    (installed / "entry_points.txt").write_text(f"[wayside.policies]\n{name} = {target}\n")
    monkeypatch.syspath_prepend(here / "wells/policy")
    checked = typed("node", "check", node)
    assert checked.status == 0, checked.err
    assert "wells (wells)" in checked.out
