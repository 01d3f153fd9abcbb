"""README's journey as newcomers walk it who have no checkout: each role's wheel in an environment of its own, beside a
distribution that takes every name of ours for itself and meddles with Python's start."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.e2e.test_readme import ROOT, Shell, walk
from tests.environments import build_wheel, interpreter, make_environment
from tests.simulators.base_image import small_wheel
from wayside.firmware_bridge.image.package_index import uv_sources

ROOMS = ("contracts", "models", "cloud", "export", "edge", "firmware_bridge")
TAKEN = (*ROOMS, "tests", "docs", "distribution", "constraints", "durable", "text", "pages")
# What each verb's environment has been installed with.
ROLES = {"train": "train,export", "release": "release", "hub": "hub", "agent": "edge"}
ROLE_OF = {"export": "train", "rollout": "hub", "node": "agent"} | {role: role for role in ROLES}
# Python runs a line of a .pth file that begins with "import" at every start.
MESS = b"import sys; sys.path.insert(0, sys.prefix + '/hostile'); sys.path.append('.')\n"

pytestmark = [pytest.mark.network, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    refuses = {f"{name}/__init__.py": f"raise AssertionError('another {name}')\n".encode() for name in TAKEN}
    first = {f"hostile/{name}.py": f"raise AssertionError('another {name}')\n".encode() for name in TAKEN}
    mess = {"hostile.pth": MESS, "sitecustomize.py": b"import builtins\nbuiltins.hostile = True\n"}
    data = {f"hostile-1.0.data/data/{name}": content for name, content in first.items()}
    return small_wheel(tmp_path_factory.mktemp("hostile"), "hostile", "1.0", refuses | mess | data)


def test_the_journey_from_wheels_beside_a_hostile_distribution(hostile: Path, tmp_path: Path) -> None:
    if interpreter("3.11") is None:
        pytest.skip("no Python 3.11 here: training is tried on no other")
    wheel = build_wheel(tmp_path / "wheel")
    with ThreadPoolExecutor(2) as pool:
        made = [
            pool.submit(make_environment, tmp_path / role, wheel, extras, "3.11", str(hostile))
            for role, extras in ROLES.items()
        ]
        programs = dict(zip(ROLES, (each.result() for each in made), strict=True))
    folder = tmp_path / "home"
    folder.mkdir()
    for name in TAKEN:  # a person's own folders
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text("raise AssertionError('of this folder')\n")
    rows = "".join(f'  {verb}) exec {programs[role]}/wayside "$@" ;;\n' for verb, role in ROLE_OF.items())
    shell = Shell(folder, f'case "$1" in\n{rows}esac\nexit 99')
    walk(shell)

    # The mess was there all the while, and what an operator has brings no torch.
    assert "No module named 'torch'" in python_says(programs["release"], tmp_path, "import torch")
    assert "another edge" in python_says(programs["agent"], tmp_path, "import edge")
    # Nodes' wheels can be had without a checkout, of exactly what is installed here.
    code = "import pathlib, wayside.firmware_bridge.image.own_wheel as w; w.own_wheel(None, pathlib.Path('.'))"
    assert python_says(programs["agent"], folder, code) == ""
    assert (folder / wheel.name).exists()


def lines_that_install() -> list[str]:
    """The ``sh`` block of the README's section, without its remarks."""
    text = (ROOT / "README.md").read_text().split("## Install per role", 1)[1]
    block = re.search(r"```sh\n(.*?)```", text, re.DOTALL)
    assert block is not None
    lines = [re.sub(r"\s+#.*$", "", line) for line in block[1].splitlines()]
    return [*lines, *re.findall(r"# or: (.+)", block[1])]


@pytest.mark.parametrize(
    ("line", "verb"),
    [
        ('pip install -c $C "${W}[hub]"', "hub"),
        ('pipx install --pip-args="-c $C" "${W}[bridge]"', "flash"),
        ('uv tool install -c $C "${W}[bridge]"', "flash"),
    ],
)
def test_each_installer_takes_its_line_as_it_stands_in_the_readme(line: str, verb: str, tmp_path: Path) -> None:
    """In a folder with nothing but ``dist/``; what each extra brings is another test's (tests/test_extras.py)."""
    python = interpreter("3.11")
    if python is None:
        pytest.skip("no Python 3.11 here")
    variables, *lines = lines_that_install()
    assert line in lines
    build_wheel(tmp_path / "dist")
    shutil.copy(ROOT / "constraints.txt", tmp_path / "dist")
    place = tmp_path / "environment"
    subprocess.run([python, "-m", "venv", place], check=True)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("WAYSIDE", "PYTHON"))}
    environment |= {"PATH": f"{place / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"}
    environment |= {name: str(place / "kept") for name in ("PIPX_HOME", "UV_TOOL_DIR")}
    environment |= {name: str(place / "bin") for name in ("PIPX_BIN_DIR", "UV_TOOL_BIN_DIR")}
    environment |= {"UV_PYTHON": python, "PIPX_DEFAULT_PYTHON": python}
    if line.startswith("pipx"):
        line = f"pip install -q pipx && {line}"
    elif line.startswith("uv"):  # where uv has no configuration of its own: pip's
        environment |= uv_sources().environment
        line = line.replace("uv tool install", shlex.join(["uv", "tool", "install", *uv_sources().options]))

    def typed(command: str) -> str:
        script = ["bash", "-c", f"set -e\n{variables}\n{command}"]
        done = subprocess.run(script, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        return done.stdout

    typed(line)
    assert "Usage" in typed(f"{place}/bin/wayside {verb} --help")
    if verb == "hub":  # pip's: what a message says then: another extra, and still this wayside
        typed('pip install -q -c $C "wayside[release]"')
        shown = typed("pip freeze")
        assert re.search(r"(?m)^wayside @ file://.*/dist/wayside-", shown)
        assert re.search(r"(?m)^tuf==", shown)


def python_says(programs: Path, folder: Path, code: str) -> str:
    done = subprocess.run([programs / "python", "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    return done.stderr
