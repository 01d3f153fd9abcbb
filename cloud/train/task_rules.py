"""Rules of a task file that a type cannot say: each is judged by using the value as training will use it."""

from __future__ import annotations

import difflib
import inspect
import math
import re
import warnings
import zoneinfo
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from wayside.contracts.mistakes import Mistake, Place
from wayside.contracts.task import TaskSpec
from wayside.contracts.wire import to_builtins

_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2})?)?")
_LOCAL = ("localtime", "posixrules", "Factory")  # names of this machine's own zone, or of none
_KINDS: tuple[tuple[type, Any, str], ...] = (
    (bool, bool, "true or false"),
    (int, int, "a whole number"),
    (float, (int, float), "a number"),
    (str, str, "text"),
    (tuple, list, "a list"),
)
"""Of a default, which values of TOML may stand for it."""
MOST_SIZE = 100_000
MOST_WEIGHTS = 200_000_000


def is_moment(text: str) -> bool:
    """Whether it is a local time like ``2024-12-31T00:00``, or a day."""
    if not _MOMENT.fullmatch(text):
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def mistakes_of_zone(name: str) -> Iterator[str]:
    """Why ``name`` is no zone whose clock can be followed."""
    try:
        zoneinfo.ZoneInfo(name)
        known = name not in _LOCAL
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):  # OSError: an area such as America is a folder
        known = False
    if known:
        return
    zones = sorted(zoneinfo.available_timezones() - {*_LOCAL})
    within = [z for z in zones if z.startswith(f"{name}/")]
    by_city = {z.rpartition("/")[2].casefold(): z for z in zones}
    near = difflib.get_close_matches(name, zones, n=3, cutoff=0.7)
    near += [by_city[c] for c in difflib.get_close_matches(name.rpartition("/")[2].casefold(), by_city, n=1)]
    meant = f"; is {' or '.join(dict.fromkeys(near))} meant?" if near else "; write one like Europe/Berlin"
    if within:
        meant = f"; it is an area of {len(within)} zones, such as {within[0]}"
    if zones:  # else this computer knows no zone at all, and cannot judge
        yield f"{name!r} is no time zone{meant}"


def mistakes_of_sizes(value: Any, place: Place) -> Iterator[Mistake]:
    """Numbers among the sizes of a model that none can have, however they are nested."""
    if isinstance(value, dict):
        for name, part in value.items():
            yield from mistakes_of_sizes(part, (*place, name))
    elif isinstance(value, list | tuple):
        for i, part in enumerate(value):
            yield from mistakes_of_sizes(part, (*place, i))
    elif isinstance(value, bool | str):
        return
    elif not isinstance(value, int | float):
        yield Mistake(place, "is a number, text, true or false, or a list of them")
    elif not math.isfinite(value) or abs(value) > MOST_SIZE or (value < 0 and not isinstance(place[-1], int)):
        yield Mistake(place, f"is {value}: a size is 0 to {MOST_SIZE}")


def mistakes_of_model(family: str, sizes: dict[str, Any], task: TaskSpec) -> Iterator[Mistake]:
    """Why no model can be built as ``[fit]`` says: found by building it, without its memory."""
    import torch

    from wayside.models import registry
    from wayside.models.errors import ModelConfigError

    known = registry.families(task.kind)
    if family not in known:
        rule = f"{family!r} is no family for a task of kind {task.kind}: {', '.join(known)}{_meant(family, known)}"
        yield Mistake(("fit", "family"), rule)
        return
    if unfit := list(_unfit(registry.family(family), family, sizes)):
        yield from unfit
        return
    try:
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of layers without weights: see below
            built = registry.build({"family": family, "sizes": sizes, "task": to_builtins(task)})
        weights = [p.numel() for p in built.parameters()]
    except ModelConfigError as exc:
        yield Mistake(("fit", "sizes"), str(exc))
    except (ValueError, TypeError, RuntimeError, LookupError, ArithmeticError, MemoryError, AssertionError) as exc:
        # What torch says of numbers that make no layer.
        yield Mistake(("fit", "sizes"), f"family {family} cannot be built of them: {str(exc).partition(chr(10))[0]}")
    else:
        if sum(weights) > MOST_WEIGHTS:
            yield Mistake(("fit", "sizes"), f"make a model of {sum(weights)} weights, more than {MOST_WEIGHTS}")
        elif not all(weights):
            yield Mistake(("fit", "sizes"), "make a layer without weights: a size is 0 that cannot be")


def mistakes_of_augment(names: Sequence[str]) -> Iterator[Mistake]:
    from wayside.cloud.train.augment import AUGMENT

    for i, name in enumerate(names):
        if name not in AUGMENT:
            yield Mistake(("fit", "augment", i), f"{name!r} is unknown: {', '.join(AUGMENT)}{_meant(name, AUGMENT)}")


def _unfit(family: type, name: str, sizes: dict[str, Any]) -> Iterator[Mistake]:
    """Sizes that the constructor does not have, or has of another kind than its default."""
    defaults = {p.name: p.default for p in inspect.signature(family).parameters.values() if p.name != "task"}
    for size, value in sizes.items():
        place = ("fit", "sizes", size)
        if size not in defaults:
            of = ", ".join(defaults) or "none"
            yield Mistake(place, f"is no size of family {name}: {of}{_meant(size, defaults)}")
            continue
        for kind, wanted, like in _KINDS:
            if isinstance(defaults[size], kind):
                if not isinstance(value, wanted) or (isinstance(value, bool) and kind is not bool):
                    yield Mistake(place, f"is {like}, not {value!r}")
                break


def _meant(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"; is {near[0]} meant?" if near else ""
