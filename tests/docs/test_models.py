"""docs/models.md is what `wayside evaluate --from docs/models.json --page` prints, and tells of every task."""

from __future__ import annotations

from pathlib import Path

from wayside.cloud.evaluate.row import decode_rows
from wayside.cloud.evaluate.table import markdown, svg
from wayside.cloud.train.taskfile import task_names

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_and_its_picture_are_current() -> None:
    rows = decode_rows((DOCS / "models.json").read_bytes())
    assert (DOCS / "models.md").read_text() == markdown(rows, "models.svg")
    assert (DOCS / "models.svg").read_text() == svg(rows)


def test_every_task_with_data_of_its_own_is_on_the_page() -> None:
    judged = {row.task for row in decode_rows((DOCS / "models.json").read_bytes())}
    assert set(task_names()) - judged == {
        "traffic_flow",
        "traffic_score",
        "kiosk_load",
        "mast_pm25",
        "corner_vehicles",
        "forecourt_arrivals",
    }  # the demo's: their data come with a package or a seed
