"""A node's file of the form before ``[[tasks]]``, written in today's, with its comments and its order.

Works on lines, so that what a person wrote stays as it was; the result is believed only if it means the same.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable
from typing import Any

from wayside.contracts.node_config import read_node_config
from wayside.contracts.old_node_form import MOVED, SATURATION, is_old, modernized
from wayside.contracts.wire import ContractError, parsed_toml
from wayside.edge.errors import EdgeError
from wayside.text import decode_unicode

_HEADER = re.compile(r"^\s*(\[{1,2})\s*([A-Za-z0-9_.-]+)\s*\]{1,2}\s*(#.*)?$")
_KEY = re.compile(r"^\s*([A-Za-z0-9_-]+)\s*=")


class MigrationError(EdgeError):
    """The file cannot be rewritten line by line."""


def migrated(file: bytes) -> str:
    """The file in today's form; one of today's form as it is. Comments beside the keys that moved are lost.

    Raises:
        ContractError: it is no node's file.
        MigrationError: its layout is not one table or key a line, as people write it.
    """
    before = read_node_config(file).config
    given, text = parsed_toml(file), decode_unicode(file)
    if not is_old(given):
        return text
    new = modernized(given).raw
    lines = _rewritten(text.splitlines(), given, new)
    made = "\n".join(lines) + "\n"
    try:
        same = read_node_config(made).config == before and not is_old(parsed_toml(made))
    except ContractError:
        same = False
    if not same:
        raise MigrationError(
            "first write [task], [signal], [[signal.phases]] and [[detectors]] as tables with one key a line"
        )
    return made


def _rewritten(lines: list[str], given: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Section by section: a header and the lines up to the next one."""
    made: list[str] = []
    detector = -1
    starts = [i for i, line in enumerate(lines) if _HEADER.match(line)] or [len(lines)]
    made += lines[: starts[0]]
    if "rows_s" in new and "rows_s" not in given:
        made.append(f"rows_s = {new['rows_s']}")
    for start, end in itertools.pairwise([*starts, len(lines)]):
        header = _HEADER.match(lines[start]) if start < end else None
        if header is None:
            continue
        name, comment, body = header[2], f"  {header[3]}" if header[3] else "", lines[start + 1 : end]
        detector += name == "detectors"
        if name == "task":
            made += _task(body, comment, given["task"], new)
        elif name == "signal":
            actuator = new["actuators"][0]
            made += [f"[[actuators]]{comment}", *_pairs(actuator, ("name", "kind")), *_without(body, (SATURATION,))]
        elif name == "signal.phases":
            made += [f"[[actuators.phases]]{comment}", *body]
        elif name == "detectors":
            limit = new["detectors"][detector].get("max_veh_h")
            changed = [re.sub(r"^(\s*)max_per_interval\s*=\s*[0-9_]+", rf"\1max_veh_h = {limit!r}", b) for b in body]
            made += [lines[start], *_without(changed, MOVED)]
        else:
            made += [lines[start], *body]
    for one in new.get("sums", [])[len(given.get("sums", [])) :]:
        made += ["", "[[sums]]", *_pairs(one, ("name", "of"))]
    return made


def _task(body: list[str], comment: str, old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """``[task]`` as the one of ``[[tasks]]``; nothing of it is left where no detector was its site."""
    if "tasks" not in new:
        return [line for line in body if line.strip().startswith("#") or not line.strip()]
    task = new["tasks"][0]
    end = max((i + 1 for i, line in enumerate(body) if _KEY.match(line)), default=0)
    added = _pairs(task, [k for k in ("step_s",) if k not in old])
    added += ["sites = [", *(f"  {_value(site)}," for site in task["sites"]), "]"]
    return [f"[[tasks]]{comment}", *_pairs(task, ("name",)), *body[:end], *added, *body[end:]]


def _without(body: list[str], keys: Iterable[str]) -> list[str]:
    gone = set(keys)
    return [line for line in body if not ((key := _KEY.match(line)) and key[1] in gone)]


def _pairs(table: dict[str, Any], keys: Iterable[str]) -> list[str]:
    return [f"{k if re.fullmatch('[A-Za-z0-9_-]+', k) else json.dumps(k)} = {_value(table[k])}" for k in keys]


def _value(value: Any) -> str:
    """A value in TOML: text, numbers, lists and inline tables."""
    if isinstance(value, dict):
        return f"{{ {', '.join(_pairs(value, value))} }}"
    if isinstance(value, list):
        return f"[{', '.join(_value(v) for v in value)}]"
    return json.dumps(value, ensure_ascii=False)
