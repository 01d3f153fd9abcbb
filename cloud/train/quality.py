"""The data-quality report: what was found in a file, and what was done about it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Quality:
    """Counts of rows, cells and intervals; dictionaries are by column."""

    source: str
    rows: int
    detectors: int
    first: str  # start of the first interval, local
    last: str  # end of the last interval, local
    intervals: int  # of the regular grid
    duplicates: int  # rows beyond the first of their timestamp and detector
    contradicting: int  # cells of the output whose duplicates disagree
    out_of_range: dict[str, int]  # cells outside the declared bounds
    empty: dict[str, int]  # cells without a value
    silent_intervals: int  # without any detector
    missing: dict[str, int]  # cells of the grid without a value, after cleaning

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def lines(self) -> list[str]:
        """The report as sentences: what was found → what was done."""
        cells = self.detectors * self.intervals
        outside = ", ".join(f"{n} {c}" for c, n in self.out_of_range.items() if n) or "0"
        missing = ", ".join(f"{n} {c} ({100 * n / cells:.2f} %)" for c, n in self.missing.items() if n) or "0"
        return [
            f"data          {self.source}: {self.rows} rows, {self.detectors} detectors, {self.first} to {self.last}",
            f"duplicates    {self.duplicates} rows → one kept; {self.contradicting} contradicting → missing",
            f"out of range  {outside} → missing",
            f"empty cells   {sum(self.empty.values())} → missing",
            f"gaps          {self.silent_intervals} of {self.intervals} intervals without any detector → missing",
            f"missing       {missing} of {cells} cells; no window touches one",
        ]
