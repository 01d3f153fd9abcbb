"""Where a simulation reads and keeps. Light to import."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class Kept(NamedTuple):
    data: Path | None  # the data directory; None: data are made up
    runs: Path  # run directories, one a training task
    bundle: Path | None = None  # of the model; None: it is trained and exported
    seed: int = 0
