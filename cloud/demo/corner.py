"""The street corner: pictures that a model looks at and nobody keeps, and a notice when a vehicle stands there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from wayside.cloud.demo.held_out import WINDOWS, write
from wayside.cloud.demo.node import SPARE_DAYS, Node, Place, intervals

CAMERA, STEP_S, PICTURES_A_STEP = "corner", 900, 5
STEPS = 96  # a day
DRIVES_BY = 0.25  # of the pictures show a vehicle that is gone in the next
STANDS = (30, 31, 33, 34, 60, 61, 62, 63)
"""Steps in which a vehicle is in every picture; two of these times are within an hour."""
SEED = 7
START_UNIX_S = 1713164400.0  # 15 April 2024, midnight in Portland: a day of nobody's, the pictures have no time


class Corner(Node):
    name, domain, runtime, timezone = "corner", "safety", "tflite-runtime", "America/Los_Angeles"
    models = {"corner-vehicles": "corner_vehicles"}
    watched = "corner/vehicle"
    tolerance = 0.15  # it is a model that says so
    start_unix_s = START_UNIX_S
    seconds = float(STEPS * STEP_S)

    def __init__(self, run: Path, labels: npt.NDArray[np.int64]) -> None:
        """``run``: a training run, whose held-out pictures have these classes, 1 is a vehicle."""
        self.run = run
        self.schedule = list(schedule(labels))

    def fed(self) -> float:
        return float(sum(label for at, _, label in self.schedule if at < self.seconds))

    def stored(self, rows: list[dict[str, Any]]) -> float:
        return float(sum((r["value"] or 0.0) * r["n"] for r in intervals(rows, self.watched)))

    def write(self, place: Place) -> None:
        (place.folder / "pictures").mkdir()
        rows = ((START_UNIX_S + at, picture, label) for at, picture, label in self.schedule)
        write(place.folder / "schedule.csv", ["unix_s", "picture", "class"], rows)

    def devices(self, place: Place) -> dict[str, list[str]]:
        folder, csv = str(place.folder / "pictures"), str(place.folder / "schedule.csv")
        pictures = str(self.run / WINDOWS)
        return {"camera": self.device("camera", "--folder", folder, "--pictures", pictures, "--csv", csv, place=place)}

    def sections(self, place: Place) -> list[str]:
        return [
            "[[cameras]]",
            f'name = "{CAMERA}"',
            f'folder = "{place.folder / "pictures"}"',
            'after = "delete"',
            "every_s = 0.05",
            # They are pictures of many places, of few pixels: neither moved nor blurred says anything of this camera.
            "view = { blurred_below = 0.0, dark_below = 0.0, moved_over = 0.5 }",
            "[[tasks]]",
            'name = "vehicles"',
            'bundle = "corner-vehicles"',
            'kind = "classify"',
            f"interval_s = {STEP_S}",
            f'sites = [{{ output = "{CAMERA}" }}]',
            'policy = "picture_notice"',
            'actuator = "corner/notice"',
            'settings = { stopped_class = "vehicle", share = 0.8, steps = 2 }',
            "[[actuators]]",
            'name = "corner/notice"',
            'kind = "notice"',
            "at_most_per_h = 1",
        ]


def schedule(labels: npt.NDArray[np.int64]) -> Iterator[tuple[float, int, int]]:
    """Each picture's time in seconds, number and class; of either class one after the other."""
    draw = np.random.default_rng(SEED)
    numbers = [np.flatnonzero(labels == c) for c in (0, 1)]
    used = [0, 0]
    for step in range(STEPS * (1 + SPARE_DAYS)):
        for k in range(PICTURES_A_STEP):
            label = int(step in STANDS or draw.random() < DRIVES_BY)
            picture = int(numbers[label][used[label] % len(numbers[label])])
            used[label] += 1
            yield STEP_S * (step + (k + 0.5) / PICTURES_A_STEP), picture, label
