"""What a run with a damaged file must be: told in a few plain words, or as good as with the whole file."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

from tests.fuzz.damage import Damage, Fate
from tests.fuzz.server import HUNG, TRACED, Ran

STATUSES = (0, 1, 2, 3)
LONGEST = 1600  # letters of a message
MEMORY_MB = 400.0
_FOREIGN = re.compile(
    r"^(\w+\.)*\w*(Error|Exception|Warning|Interrupt|Exit): |\b\w+Warning: |Traceback \(most recent"
    r"|^\s+File \".*\", line \d|\[Errno|object has no attribute|NoneType|<class '|0x[0-9a-f]{9,}",
    re.MULTILINE,
)
_ENCODING = re.compile(
    r"encod|UTF|ANSI|NUL|byte order|Unicode|is no text|not text|codec|Windows-1252|latin", re.IGNORECASE
)
_ENCODED = ("utf-16", "utf-32", "utf-16-be without mark", "ansi")


class Fault(StrEnum):
    TRACEBACK = "traceback"  # or an ending that nobody meant: a hang, a signal, memory without end
    SILENT = "silent"  # the damage is taken
    WORDS = "words"  # it is refused, and the sentence does not help


class Complaint(NamedTuple):
    fault: Fault
    text: str


def complaints(
    damage: Damage,
    ran: Ran,
    good: Ran,
    names: Iterable[str],
    *,
    unseen: bool,
    taken: bool,
    ours: bool,
    result: str,
    of_good: str,
) -> list[Complaint]:
    """What is wrong with a run.

    Args:
        names: words of which a refusal has at least one: the file's name, its option.
        unseen: nobody can see this damage in this file.
        taken: this reader takes it as it is, by right: an absent file that is optional.
        ours: the file is written by a verb and by no editor, so that its encoding need not be named.
        result, of_good: what came of it, and what of the good file (or the damage's twin).
    """
    if ran.status == TRACED:
        return [Complaint(Fault.TRACEBACK, _last_line(ran.err))]
    if ran.status == HUNG:
        return [Complaint(Fault.TRACEBACK, f"hangs: nothing after {ran.seconds:.0f} s")]
    wrong = list(_unmeant(ran, good))
    if ran.status not in (0, good.status) or (good.status != 0 and (ran.err, ran.out) != (good.err, good.out)):
        return wrong + [Complaint(Fault.WORDS, text) for text in _unhelpful(damage, ran, good, names, ours=ours)]
    if damage.fate is Fate.ANY or unseen or taken or result == of_good:
        return wrong
    said = _new_in(ran.err, good.err)
    if good.status == 0 and said and damage.fate is Fate.REFUSED:
        return wrong
    if damage.name == "ansi" and _ENCODING.search(said):
        return wrong
    what = "is taken" if damage.fate is Fate.REFUSED else "is taken, with another result"
    told = _last_line(ran.out) or _last_line(ran.err)
    return [*wrong, Complaint(Fault.SILENT, f"{what}: status {ran.status}, {told}")]


def _unmeant(ran: Ran, good: Ran) -> Iterable[Complaint]:
    if ran.status not in STATUSES and ran.status != good.status:
        yield Complaint(Fault.TRACEBACK, f"ends with status {ran.status}")
    shown = ran.out + ran.err
    if (match := _FOREIGN.search(shown)) and match[0] not in good.out + good.err:
        yield Complaint(Fault.TRACEBACK, f"a library's own words: {match[0].strip()!r} in {_line_of(shown, match[0])}")
    if ran.peak_mb > MEMORY_MB + good.peak_mb:
        yield Complaint(Fault.TRACEBACK, f"takes {ran.peak_mb:.0f} MB (the good file: {good.peak_mb:.0f})")


def _unhelpful(damage: Damage, ran: Ran, good: Ran, names: Iterable[str], *, ours: bool) -> Iterable[str]:
    said = _new_in(ran.err, good.err) or _new_in(ran.out, good.out)
    if not said:
        yield f"ends with status {ran.status} without a word"
        return
    if len(said) > LONGEST:
        yield f"says {len(said)} letters"
    # A file that is in order and means something else may lead to a fault elsewhere.
    if damage.fate is not Fate.ANY and not any(name in ran.err + ran.out for name in names):
        yield f"names none of {', '.join(names)}: {_last_line(said)}"
    if ours:
        return
    if damage.name in _ENCODED and not _ENCODING.search(said):
        yield f"does not name the encoding: {_last_line(said)}"
    if damage.name in ("crlf", "bom"):
        yield f"is refused: {_last_line(said)}"


def _new_in(text: str, known: str) -> str:
    old = set(known.splitlines())
    return "\n".join(line for line in text.splitlines() if line.strip() and line not in old)


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""


def _line_of(text: str, part: str) -> str:
    at = text.index(part) + len(part) - len(part.lstrip())
    end = text.find("\n", at)
    return text[text.rfind("\n", 0, at) + 1 : end if end >= 0 else None][:300]
