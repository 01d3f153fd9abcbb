"""The agent and all that it needs, for a node's machine and Python, from the package index to a folder.

uv chooses the versions as for the node (pip judges markers by the laptop's own interpreter), pip downloads them with
their hashes. A folder such as ``cp311`` is complete or absent.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec

import wayside
from wayside.contracts.wire import ContractError, Document, decode, encode, wire_field
from wayside.durable import rename, sync_folder
from wayside.firmware_bridge.errors import ImageError
from wayside.firmware_bridge.image.own_wheel import own_wheel
from wayside.firmware_bridge.image.package_index import uv_sources
from wayside.text import read_file

MANIFEST = "wheels.json"
MAX_MANIFEST_BYTES = 4 << 20
# Minor version of glibc 2.x, the oldest that the Python comes with: Ubuntu 22.04 (a Jetson's; Debian 12 has 36),
# Ubuntu 24.04, Debian 13 (41; uv knows tags up to 40). The order is that of preference.
GLIBC = {"3.11": 35, "3.12": 39, "3.13": 40}
CONSTRAINTS = Path(wayside.__file__).parent / "constraints.txt"
_NAME = r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,199}\.whl"
Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]
WheelName = Annotated[str, msgspec.Meta(pattern=f"^{_NAME}$")]


class WheelManifest(Document, frozen=True, kw_only=True):
    wire: int = wire_field()
    python: Annotated[str, msgspec.Meta(pattern=r"^3\.[0-9]{1,2}$")]
    wayside: str
    files: dict[WheelName, Sha256]
    installed_kilobytes: Annotated[int, msgspec.Meta(ge=0, le=2**40)]


class WheelSet(NamedTuple):
    """The wheels of one Python, complete and unchanged since the download."""

    folder: Path
    manifest: WheelManifest

    @property
    def files(self) -> list[Path]:
        return [self.folder / name for name in sorted(self.manifest.files)]

    def has(self, project: str) -> bool:
        """Whether a wheel of ``project`` is among them."""
        name = project.replace("-", "_").lower()
        return any(wheel.split("-")[0].lower() == name for wheel in self.manifest.files)

    @property
    def requirements(self) -> bytes:
        """Every wheel by name, version and hash, for ``pip install --no-deps --require-hashes``."""
        rows = []
        for name, sha256 in sorted(self.manifest.files.items()):
            project, version = name.split("-")[:2]
            if project != "pip":
                rows.append(f"{project}=={version} --hash=sha256:{sha256}\n")
        return "".join(rows).encode()

    @property
    def pip_checksum(self) -> bytes:
        """For ``sha256sum -c``: pip checks every other wheel, but runs from its own."""
        return b"".join(f"{d}  {n}\n".encode() for n, d in self.manifest.files.items() if n.startswith("pip-"))

    @property
    def id(self) -> str:
        return f"{self.manifest.wayside}-{hashlib.sha256(self.requirements).hexdigest()[:12]}"

    @property
    def installed_kilobytes(self) -> int:
        return self.manifest.installed_kilobytes

    @property
    def agent_unit(self) -> bytes:
        wheel = next((path for path in self.files if path.name.startswith("wayside-")), None)
        try:
            with zipfile.ZipFile(wheel or os.devnull) as archive:
                return archive.read("wayside/edge/wayside-agent.service")
        except (KeyError, zipfile.BadZipFile) as exc:
            raise ImageError(
                f"{self.folder} holds no wheel of wayside's agent: run `wayside image wheels` anew"
            ) from exc


def load_wheels(folder: Path, python: str) -> WheelSet:
    """The wheels for ``python`` in ``folder``, every one of them read and compared.

    Raises:
        ImageError: there are none for this Python, or one is missing or damaged.
    """
    place = folder / _tag(python)
    again = f"run `wayside image wheels {folder} --python {python}` where the package index can be reached"
    try:
        manifest = decode(read_file(place / MANIFEST, MAX_MANIFEST_BYTES), WheelManifest)
    except FileNotFoundError as exc:
        others = [version for version in GLIBC if (folder / _tag(version) / MANIFEST).exists()]
        only = f", only for {', '.join(others)}" if others else ""
        raise ImageError(f"{folder} has no wheels for Python {python}{only}: {again}") from exc
    except OSError as exc:
        raise ImageError(f"{place / MANIFEST}: {exc.strerror}; {again}") from exc
    except ContractError as exc:
        raise ImageError(f"{place / MANIFEST}: {exc}; {again}") from exc
    for name, sha256 in manifest.files.items():
        try:
            if not (place / name).is_file():
                (place / name).stat()
                raise ImageError(f"{place / name} is no file; remove {place} and {again}")
            with (place / name).open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as exc:
            raise ImageError(f"{place / name}: {exc.strerror}; remove {place} and {again}") from exc
        if digest != sha256:
            raise ImageError(f"{place / name} is damaged; remove {place} and {again}")
    if manifest.python != python:
        raise ImageError(f"{place} holds wheels for Python {manifest.python}, not {python}; remove it and {again}")
    return WheelSet(place, manifest)


def fetch_wheels(
    folder: Path,
    python: str,
    *,
    wayside: Path | None = None,
    camera: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> WheelSet:
    """Download what a node with ``python`` needs, unless it is there.

    Args:
        wayside: its wheel or source folder; None: the source that this runs from, or else what is installed.
        camera: with what reads video.

    Raises:
        ImageError: the index cannot be reached, or something has no wheel for the node.
    """
    if python not in GLIBC:
        raise ImageError(f"Python {python} is of no supported system; known are {', '.join(GLIBC)}")
    place = folder / _tag(python)
    if (place / MANIFEST).exists():
        there = load_wheels(folder, python)
        if camera and not there.has("av"):
            raise ImageError(f"{place} was fetched without --camera: name another folder, or remove it first")
        return there
    part = folder / f".{place.name}.part"
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        say(f"Python {python}: wayside's own wheel")
        own = own_wheel(wayside, part)
        say(f"Python {python}: choosing versions for aarch64")
        requirements = part / "requirements.txt"
        requirements.write_bytes(_chosen(own, python, "camera" if camera else "edge"))
        say(f"Python {python}: downloading {requirements.read_text().count('==')} wheels")
        _download(requirements, part, python)
        requirements.unlink()
        manifest = make_manifest(part, python)
        _finish(part, place, manifest)
    except OSError as exc:
        raise ImageError(f"{exc.filename or folder}: {exc.strerror}; name another folder for the wheels") from exc
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return WheelSet(place, manifest)


def make_manifest(folder: Path, python: str) -> WheelManifest:
    """Describe the wheels in ``folder``."""
    wheels = sorted(folder.glob("*.whl"))
    version = next((path.name.split("-")[1] for path in wheels if path.name.startswith("wayside-")), None)
    if version is None or not any(path.name.startswith("pip-") for path in wheels):
        raise ImageError(f"{folder} lacks the wheel of wayside or of pip")
    unpacked = 0
    for path in wheels:
        try:
            with zipfile.ZipFile(path) as archive:
                unpacked += sum(entry.file_size for entry in archive.infolist())
        except zipfile.BadZipFile as exc:
            raise ImageError(f"{path.name} came damaged from the package index: run the same command again") from exc
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in wheels}
    # A third more for compiled Python and for blocks that are not full.
    return WheelManifest(python=python, wayside=version, files=digests, installed_kilobytes=unpacked * 4 // 3 // 1024)


def _finish(part: Path, place: Path, manifest: WheelManifest) -> None:
    (part / MANIFEST).write_bytes(encode(manifest))
    for path in part.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    sync_folder(part)
    shutil.rmtree(place, ignore_errors=True)  # without its manifest: never finished
    rename(part, place)


def _tag(python: str) -> str:
    return "cp" + python.replace(".", "")


def _chosen(own: Path, python: str, extra: str) -> bytes:
    """Names, versions and hashes of all that the agent needs on the node, its own wheel left out."""
    with tempfile.TemporaryDirectory(prefix="wayside-") as folder:
        wanted, chosen = Path(folder) / "wanted.in", Path(folder) / "chosen.txt"
        wanted.write_text(f"wayside[{extra}] @ {own.resolve().as_uri()}\npip\n")
        # Versions that stand in the output file already are preferred, and given up where the node cannot have them.
        shutil.copy(CONSTRAINTS, chosen)
        command = ["uv", "pip", "compile", "--quiet", "--no-header", "--no-annotate", "--generate-hashes"]
        command += ["--only-binary", ":all:", "--python-version", python]
        command += ["--python-platform", f"aarch64-manylinux_2_{GLIBC[python]}", *uv_sources().options]
        _run([*command, "--output-file", str(chosen), str(wanted)], f"the agent's packages for Python {python}")
        text = chosen.read_text()
    # wayside itself stands there as a file, with its extra; it is in the folder already.
    kept = re.sub(r"^wayside\b.*(?:\\\n.*)*\n?", "", text, flags=re.MULTILINE)
    return kept.encode()


def _download(requirements: Path, out: Path, python: str) -> None:
    platforms = [f"--platform=manylinux_2_{minor}_aarch64" for minor in range(GLIBC[python], 16, -1)]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    command += ["--require-hashes", "--implementation", "cp", "--python-version", python]
    command += ["--abi", _tag(python), "--abi", "abi3", "--abi", "none"]
    command += [*platforms, "--platform=manylinux2014_aarch64", "--platform=linux_aarch64"]
    _run([*command, "--dest", str(out), "--requirement", str(requirements)], f"the wheels for Python {python}")


def _run(command: Sequence[str], what: str, **environment: str) -> None:
    beside = Path(sys.executable).parent
    path = f"{beside}{os.pathsep}{os.environ.get('PATH', '')}"
    variables = os.environ | {"PATH": path, "PIP_DISABLE_PIP_VERSION_CHECK": "1"} | environment
    variables |= uv_sources().environment if command[0] == "uv" else {}
    try:
        finished = subprocess.run(list(command), capture_output=True, text=True, env=variables, check=False)
    except FileNotFoundError as exc:
        raise ImageError(f'{command[0]} is not installed here: pip install "wayside[bridge]"') from exc
    if finished.returncode != 0:
        output = "\n".join((finished.stderr or finished.stdout).strip().splitlines()[-8:])
        raise ImageError(f"{what} could not be had: {output}")
