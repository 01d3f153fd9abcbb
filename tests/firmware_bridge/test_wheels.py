"""Wheels for a node: chosen for its machine, complete or absent, and every byte known."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.simulators.base_image import make_wheels, small_wheel
from wayside.firmware_bridge.errors import ImageError
from wayside.firmware_bridge.image.package_index import uv_sources
from wayside.firmware_bridge.image.wheels import fetch_wheels, load_wheels, make_manifest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package index in a folder: what wayside asks for, as wheels for aarch64 and for this laptop."""
    folder = tmp_path / "index"
    folder.mkdir()
    small_wheel(folder, "pip", "26.0", {"pip/__init__.py": b""})
    small_wheel(folder, "plain", "1.0", {"plain.py": b""})
    for tag in ("manylinux_2_28_aarch64", "manylinux_2_28_x86_64"):
        small_wheel(folder, "fast", "1.2", {f"fast-{tag}.so": b"elf"}, tag=f"cp311-cp311-{tag}")
    small_wheel(folder, "fast", "2.0", {"fast.so": b"elf"}, tag="cp311-cp311-manylinux_2_38_aarch64")  # too new a glibc
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return folder


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """wayside's own wheel, whose agent needs ``fast``, and ``plain`` on the node's machine alone."""
    needs = ["fast>=1", "plain; platform_machine == 'aarch64'", "nothere; platform_machine == 'x86_64'"]
    (tmp_path / "own").mkdir()
    agent = {"wayside/__main__.py": b"", "wayside/edge/wayside-agent.service": b"[Unit]\n"}
    return small_wheel(tmp_path / "own", "wayside", "0.1.0", agent, needs={"edge": needs})


def test_wheels_are_chosen_for_the_nodes_machine_and_pinned_by_hash(tmp_path: Path, index: Path, own: Path) -> None:
    made = fetch_wheels(tmp_path / "wheels", "3.11", wayside=own)
    assert [path.name for path in made.files] == [
        "fast-1.2-cp311-cp311-manylinux_2_28_aarch64.whl",
        "pip-26.0-py3-none-any.whl",
        "plain-1.0-py3-none-any.whl",
        "wayside-0.1.0-py3-none-any.whl",
    ]
    assert [p.name for p in (tmp_path / "wheels").iterdir()] == ["cp311"]
    rows = made.requirements.decode().splitlines()
    assert [row.split("==")[0] for row in rows] == ["fast", "plain", "wayside"]  # pip runs from its own wheel
    assert rows[-1] == f"wayside==0.1.0 --hash=sha256:{hashlib.sha256(own.read_bytes()).hexdigest()}"

    # What is there is compared, and not fetched again.
    for path in index.iterdir():
        path.unlink()
    assert fetch_wheels(tmp_path / "wheels", "3.11", wayside=own).id == made.id


def test_a_download_that_fails_leaves_nothing_and_is_run_again(tmp_path: Path, index: Path, own: Path) -> None:
    plain = index / "plain-1.0-py3-none-any.whl"
    plain.rename(tmp_path / plain.name)
    (tmp_path / "wheels/.cp311.part").mkdir(parents=True)  # of a run that was killed
    with pytest.raises(ImageError, match="plain"):
        fetch_wheels(tmp_path / "wheels", "3.11", wayside=own)
    assert list((tmp_path / "wheels").iterdir()) == []
    (tmp_path / plain.name).rename(plain)
    assert len(fetch_wheels(tmp_path / "wheels", "3.11", wayside=own).files) == 4


@pytest.mark.parametrize("harm", ["flip", "remove", "manifest", "python"])
def test_a_folder_that_is_not_as_it_was_downloaded_is_refused(tmp_path: Path, harm: str) -> None:
    made = make_wheels(tmp_path / "wheels")
    victim, manifest = made.files[-1], made.folder / "wheels.json"
    if harm == "flip":
        data = bytearray(victim.read_bytes())
        data[len(data) // 2] ^= 1
        victim.write_bytes(data)
    elif harm == "remove":
        victim.unlink()
    elif harm == "manifest":
        manifest.write_text(manifest.read_text().replace(".whl", ".whl/../../etc/passwd"))
    else:
        manifest.write_text(manifest.read_text().replace('"3.11"', '"3.13"'))
    with pytest.raises(ImageError, match="wayside image wheels"):
        load_wheels(tmp_path / "wheels", "3.11")


def test_an_unknown_python_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"Python 3\.9 is of no supported system"):
        fetch_wheels(tmp_path, "3.9")


@pytest.mark.parametrize("content", [None, b"", b'[project]\nname = "another"\n', b"[project", b"\xff\x00"])
def test_a_folder_that_is_not_waysides_source_is_named_before_pip_is_asked(
    tmp_path: Path, content: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "run", None)
    folder = tmp_path / "folder"
    folder.mkdir()
    if content is not None:
        (folder / "pyproject.toml").write_bytes(content)
    with pytest.raises(ImageError, match=re.escape(f"{folder} is ") + ".*with --wayside$"):
        fetch_wheels(tmp_path / "wheels", "3.11", wayside=folder)
    assert list((tmp_path / "wheels").iterdir()) == []


def test_a_folder_without_the_agent_is_no_set(tmp_path: Path) -> None:
    small_wheel(tmp_path, "pip", "26.0", {"pip/__init__.py": b""})
    with pytest.raises(ImageError, match="lacks the wheel of wayside"):
        make_manifest(tmp_path, "3.11")


def test_uv_looks_where_pip_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", "https://mirror.example/simple")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "https://a.example https://b.example")
    options = uv_sources().options
    assert options[:4] == [
        "--default-index",
        "https://mirror.example/simple",
        "--index",
        "https://mirror.example/simple",
    ]
    assert options[6:10] == ["--index", "https://a.example", "--index", "https://b.example"]


def test_where_pip_has_another_index_beside_its_own_uv_gets_pips_own_first() -> None:
    main = uv_sources({"extra-index-url": "https://a.example"}).options[1]
    assert main.startswith("https://")
    assert uv_sources({"extra-index-url": "https://a.example"}).options[-2:] == ["--index", "https://a.example"]


def test_where_pip_has_no_setting_uvs_own_stand() -> None:
    assert uv_sources({}) == ([], {})
    assert uv_sources({"no-index": "true", "find-links": "a b"}).options == [
        *("--find-links", "a", "--find-links", "b"),
        "--no-index",
    ]


@pytest.mark.network
@pytest.mark.timeout(900)
@pytest.mark.parametrize("python", ["3.11", "3.13"])
def test_the_real_agent_has_wheels_for_a_real_node(aarch64_index: None, tmp_path: Path, python: str) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "wayside.py"), "image", "wheels", str(tmp_path), "--python", python],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    made = load_wheels(tmp_path, python)
    projects = {path.name.split("-")[0].lower() for path in made.files}
    tflite = "tflite_runtime" if python == "3.11" else "ai_edge_litert"
    assert {"wayside", "pip", "onnxruntime", "numpy", "msgspec", "cryptography", "pymodbus", tflite} <= projects
    assert ("lgpio" in projects) == (python == "3.11")
    for path in made.files:
        assert re.search(r"-(none-any|[a-z0-9_.]*aarch64[a-z0-9_.]*)\.whl$", path.name), path.name
    assert b"ExecStart" in made.agent_unit
    with zipfile.ZipFile(next(p for p in made.files if p.name.startswith("wayside-"))) as archive:
        assert "wayside/firmware_bridge/first_boot/wayside-first-boot" in archive.namelist()
