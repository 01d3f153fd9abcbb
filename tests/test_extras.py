"""Each extra, installed into an environment of its own, imports its rooms and pulls nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

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
    "hub": ["wayside.cloud.hub.app", "wayside.cloud.hub.cli"],
    "train": ["wayside.cloud.train.cli", "wayside.cloud.train.fit", "wayside.models.registry"],
    "export": ["wayside.export.cli", "wayside.export.pipeline", "wayside.export.release"],
}
NEVER = {
    "": {"torch", "fastapi", "numpy", "onnxruntime", "pandas", "pyserial"},
    "bridge": {"torch", "fastapi", "onnxruntime", "pandas", "tuf"},
    "edge": {"torch", "fastapi", "pandas", "jax", "onnx", "SQLAlchemy"},
    "camera": {"torch", "fastapi", "pandas", "jax", "onnx", "SQLAlchemy"},
    "sim": {"torch", "fastapi", "onnxruntime", "tuf"},
    "hub": {"torch", "onnxruntime", "pandas", "numpy", "pyserial", "jax"},
    "train": {"fastapi", "onnxruntime", "pyserial", "jax"},
    "export": {"fastapi", "SQLAlchemy"},
}


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(out), str(ROOT)], check=True)
    return next(out.glob("wayside-*.whl"))


@pytest.mark.network
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("extra", sorted(ROOMS))
def test_an_extra_brings_its_rooms_and_nothing_of_the_others(extra: str, wheel: Path, tmp_path: Path) -> None:
    python = tmp_path / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path)], check=True)
    pip = [
        str(python),
        "-m",
        "pip",
        "--disable-pip-version-check",
        "install",
        "-q",
        "-c",
        str(ROOT / "constraints.txt"),
    ]
    if extra in ("train", "export"):
        subprocess.run([*pip, "torch==2.13.0"], check=True)
    subprocess.run([*pip, f"wayside{f'[{extra}]' if extra else ''} @ {wheel.as_uri()}"], check=True)
    code = "import importlib, sys\nfor m in sys.argv[1:]: importlib.import_module(m)"
    done = subprocess.run(
        [str(python), "-c", code, *ROOMS[extra]], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    listed = subprocess.run([*pip[:3], "list", "--format=json"], capture_output=True, text=True, check=True)
    installed = {p["name"].lower() for p in json.loads(listed.stdout)}
    assert not installed & {n.lower() for n in NEVER[extra]}
    helped = subprocess.run([str(tmp_path / "bin" / "wayside"), "--help"], capture_output=True, text=True, check=True)
    assert "agent" in helped.stdout
