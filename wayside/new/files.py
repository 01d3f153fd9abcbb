"""What ``wayside new`` writes: templates with the name filled in, and a small sample that is made up from a seed."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from wayside.errors import Misuse, Refused, WaysideError

HERE = Path(__file__).parent
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,31}")
DAYS = 56  # of the sample: six weeks are left to learn from


class FileThere(Refused):
    """Nothing is overwritten."""


def task(name: str) -> dict[str, str]:
    _check(name)
    return {f"{name}.toml": filled("task.toml", name=name), f"{name}.csv": sample("volume", peak=400.0)}


def node(name: str) -> dict[str, str]:
    _check(name)
    return {f"{name}.toml": filled("node.toml", name=name, file=f"{name}.toml")}


def domain(name: str) -> dict[str, str]:
    """A folder: task file, sample, node file, and a policy of its own as a package that can be installed."""
    _check(name)
    package = re.sub(r"[^a-z0-9]", "_", name.lower()) + "_policy"
    words = {"name": name, "policy": package, "package": package, "distribution": package.replace("_", "-")}
    text = filled("task.toml", name=name)
    for old, new in (
        ('domain = "traffic"', f'domain = "{name}"'),
        ('"volume"', '"level"'),
        ('"{veh}"', '"1"'),
        ("high = 4000.0", "high = 100.0"),
        ("[data.columns.volume]", "[data.columns.level]"),
    ):
        text = text.replace(old, new)
    text = re.sub(r"(?m)^(\w.*?) +(# .*)$", lambda match: f"{match[1]:<27} {match[2]}", text)
    return {
        f"{name}/{name}.toml": text,
        f"{name}/{name}.csv": sample("level", peak=30.0),
        f"{name}/node.toml": filled("domain/node.toml", **words),
        f"{name}/policy/pyproject.toml": filled("domain/pyproject.toml.txt", **words),
        f"{name}/policy/{package}/__init__.py": "",
        f"{name}/policy/{package}/policy.py": filled("domain/policy.py.txt", **words),
    }


def write(folder: Path, files: dict[str, str]) -> list[Path]:
    """Write all of ``files``, or none.

    Raises:
        FileThere: one of them is there already.
        WaysideError: ``folder`` cannot be written.
    """
    paths = {folder / name: text for name, text in files.items()}
    if there := [path for path in paths if path.exists() or path.is_symlink()]:
        raise FileThere(f"{there[0]} is there already, and nothing was written; take another name or folder")
    try:
        for path, text in paths.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
    except OSError as exc:
        raise WaysideError(f"cannot write {exc.filename}: {exc.strerror}") from exc
    return list(paths)


def filled(template: str, **words: str) -> str:
    """The template with ``$name`` and the like replaced; no other dollar sign stands in one."""
    text = (HERE / template).read_text(encoding="utf-8")
    return re.sub(r"\$([a-z]+)", lambda match: words[match[1]], text)


def sample(column: str, *, peak: float) -> str:
    """Hourly values of two made-up sites: rush hours on workdays, afternoons else, busy and quiet days."""
    return "".join(f"{row}\n" for row in (f"timestamp,site,{column}", *_rows(peak)))


def _rows(peak: float) -> Iterator[str]:
    noise = random.Random(7)  # noqa: S311  (no secret)
    first = datetime(2024, 3, 4)
    busy = 0.0
    for hours in range(24 * DAYS):
        at = first + timedelta(hours=hours)
        busy = 0.98 * busy + noise.gauss(0.0, 0.08)  # the weather, as it were: a forecast can see it, last week cannot
        humps = ((8, 2.0, 1.0), (17, 2.5, 0.9)) if at.weekday() < 5 else ((14, 4.0, 0.6),)
        shape = 0.05 + sum(height * math.exp(-(((at.hour - hour) / width) ** 2)) for hour, width, height in humps)
        for site, share in (("north", 1.0), ("south", 0.7)):
            value = max(0.0, peak * share * shape * math.exp(busy) * noise.gauss(1.0, 0.05))
            yield f"{at:%Y-%m-%dT%H:%M},{site},{value:.0f}"


def _check(name: str) -> None:
    if not NAME.fullmatch(name):
        raise Misuse(f"the name {name!r} begins with a letter and has at most 32 letters, digits, - and _")
