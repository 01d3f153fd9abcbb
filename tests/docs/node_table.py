"""The tables of every key of a node's file in docs/node.md: all but the meanings comes from the contracts.

``python -m tests.docs.node_table`` writes them anew and keeps the meanings; a test says whether they are current.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from msgspec import inspect

from wayside.contracts.node_config import NodeConfig

PAGE = Path(__file__).parents[2] / "docs" / "node.md"
BEGIN, END = "<!-- keys: python -m tests.docs.node_table -->\n", "<!-- end of keys -->\n"
HEAD = "| key | type | default | meaning |\n|---|---|---|---|\n"


class Key(NamedTuple):
    table: str  # "[hub]", "[[tasks]]", "" at the top
    name: str
    kind: str
    default: str


def keys() -> list[Key]:
    return list(_table("", inspect.type_info(NodeConfig)))  # type: ignore[arg-type]


def _table(where: str, struct: inspect.StructType) -> Iterator[Key]:
    below: list[tuple[str, inspect.StructType]] = []
    path = where.strip("[]")
    label = where
    if struct.tag_field is not None:
        label = f'{where} {struct.tag_field} = "{struct.tag}"'
        yield Key(label, struct.tag_field, f'"{struct.tag}"', "required")
    for field in struct.fields:
        if field.name == "extra":
            continue
        yield Key(label, field.encode_name, _kind(field.type), _default(field))
        name = f"{path}.{field.encode_name}" if path else field.encode_name
        for several, inner in _structs(field.type):
            below.append((f"[[{name}]]" if several else f"[{name}]", inner))
    for name, inner in below:
        yield from _table(name, inner)


def _structs(kind: inspect.Type) -> Iterator[tuple[bool, inspect.StructType]]:
    kind = _bare(kind)
    if isinstance(kind, inspect.StructType):
        yield False, kind
    elif isinstance(kind, inspect.UnionType):
        for member in kind.types:
            yield from _structs(member)
    elif isinstance(kind, inspect.VarTupleType):
        for _, inner in _structs(kind.item_type):
            yield True, inner


def _bare(kind: inspect.Type) -> inspect.Type:
    return kind.type if isinstance(kind, inspect.Metadata) else kind


def _kind(kind: inspect.Type) -> str:
    rule = kind.extra.get("rule") if isinstance(kind, inspect.Metadata) and kind.extra else None
    kind = _bare(kind)
    if isinstance(kind, inspect.UnionType):
        members = [m for m in kind.types if not isinstance(_bare(m), inspect.NoneType)]
        return _kind(members[0]) if len(members) == 1 else "table"
    if isinstance(kind, inspect.StructType):
        return "table"
    if isinstance(kind, inspect.VarTupleType):
        return f"list of {_kind(kind.item_type).replace('table', 'tables')}{_length(kind, '')}"
    if isinstance(kind, inspect.DictType):
        return f"table: name → {_kind(kind.value_type)}"
    if isinstance(kind, inspect.LiteralType):
        return f"one of {', '.join(json.dumps(v) for v in kind.values)}"
    if isinstance(kind, inspect.BoolType):
        return "true or false"
    if isinstance(kind, inspect.IntType | inspect.FloatType):
        return ("whole number" if isinstance(kind, inspect.IntType) else "number") + _bounds(kind)
    if isinstance(kind, inspect.StrType):
        if rule and rule.startswith("is 1 to"):
            return f"name, up to {re.search('to ([0-9]+)', rule)[1]} characters"  # type: ignore[index]
        return f"text that {rule}" if rule else f"text{_length(kind, ' characters')}"
    return "any value"


def _bounds(kind: inspect.IntType | inspect.FloatType) -> str:
    low = f" > {kind.gt:.12g}" if kind.gt is not None else f" ≥ {kind.ge:.12g}" if kind.ge is not None else ""
    high = f" ≤ {kind.le:.12g}" if kind.le is not None else ""
    return ",".join(part for part in (low, high) if part)


def _length(kind: inspect.StrType | inspect.VarTupleType, unit: str) -> str:
    low, high = kind.min_length or 0, kind.max_length
    if high is None:
        return f", at least {low}{unit if low > 1 else unit.removesuffix('s')}" if low else ""
    return f", {low} to {high}{unit}" if low else f", up to {high}{unit}"


def _default(field: inspect.Field) -> str:
    if field.required:
        return "required"
    value: Any = field.default
    if value is inspect.NODEFAULT:
        value = field.default_factory()
    if value is None or value in ((), {}) or isinstance(value, msgspec.Struct):
        return "–"
    return f"`{json.dumps(value, ensure_ascii=False)}`"


def meanings(page: str) -> dict[tuple[str, str], str]:
    """What the page says of each key."""
    told: dict[tuple[str, str], str] = {}
    table = ""
    for line in page[page.index(BEGIN) : page.index(END)].splitlines():
        if line.startswith("### "):
            table = "" if line == "### At the top" else line.removeprefix("### ").replace("`", "")
        elif row := re.fullmatch(r"\| `([^`]+)` \| (.*?) \| (.*?) \| (.*?) \|", line):
            told[table, row[1]] = row[4]
    return told


def tables(told: dict[tuple[str, str], str]) -> str:
    text, last = "", None
    for key in keys():
        if key.table != last:
            text += f"\n### {f'`{key.table}`' if key.table else 'At the top'}\n\n{HEAD}"
            last = key.table
        text += f"| `{key.name}` | {key.kind} | {key.default} | {told.get((key.table, key.name), '')} |\n"
    return text.lstrip("\n") + "\n"


def current(page: str) -> str:
    """The page with its tables as the contracts are."""
    begin, end = page.index(BEGIN) + len(BEGIN), page.index(END)
    return f"{page[:begin]}\n{tables(meanings(page))}{page[end:]}"


if __name__ == "__main__":
    PAGE.write_text(current(PAGE.read_text()))
