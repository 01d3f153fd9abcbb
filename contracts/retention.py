"""How long the hub keeps which rows where (``retention.toml`` in its data directory)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import msgspec

from wayside.contracts.mistakes import Mistake, mistakes_of, refusal, refuse
from wayside.contracts.wire import Document, parsed_toml, wire_field

Days = Annotated[int, msgspec.Meta(ge=1, le=36_525)]
_TIME_RULE = 'is a time of the day in UTC, as in "03:10"'
TimeOfDay = Annotated[str, msgspec.Meta(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$", extra={"rule": _TIME_RULE})]


class Kept(Document, frozen=True, kw_only=True):
    """Rows of one kind, in days since they came to the hub.

    ``hot_days`` in the database, then in files; ``cold_days`` in all, then nowhere. Absent: for ever.
    """

    hot_days: Days | None = None
    cold_days: Days | None = None

    def __post_init__(self) -> None:
        refuse(self._mistakes())

    def _mistakes(self) -> Iterator[Mistake]:
        if self.cold_days is not None and self.hot_days is None:
            yield Mistake(("cold_days",), "needs hot_days: rows are deleted from files alone, never from the database")
        elif self.cold_days is not None and self.hot_days is not None and self.cold_days <= self.hot_days:
            yield Mistake(("cold_days",), "is more than hot_days: both count from the day on which a row came")


class KeptRollups(Document, frozen=True, kw_only=True):
    """Rollups by their length, in days since the time that they tell of. Absent: for ever."""

    quarter_hour_days: Days | None = None
    hour_days: Days | None = None
    day_days: Days | None = None

    def __post_init__(self) -> None:
        refuse(self._mistakes())

    def _mistakes(self) -> Iterator[Mistake]:
        for finer, coarser in (
            ("quarter_hour_days", "hour_days"),
            ("hour_days", "day_days"),
            ("quarter_hour_days", "day_days"),
        ):
            fine, coarse = getattr(self, finer), getattr(self, coarser)
            if coarse is not None and (fine is None or fine > coarse):
                yield Mistake((finer,), f"is at most {coarser}: a year is told by its days where its hours are gone")


class Retention(Document, frozen=True, kw_only=True):
    """The whole file. A table that is given says all of its kind; one that is not has these defaults, which lose
    nothing: what leaves the database lies in files before.
    """

    wire: int = wire_field()
    at: TimeOfDay = "03:10"  # of the daily run
    interval: Kept = Kept(hot_days=35)
    decision: Kept = Kept(hot_days=35)
    alert: Kept = Kept()
    gap: Kept = Kept()
    rollup: KeptRollups = KeptRollups()

    def of(self, kind: str) -> Kept:
        kept: Kept = getattr(self, kind)
        return kept


def decode_retention(file: bytes) -> Retention:
    """Decode the TOML that a person wrote.

    Raises:
        ContractError: with all mistakes.
    """
    raw = parsed_toml(file)
    if mistakes := list(mistakes_of(raw, Retention, ())):
        raise refusal(mistakes)
    return msgspec.convert(raw, Retention)
