"""One CSV file as columns of texts, and how its cells are read or refused: by file, line, column and rule."""

from __future__ import annotations

import gzip
import zlib
from array import array
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt

from wayside import csv_dialect
from wayside.cloud.train import stamps
from wayside.cloud.train.errors import DataError
from wayside.cloud.train.taskfile import Column, Data
from wayside.csv_dialect import Decimal
from wayside.text import TextError, open_file

MAX_BYTES = 1 << 30
"""Of a file's text. The columns that are kept take a few bytes a cell beside it."""
ABSENT = frozenset({"", "nan", "null", "na", "n/a", "#n/a"})
"""Cells without a value, in any case of letters; a task file may name more."""
MAX_NAME = 128  # letters of a site's name, as in contracts.task
_OTHERS = {
    b"PK\x03\x04": "a zip archive (an Excel workbook is one): unpack it, or save the sheet as CSV",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook: save the sheet as CSV",
    b"BZh": "a bzip2 archive: unpack it",
    b"\xfd7zXZ": "an xz archive: unpack it",
    b"\x28\xb5\x2f\xfd": "a zstd archive: unpack it",
    b"PAR1": "a Parquet file: write it as CSV",
    b"%PDF": "a PDF",
    b"SQLite format 3": "a database of SQLite: write the table as CSV",
}


class Cells(NamedTuple):
    """A column: each text is kept once."""

    code: npt.NDArray[np.int32]  # (R,) index into ``texts``
    texts: list[str]  # without blanks around them


