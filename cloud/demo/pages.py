"""Pictures of the hub's page, one for each node."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def take(hub: str, nodes: Sequence[tuple[str, str, str]], folder: Path) -> None:
    """Write FOLDER/DOMAIN.png for each node: its name, its domain, the datastream that its chart shows."""
