"""Each extra, installed into an environment of its own, imports its rooms and pulls nothing else."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.e2e.test_demo import free_port
from tests.environments import PYTHONS, build_wheel, installed, interpreter, make_environment
from tests.simulators.agent import node_toml
from tests.simulators.board import write_feed

ROOMS = {
    "": [
        "wayside.contracts.wire",
        "wayside.contracts.node_config",
        "wayside.contracts.passport",
        "wayside.contracts.sync",
        "wayside.__main__",
    ],
    "bridge": [
        "wayside.firmware_bridge.cli",
        "wayside.firmware_bridge.line.board",
        "wayside.firmware_bridge.line.transport",
    ],
    "edge": [
        "wayside.edge.cli",
        "wayside.edge.agent",
        "wayside.edge.update.updater",
        "wayside.edge.hub_client",
        "wayside.edge.runtimes",
        "onnxruntime",
    ],
    "camera": ["wayside.edge.sensors.camera", "wayside.edge.sensors.video", "av"],
    "sim": ["wayside.cloud.sim.traffic.plant", "wayside.cloud.sim.traffic.compare", "libsumo"],
    "release": ["wayside.export.cli", "wayside.export.keys", "wayside.export.release"],
    "hub": ["wayside.cloud.hub.app", "wayside.cloud.hub.cli"],
    "train": ["wayside.cloud.train.cli", "wayside.cloud.train.fit", "wayside.models.registry"],
    "export": ["wayside.export.cli", "wayside.export.pipeline", "wayside.export.release"],
}
NEVER = {
    "": {"torch", "fastapi", "numpy", "onnxruntime", "pandas", "pyserial"},
    "bridge": {"torch", "fastapi", "onnxruntime", "pandas"},
    "edge": {"torch", "fastapi", "pandas", "jax", "onnx", "SQLAlchemy"},
    "camera": {"torch", "fastapi", "pandas", "jax", "onnx", "SQLAlchemy"},
    "sim": {"torch", "fastapi", "onnxruntime", "pandas"},
    "release": {"torch", "fastapi", "onnxruntime", "onnx", "pandas", "pyserial"},
    "hub": {"torch", "onnxruntime", "pandas", "numpy", "pyserial", "jax"},
    "train": {"fastapi", "onnxruntime", "pyserial", "jax"},
    "export": {"fastapi", "SQLAlchemy"},
}


# Where training and export are tried: docs/installing.md says why on 3.11 alone.
EVERYWHERE = ("bridge", "edge", "hub", "release")


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.mark.network
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("extra", sorted(ROOMS))
def test_an_extra_brings_its_rooms_and_nothing_of_the_others(extra: str, wheel: Path, tmp_path: Path) -> None:
    if interpreter("3.11") is None:
        pytest.skip("no Python 3.11 here")
    programs = make_environment(tmp_path / "env", wheel, extra, "3.11")
    code = "import importlib, sys\nfor m in sys.argv[1:]: importlib.import_module(m)"
    run(programs / "python", "-c", code, *ROOMS[extra], cwd=tmp_path)
    assert not installed(programs) & {n.lower() for n in NEVER[extra]}
    assert "agent" in run(programs / "wayside", "--help", cwd=tmp_path)


@pytest.mark.network
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("python", PYTHONS)
def test_on_every_python_a_node_senses_a_board_and_reports_to_a_hub(python: str, wheel: Path, tmp_path: Path) -> None:
    """Four environments of one Python: what a laptop, a node, a hub and an operator have, each without the others'."""
    if interpreter(python) is None:
        pytest.skip(f"no Python {python} here")
    with ThreadPoolExecutor(2) as pool:
        made = pool.map(lambda extra: make_environment(tmp_path / extra, wheel, extra, python), EVERYWHERE)
        at = dict(zip(EVERYWHERE, made, strict=True))
    for extra in EVERYWHERE:
        code = "import importlib, sys\nfor m in sys.argv[1:]: importlib.import_module(m)"
        run(at[extra] / "python", "-c", code, *ROOMS[extra], cwd=tmp_path)
    url = f"http://127.0.0.1:{free_port()}"
    with ExitStack() as stack:
        run(at["hub"] / "wayside", "hub", "init", "--data", "hub", cwd=tmp_path)
        token = run(at["hub"] / "wayside", "hub", "token", "--data", "hub", "--node", "node-1", cwd=tmp_path).strip()
        started(stack, tmp_path, at["hub"] / "wayside", "hub", "run", "--data", "hub", "--port", url.rsplit(":", 1)[1])
        until(lambda: get(f"{url}/healthz"), tmp_path)
        operator = {"WAYSIDE_OPERATOR_TOKEN": (tmp_path / "hub/operator.token").read_text().strip()}
        run(at["release"] / "wayside", "release", "keys", "keys", cwd=tmp_path)
        run(at["release"] / "wayside", "release", "init", "--keys", "keys", "--hub", url, cwd=tmp_path, **operator)
        assert "nothing is published" in run(at["release"] / "wayside", "release", "show", "--hub", url, cwd=tmp_path)

        # A vehicle every ten seconds, for a day, at 600 times the pace of a street.
        write_feed(tmp_path / "feed.csv", [(ms, 1, 1, ms // 5000 % 2) for ms in range(5000, 86_400_000, 5000)])
        anchor_s = time.time() + 3
        board = ("--pty-link", "board.tty", "--feed", "feed.csv", "--speed", "600", "--anchor", f"{anchor_s:.3f}")
        started(stack, tmp_path, at["bridge"] / "wayside", "board", "run", *board, "--out", "firmware")
        section = f'[hub]\nurl = "{url}"\ntoken = "{token}"\nsync_s = 0.5\nbackoff_max_s = 1.0\n'
        toml = node_toml(str(tmp_path / "board.tty"), anchor_s=anchor_s, detectors=(1,), extra=section)
        (tmp_path / "node.toml").write_text(toml)
        shutil.copy(tmp_path / "keys/root.json", tmp_path)
        assert "node-1" in run(at["edge"] / "wayside", "node", "check", "node.toml", cwd=tmp_path)
        started(stack, tmp_path, at["edge"] / "wayside", "agent", "run", "node.toml")
        until(lambda: any(60 <= count <= 120 for count in counts(tmp_path / "hub/hub.sqlite")), tmp_path)


def counts(store: Path) -> list[float]:
    """The vehicles of each quarter of an hour that are at the hub."""
    with contextlib.closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as opened:
        rows = opened.execute("SELECT value FROM summaries WHERE kind = 'interval' AND value IS NOT NULL")
        return [float(row[0]) for row in rows]


def run(*command: object, cwd: Path, **environment: str) -> str:
    """A program of a clean environment, in a folder that is not the checkout; what it printed."""
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, env=clean() | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def clean() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith(("WAYSIDE", "PYTHON", "VIRTUAL_ENV"))}


def started(stack: ExitStack, folder: Path, *command: object) -> None:
    words = [str(word) for word in command]
    log = stack.enter_context((folder / f"{words[1]}.log").open("wb"))
    process = subprocess.Popen(words, cwd=folder, env=clean(), stdout=log, stderr=log)
    stack.callback(process.wait, 30)
    stack.callback(process.terminate)


def get(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def until(seen: Callable[[], object], folder: Path) -> None:
    deadline = time.monotonic() + 240
    while not seen():
        logs = "\n".join(f"{path.name}: {path.read_text()[-1500:]}" for path in sorted(folder.glob("*.log")))
        assert time.monotonic() < deadline, logs
        time.sleep(0.1)
