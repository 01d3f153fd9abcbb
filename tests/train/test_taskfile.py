"""The page on data says all that a task file may say, and its example works."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from wayside.cloud.train import datasets
from wayside.cloud.train.grid import Grid
from wayside.cloud.train.taskfile import Column, Data, Fit, Generated, Goal, Published, TaskFile, load_task, task_names
from wayside.contracts.task import Input, TaskSpec

PAGE = (Path(__file__).parents[2] / "docs" / "data.md").read_text()


@pytest.mark.parametrize("kind", [TaskFile, TaskSpec, Input, Data, Column, Fit, Generated, Goal, Published])
def test_every_key_is_on_the_page(kind: type) -> None:
    known = set(re.findall(r"`\[*([a-z_]+)\]*`", PAGE)) | {"extra", "wire", "task", "data", "fit", "columns"}
    assert set(kind.__struct_fields__) <= known, set(kind.__struct_fields__) - known


def test_every_task_is_on_the_page() -> None:
    assert {f"`{name}`" for name in task_names()} <= set(re.findall(r"`\w+`", PAGE))


def test_the_example_reads_a_file_as_it_says(tmp_path: Path) -> None:
    example = re.search(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    assert example
    (tmp_path / "bridges.toml").write_text(example[1])
    rows = [f"{3 + h // 24:02d}.03.2025,{h % 24}:00,{b},{h},{50 if h else -999}" for h in range(48) for b in ("a", "b")]
    rows.append("03.03.2025,7:00,a,10,50")  # another lane
    (tmp_path / "bridges_2025.csv").write_text("day,clock,bridge,bikes,temp_f\n" + "\n".join(rows))
    grid, found = datasets.load(load_task(str(tmp_path / "bridges.toml")), tmp_path)
    assert isinstance(grid, Grid)
    assert found.task.sites == ("a", "b")
    assert grid.values[0, 7].tolist() == [17, pytest.approx(10)]
    assert np.isnan(grid.values[:, 0, 1]).all()
