"""CSV as spreadsheets, portals and loggers write it: its encoding, separator, decimal sign, and its rows.

What a file does not say is guessed from its first rows, and told in :attr:`Csv.notes`; what could be read in two ways
is refused. Every room may use this module; it stands on the standard library and :mod:`wayside.text` alone.
"""

from __future__ import annotations

import csv
import itertools
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

from wayside.text import TextError, decode

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
Decimal = Literal[".", ","]
DECIMALS: tuple[Decimal, ...] = (".", ",")
SAMPLE = 50  # rows from which the separator is guessed
_SEP_LINE = re.compile(
    r"""["']?sep=([^\w\s"']|\t)["']?""", re.IGNORECASE
)  # what Excel takes, and writes, as a first line
_PLAIN = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")
_ENDLESS = re.compile(r"[+-]?inf(?:inity)?", re.IGNORECASE)
_GROUPS = re.compile(r"[+-]?[0-9]{1,3}(?:([,. '’\u00a0\u202f])[0-9]{3})(?:\1[0-9]{3})*(?:[.,][0-9]+)?")


class Row(NamedTuple):
    line: int  # at which it begins, as an editor counts
    cells: list[str]


class Csv(NamedTuple):
    """The text of a file, and how it is written."""

    text: str
    begin: int  # offset of the first row: behind a line ``sep=;``
    separator: str
    encoding: str
    notes: tuple[str, ...]  # what was guessed, for whoever gave the file; empty for UTF-8 with commas

    def rows(self) -> Iterator[Row]:
        """All rows but the blank ones, cells as they stand.

        Raises:
            TextError: the line at which a row begins that is no CSV.
        """
        before = self.text.count("\n", 0, self.begin)
        reader = csv.reader(_lines(self.text, self.begin), delimiter=self.separator, strict=True)
        while True:
            line = before + reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as exc:
                raise TextError(f"line {line}: no CSV: {_reason(exc)}") from exc
            if any(map(str.strip, cells)):
                yield Row(line, cells)


def read(
    data: bytes,
    *,
    separator: str | None = None,
    encoding: str | None = None,
    names: Sequence[str] = (),
    width: int | None = None,
) -> Csv:
    """How a file is written.

    Args:
        data: the whole file.
        separator, encoding: as its owner says; None: guessed.
        names: columns that the header should have; they tell which separator is meant.
        width: columns of a file without a header.

    Raises:
        TextError: it is no text, or its separator could be one or another.
    """
    text, codec, guessed = decode(data, encoding)
    notes = []
    if guessed:
        notes.append(f"encoding {codec}, since it is not UTF-8")
    elif codec != "utf-8" and encoding is None:
        notes.append(f"encoding {codec}, as its first bytes say")
    begin = 0
    first = text[: text.find("\n") + 1 or len(text)]
    if written := _SEP_LINE.fullmatch(first.strip("\r\n")):
        begin = len(first)
        separator = separator or written[1]
    if separator is None:
        separator = _guess(text, begin, names, width)
        if separator != "," and separator in text:
            notes.append(f"columns separated by {SEPARATORS[separator]}")
    return Csv(text, begin, separator, codec, tuple(notes))


def separator_of(header: str, names: Sequence[str]) -> str:
    """The separator under which the line ``header`` has most of the columns ``names``."""
    return max(SEPARATORS, key=lambda s: len({*names} & {cell.strip() for cell in _cells(header, s)}))


def misnamed(names: Iterable[str]) -> str | None:
    """Why ``names`` of columns, sites or detectors are none: one stands there twice, or has what nobody can see."""
    seen: dict[str, str] = {}
    for name in names:
        if hidden := next((c for c in name if not c.isprintable()), None):
            return f"{name!r} has an invisible character (U+{ord(hidden):04X}): write the name without it"
        alike = seen.setdefault(unicodedata.normalize("NFC", name), name)
        if alike != name:
            return f"{name!r} is written in two ways that look the same: write it in one"
    return None


def twice(names: Iterable[str]) -> str | None:
    """The first of ``names`` that is not empty and stands there again."""
    seen: set[str] = set()
    return next((name for name in names if name and (name in seen or seen.add(name))), None)  # type: ignore[func-returns-value]


