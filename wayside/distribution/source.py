"""The commit that everything is made of, and what Python's own tools make of it."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from pathlib import Path
from typing import NamedTuple

from wayside.distribution.archives import DistributionError, same_source, same_wheel
from wayside.firmware_bridge.image.package_index import uv_sources

ROOT = Path(__file__).parents[2]


class Source(NamedTuple):
    folder: Path  # the commit's files and nothing else
    version: str
    epoch: int  # seconds since 1970: the commit's, or SOURCE_DATE_EPOCH

    @property
    def environment(self) -> dict[str, str]:
        return {"SOURCE_DATE_EPOCH": str(self.epoch)}


def unpack_commit(folder: Path) -> Source:
    """Put the files of the last commit into ``folder``."""
    folder.mkdir(parents=True)
    with tarfile.open(fileobj=io.BytesIO(run("git", "-C", str(ROOT), "archive", "HEAD"))) as archive:
        archive.extractall(folder, filter="fully_trusted")  # noqa: S202  (our own commit)
    epoch = os.environ.get("SOURCE_DATE_EPOCH") or run("git", "-C", str(ROOT), "log", "-1", "--format=%ct").decode()
    version = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    return Source(folder, version, int(epoch))


def uncommitted() -> bool:
    return bool(run("git", "-C", str(ROOT), "status", "--porcelain").strip())


def wheel_and_source(source: Source, out: Path) -> tuple[Path, Path]:
    """wayside's wheel and sdist, with the setuptools that is here: no package index is asked."""
    made = []
    for what, same in (("wheel", same_wheel), ("sdist", same_source)):
        code = f"import setuptools.build_meta as b, sys; print(b.build_{what}(sys.argv[1]))"
        said = run(sys.executable, "-c", code, str(out), cwd=source.folder, environment=source.environment)
        path = out / said.decode().strip().splitlines()[-1]
        same(path, source.epoch)
        made.append(path)
    return made[0], made[1]


def install(own: Path, extra: str, target: Path, *, machine: str, python: str, constraints: Path) -> None:
    """Unpack wayside's wheel and what its ``extra`` needs into ``target``, for another machine: nothing is compiled.

    Args:
        machine: as uv names it, such as ``aarch64-manylinux_2_35``.
    """
    index = uv_sources()
    platform = ["--python-platform", machine, "--python-version", python, "--only-binary", ":all:"]
    with tempfile.TemporaryDirectory(prefix="wayside-") as scratch:
        wanted, chosen = Path(scratch) / "wanted.in", Path(scratch) / "chosen.txt"
        wanted.write_text(f"wayside[{extra}] @ {own.resolve().as_uri()}\n")
        # Versions that stand in the output file already are preferred, and given up where there is no wheel of them.
        shutil.copy(constraints, chosen)
        choose = ["uv", "pip", "compile", "--quiet", "--no-header", "--no-annotate", "--output-file", str(chosen)]
        run(*choose, *platform, *index.options, str(wanted), environment=index.environment)
        unpack = ["uv", "pip", "install", "--quiet", "--no-deps", "--link-mode", "copy", "--target", str(target)]
        run(*unpack, *platform, *index.options, "--requirement", str(chosen), environment=index.environment)
    shutil.rmtree(target / "bin", ignore_errors=True)  # programs whose first line names this machine's Python
    (target / ".lock").unlink(missing_ok=True)
    for folder in [*target.rglob("__pycache__")]:  # a wheel that was built here carries them
        shutil.rmtree(folder)
    for info in target.glob("*.dist-info"):
        for name in ("INSTALLER", "REQUESTED", "RECORD", "direct_url.json", "uv_cache.json"):
            (info / name).unlink(missing_ok=True)


def run(*command: str, cwd: Path | None = None, environment: dict[str, str] | None = None) -> bytes:
    """Run a program; its output.

    Raises:
        DistributionError: it is not installed, or failed.
    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin:/sbin"
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            env=os.environ | {"PATH": path} | dict(environment or {}),
            capture_output=True,
            check=False,
        )
    except FileNotFoundError as exc:
        raise DistributionError(f"{command[0]} is not installed here: apt-get install {command[0]}") from exc
    if done.returncode:
        words = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()[-12:]
        raise DistributionError(f"{command[0]} failed: " + "\n".join(words))
    return done.stdout