class Table:
    """The rows of a CSV, the blank ones left out.

    Attributes:
        columns: those that are needed, by name.
        lines: (R,) at which each row begins, as an editor counts.
        header: line of the header, 0 without one.
        notes: what was guessed, as sentences.
        unnamed: columns without a name and without a value, which are left out.
    """

    def __init__(self, path: Path, data: Data, wanted: Sequence[str] = (), *, every: bool = False) -> None:
        """
        Args:
            wanted: columns that the file must have.
            every: whether the others are needed, too.

        Raises:
            DataError: it is no such file.
        """
        self.path, self._data = path, data
        self.columns: dict[str, Cells] = {}
        self.header = self.unnamed = 0
        self._decimal = cast("Decimal | None", data.decimal)
        self._absent_words = ABSENT | {word.strip().casefold() for word in data.missing_words}
        try:
            self._csv = csv_dialect.read(
                content(path),
                separator=data.separator,
                encoding=data.encoding,
                names=wanted,
                width=len(data.header) or None,
            )
            self.lines = self._read(wanted, every)
        except TextError as exc:
            key = "; write separator into [data]" if "may be separated" in str(exc) else ""
            raise DataError(f"{path}: {exc}{key}") from exc
        self.notes = list(self._csv.notes)
        if self._csv.text[-1:] not in ("\n", "\r"):
            self.notes.append("the last line has no end: complete, or cut off?")
        self._csv = self._csv._replace(text="")

    def __len__(self) -> int:
        return len(self.lines)

    def _read(self, wanted: Sequence[str], every: bool) -> npt.NDArray[np.int32]:
        """Fill ``columns``; returns the line of each row."""
        rows = self._csv.rows()
        names = list(self._data.header)
        if not names:
            header = next(rows, None)
            if header is None:
                raise DataError(f"{self.path}: is empty; a CSV begins with a header line")
            self.header = header.line
            names = self._names(header, wanted, every)
        width = len(names)
        kept = [i for i, name in enumerate(names) if name and (every or name in wanted)]
        nameless = [i for i, name in enumerate(names) if not name and every]
        texts: list[dict[str, int]] = [{} for _ in kept]
        codes = [array("i") for _ in kept]
        takers: list[tuple[int, dict[str, int], Callable[[int], None]]] = [
            (i, seen, column.append) for i, seen, column in zip(kept, texts, codes, strict=True)
        ]
        lines = array("i")
        for line, cells in rows:
            if len(cells) != width and (len(cells) < width or any(map(str.strip, cells[width:]))):
                raise DataError(f"{self.path}: line {line}: {self._counted(len(cells), width, cells)}")
            for i in nameless:
                if cells[i].strip():
                    raise DataError(
                        f"{self.path}: line {line}: column {i + 1} holds {cells[i].strip()!r} and has no name in the "
                        "header: give it one, or take it out"
                    )
            lines.append(line)
            for i, seen, append in takers:
                text = cells[i]
                append(seen.setdefault(text, len(seen)))
        if not lines:
            after = "" if self._data.header else " after the header"
            raise DataError(f"{self.path}: line {self.header + 1}: there is no data{after}")
        self.unnamed += len(nameless)
        for i, seen, column in zip(kept, texts, codes, strict=True):
            self.columns[names[i]] = _stripped(seen, np.frombuffer(column, np.int32))
        return np.frombuffer(lines, np.int32)

    def _names(self, header: csv_dialect.Row, wanted: Sequence[str], every: bool) -> list[str]:
        names = [cell.strip() for cell in header.cells]
        while names and not names[-1]:  # a separator at the end of each line
            names.pop()
            self.unnamed += 1
        place = f"{self.path}: line {header.line}"
        missing = next((name for name in wanted if name not in names), None)
        if missing is not None:
            shown = ", ".join(repr(n) for n in names[:12]) + (", …" if len(names) > 12 else "")
            kind = csv_dialect.SEPARATORS.get(self._csv.separator, repr(self._csv.separator))
            near = next((n for n in names if n.casefold() == missing.casefold()), None)
            meant = f"; {near!r} is spelled otherwise" if near else ""
            raise DataError(
                f"{place}: column {missing} is missing{meant}; separated by {kind}, the columns are {shown}"
            )
        used = [n for n in names if every or n in wanted]
        if again := csv_dialect.twice(used):
            raise DataError(f"{place}: two columns are called {again!r}: give each a name of its own")
        if wrong := csv_dialect.misnamed(used):
            raise DataError(f"{place}: the column {wrong}")
        return names

    def _counted(self, cells: int, width: int, row: Sequence[str]) -> str:
        rule = f"has {cells} cells under {width} columns"
        if cells < width:
            return f"{rule}; is the row cut off?"
        if self._csv.separator == "," and self._data.separator is None:
            return f"{rule}; a cell that holds a comma, such as a decimal one, stands in quotation marks"
        return f"{rule}: {row[width]!r} has no column" if row[width].strip() else rule

    def refuse(self, bad: npt.NDArray[np.bool_], column: str, cells: Cells, rule: Callable[[str], str] | str) -> None:
        """
        Args:
            bad: (T,) which of the column's texts break ``rule``.

        Raises:
            DataError: naming the first row that has one of them.
        """
        if bad.any():
            row = int(np.flatnonzero(bad[cells.code])[0])
            text = cells.texts[cells.code[row]]
            said = rule if isinstance(rule, str) else rule(text)
            raise DataError(f"{self.path}: line {self.lines[row]}: column {column}: {text[:80]!r} {said}")

    def names(self, column: str) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
        """(R,) index of each row's site, and the sites' names."""
        cells = self.columns[column]
        self.refuse(_where(cells, lambda t: not t), column, cells, f"is empty; name the {column}")
        long = _where(cells, lambda t: len(t) > MAX_NAME)
        self.refuse(long, column, cells, f"is longer than the {MAX_NAME} letters of a name")
        hidden = _where(cells, lambda t: not t.isprintable())
        self.refuse(hidden, column, cells, "has an invisible character: write the name without it")
        if wrong := csv_dialect.misnamed(cells.texts):
            raise DataError(f"{self.path}: column {column}: {wrong}")
        return cells.code.astype(np.int64), tuple(cells.texts)

    def seconds(self, interval_s: float) -> npt.NDArray[np.int64]:
        """(R,) start of each row's interval, from the columns that make its time."""
        data, columns = self._data, self._data.time
        name, cells = " ".join(columns), self.columns[columns[0]]
        if len(columns) > 1:
            cells = _joined([self.columns[c] for c in columns])
        if not data.zone and not data.time_format:
            zoned = _where(cells, stamps.has_offset)
            rule = "has a time zone; write local time without it, or name the zone of the streets as [data] zone"
            self.refuse(zoned, name, cells, rule)
        how = {"exact": data.time_exact, "utc": bool(data.zone), "decimal": self._decimal or "."}
        read = stamps.moments(cells.texts, data.time_format, **how)
        self.refuse(~read.known, name, cells, self._no_time)
        seconds = read.seconds
        if data.day_starts:
            seconds = seconds + 86_400 * (seconds % 86_400 < 3600 * data.day_starts)
        if data.layout != "nab":
            off = (seconds % round(interval_s) != 0) | ~read.whole
            rule = f"is no start of an interval of {interval_s:g} s; sum the counts to that grid first"
            self.refuse(off, name, cells, rule)
        return cast("npt.NDArray[np.int64]", seconds[cells.code])

    def _no_time(self, text: str) -> str:
        form = self._data.time_format
        if not text:
            return "is empty: each row has its time"
        if form in stamps.WORDS:
            like = f'a time as time_format = "{form}" has it'
        else:
            like = f"a time like {form}" if form else "an ISO 8601 time like 2024-04-18T07:15"
        return f"is not {like}{stamps.hint(text, form)}"

    def learn_decimal(self, columns: Sequence[str]) -> None:
        """Find the decimal sign, unless the task file says it, from the numbers in ``columns``."""
        if self._decimal is not None:
            return
        texts = (t for c in columns for t in self.columns[c].texts)
        try:
            guessed = csv_dialect.guess_decimal(texts, self._csv.separator)
        except TextError as exc:
            raise DataError(
                f'{self.path}: {exc}; write decimal = "," or decimal = "." into [data] of the task file'
            ) from exc
        if guessed == ",":
            self.notes.append("decimal comma")
        self._decimal = guessed or "."

    def is_empty(self, column: str) -> bool:
        return all(map(self._absent, self.columns[column].texts))

    def _absent(self, text: str) -> bool:
        return text.casefold() in self._absent_words

    def numbers(self, column: str, rule: Column) -> Numbers:
        """A column before it is scaled."""
        cells = self.columns[column]
        decimal = self._decimal or "."
        words = {w: float(i) for i, w in enumerate(rule.words)}
        value = np.full(len(cells.texts), np.nan)
        absent, unknown = np.zeros(len(value), bool), np.zeros(len(value), bool)
        for i, text in enumerate(cells.texts):
            if text in words:
                value[i] = words[text]
            elif self._absent(text):
                absent[i] = True
            elif words:
                unknown[i] = True
            elif (number := csv_dialect.number(text, decimal)) is not None:
                value[i] = number
        bad = np.isnan(value) & ~absent & ~unknown
        self.refuse(bad, column, cells, lambda text: _no_number(text, decimal))
        code = cells.code
        return Numbers(value[code], empty=int(absent[code].sum()), unknown=int(unknown[code].sum()))


