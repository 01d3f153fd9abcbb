"""Time zones and forms of a time as a person names them, judged by the very calls that use them later."""

from __future__ import annotations

import re
import zoneinfo
from datetime import UTC, datetime

# An afternoon, a last second before midnight and a day that is no month: whatever a form loses, one of them shows it.
_MOMENTS = (
    datetime(2027, 3, 24, 13, 45, 56, tzinfo=UTC),
    datetime(2028, 2, 28, 23, 59, 59, tzinfo=UTC),
    datetime(2026, 12, 31, 0, 7, 0, tzinfo=UTC),
)
_DIRECTIVE = re.compile(r"%(.)", re.DOTALL)
_DAY_S = 86_400


def zone_rule(name: str) -> str | None:
    """What is wrong with a time zone's name; None: nothing, or this computer knows no zone at all and cannot judge."""
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):  # OSError: "America" is a folder of zones
        try:
            zoneinfo.ZoneInfo("Europe/London")
        except (zoneinfo.ZoneInfoNotFoundError, OSError):
            return None
        return f"{name!r} is no time zone: write an IANA name, such as America/Los_Angeles"
    return None


def unusable_form(form: str) -> str | None:
    """Why ``strptime`` reads nothing with ``form``; None: it does."""
    try:
        for moment in _MOMENTS:
            datetime.strptime(moment.strftime(form), form)
    except (ValueError, re.error) as exc:  # re.error: a directive that stands there twice
        return f"{form!r} is none that Python's strptime reads ({exc}): write it as in %d.%m.%Y %H:%M"
    return None


def ambiguous_form(form: str, interval_s: float | None = None) -> str | None:
    """Why a time in a usable ``form`` is more than one moment, given its zone; None: it is one.

    Args:
        interval_s: of what is told, seconds; a day's total needs no time of day.
    """
    directives = set(_DIRECTIVE.findall(form.replace("%%", "")))
    if "Z" in directives:
        return "%Z names a zone in letters that nobody keeps: write %z for an offset, or give timezone"
    if directives & {"c", "x", "X"}:
        return "%c, %x and %X are another form in each language: spell it out, as in %d.%m.%Y %H:%M"
    read = [(moment, datetime.strptime(moment.strftime(form), form).replace(tzinfo=UTC)) for moment in _MOMENTS]
    if any(told.date() != moment.date() for moment, told in read):
        return f"{form!r} tells no whole date: it needs year, month and day, as in %d.%m.%Y %H:%M"
    if interval_s != _DAY_S and any((told.hour, told.minute) != (at.hour, at.minute) for at, told in read):
        half = " (%I needs %p)" if "I" in directives else ""
        return f"{form!r} tells no time of day{half}: it needs hour and minute, as in %d.%m.%Y %H:%M"
    return None
