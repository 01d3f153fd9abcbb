"""Installed, wayside takes one name, and nobody else's packages come in its way."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.simulators.base_image import small_wheel
from wayside.contracts.version import VERSION

pytest.importorskip("setuptools", reason="the wheel is built without the package index")

ROOT = Path(__file__).parents[1]
ROOMS = ("contracts", "models", "cloud", "export", "edge", "firmware_bridge")
ONE_OF_EACH = """\
import importlib
import sys
import wayside
assert wayside.__file__.startswith(sys.argv[1]), wayside.__file__
for room in ("contracts.wire", "cloud.hub.cli", "cloud.train.cli", "export.cli", "edge.cli", "firmware_bridge.cli"):
    importlib.import_module(f"wayside.{room}")
from wayside.models.registry import FAMILIES
for family in FAMILIES.values():
    importlib.import_module(family.partition(":")[0])
print("all")
"""
PAGE = re.compile(r"docs/[a-z-]+\.md")
PACK = """\
import sys, pathlib
from wayside.firmware_bridge.errors import ImageError
from wayside.firmware_bridge.image.own_wheel import own_wheel
print(own_wheel(None, pathlib.Path(sys.argv[1])))
"""
REFUSED = "\n".join(["try:", *(f"  {line}" for line in PACK.splitlines()), "except ImageError as exc: print(exc)"])


def pip(*words: object) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *map(str, words)]
    subprocess.run(command, check=True, capture_output=True, env=os.environ | {"PIP_NO_INDEX": "1"})


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy: building leaves files beside the source."""
    place = tmp_path_factory.mktemp("wheel")
    for name in (*ROOMS, "wayside"):
        shutil.copytree(ROOT / name, place / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "docs", place / "docs")
    for name in ("wayside.py", "pyproject.toml", "constraints.txt", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, place)
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", place / "dist", place)
    return next((place / "dist").glob("*.whl"))


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of packages with wayside and a distribution that has the names of our rooms for itself."""
    place = tmp_path_factory.mktemp("site")
    theirs = {f"{room}/__init__.py": f"raise AssertionError('another {room}')\n".encode() for room in ROOMS}
    hostile = small_wheel(tmp_path_factory.mktemp("hostile"), "hostile", "1.0", theirs)
    pip("install", "--no-deps", "--target", place, wheel, hostile)
    return place


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working folder of somebody who has such folders, too."""
    for room in ROOMS:
        (tmp_path / room).mkdir()
        (tmp_path / room / "__init__.py").write_text(f"raise AssertionError('the {room} of this folder')\n")
    return tmp_path


def python(site: Path, folder: Path, *words: object) -> str:
    done = subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_has_one_name_at_its_top(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.split("/")[0] for name in names} == {"wayside", f"wayside-{VERSION}.dist-info"}
    assert len(names) == len(set(names))
    assert not [name for name in names if name.startswith(("wayside/distribution", "wayside/tests"))]
    for kept in (
        "wayside/__main__.py",
        "wayside/contracts/wire.py",
        "wayside/cloud/hub/templates/index.html",
        "wayside/cloud/train/tasks/i94.toml",
        "wayside/edge/wayside-agent.service",
        "wayside/firmware_bridge/firmware/board.c",
        "wayside/firmware_bridge/first_boot/wayside-first-boot",
        "wayside/constraints.txt",
        "wayside/docs/node.md",
        "wayside/docs/adr/0014-one-import-name.md",
    ):
        assert kept in names


def test_the_files_that_pages_install_are_those_of_this_version() -> None:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    named = {m for page in pages for m in re.findall(r"wayside[-_a-z]*[-_:](\d+\.\d+\.\d+)", page.read_text())}
    assert named == {VERSION}


def test_no_line_that_installs_asks_an_index_for_wayside() -> None:
    """A package of that name there may be somebody else's. Messages are another thing: installed code prints them."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    lines = [line for page in pages for line in page.read_text().splitlines() if "such as" not in line]
    assert not [line for line in lines if re.search(r"(pip|pipx|uv tool) install [^`]*\"wayside(\[|\")", line)]


def test_the_front_door_opens_beside_packages_of_the_same_names(site: Path, folder: Path) -> None:
    assert python(site, folder, "-m", "wayside", "--version") == f"wayside {VERSION}\n"
    assert python(site, folder, site / "bin" / "wayside", "--version") == f"wayside {VERSION}\n"
    assert "Usage" in python(site, folder, "-m", "wayside", "agent", "--help")


def test_every_room_is_imported_from_where_it_was_installed(site: Path, folder: Path) -> None:
    assert python(site, folder, "-c", ONE_OF_EACH, site) == "all\n"


def test_every_page_that_a_message_names_is_printed_where_wayside_is_installed(site: Path, folder: Path) -> None:
    named = {m for room in ROOMS for p in (ROOT / room).rglob("*.py") for m in PAGE.findall(p.read_text())}
    assert "docs/wire.md" in named
    listed = {f"docs/{line.split()[0]}.md" for line in python(site, folder, "-m", "wayside", "docs").splitlines()}
    assert named <= listed
    assert python(site, folder, "-m", "wayside", "docs", "docs/node.md#every-key").startswith(
        "# A node's configuration"
    )
    unknown = subprocess.run(
        [sys.executable, "-m", "wayside", "docs", "nod"],
        cwd=folder, env=os.environ | {"PYTHONPATH": str(site)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (unknown.returncode, "is it node?" in unknown.stderr) == (2, True)


def test_an_installed_wayside_is_packed_into_the_same_wheel_again(
    wheel: Path, site: Path, folder: Path, tmp_path: Path
) -> None:
    made = Path(python(site, folder, "-c", PACK, tmp_path).strip())
    assert made.name == wheel.name
    with zipfile.ZipFile(wheel) as before, zipfile.ZipFile(made) as after:
        assert sorted(before.namelist()) == sorted(after.namelist())
        assert all(before.read(n) == after.read(n) for n in before.namelist() if not n.endswith("/RECORD"))
    # pip compares every file with the record.
    pip("install", "--no-deps", "--target", tmp_path / "again", made)


def test_an_installed_wayside_that_was_changed_is_not_packed(site: Path, folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "site"
    shutil.copytree(site, copy)
    with (copy / "wayside/edge/wayside-agent.service").open("a") as file:
        file.write("# changed\n")
    said = python(copy, folder, "-c", REFUSED, tmp_path)
    assert "wayside-agent.service was changed after it was installed" in said
    (copy / "wayside/edge/wayside-agent.service").unlink()
    said = python(copy, folder, "-c", REFUSED, tmp_path)
    assert "wayside-agent.service" in said
