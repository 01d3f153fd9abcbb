"""Files of a node's state directory that people and tools look into, and how the status is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

OUTBOX_FILE = "node.sqlite3"
LOCK_FILE = "agent.lock"
STATUS_FILE = "status.json"


def replace_status(path: Path, document: Any) -> None:
    """Write a small JSON file for people to look at; it appears whole or not at all."""
    part = path.with_suffix(".part")
    part.write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=1))
    part.replace(path)