class Numbers(NamedTuple):
    values: npt.NDArray[np.float64]  # (R,) NaN where there is none
    empty: int
    unknown: int  # words that the task does not know


def content(path: Path) -> bytes:
    """The bytes of a file, unpacked if it is gzip's.

    Raises:
        DataError: it cannot be read, is too large, or is a file of another kind.
    """
    try:
        with open_file(path) as file:
            begin = file.read(16)
            file.seek(0)
            if begin.startswith(b"\x1f\x8b"):
                with gzip.GzipFile(fileobj=file) as unpacked:
                    data = unpacked.read(MAX_BYTES + 1)
            else:
                data = file.read(MAX_BYTES + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as exc:
        raise DataError(f"{path}: is a damaged gzip archive: {exc}") from exc
    except OSError as exc:
        raise DataError(f"{path}: cannot be read: {exc.strerror or exc}") from exc
    if len(data) > MAX_BYTES:
        raise DataError(f"{path}: is longer than {MAX_BYTES >> 30} GiB unpacked: give it as several files")
    for mark, kind in _OTHERS.items():
        if begin.startswith(mark):
            raise DataError(f"{path}: is no CSV but {kind}")
    return data


def _no_number(text: str, decimal: Decimal) -> str:
    if csv_dialect.number(text, "," if decimal == "." else ".") is not None:
        return f'is not a number where the decimal sign is "{decimal}"'
    return "is not a number; leave it empty if missing, or name such cells in [data] missing_words"


def _where(cells: Cells, rule: Callable[[str], bool]) -> npt.NDArray[np.bool_]:
    return np.fromiter(map(rule, cells.texts), bool, len(cells.texts))


def _stripped(seen: dict[str, int], code: npt.NDArray[np.int32]) -> Cells:
    """The column whose texts are the keys of ``seen``, once the blanks around them are gone."""
    texts: dict[str, int] = {}
    place = np.array([texts.setdefault(text.strip(), len(texts)) for text in seen], np.int32)
    return Cells(place[code] if len(texts) < len(seen) else code, list(texts))


def _joined(parts: Sequence[Cells]) -> Cells:
    """Texts of several columns, with blanks between them, as one column."""
    joined: dict[str, int] = {}
    rows = zip(*(p.code.tolist() for p in parts), strict=True)
    texts = (" ".join(p.texts[c] for p, c in zip(parts, row, strict=True)) for row in rows)
    return Cells(np.fromiter((joined.setdefault(t, len(joined)) for t in texts), np.int32), list(joined))
