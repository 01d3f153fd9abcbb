"""Files of TOML that people give are all read alike: what an editor saved is read, what is no TOML is named."""

from __future__ import annotations

import codecs
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from wayside.cloud.sim.errors import ScenarioError
from wayside.cloud.sim.scenario import load_air, load_energy
from wayside.cloud.sim.tariff import load_tariff
from wayside.cloud.train.errors import TaskError
from wayside.cloud.train.sweep import jobs
from wayside.cloud.train.taskfile import load_task
from wayside.edge import cli
from wayside.firmware_bridge import signal_plan
from wayside.firmware_bridge.errors import PlanError
from wayside.text import MAX_TOML_BYTES

ROOT = Path(__file__).parent.parent
NODE = 'node = "bahnhof"\nstate_dir = "state"\n'
PLAN = """start = { flash_s = 5.0, red_s = 6.0 }
[[phases]]
phase = 2
ring = 1
green_s = 25.0
min_green_s = 7.0
max_green_s = 40.0
yellow_s = 4.0
red_clearance_s = 1.5
"""


def node_check(path: Path) -> None:
    done = CliRunner().invoke(cli.node, ["check", str(path)])
    assert done.exception is None or isinstance(done.exception, SystemExit)
    if done.exit_code:
        raise ValueError(done.stderr.removeprefix("wayside: ").strip())


def of_name(load: Callable[[str], object]) -> Callable[[Path], object]:
    return lambda path: load(str(path))


READERS: dict[str, tuple[Callable[[Path], object], type[Exception], str]] = {
    "node": (node_check, ValueError, NODE),
    "plan": (signal_plan.load, PlanError, PLAN),
    "task": (of_name(load_task), TaskError, (ROOT / "cloud/train/tasks/traffic_flow.toml").read_text()),
    "grid": (jobs, TaskError, 'tasks = ["traffic_flow"]\nseeds = [1]\n[fit]\nfamily = ["mlp"]\n'),
    "energy": (of_name(load_energy), ScenarioError, (ROOT / "cloud/sim/scenarios/energy.toml").read_text()),
    "air": (of_name(load_air), ScenarioError, (ROOT / "cloud/sim/scenarios/air.toml").read_text()),
    "tariff": (of_name(load_tariff), ScenarioError, next((ROOT / "cloud/sim/tariffs").glob("*.toml")).read_text()),
}  # fmt: skip

DAMAGE: dict[str, tuple[Callable[[str], bytes], str]] = {
    "ANSI": (lambda text: text.encode("ascii", "ignore") + b"\n# Z\xfcrich\n", "'ü' is not written in UTF-8"),
    "UTF-16 without its mark": (lambda text: text.encode("utf-16-le"), "it may be UTF-16 without its mark"),
    "UTF-16 that ends within a letter": (lambda text: text.encode("utf-16") + b"\n", "utf-16-le has not"),
    "NUL": (lambda text: text.encode() + b"\n#\0", "a NUL byte"),
    "too large": (lambda text: text.encode() + b"#" * MAX_TOML_BYTES, "more than 1 MiB"),
    "deep": (lambda text: b"a = " + b"[" * 20_000 + b"]" * 20_000, "nested too deep"),
    "key given twice": (lambda text: b"a = 1\na = 2\nb = 3\n", "this key is given twice"),
    "table given twice": (lambda text: b"[a]\n[a]\n", "this table is given twice"),
    "YAML": (lambda text: b"node: n1\nstate_dir: state\n", "it looks like YAML"),
    "JSON": (lambda text: b'{"node": "n1"}', "it looks like JSON"),
    "path of Windows": (lambda text: b'state_dir = "C:\\state"\n', "'single quotes'"),
    "huge number": (lambda text: b"a = " + b"9" * 5000, "no TOML"),
    "cut": (lambda text: b'node = "n1\n', "line 1"),
    "picture": (lambda text: b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0", "this is no text"),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("mark", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_what_an_editor_saved_is_read(reader: str, mark: str, tmp_path: Path) -> None:
    read, _, text = READERS[reader]
    path = tmp_path / "file.toml"
    path.write_bytes((text + "# Zürich\n").encode(mark))
    read(path)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("damage", DAMAGE)
def test_what_is_no_toml_is_named_in_one_sentence_with_the_file(reader: str, damage: str, tmp_path: Path) -> None:
    read, error, text = READERS[reader]
    spoil, sentence = DAMAGE[damage]
    path = tmp_path / "file.toml"
    path.write_bytes(spoil(text))
    with pytest.raises(error) as refused:
        read(path)
    assert sentence in str(refused.value)
    assert "file.toml" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("reader", READERS)
def test_a_folder_a_missing_file_and_one_without_rights_are_named(reader: str, tmp_path: Path) -> None:
    read, error, text = READERS[reader]
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(error, match=r"folder\.toml.*[Ii]s a directory"):
        read(tmp_path / "folder.toml")
    with pytest.raises(error, match=r"missing\.toml.*No such file"):
        read(tmp_path / "missing.toml")
    locked = tmp_path / "locked.toml"
    locked.write_text(text)
    locked.chmod(0)
    if not os.access(locked, os.R_OK):  # root may read everything
        with pytest.raises(error, match=r"locked\.toml.*Permission denied"):
            read(locked)


def test_an_endless_file_is_read_no_further_than_a_configuration_is_long() -> None:
    with pytest.raises(PlanError, match="/dev/zero"):
        signal_plan.load(Path("/dev/zero"))


def test_a_mark_alone_is_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "file.toml"
    path.write_bytes(codecs.BOM_UTF8)
    with pytest.raises(ValueError, match="misses node"):
        node_check(path)
