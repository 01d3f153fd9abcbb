"""Where the real data are: what `WAYSIDE_DATA` names, else a folder ``shared/data`` beside the checkout."""

from __future__ import annotations

import os
from pathlib import Path

DATA = Path(os.environ.get("WAYSIDE_DATA") or Path(__file__).parents[2] / "shared" / "data")
ABSENT = "the real data are not here: WAYSIDE_DATA names no directory, and there is no shared/data beside the checkout"
