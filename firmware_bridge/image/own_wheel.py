"""wayside's own wheel: a given one, built from the source that runs, or the installed one packed again.

The package index is never asked for it: a package of that name there may be somebody else's.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import importlib.metadata
import io
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from wayside.firmware_bridge.errors import ImageError
from wayside.text import TextError, loads_toml, read_toml

SOURCE = Path(__file__).resolve().parents[2]
AGENT_UNIT = "wayside/edge/wayside-agent.service"
# What an installer writes beside a wheel's own files.
_INSTALLERS = ("INSTALLER", "REQUESTED", "RECORD", "direct_url.json", "uv_cache.json", "uv_build.json")
_EPOCH = (1980, 1, 1, 0, 0, 0)
_ANOTHER = "give wayside's wheel or source with --wayside"


def own_wheel(given: Path | None, out: Path) -> Path:
    """Put wayside's wheel into the folder ``out``.

    Args:
        given: a wheel, or a source folder; None: what this runs from.

    Raises:
        ImageError: ``given`` is not wayside, it cannot be built, or the installed files are not as they came.
    """
    if given is not None and given.suffix == ".whl":
        _check_wheel(given)
        return Path(shutil.copy(given, out))
    source = given or (SOURCE if (SOURCE / "pyproject.toml").exists() else None)
    return _built(source, out) if source else _packed_again(out)


def _built(source: Path, out: Path) -> Path:
    _check_source(source)
    with tempfile.TemporaryDirectory(prefix="wayside-") as folder:
        # From a copy: building leaves files beside the source.
        copy = Path(folder) / "wayside"
        left = shutil.ignore_patterns(".*", "__pycache__", "build", "dist", "var", "tests", "*.egg-info")
        shutil.copytree(source, copy, symlinks=True, ignore=left)
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(out), str(copy)]
        variables = os.environ | {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "SOURCE_DATE_EPOCH": "1600000000"}
        done = subprocess.run(command, capture_output=True, text=True, env=variables, check=False)
    made = next(out.glob("wayside-*.whl"), None)
    if done.returncode != 0 or made is None:
        output = "\n".join((done.stderr or done.stdout).strip().splitlines()[-8:])
        raise ImageError(f"wayside's wheel could not be built from {source}: {output}")
    return made


def _check_source(folder: Path) -> None:
    """Before pip is asked, whose words would tell of its own folders."""
    try:
        project = loads_toml(read_toml(folder / "pyproject.toml")).get("project")
    except (OSError, TextError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else str(exc)
        raise ImageError(f"{folder} is not wayside's source: pyproject.toml: {reason}; {_ANOTHER}") from exc
    if not isinstance(project, dict) or project.get("name") != "wayside":
        raise ImageError(f"{folder} is the source of another project; {_ANOTHER}")


def _packed_again(out: Path) -> Path:
    """The wheel that was installed here, from the files that its record lists, each compared with its hash there."""
    try:
        installed = importlib.metadata.distribution("wayside")
    except importlib.metadata.PackageNotFoundError as exc:
        raise ImageError(f"wayside is neither installed nor run from its source here; {_ANOTHER}") from exc
    info = f"wayside-{installed.version}.dist-info"
    files: dict[str, bytes] = {}
    for path in installed.files or ():
        name = path.as_posix()
        top = name.split("/")[0]
        if top not in ("wayside", info) or path.hash is None or (top == info and path.name in _INSTALLERS):
            continue  # the program in bin/, compiled files, an installer's notes
        try:
            content = path.read_binary()
        except OSError as exc:
            raise ImageError(f"{path.locate()}: {exc.strerror}; install wayside anew, or {_ANOTHER}") from exc
        if _digest(content, path.hash.mode) != path.hash.value:
            raise ImageError(f"{path.locate()} was changed after it was installed; install it anew, or {_ANOTHER}")
        files[name] = content
    if AGENT_UNIT not in files or f"{info}/WHEEL" not in files:
        raise ImageError(f"what is installed here is not whole; install wayside anew, or {_ANOTHER}")
    rows = [(name, f"sha256={_digest(content)}", len(content)) for name, content in sorted(files.items())]
    record = io.StringIO()
    csv.writer(record, lineterminator="\n").writerows([*rows, (f"{info}/RECORD", "", "")])
    made = out / f"wayside-{installed.version}-py3-none-any.whl"
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in [*sorted(files.items()), (f"{info}/RECORD", record.getvalue().encode())]:
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, content)
    return made


def _digest(content: bytes, algorithm: str = "sha256") -> str:
    """As a wheel's record has it: base64 of the URL's alphabet, without padding."""
    return base64.urlsafe_b64encode(hashlib.new(algorithm, content).digest()).rstrip(b"=").decode()


def _check_wheel(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            archive.getinfo(AGENT_UNIT)
    except (OSError, zipfile.BadZipFile, KeyError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it holds no agent"
        raise ImageError(
            f"{path} is no wheel of wayside: {reason}; `make dist` makes one, or leave --wayside out"
        ) from exc
