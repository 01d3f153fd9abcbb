from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from wayside.cloud.train import datasets
from wayside.cloud.train.grid import Grid
from wayside.cloud.train.run import train, with_fit
from wayside.cloud.train.taskfile import TaskFile, load_task
from wayside.contracts.task import TaskSpec


@pytest.fixture(scope="session")
def taskfile() -> TaskFile:
    return load_task("traffic_flow")


@pytest.fixture(scope="session")
def task(taskfile: TaskFile) -> TaskSpec:
    return taskfile.task


@pytest.fixture(scope="session")
def counts(taskfile: TaskFile) -> Grid:
    """The real sample."""
    grid = datasets.load(taskfile)[0]
    assert isinstance(grid, Grid)
    return grid


@pytest.fixture(scope="session")
def trained(task: TaskSpec, counts: Grid, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A short run of the MLP on the real sample, and its report."""
    out = tmp_path_factory.mktemp("run")
    return out, train(recipe_of(task, "mlp", epochs=2), counts, out)


def recipe_of(task: TaskSpec, family: str, *, epochs: int | None = None, refit: bool = False) -> TaskFile:
    taskfile = load_task("traffic_flow")
    recipe = msgspec.structs.replace(taskfile.fit, refit=refit)
    return with_fit(msgspec.structs.replace(taskfile, task=task, fit=recipe), family=family, epochs=epochs)


@pytest.fixture(scope="session")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the examples of a property share."""
    return tmp_path_factory.mktemp("scratch")


def write_csv(path: Path, *, days: int = 12, detectors: int = 2, extra: str = "", seed: int = 0) -> Path:
    """Counts of a made-up street, quarter-hourly; ``extra`` names an optional column."""
    rng = np.random.default_rng(seed)
    start = np.datetime64("2025-03-03T00:00")
    lines = ["timestamp,detector,volume" + (f",{extra}" if extra else "")]
    for k in range(days * 96):
        level = 20 + 15 * np.sin(k / 96 * 2 * np.pi)
        for d in range(detectors):
            cells = [str(start + 15 * k), f"d{d}", str(rng.poisson(level))] + ([str(d + 1)] if extra else [])
            lines.append(",".join(cells))
    path.write_text("\n".join(lines) + "\n")
    return path
