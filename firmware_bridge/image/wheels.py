"""The agent and all that it needs, for a node's machine and Python, from the package index to a folder.

uv chooses the versions as for the node (pip judges markers by the laptop's own interpreter), pip downloads them with
their hashes. A folder such as ``cp311`` is complete or absent.
"""

from __future__ import annotations

import ast
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

from wayside.contracts.version import VERSION
from wayside.contracts.wire import ContractError, Document, decode, encode, wire_field
from wayside.durable import rename, sync_folder
from wayside.firmware_bridge.errors import ImageError

MANIFEST = "wheels.json"
# Minor version of glibc 2.x, the oldest that the Python comes with: Ubuntu 22.04 (a Jetson's; Debian 12 has 36),
# Ubuntu 24.04, Debian 13 (41; uv knows tags up to 40). The order is that of preference.
GLIBC = {"3.11": 35, "3.12": 39, "3.13": 40}
_NAME = r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,199}\.whl"
_SOURCE = Path(__file__).resolve().parents[2]
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
        manifest = decode((place / MANIFEST).read_bytes(), WheelManifest)
    except OSError as exc:
        raise ImageError(f"{folder} has no wheels for Python {python}: {again}") from exc
    except ContractError as exc:
        raise ImageError(f"{place / MANIFEST}: {exc}; {again}") from exc
    for name, sha256 in manifest.files.items():
        try:
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
    say: Callable[[str], None] = lambda _: None,
) -> WheelSet:
    """Download what a node with ``python`` needs, unless it is there.

    Args:
        wayside: its wheel or source folder; None: the source that this runs from, or else the index.

    Raises:
        ImageError: the index cannot be reached, or something has no wheel for the node.
    """
    if python not in GLIBC:
        raise ImageError(f"Python {python} is of no supported system; known are {', '.join(GLIBC)}")
    place = folder / _tag(python)
    if (place / MANIFEST).exists():
        return load_wheels(folder, python)
    part = folder / f".{place.name}.part"
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        say(f"Python {python}: wayside's own wheel")
        own = _own_wheel(wayside, part)
        say(f"Python {python}: choosing versions for aarch64")
        requirements = part / "requirements.txt"
        requirements.write_bytes(_chosen(own, python))
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


def _own_wheel(given: Path | None, out: Path) -> Path:
    if given is not None and given.suffix == ".whl":
        _check_wheel(given)
        return Path(shutil.copy(given, out))
    source = given or (_SOURCE if (_SOURCE / "pyproject.toml").exists() else None)
    with tempfile.TemporaryDirectory(prefix="wayside-") as folder:
        if source is None:
            what = [f"wayside=={VERSION}", "--only-binary", ":all:"]
            _run([sys.executable, "-m", "pip", "download", "--no-deps", "--dest", str(out), *what], "wayside's wheel")
        else:
            # From a copy: building leaves files beside the source.
            copy = Path(folder) / "wayside"
            left = shutil.ignore_patterns(".*", "__pycache__", "build", "var", "tests", "docs", "*.egg-info")
            shutil.copytree(source, copy, ignore=left)
            what = ["--no-deps", "--wheel-dir", str(out), str(copy)]
            _run(
                [sys.executable, "-m", "pip", "wheel", "--quiet", *what],
                "wayside's wheel",
                SOURCE_DATE_EPOCH="1600000000",
            )
    return next(out.glob("wayside-*.whl"))


def _check_wheel(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            archive.getinfo("wayside/edge/wayside-agent.service")
    except (OSError, zipfile.BadZipFile, KeyError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it holds no agent"
        raise ImageError(
            f"{path} is no wheel of wayside: {reason}; `pip wheel --no-deps wayside` makes one, or leave --wayside out"
        ) from exc


def _chosen(own: Path, python: str) -> bytes:
    """Names, versions and hashes of all that the agent needs on the node, its own wheel left out."""
    with tempfile.TemporaryDirectory(prefix="wayside-") as folder:
        wanted, chosen = Path(folder) / "wanted.in", Path(folder) / "chosen.txt"
        wanted.write_text(f"wayside[edge] @ {own.resolve().as_uri()}\npip\n")
        # Versions that stand in the output file already are preferred, and given up where the node cannot have them.
        tested = _SOURCE / "constraints.txt"
        if tested.exists():
            shutil.copy(tested, chosen)
        command = ["uv", "pip", "compile", "--quiet", "--no-header", "--no-annotate", "--generate-hashes"]
        command += ["--only-binary", ":all:", "--python-version", python, "--index-strategy", "unsafe-best-match"]
        command += ["--python-platform", f"aarch64-manylinux_2_{GLIBC[python]}", *uv_index(pip_config())]
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


def pip_config() -> dict[str, str]:
    """pip's settings that say where packages come from; the environment's win, as for pip."""
    done = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False)
    settings: dict[str, str] = {}
    for line in sorted(
        done.stdout.splitlines(), key=lambda line: (line.startswith(":env:"), line.startswith("install."))
    ):
        name, _, value = line.partition("=")
        try:
            settings[name.rpartition(".")[2]] = str(ast.literal_eval(value))
        except (ValueError, SyntaxError):
            continue
    return settings


def uv_index(pip: dict[str, str]) -> list[str]:
    """The same places for uv, which does not read pip's configuration."""
    main = pip.get("index-url", "https://pypi.org/simple")
    # pip takes all places as one; uv takes a version from the first that has it, maybe a mirror's for other machines.
    options = ["--default-index", main, "--index", main]
    for value in pip.get("extra-index-url", "").split():
        options += ["--index", value]
    for value in pip.get("find-links", "").split():
        options += ["--find-links", value]
    return [*options, "--no-index"] if pip.get("no-index", "").lower() in ("1", "true", "yes", "on") else options


def _run(command: Sequence[str], what: str, **environment: str) -> None:
    beside = Path(sys.executable).parent
    path = f"{beside}{os.pathsep}{os.environ.get('PATH', '')}"
    variables = os.environ | {"PATH": path, "PIP_DISABLE_PIP_VERSION_CHECK": "1"} | environment
    if "cert" in (pip := pip_config() if command[0] == "uv" else {}):
        variables.setdefault("SSL_CERT_FILE", pip["cert"])
    try:
        finished = subprocess.run(list(command), capture_output=True, text=True, env=variables, check=False)
    except FileNotFoundError as exc:
        raise ImageError(f'{command[0]} is not installed here: pip install "wayside[bridge]"') from exc
    if finished.returncode != 0:
        output = "\n".join((finished.stderr or finished.stdout).strip().splitlines()[-8:])
        raise ImageError(f"{what} could not be had: {output}")
