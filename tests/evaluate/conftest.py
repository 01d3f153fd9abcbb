"""A small data directory with a task of its own: two detectors, three weeks, and the week after."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.simulators.odd_names import ODD

TASK = """
[task]
wire = 1
name = "small"
domain = "traffic"
output = "volume"
output_unit = "{veh}"
window = 4
horizon = 2
interval_s = 3600.0
season = 24
holdout_days = 5
validation_days = 4
[[task.inputs]]
name = "volume"
unit = "{veh}"
low = 0.0
high = 400.0
[[task.inputs]]
name = "hour"
unit = "h"
low = 0.0
high = 24.0
[data]
layout = "long"
files = ["small_*.csv"]
time = ["timestamp"]
site = "detector"
[fit]
family = "mlp"
epochs = 6
[goal]
metric = "mae"
value = 1000.0
[[published]]
name = "somebody"
value = 9.5
source = "A paper, 2020"
"""


def write(path: Path, first: str, days: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    hours = np.arange(np.datetime64(first, "h"), np.datetime64(first, "h") + 24 * days)
    lines = ["timestamp,detector,volume"]
    for detector, level in (("north", 60), ("south", 120)):
        wave = level * (1 + 0.6 * np.sin((hours.astype(int) % 24) * 2 * np.pi / 24))
        counts = rng.poisson(wave)
        lines += [f"{hour}:00,{detector},{count}" for hour, count in zip(hours, counts, strict=True)]
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("evaluate") / ODD
    made.mkdir(parents=True)
    (made / "small.toml").write_text(TASK)
    (made / "data").mkdir()
    (made / "later").mkdir()
    write(made / "data" / "small_may.csv", "2024-05-06", 21, 0)
    write(made / "later" / "small_june.csv", "2024-05-27", 7, 1)
    return made
