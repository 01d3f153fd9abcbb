"""What a model is trained on is what it is given on a node, bit for bit: one CSV through both."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pytest

from tests.train.taskfiles import taskfile
from wayside.cloud.train import datasets, files
from wayside.cloud.train.errors import DataError
from wayside.cloud.train.grid import on_grid
from wayside.cloud.train.taskfile import TaskFile
from wayside.contracts.node_config import ClockConfig
from wayside.contracts.task_config import Datastream, SiteConfig, TaskConfig
from wayside.contracts.windows import Float32
from wayside.edge.clock import LocalCalendar, ScaledClock
from wayside.edge.history import Calendar, History
from wayside.edge.sources.step import Grid
from wayside.edge.tasks.window import Window

ZONE = "Europe/Berlin"
NIGHTS = {
    "spring": datetime(2025, 3, 29, 12, tzinfo=UTC),  # the next night has 23 hours
    "autumn": datetime(2025, 10, 25, 12, tzinfo=UTC),  # the next night has 25
    "new year": datetime(2024, 12, 30, 20, tzinfo=UTC),  # 2024 had a 29 February
}
SITES = ("approach 1 / Nord", "2")
OUTPUTS = ("det/1", "det/2")
HOURS = {3600: 56, 900: 26}  # by interval: into the second day after the night


class Row(NamedTuple):
    """One line of the CSV; None: an empty cell."""

    at: datetime  # UTC, start of the interval
    site: str
    volume: float | None
    rain: float | None
    holiday: float
    lanes: float


def days(start: datetime) -> tuple[str, ...]:
    """The second and the fourth local day."""
    first = start.astimezone(ZoneInfo(ZONE)).date()
    return tuple(str(first + timedelta(days=d)) for d in (1, 3))


def table(start: datetime, interval_s: int, gaps: float) -> list[Row]:
    rng = np.random.default_rng(7)
    rows = []
    for i in range(HOURS[interval_s] * 3600 // interval_s):
        at = start + timedelta(seconds=i * interval_s)
        day = at.astimezone(ZoneInfo(ZONE)).date()
        rain = None if rng.random() < gaps else float(rng.integers(0, 400)) / 4
        for n, site in enumerate(SITES):
            volume = None if rng.random() < gaps else float(rng.integers(0, 500))
            rows.append(Row(at, site, volume, rain, float(str(day) in days(start)), n + 2.0))
    return rows


def write(path: Path, rows: list[Row]) -> Path:
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["at", "name", "volume", "rain", "holiday", "lanes"])
        for row in rows:
            cells = ["" if cell is None else cell for cell in row[2:]]
            out.writerow([row.at.isoformat(), row.site, *cells])
    return path


class Stand(ScaledClock):
    now_ns = 0

    def mono_ns(self) -> int:
        return self.now_ns


class Node:
    """The part of a node from closed steps to windows, fed with the rows of the CSV."""

    def __init__(self, rows: list[Row], task: TaskFile, parts: int) -> None:
        """``parts``: steps of an interval."""
        interval_s = round(task.task.interval_s)
        base_s = interval_s // parts
        clock = Stand(ClockConfig(kind="scaled", start_unix_s=rows[0].at.timestamp(), timezone=ZONE))
        self.grid = Grid(clock, base_s)
        sums = tuple(Datastream(name=name, unit="{veh}", aggregate="sum") for name in OUTPUTS)
        mean = (Datastream(name="mast/rain", unit="1", aggregate="mean"),)
        self.history = History([sums, mean])
        calendar = Calendar(self.grid, LocalCalendar(ZONE), {"holiday": days(rows[0].at)})
        config = TaskConfig(
            name="flow",
            bundle="made",
            kind="score" if task.task.kind == "score" else "forecast",
            interval_s=interval_s,
            step_s=base_s,
            lead=task.task.lead,
            horizon=task.task.horizon,
            inputs={"rain": "mast/rain"},
            sites=tuple(
                SiteConfig(output=o, site=s, constants={"lanes": n + 2.0})
                for n, (o, s) in enumerate(zip(OUTPUTS, SITES, strict=True))
            ),
        )
        self.parts = parts
        self.window = Window(task.task, config, base_s, self.history, calendar)
        self._rng = np.random.default_rng(1)
        self._base_s = base_s

    def feed(self, rows: list[Row]) -> Iterator[int]:
        """Close the steps of the rows of one interval; yields the number of each."""
        volumes = [self._split(row.volume) for row in rows]
        rains = self._around(rows[0].rain)
        for part in range(self.parts):
            end_s = rows[0].at.timestamp() + (part + 1) * self._base_s
            clock_ns = int((end_s - self._began) * 1e9)
            number = self.grid.number(clock_ns)
            self.history.put(0, number, [v[part] for v in volumes])
            self.history.put(1, number, [rains[part]])
            yield number

    _began = 0.0

    def run(self, rows: list[Row]) -> Iterator[tuple[int, dict[int, Float32]]]:
        """After each interval: its index, and the window of each site that may go to the model."""
        self._began = rows[0].at.timestamp()
        for index in range(len(rows) // len(SITES)):
            *_, number = self.feed(rows[index * len(SITES) : (index + 1) * len(SITES)])
            assert self.window.fill(number) is None
            usable = self.window.usable(number)
            yield index, {s: self.window.x[s].copy() for s in range(len(SITES)) if s in usable}

    def _split(self, total: float | None) -> list[float | None]:
        """Whole counts that sum to ``total``; where it is missing one part is."""
        if self.parts == 1:
            return [total]
        if total is None:
            parts: list[float | None] = [3.0] * self.parts
            parts[int(self._rng.integers(self.parts))] = None
            return parts
        return [float(n) for n in self._rng.multinomial(int(total), [1 / self.parts] * self.parts)]

    def _around(self, mean: float | None) -> list[float | None]:
        if self.parts == 1 or mean is None:
            return [mean] * self.parts
        return [mean - 0.25 * (self.parts - 1) + 0.5 * part for part in range(self.parts)]


CASES: list[dict[str, Any]] = [
    {"inputs": ("volume",)},
    {"inputs": ("volume", "hour", "weekday", "yearday")},
    {"inputs": ("hour", "volume", "site", "lanes", "rain")},
    {"inputs": ("volume", "rain", "holiday", "hour"), "ahead": ("holiday",), "window": 24, "horizon": 24},
    {"inputs": ("volume", "holiday"), "ahead": ("holiday",), "lead": 4, "horizon": 3, "window": 6},
    {"inputs": ("volume", "holiday", "hour"), "lead": 4},
    {"inputs": ("volume", "hour", "site"), "kind": "score", "window": 8},
    {"inputs": ("hour", "weekday", "yearday", "holiday", "site"), "lead": 0, "horizon": 24, "window": 24},
    {"inputs": ("hour", "rain"), "lead": 0, "window": 5},
    {"inputs": ("hour", "holiday", "yearday"), "ahead": ("holiday",), "lead": 0, "horizon": 24, "window": 24},
]


@pytest.mark.parametrize("night", NIGHTS)
@pytest.mark.parametrize("missing", ["graph", "last"])
@pytest.mark.parametrize(
    ("interval_s", "parts", "gaps"), [(3600, 1, 0.0), (3600, 1, 0.3), (3600, 4, 0.3), (900, 3, 0.3)]
)
@pytest.mark.parametrize("case", CASES, ids=lambda c: "-".join(map(str, c["inputs"])) + f"-lead{c.get('lead', 1)}")
def test_training_and_node_make_the_same_windows(
    tmp_path: Path, night: str, missing: str, interval_s: int, parts: int, gaps: float, case: dict[str, Any]
) -> None:
    task = taskfile(
        f'layout = "long"\ntime = ["at"]\nsite = "name"\nzone = "{ZONE}"',
        **{"window": 4, "missing": missing, "interval_s": float(interval_s), **case},
    )
    known = SITES if "site" in case["inputs"] else ()
    task = msgspec.structs.replace(task, task=msgspec.structs.replace(task.task, sites=known))
    rows = table(NIGHTS[night], interval_s, gaps)
    grid = on_grid(files.read(task, [write(tmp_path / "made.csv", rows)]), task, "made")
    try:
        windows = datasets.windows(grid, task)
    except DataError:
        windows = None
    trained: dict[tuple[int, int], Float32] = {}
    if windows is not None:
        # Sites are sorted in a long file: the shorter name first.
        order = [SITES.index(s) for s in grid.sites]
        known_order = task.task.sites or grid.sites
        assert set(known_order) == set(SITES)
        x = windows.x
        trained = {
            (int(n), order[int(s)]): x[i] for i, (s, n) in enumerate(zip(windows.site, windows.newest, strict=True))
        }
    node = Node(rows, task, parts)
    ahead = int(task.task.lead == 0 and node.window.known_ahead)  # the window ends with the interval that begins now
    compared = 0
    lead = 0 if task.task.kind == "score" else task.task.lead
    reach = max(lead + task.task.horizon - 1, 0)
    intervals = len(rows) // len(SITES)
    volumes = {(i // len(SITES), i % len(SITES)): row.volume for i, row in enumerate(rows)}
    for index, made in node.run(rows):
        newest = index + ahead
        if newest < task.task.window - 1 or newest + reach >= intervals:
            continue
        for site in range(len(SITES)):
            targets = [volumes[newest + lead + h, site] for h in range(task.task.horizon)]
            if any(t is None for t in targets):
                continue  # training has nothing to compare with; the node forecasts all the same
            wanted, found = trained.get((newest, site)), made.get(site)
            assert (wanted is None) == (found is None), (newest, site)
            if wanted is not None and found is not None:
                assert wanted.dtype == found.dtype == np.float32
                np.testing.assert_array_equal(found, wanted, strict=True)
                compared += 1
    assert compared > (0 if gaps and missing == "last" and task.task.window > 20 else 5) or not trained
