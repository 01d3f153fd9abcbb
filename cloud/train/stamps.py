"""Texts of a file → moments: ISO 8601, a format of ``strptime``, Excel's serial dates, counts since 1970."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from wayside.csv_dialect import Decimal, number

EXCEL = "excel"  # days since 30 December 1899, as a spreadsheet keeps a date
EPOCHS = {"epoch_s": 1, "epoch_ms": 1_000, "epoch_us": 1_000_000, "epoch_ns": 1_000_000_000}
"""Counts since 1970-01-01T00:00 UTC: how many a second."""
WORDS = (EXCEL, *EPOCHS)
_EXCEL_ZERO = -25_569 * 86_400  # s
_ISO = re.compile(
    r"[0-9]{4}-?[0-9]{1,2}-?[0-9]{1,2}(?:[T ][0-9]{1,2}(?::?[0-9]{2}(?::?[0-9]{2}(?:\.[0-9]+)?)?)?)?"
    r" ?(?:Z|[+-][0-9]{2}(?::?[0-9]{2})?)?"
)
_OFFSET = re.compile(r"[T ].*[+-]|Z$")
_PROBE = datetime(2023, 11, 24, 13, 47, 52, tzinfo=UTC)  # no part of it can stand for another
_DAY_FIRST = re.compile(r"([0-9]{1,2})([./-])([0-9]{1,2})\2([0-9]{4}|[0-9]{2})( [0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?)?")


class Moments(NamedTuple):
    """Of N texts."""

    seconds: npt.NDArray[np.int64]  # (N,) since 1970; 0 where there is none
    known: npt.NDArray[np.bool_]  # (N,)
    whole: npt.NDArray[np.bool_]  # (N,) without a fraction of a second


def moments(texts: Sequence[str], form: str, *, exact: bool, utc: bool, decimal: Decimal) -> Moments:
    """Read ``texts``.

    Args:
        form: a word of :data:`WORDS`, a format of ``strptime``, or nothing for ISO 8601.
        exact: the format describes the whole text, not a part of it.
        utc: offsets are heeded; without them a text is UTC. False: there are none.
        decimal: sign of Excel's fractions of a day.
    """
    if form in WORDS:
        return _counted(texts, form, decimal)
    given = pd.Series(texts, dtype=object)
    if form:
        times = pd.to_datetime(given, utc=utc, errors="coerce", format=form, exact=exact)
    else:
        iso = given.map(lambda text: _ISO.fullmatch(text) is not None)  # pandas also takes "now", and a year alone
        times = pd.to_datetime(given.where(iso, ""), utc=utc, errors="coerce", format="ISO8601")
    if utc:
        times = times.dt.tz_localize(None)
    known = times.notna().to_numpy()
    times = times.where(known, pd.Timestamp(0))
    whole = times.astype("datetime64[s]")
    return Moments(whole.astype("int64").to_numpy(), known, (times == whole).to_numpy())


def _counted(texts: Sequence[str], form: str, decimal: Decimal) -> Moments:
    count = np.array([np.nan if (n := number(t, decimal)) is None else n for t in texts], np.float64)
    if form == EXCEL:
        # A spreadsheet keeps 15 digits: a moment is exact to some microseconds, and meant to the second.
        seconds = np.round(count * 86_400) + _EXCEL_ZERO
        whole = np.ones(len(texts), bool)
    else:
        seconds = np.floor(count / EPOCHS[form])
        whole = seconds * EPOCHS[form] == count
    known = (seconds > _EXCEL_ZERO) & (seconds < 253_402_300_800)  # 1900 to 9999; not where it is NaN
    return Moments(np.where(known, seconds, 0).astype(np.int64), known, whole)


def has_offset(text: str) -> bool:
    """Whether an ISO 8601 time says how far it is from UTC."""
    return _OFFSET.search(text) is not None


def hint(text: str, form: str) -> str:
    """What to write as ``time_format`` where ``text`` cannot be read by ``form``; empty: nobody knows."""
    count = number(text, ".") if number(text, ".") is not None else number(text, ",")
    word = ""
    if count is not None and 20_000 <= count < 80_000:
        word = EXCEL
    elif count is not None and re.fullmatch(r"[0-9]{9,}(\.[0-9]+)?", text):
        # The one whose moment lies between 1973 and 2603.
        word = next((w for w, a_second in EPOCHS.items() if 1e8 <= count / a_second < 2e10), "")
    if word and word != form:
        when = np.datetime64(int(_counted([text.replace(",", ".")], word, ".").seconds[0]), "s")
        kind = "a date as Excel counts days" if word == EXCEL else "a count since 1970"
        return f'; as {kind} it would be {when}: write time_format = "{word}"'
    if not form and (parts := _DAY_FIRST.fullmatch(text)):
        first, dot, second, year, clock = parts.groups()
        tail = dot + ("%Y" if len(year) == 4 else "%y")
        tail += " %H:%M:%S"[: 9 if clock.count(":") == 2 else 6] if clock else ""
        by_day, by_month = f'"%d{dot}%m{tail}"', f'"%m{dot}%d{tail}"'
        either = [f for f, month in ((by_day, second), (by_month, first)) if int(month) <= 12]
        either = either[:1] if dot == "." else either
        return f"; write time_format = {' or '.join(either)}" if either else ""
    return ""


def mistakes_of_format(form: str, *, exact: bool, zone: str, interval_s: float) -> Iterator[str]:
    """Why ``form`` cannot be a ``time_format`` of rows so many seconds apart: found by using it."""
    if form in EPOCHS:
        if not zone:
            yield (
                f'"{form}" counts in UTC: name the zone whose clock the hours follow as well, such as '
                'zone = "Europe/Berlin", or "UTC"'
            )
        return
    if not form or form == EXCEL:
        return
    if "%" not in form:  # pandas has words of its own
        yield f"{form!r} is neither a format of strptime, such as %d.%m.%Y %H:%M, nor one of {', '.join(WORDS)}"
        return
    try:
        written = _PROBE.strftime(form)
        read = pd.to_datetime(pd.Series([written]), format=form, exact=exact, utc=True, errors="coerce")[0]
    except (ValueError, re.error, TypeError, KeyError, IndexError, OverflowError) as exc:
        yield f"{form!r} is no format: {_reason(exc)}{_meant(form)}"
        return
    if ("%z" in form or "%Z" in form) and not zone:
        yield f'{form!r} reads an offset: name the zone whose clock the hours follow, such as zone = "Europe/Berlin"'
    parts = (("day", "D"), ("hour", "h"), ("minute", "min"), ("second", "s"))
    needed = 1 + sum(interval_s % length != 0 for length in (86_400, 3600, 60))
    for name, unit in parts[:needed]:
        if pd.isna(read) or read.floor(unit) != pd.Timestamp(_PROBE).floor(unit):
            what = "year, month and day" if name == "day" else name
            yield f"{form!r} does not tell the {what}: {written!r} was made by it for {_PROBE:%Y-%m-%d %H:%M:%S}"
            return


def _meant(form: str) -> str:
    if "%s" in form:
        return '; seconds since 1970 are "epoch_s"'
    return "; hours are %H, minutes %M, months %m" if "%h" in form or form.count("%m") > 1 else ""


def _reason(exc: Exception) -> str:
    said = str(exc).split("\n", 1)[0]
    if "bad directive" in said:
        return f"it has no directive %{said[1:2]}"
    if "redefinition of group name" in said:
        return "it has one directive twice"
    return said
