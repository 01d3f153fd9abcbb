"""The node's real wheels as a node has them: on aarch64, under QEMU's user emulation, in seconds instead of a boot."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from tests.device.base_image import unpack_arm64
from tests.simulators.signed_hub import bundle
from wayside.firmware_bridge.image.wheels import fetch_wheels

QEMU = shutil.which("qemu-aarch64-static")
DEBIANS = (
    "libc6", "libgcc-s1", "libstdc++6", "zlib1g", "libexpat1", "libssl3", "libffi8", "libbz2-1.0", "liblzma5",
    "libsqlite3-0", "libuuid1", "python3.11-minimal", "libpython3.11-minimal", "libpython3.11-stdlib",
)  # fmt: skip
# As an ordinary user, root of a name space alone.
AS_ROOT = () if os.geteuid() == 0 else ("unshare", "--map-root-user")
INFER = """\
import importlib, json, platform
from pathlib import Path
NEEDS = ("cryptography", "gpiozero", "lgpio", "msgspec", "numpy", "PIL", "pymodbus", "pynmea2", "serial",
    "tuf", "wayside.edge.agent")
for name in NEEDS:
    importlib.import_module(name)
from wayside.contracts.node_config import ModelConfig
from wayside.contracts.version import VERSION
from wayside.edge.trusted_bundle import open_bundle
from wayside.edge.update.trial import choose, try_out
bundle = open_bundle(Path("/opt/it.bundle").read_bytes(), agent_version=VERSION)
said = {"machine": platform.machine()}
for name in ("onnxruntime", "tflite-runtime"):
    config = ModelConfig(runtime=name)
    variant = choose(config, bundle.passport)
    runtime, result = try_out(config, bundle, variant)
    said[name] = [variant.name, result.max_abs_diff, variant.tolerance]
print(json.dumps(said))
"""


@pytest.mark.network
@pytest.mark.timeout(900)
@pytest.mark.skipif(
    QEMU is None or shutil.which("dpkg-deb") is None, reason="apt-get install qemu-user-static runs aarch64 here"
)
def test_the_real_wheels_run_an_int8_bundle_on_aarch64_on_both_runtimes(aarch64_index: None, tmp_path: Path) -> None:
    try:
        root = unpack_arm64(tmp_path / "debian", lambda _: DEBIANS)
    except RuntimeError as exc:
        pytest.skip(f"Debian's arm64 packages cannot be had here: {exc}")
    for wheel in fetch_wheels(tmp_path / "wheels", "3.11").files:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(root / "opt/site")
    (root / "opt/it.bundle").write_bytes(bundle())
    (root / "opt/infer.py").write_text(INFER)
    shutil.copy(str(QEMU), root / "qemu")
    done = subprocess.run(
        [*AS_ROOT, "chroot", str(root), "/qemu", "-E", "PYTHONPATH=/opt/site", "/usr/bin/python3.11", "/opt/infer.py"],
        env={"PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    said = json.loads(done.stdout.splitlines()[-1])
    assert said.pop("machine") == "aarch64"
    for runtime, (variant, difference, tolerance) in said.items():
        assert variant.endswith("int8"), (runtime, variant)
        assert difference <= tolerance, (runtime, difference)
    print(said)
