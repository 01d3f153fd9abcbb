"""The front door: one table, lazy, with errors that say what to type next."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from wayside.__main__ import VERBS
from wayside.contracts.version import VERSION

ROOT = Path(__file__).parents[1]


def run(*args: str, python: str = sys.executable) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [python, str(ROOT / "wayside.py"), *args], capture_output=True, text=True, timeout=120, check=False
    )


def test_without_a_verb_it_lists_every_verb_and_fails() -> None:
    done = run()
    assert done.returncode == 2
    assert all(verb in done.stdout for verb in VERBS)


def test_an_unknown_verb_is_named() -> None:
    done = run("fly")
    assert done.returncode == 2
    assert "'fly'" in done.stderr


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_every_verb_of_the_table_explains_itself(verb: str) -> None:
    done = run(verb, "--help")
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout


def test_the_version_is_the_distributions() -> None:
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == VERSION
    assert run("--version").stdout == f"wayside {VERSION}\n"


def test_it_runs_as_a_module_too() -> None:
    command = [sys.executable, "-m", "wayside", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout == f"wayside {VERSION}\n"


def test_the_front_door_itself_imports_nothing_heavy() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", str(ROOT / "wayside.py"), "--version"],
        capture_output=True,
        text=True,
        check=True,
    )
    for heavy in ("torch", "numpy", "fastapi", "onnxruntime", "typer", "msgspec"):
        assert f" {heavy}\n" not in done.stderr


def test_the_agents_verb_starts_without_torch_fastapi_or_a_runtime() -> None:
    heavy = ("torch", "fastapi", "onnxruntime", "pandas")
    code = f"import sys, wayside.edge.cli; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_every_room_of_the_table_exists() -> None:
    for verb in VERBS.values():
        path = ROOT / (verb.module.replace(".", "/") + ".py")
        assert path.exists(), verb
        tree = ast.parse(path.read_text())
        names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)} | {
            target.id
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        assert verb.app in names, verb


@pytest.mark.parametrize(
    ("package", "extra", "command"),
    [
        ("torch", "train", ["train", "--out", "o"]),
        ("fastapi", "hub", ["hub", "run", "--data", "d"]),
        ("structlog", "edge", ["agent", "run", "n.toml"]),
        ("serial", "bridge", ["board", "watch", "p"]),
    ],
)
def test_a_missing_package_names_the_extra_to_install(
    package: str, extra: str, command: list[str], tmp_path: Path
) -> None:
    (tmp_path / "n.toml").write_text('node = "n"\nstate_dir = "s"\n')
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); sys.modules[{package!r}] = None\n"
        f"from wayside.__main__ import main; sys.exit(main({command!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert f'pip install "wayside[{extra}]"' in done.stderr
    assert "Traceback" not in done.stderr
