"""Events of a file: a recording of a board's line, or a log in Indiana's and Purdue's codes as CSV.

The CSV has a head line with ``TimeStamp`` (ISO 8601, or seconds), ``EventId`` and ``Parameter``, in any order and case.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from wayside import csv_dialect
from wayside.edge.commission.record import CommissionError
from wayside.edge.commission.wiring.observed import Observer
from wayside.firmware_bridge.errors import BridgeError
from wayside.firmware_bridge.line.board import BoardLink, Gap
from wayside.firmware_bridge.line.messages import Event, EventKind, Identity
from wayside.firmware_bridge.line.recording import load
from wayside.text import TextError, open_file, read_file

# Indiana Traffic Signal Hi Resolution Data Logger Enumerations (Purdue e-Pubs, 2012)
CODES = {
    1: (EventKind.PHASE_GREEN, 0),
    8: (EventKind.PHASE_YELLOW, 0),
    10: (EventKind.PHASE_RED, 0),  # begin of red clearance
    81: (EventKind.DETECTOR, 0),
    82: (EventKind.DETECTOR, 1),
}
_COLUMNS = ("timestamp", "eventid", "parameter")


def read_events(path: Path) -> Observer:
    """Raises: CommissionError: it cannot be read, or is neither."""
    observer = Observer()
    try:
        with open_file(path) as file:
            first = file.read(1)
        if first == b"{":
            _replay(path, observer)
        else:
            for event in sorted(_rows(path), key=lambda e: e[0]):
                observer.take(*event)
    except OSError as exc:
        raise CommissionError(f"{path}: {exc.strerror or exc}") from exc
    except (BridgeError, TextError) as exc:
        raise CommissionError(f"{path}: neither a recording of a board nor a CSV of events: {exc}") from exc
    return observer


def _replay(path: Path, observer: Observer) -> None:
    link = BoardLink(None)
    link.hello()
    for row in load(path):
        if row.speaker == "board":
            for message in link.receive(bytes.fromhex(row.hex)):
                take(message, observer)


def take(message: object, observer: Observer) -> None:
    """What ``observer`` must know of a message from a board."""
    if isinstance(message, Event):
        observer.take(message.ms, message.kind, message.channel, message.value)
    elif isinstance(message, Gap) or (isinstance(message, Identity) and message.rebooted):
        observer.interrupt()


def _rows(path: Path) -> Iterator[tuple[int, int, int, int]]:
    rows = csv_dialect.read(read_file(path)).rows()
    head = [name.strip().lower() for name in next(rows, csv_dialect.Row(1, [])).cells]
    if not set(_COLUMNS) <= set(head):
        raise CommissionError(f"{path}: its head line has the columns TimeStamp, EventId and Parameter")
    at, event, parameter = (head.index(name) for name in _COLUMNS)
    devices = set()
    device = head.index("deviceid") if "deviceid" in head else None
    for line, row in rows:
        try:
            code = CODES.get(int(row[event]))
            if code is None:
                continue
            if device is not None:
                devices.add(row[device])
            yield _ms(row[at]), code[0], int(row[parameter]), code[1]
        except (ValueError, IndexError, OverflowError) as exc:
            raise CommissionError(f"{path}, line {line}: is no event: {exc}") from exc
    if len(devices) > 1:
        raise CommissionError(f"{path}: has events of {len(devices)} devices: give those of one")


def _ms(text: str) -> int:
    try:
        return round(float(text) * 1000)
    except ValueError:
        at = datetime.fromisoformat(text.strip())
        return round((at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp() * 1000)
