"""The boards' events of a run, kept as CSV: what a node would have received (docs/wire.md has kinds and values)."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

from wayside.cloud.sim.errors import SimulateError
from wayside.firmware_bridge.line.messages import Event

HEAD = ("light", "ms", "kind", "channel", "value")


class EventsFile:
    """Raises: SimulateError: it cannot be written."""

    def __init__(self, path: Path) -> None:
        try:
            self._file = path.open("w", newline="", encoding="utf-8")
        except OSError as exc:
            raise SimulateError(f"cannot write the events to {path}: {exc.strerror}; choose another --events") from exc
        self._rows = csv.writer(self._file)
        self._rows.writerow(HEAD)

    def keep(self, light: str, events: Iterable[Event], begin_ms: int) -> None:
        """``begin_ms``: the board's time at the begin of the simulation, from which the file counts."""
        self._rows.writerows((light, e.ms - begin_ms, e.kind, e.channel, e.value) for e in events)

    def __enter__(self) -> EventsFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()
