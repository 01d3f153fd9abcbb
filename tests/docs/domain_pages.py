"""The configuration that each page of docs/domains shows is the demo's own: ``python -m tests.docs.domain_pages``."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd

from wayside.cloud.demo.corner import Corner
from wayside.cloud.demo.feeds import Detector, Feed
from wayside.cloud.demo.forecourt import Forecourt
from wayside.cloud.demo.held_out import Series
from wayside.cloud.demo.intersection import Intersection
from wayside.cloud.demo.kiosk import Kiosk
from wayside.cloud.demo.mast import Mast
from wayside.cloud.demo.node import Node, Place
from wayside.cloud.train.taskfile import load_task

FOLDER = Path(__file__).parents[2] / "docs" / "domains"
PLACE = Place(
    folder=Path("/run/demo"),
    hub="http://127.0.0.1:8000",
    token="t" * 16,
    root=Path("/run/demo/root.json"),
    port=5020,
    speed=40.0,
    anchor=1.78e9,
)
BLOCK = re.compile(r"(?<=```toml\n).*?(?=```)", re.DOTALL)


def small() -> list[Node]:
    """The demo's five nodes with feeds of a few days; the intersection has four detectors, so that a page holds it."""

    def made(task: str, days: int = 7) -> Series:
        spec = load_task(task).task
        rows = round(days * 86400 / spec.interval_s)
        return Series(1386162000.0, spec.interval_s, {i.name: np.arange(float(rows)) % 24 for i in spec.inputs})

    detectors = {15: Detector(5, "Advance"), 26: Detector(8, "Presence"), 27: Detector(5, "Presence")}
    detectors[37] = Detector(6, "Presence")
    rows = [(10 * i, 1, channel, 1) for i, channel in enumerate(detectors)]
    feed = Feed(rows, pd.Timestamp("2024-04-15 12:00"), 7200.0, dict.fromkeys(detectors, 1))
    return [
        Intersection(feed, detectors),
        Kiosk(made("kiosk_load")),
        Mast(made("mast_pm25")),
        Corner(Path("/run/demo/train"), np.arange(500) % 2),
        Forecourt(made("forecourt_arrivals")),
    ]


def current(page: str, node: Node) -> str:
    """``page`` with the node's configuration."""
    return BLOCK.sub(lambda _: "\n".join(node.sections(PLACE)) + "\n", page, count=1)


if __name__ == "__main__":
    for each in small():
        path = FOLDER / f"{each.domain}.md"
        path.write_text(current(path.read_text(), each))
