"""The data-quality report: what was found in the files, and what was done about it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

ByColumn = dict[str, int]
VOID = 0.95  # of a column's cells: where so many are missing, that is why nothing can be learned


@dataclass(frozen=True, kw_only=True)
class Quality:
    """Counts of rows, cells and intervals; dictionaries are by column."""

    source: str
    rows: int
    sites: int
    first: str  # start of the first interval, local
    last: str  # end of the last interval, local
    intervals: int  # of the regular grid
    duplicates: int  # rows beyond the first of their timestamp and site
    contradicting: ByColumn  # cells whose duplicates disagree, and no merge is declared
    out_of_range: ByColumn  # cells outside the declared bounds
    empty: ByColumn  # cells without a value
    silent_intervals: int  # without any site
    missing: ByColumn  # cells of the grid without a value, after cleaning
    merged: ByColumn = field(default_factory=dict)  # cells made of several rows by the declared rule
    invalid: ByColumn = field(default_factory=dict)  # cells that hold a number which means "missing"
    unknown: ByColumn = field(default_factory=dict)  # cells with a word that is not declared
    filled: ByColumn = field(default_factory=dict)  # short gaps that took the value before
    spread: ByColumn = field(default_factory=dict)  # cells that took the value of their day's first row
    far: int = 0  # rows that stand years away from all others
    far_times: tuple[str, ...] = ()  # of the first of them
    unlisted: int = 0  # rows of sites that the task does not list
    notes: tuple[str, ...] = ()  # how the files were read where nobody said it, and what was left out of them
    allowed: float = 0.0  # the share of a window's output column that may be missing

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def cause(self) -> str:
        """Why there is nothing to learn from, if a column is as good as empty; else what helps."""
        cells = self.sites * self.intervals
        for name, gone in self.missing.items():
            if gone >= VOID * cells:
                kinds = (("empty", self.empty), ("outside low and high", self.out_of_range), ("invalid", self.invalid))
                kinds += (("unknown words", self.unknown), ("contradicting", self.contradicting))
                of = ", ".join(f"{counts[name]} {kind}" for kind, counts in kinds if counts.get(name))
                return f"the column {name} has no value in {gone} of {cells} cells ({of or 'no rows'})"
        return "give more data"

    def lines(self) -> list[str]:
        """The report as sentences: what was found → what was done."""
        cells = self.sites * self.intervals
        missing = ", ".join(f"{n} {c} ({100 * n / cells:.2f} %)" for c, n in self.missing.items() if n) or "0"
        policy = f"up to {self.allowed:.0%} of a window's output" if self.allowed else "no window touches one"
        doubtful = sum(self.contradicting.values())
        of = f" ({_each(self.contradicting)})" if doubtful else ""
        report = [
            f"data          {self.source}: {self.rows} rows, {self.sites} sites, {self.first} to {self.last}",
            *([f"read as       {'; '.join(self.notes)}"] if self.notes else []),
            f"duplicates    {self.duplicates} rows → one kept; {doubtful} contradicting{of} → missing",
            f"out of range  {_each(self.out_of_range)} → missing",
            f"empty cells   {_each(self.empty)} → missing",
            f"gaps          {self.silent_intervals} of {self.intervals} intervals without any site → missing",
        ]
        for name, counts, done in (
            ("merged", self.merged, "one value by the declared rule"),
            ("invalid", self.invalid, "missing"),
            ("unknown words", self.unknown, "missing"),
            ("short gaps", self.filled, "the value before"),
            ("once a day", self.spread, "the value of the day's first row"),
        ):
            if any(counts.values()):
                report.append(f"{name:<13} {_each(counts)} → {done}")
        if self.far:
            when = ", ".join(self.far_times)
            report.append(f"far dates     {self.far} rows years away from all others ({when}) → left out")
        if self.unlisted:
            report.append(f"other sites   {self.unlisted} rows of sites that the task does not list → left out")
        return [*report, f"missing       {missing} of {cells} cells; {policy}"]


@dataclass(frozen=True, kw_only=True)
class ImageQuality:
    """Counts of pictures."""

    source: str
    images: int
    classes: dict[str, int]  # pictures of each
    groups: int  # tracks, videos or runs that stay together
    duplicates: int  # pictures equal to an earlier one of their class, byte by byte
    contradicting: int  # equal pictures under different classes

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def lines(self) -> list[str]:
        """The report as sentences: what was found → what was done."""
        counts = ", ".join(f"{n} {c}" for c, n in self.classes.items())
        return [
            f"data          {self.source}: {self.images} pictures, {self.groups} groups that stay together",
            f"classes       {counts}",
            f"duplicates    {self.duplicates} pictures → one kept; {self.contradicting} contradicting → left out",
        ]


def _each(counts: ByColumn) -> str:
    return ", ".join(f"{n} {c}" for c, n in counts.items() if n) or "0"
