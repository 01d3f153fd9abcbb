"""The five nodes of the demo, one of each domain."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from wayside.cloud.demo import corner, forecourt, held_out, kiosk, mast
from wayside.cloud.demo.intersection import Intersection
from wayside.cloud.demo.node import Node
from wayside.contracts.task import TaskSpec

KINDS: tuple[type[Node], ...] = (Intersection, kiosk.Kiosk, mast.Mast, corner.Corner, forecourt.Forecourt)
MODELS: dict[str, str] = {bundle: task for kind in KINDS for bundle, task in kind.models.items()}
"""bundle → the shipped task that it is trained by"""


def nodes(run: Callable[[str], Path], tasks: Mapping[str, TaskSpec]) -> list[Node]:
    """The nodes, fed with what the runs have kept from their models.

    Args:
        run: of a bundle, the folder of its training run.
        tasks: of a bundle, what its passport says.
    """

    def series(kind: type[Node], days: int, worst: str = "") -> held_out.Series:
        bundle = next(iter(kind.models))
        return held_out.series(run(bundle), tasks[bundle], kind.timezone, days, worst=worst)

    pictures = run("corner-vehicles")
    return [
        Intersection.of_log(),
        kiosk.Kiosk(series(kiosk.Kiosk, kiosk.DAYS)),
        mast.Mast(series(mast.Mast, mast.DAYS, "pm2.5")),
        corner.Corner(pictures, held_out.labels(pictures)),
        forecourt.Forecourt(series(forecourt.Forecourt, forecourt.DAYS)),
    ]
