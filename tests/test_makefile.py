"""`make` judges both Pythons before it installs anything, and says in one line what to type."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def python(path: Path, version: str) -> Path:
    """A Python that knows how to say its version."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho {version}\n")
    path.chmod(0o755)
    return path


def make(folder: Path, target: str = "pythons", **variables: object) -> tuple[int, str]:
    places = {"VENV": folder / "venv", "EDGE": folder / "edge"}
    words = [f"{name}={value}" for name, value in (places | variables).items()]
    command = ["make", "--no-print-directory", "-s", target, *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


@pytest.mark.parametrize("target", ["demo", "test", "check"])
def test_a_python_that_cannot_train_is_refused_before_anything_is_installed(tmp_path: Path, target: str) -> None:
    unfit = python(tmp_path / "python3.99", "3.99")
    status, said = make(tmp_path, target, PYTHON=unfit)
    (line,) = said.splitlines()
    assert (status, line.startswith(f"PYTHON={unfit} is Python 3.99; ")) == (2, True)
    assert f"make PYTHON=python3.11 EDGE_PYTHON={unfit} demo" in line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["python3.99"]


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"PYTHON": "python3.98"}, "PYTHON=python3.98: there is no such Python here"),
        ({"EDGE_PYTHON": "python3.98"}, "EDGE_PYTHON=python3.98: there is no such Python here"),
        ({"EDGE_PYTHON": "old"}, "is Python 3.10; a node's runtimes have wheels for 3.11 3.12 3.13"),
    ],
)
def test_what_is_wrong_with_a_python_is_said(tmp_path: Path, variables: dict[str, str], says: str) -> None:
    kept = {"PYTHON": python(tmp_path / "good", "3.11"), "old": python(tmp_path / "old", "3.10")}
    given = {name: kept.get(value, value) for name, value in variables.items()}
    status, said = make(tmp_path, **({"PYTHON": kept["PYTHON"]} | given))
    assert status == 2
    assert says in said


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_a_nodes_python_may_be_another_one(tmp_path: Path, version: str) -> None:
    good, node = python(tmp_path / "good", "3.11"), python(tmp_path / "node", version)
    assert make(tmp_path, PYTHON=good, EDGE_PYTHON=node) == (0, "")


def test_an_environment_of_another_python_is_not_taken_for_the_one_that_was_asked_for(tmp_path: Path) -> None:
    good, node = python(tmp_path / "good", "3.11"), python(tmp_path / "node", "3.13")
    python(tmp_path / "edge/bin/python", "3.11")
    status, said = make(tmp_path, PYTHON=good, EDGE_PYTHON=node)
    assert status == 2
    assert "was made with 3.11: run 'make clean' first" in said
    assert make(tmp_path, PYTHON=good) == (0, "")
