"""Clean environments of one extra and one Python, for tests that install what is built. uv makes each in seconds."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from wayside.firmware_bridge.image.package_index import uv_sources

ROOT = Path(__file__).parents[1]
PYTHONS = ("3.11", "3.12", "3.13")


@cache
def interpreter(python: str) -> str | None:
    """A Python of this version, of the PATH, pyenv or uv; pyenv's programs on the PATH may be set to another one."""
    ask = "import sys; print(sys.executable, '%d.%d' % sys.version_info[:2])"
    tries = [([f"python{python}"], {}), ([sys.executable], {})]
    if shutil.which("pyenv"):
        names = _said(["pyenv", "versions", "--bare"]).split()
        kept = [name for name in names if name.startswith(f"{python}.")]
        tries += [([f"python{python}"], {"PYENV_VERSION": name}) for name in reversed(kept)]
    for command, environment in tries:
        path, _, version = _said([*command, "-c", ask], **environment).strip().rpartition(" ")
        if version == python:
            return path
    return _said(["uv", "python", "find", "--no-project", "--no-python-downloads", python]).strip() or None


def make_environment(folder: Path, wheel: Path, extras: str, python: str, *others: str) -> Path:
    """Install ``wheel`` with ``extras`` into a new environment; returns its folder of programs."""
    found = interpreter(python)
    assert found, f"there is no Python {python}"
    index = uv_sources()
    uv("venv", "--quiet", "--no-project", "--python", found, str(folder))
    wanted = f"wayside{f'[{extras}]' if extras else ''} @ {wheel.as_uri()}"
    place = ["--python", str(folder / "bin" / "python"), "--constraints", str(ROOT / "constraints.txt")]
    uv("pip", "install", "--quiet", *place, *index.options, wanted, *others, **index.environment)
    return folder / "bin"


def installed(programs: Path) -> set[str]:
    """The names of what is installed there, in small letters."""
    listed = uv("pip", "list", "--quiet", "--format", "json", "--python", str(programs / "python"))
    return {part["name"].lower() for part in json.loads(listed)}


def uv(*words: str, **environment: str) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    variables = os.environ | {"PATH": path} | environment
    done = subprocess.run(["uv", *words], env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"uv {' '.join(words)}\n{done.stderr}"
    return done.stdout


def build_wheel(out: Path) -> Path:
    """wayside's wheel as `make dist` builds it, but of the files as they are now: without a package index."""
    place = out / "source"
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        if not name.startswith("tests/") and os.path.lexists(ROOT / name):
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, place / name, follow_symlinks=False)
    code = "import setuptools.build_meta as b, sys; b.build_wheel(sys.argv[1])"
    subprocess.run([sys.executable, "-c", code, str(out)], cwd=place, check=True, capture_output=True)
    return next(out.glob("wayside-*.whl"))


def _said(command: list[str], **environment: str) -> str:
    path = f"{os.environ['PATH']}{os.pathsep}{Path(sys.executable).parent}"
    try:
        done = subprocess.run(
            command, env=os.environ | {"PATH": path} | environment, capture_output=True, text=True, check=False
        )
    except OSError:
        return ""
    return done.stdout if done.returncode == 0 else ""