def number(cell: str, decimal: Decimal = ".") -> float | None:
    """What a cell says; None: it is no number. Thousands may stand in groups of three, as in ``1 234,5``."""
    text = cell.strip()
    groups = _GROUPS.fullmatch(text)
    if groups and groups[1] != decimal:
        text = text.replace(groups[1], "")
    if decimal == ",":
        if "." in text:
            return None
        text = text.replace(",", ".")
    if _PLAIN.fullmatch(text) or _ENDLESS.fullmatch(text):
        return float(text)
    return None


def guess_decimal(cells: Iterable[str], separator: str = ",") -> Decimal | None:
    """The decimal sign of numbers; None: not one of them has one.

    Raises:
        TextError: both signs are used, or a number may mean two things.
    """
    sure: dict[Decimal, str] = {}
    doubtful: tuple[str, Decimal] | None = None
    for cell in cells:
        text = cell.strip()
        if "." not in text and "," not in text:
            continue
        point, comma = number(text, "."), number(text, ",")
        if point is None and comma is None:
            continue  # no number at all
        if comma is None:
            sure.setdefault(".", text)
        elif point is None:
            sure.setdefault(",", text)
        elif point != comma:
            sign: Decimal = "," if "," in text else "."
            if text.lstrip("+-").startswith("0"):
                sure.setdefault(sign, text)  # 0,125 has no thousands
            elif sign == "," or separator != ",":
                doubtful = doubtful or (text, sign)
    if len(sure) == 2:
        raise TextError(f"{sure['.']!r} has a decimal point and {sure[',']!r} a decimal comma: only one can be meant")
    if sure:
        return next(iter(sure))
    if doubtful:
        text, sign = doubtful
        raise TextError(f"{text!r} may be {number(text, ','):g} or {number(text, '.'):g}: nothing says which")
    return None


def _guess(text: str, begin: int, names: Sequence[str], width: int | None) -> str:
    """A separator that the header has and under which the rows are as wide as it."""
    wanted = {*names}
    known, wide, regular = {}, {}, {}
    for separator in SEPARATORS:
        rows = _sample(text, begin, separator)
        header = [cell.strip() for cell in rows[0]] if rows else []
        cells = width or len(header)
        known[separator] = len(wanted & {*header})
        wide[separator] = len(header) > 1
        regular[separator] = all(len(r) == cells or (len(r) > cells and not any(r[cells:])) for r in rows)
    left = [s for s in SEPARATORS if known[s] == max(known.values())]
    for rule in (regular, wide) if width else (wide, regular):
        left = [s for s in left if rule[s]] or left
    if len(left) > 1 and all(wide[s] for s in left):
        either = " or ".join(SEPARATORS[s] for s in left)
        raise TextError(f"line {text.count(chr(10), 0, begin) + 1}: the columns may be separated by {either}")
    return left[0]


def _sample(text: str, begin: int, separator: str) -> list[list[str]]:
    rows: list[list[str]] = []
    reader = csv.reader(itertools.islice(_lines(text, begin), 4 * SAMPLE), delimiter=separator)
    try:
        for row in reader:
            if any(row):
                rows.append(row)
            if len(rows) == SAMPLE:
                break
    except csv.Error:  # where it stands is said when it is read
        return rows
    # A quoted cell that the sample cuts is no row.
    return rows[:-1] if reader.line_num == 4 * SAMPLE and len(rows) > 1 else rows


def _cells(line: str, separator: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=separator), [])
    except csv.Error:
        return []


def _lines(text: str, begin: int) -> Iterator[str]:
    """With their ends: \\n, \\r\\n, or \\r alone where the text has no other."""
    end = "\n" if "\n" in text else "\r"
    while begin < len(text):
        after = text.find(end, begin) + 1 or len(text)
        yield text[begin:after]
        begin = after


def _reason(exc: csv.Error) -> str:
    said = str(exc)
    if said.startswith("unexpected end"):
        return "a quotation mark that opens a cell here is never closed"
    if said.startswith("field larger"):
        return f"a cell of more than {csv.field_size_limit()} characters; is a quotation mark never closed?"
    if "expected after" in said:
        return "behind the closing quotation mark of a cell stands more of it"
    if said.startswith("new-line"):
        return "a carriage return stands alone within the line"
    return said
