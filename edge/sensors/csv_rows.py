"""Lines of a feeding system's CSV file → entries. Pure; the bytes are hostile."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from wayside.contracts.manual_config import ManualFileConfig
from wayside.csv_dialect import separator_of
from wayside.edge.errors import EdgeError
from wayside.edge.sources.entry import Entry
from wayside.text import TextError, decode

_NUMBER = re.compile(r"[+-]?[0-9]{1,15}(\.[0-9]{1,15})?")
_ID_CHARS = 128


class LineUnreadable(EdgeError):  # noqa: N818
    """A line of a CSV file says nothing that a node can take. The message quotes none of it: it may be a patient's."""


class CsvRows:
    """Reads the rows below one header.

    Attributes:
        last_ms: Unix time of the row before: which of the two it is where a night in autumn has a local time twice.
    """

    def __init__(self, config: ManualFileConfig, timezone: str, totals: frozenset[str], header: bytes) -> None:
        """
        Args:
            totals: datastreams that get totals.

        Raises:
            LineUnreadable: the header lacks a column.
        """
        self._config, self._totals = config, totals
        self._zone = ZoneInfo(config.timezone or timezone)
        self.last_ms = 0
        text = _text(header.removeprefix(b"\xef\xbb\xbf"), config.encoding)
        wanted = [config.time, *config.columns, *([config.id] if config.id is not None else [])]
        self._separator = separator_of(text, wanted)
        names = [name.strip() for name in _fields(text, self._separator)]
        for name in wanted:
            if names.count(name) != 1:
                many = "no" if name not in names else "more than one"
                raise LineUnreadable(f"the first line has {many} column {name}")
        self._time = names.index(config.time)
        self._id = names.index(config.id) if config.id is not None else None
        self._columns = [(names.index(column), name) for column, name in config.columns.items()]
        self._width = len(names)

    def entries(self, line: bytes) -> list[Entry]:
        """Those of one line, without its end; an empty cell says nothing.

        Raises:
            LineUnreadable: it has other columns than the header, no time, or a cell that is no number.
        """
        fields = _fields(_text(line, self._config.encoding), self._separator)
        if len(fields) != self._width:
            raise LineUnreadable(f"{len(fields)} columns, and the first line has {self._width}")
        at_ms = self._unix_ms(fields[self._time].strip())
        id_ = fields[self._id].strip() if self._id is not None else None
        if id_ is not None and not 1 <= len(id_) <= _ID_CHARS:
            raise LineUnreadable(f"the id has 1 to {_ID_CHARS} characters")
        entries = []
        for index, name in self._columns:
            cell = fields[index].strip()
            if cell:
                interval_s = self._config.interval_s if name in self._totals else None
                to_ms = None if interval_s is None else at_ms + round(interval_s * 1000)
                entries.append(Entry(name, self._number(cell), at_ms, to_ms, id_ if to_ms is None else None))
        return entries

    def _number(self, cell: str) -> float:
        if self._config.decimal == ",":
            if "." in cell:
                raise LineUnreadable('a number has a point; decimal is ","')
            cell = cell.replace(",", ".")
        if not _NUMBER.fullmatch(cell):
            hint = '; decimal is "."' if "," in cell else ""
            raise LineUnreadable(f"a cell is no number{hint}")
        value = float(cell)
        if not math.isfinite(value) or abs(value) > 1e12:
            raise LineUnreadable("a number is too large")
        return value

    def _unix_ms(self, cell: str) -> int:
        """A local time that a night in autumn has twice is the later one where the rows before have passed it."""
        form = self._config.time_format
        try:
            at = datetime.fromisoformat(cell) if form is None else datetime.strptime(cell, form)
            if at.tzinfo is None:
                at = at.replace(tzinfo=self._zone)
                if at.astimezone(UTC).astimezone(self._zone).replace(tzinfo=None) != at.replace(tzinfo=None):
                    raise LineUnreadable("a time that the clocks skipped in spring")
                passed = at.timestamp() * 1000 - self.last_ms
                if passed < 0 or (passed == 0 and self._config.interval_s is not None):
                    at = at.replace(fold=1)
            self.last_ms = round(at.timestamp() * 1000)
        except (ValueError, OverflowError) as exc:
            raise LineUnreadable("the time is none: time_format says how it is written") from exc
        return self.last_ms


def _text(line: bytes, encoding: str) -> str:
    try:
        return decode(line, encoding).text
    except TextError as exc:
        raise LineUnreadable(f"is no {encoding} text: encoding says what it is") from exc


def _fields(text: str, separator: str) -> Sequence[str]:
    if "\0" in text or "\n" in text:
        raise LineUnreadable("has bytes that are no text")
    try:
        rows = list(csv.reader([text.rstrip("\r")], delimiter=separator, strict=True))
    except csv.Error as exc:
        raise LineUnreadable(f"is no CSV: {exc}") from exc
    return rows[0] if rows else [""]
