"""The first boot installs the agent from the card, offline, and may lose power at any point."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.simulators.base_image import make_wheels
from tests.simulators.interrupted import few_or_many, killed_then_run_again
from wayside.contracts.wire import encode
from wayside.firmware_bridge.image.wheels import WheelSet, make_manifest

PARTS = Path(__file__).parents[2] / "firmware_bridge" / "first_boot"
SCRIPT = PARTS / "wayside-first-boot"


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> WheelSet:
    folder = tmp_path_factory.mktemp("wheels")
    place = make_wheels(folder, bulk=2_000_000).folder
    next(place.glob("pip-*.whl")).unlink()
    pip = importlib.metadata.distribution("pip")
    with zipfile.ZipFile(place / f"pip-{pip.version}-py3-none-any.whl", "w") as archive:
        for name in pip.files or ():
            if not str(name).startswith("..") and name.suffix != ".pyc":
                archive.write(str(pip.locate_file(name)), str(name))
    return WheelSet(place, make_manifest(place, "3.11"))


def a_card(root: Path, wheels: WheelSet) -> Path:
    """As `wayside image build` leaves a root file system."""
    shutil.rmtree(root, ignore_errors=True)
    folder = root / "opt/wayside-wheels"
    folder.mkdir(parents=True)
    for path in wheels.files:
        shutil.copy(path, folder)
    (folder / "requirements.txt").write_bytes(wheels.requirements)
    (folder / "pip.sha256").write_bytes(wheels.pip_checksum)
    (folder / "python").write_text(f"python{sys.version_info[0]}.{sys.version_info[1]}\n")
    (folder / "id").write_text(wheels.id + "\n")
    (folder / "installed-kilobytes").write_text(f"{wheels.installed_kilobytes}\n")
    return root


def boot(root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", str(SCRIPT)], env=environment(root), capture_output=True, text=True, timeout=240, check=False
    )


def environment(root: Path) -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHON"))}
    return ours | {"WAYSIDE_ROOT": str(root), "PYTHONPATH": "", "PIP_INDEX_URL": "http://127.0.0.1:9/nothing"}


def check(root: Path, wheels: WheelSet) -> None:
    said = subprocess.run(
        [root / "opt/wayside/bin/wayside", "--version"],
        env=environment(root),
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == "wayside 0.1.0\n"
    assert [p.name for p in (root / "opt/wayside-venvs").iterdir()] == [wheels.id]
    assert not (root / "opt/wayside.new").is_symlink()


def test_the_agent_is_installed_offline_and_a_second_boot_changes_nothing(tmp_path: Path, wheels: WheelSet) -> None:
    root = a_card(tmp_path / "root", wheels)
    first = boot(root)
    assert first.returncode == 0, first.stderr
    assert "installed wayside 0.1.0" in first.stdout
    check(root, wheels)
    before = (root / "opt/wayside").lstat().st_ino
    second = boot(root)
    assert (second.returncode, second.stdout) == (0, "")
    assert (root / "opt/wayside").lstat().st_ino == before


@pytest.mark.parametrize(
    ("name", "said"), [("bulk", "THESE PACKAGES DO NOT MATCH THE HASHES"), ("pip", "computed checksum did NOT match")]
)
def test_a_wheel_that_the_card_spoiled_is_not_installed(tmp_path: Path, wheels: WheelSet, name: str, said: str) -> None:
    root = a_card(tmp_path / "root", wheels)
    victim = next((root / "opt/wayside-wheels").glob(f"{name}-*.whl"))
    with zipfile.ZipFile(victim, "a") as archive:
        archive.writestr("more.txt", "x")
    done = boot(root)
    assert done.returncode != 0
    assert said in done.stderr
    assert not (root / "opt/wayside").exists()


def test_a_card_without_room_says_so(tmp_path: Path, wheels: WheelSet) -> None:
    root = a_card(tmp_path / "root", wheels)
    (root / "opt/wayside-wheels/installed-kilobytes").write_text(f"{2**40}\n")
    done = boot(root)
    assert done.returncode == 1
    assert "use a larger card" in done.stderr


@pytest.mark.parametrize(("there", "shared"), [(True, "true"), (False, "false")])
def test_the_systems_packages_are_seen_only_for_lgpios_sake(
    tmp_path: Path, wheels: WheelSet, there: bool, shared: str
) -> None:
    root, system = a_card(tmp_path / "root", wheels), tmp_path / "system"
    system.mkdir()
    (system / "lgpio.py").write_text("" if there else "raise ImportError")
    done = subprocess.run(
        ["sh", str(SCRIPT)], env=environment(root) | {"PYTHONPATH": str(system)}, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    settings = (root / "opt/wayside/pyvenv.cfg").read_text()
    assert f"include-system-site-packages = {shared}" in settings


@pytest.mark.timeout(600)
def test_other_wheels_replace_the_agent_in_one_step(tmp_path: Path, wheels: WheelSet) -> None:
    root = a_card(tmp_path / "root", wheels)
    assert boot(root).returncode == 0
    other = tmp_path / "other"
    shutil.copytree(wheels.folder, other)
    next(other.glob("bulk-*.whl")).unlink()
    newer = WheelSet(other, make_manifest(other, "3.11"))
    (other / "wheels.json").write_bytes(encode(newer.manifest))
    assert newer.id != wheels.id
    shutil.rmtree(root / "opt/wayside-wheels")
    (tmp_path / "next").mkdir()
    a_card(tmp_path / "next/root", newer)
    (tmp_path / "next/root/opt/wayside-wheels").rename(root / "opt/wayside-wheels")
    assert boot(root).returncode == 0
    check(root, newer)


@few_or_many
def test_a_first_boot_that_loses_power_is_finished_by_the_next(tmp_path: Path, wheels: WheelSet, times: int) -> None:
    root = tmp_path / "root"
    killed_then_run_again(
        ["sh", SCRIPT],
        times=times,
        check=lambda: check(root, wheels),
        fresh=lambda: a_card(root, wheels) and None,
        environment=environment(root),
    )


def test_the_units_name_what_the_image_holds() -> None:
    unit = (PARTS / "wayside-first-boot.service").read_text()
    agent = (PARTS.parents[1] / "edge/wayside-agent.service").read_text()
    assert "ExecStart=/usr/local/sbin/wayside-first-boot" in unit
    assert "Before=wayside-agent.service" in unit
    assert "After=" in agent
    assert "wayside-first-boot.service" in agent
    assert "/opt/wayside/bin/wayside agent run /etc/wayside/node.toml" in agent


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed here")
def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
    for source in (PARTS / "wayside-first-boot.service", PARTS.parents[1] / "edge/wayside-agent.service"):
        text = source.read_text().replace("/opt/wayside/bin/wayside", "/bin/true")
        (tmp_path / source.name).write_text(text.replace("/usr/local/sbin/wayside-first-boot", "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *map(str, tmp_path.iterdir())],
        capture_output=True,
        text=True,
        check=False,
    )
    assert [line for line in done.stderr.splitlines() if "wayside" in line] == []
