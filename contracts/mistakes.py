"""Every mistake of a table that a person wrote, at once: each with its place in the file and the rule that it breaks.

A wire document is refused at its first mistake (:mod:`contracts.wire`); a person wants the whole list.
"""

from __future__ import annotations

import difflib
import functools
import json
import re
import types
import typing
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from wayside.contracts.wire import ContractError, Document

Place = tuple[str | int, ...]
"""Keys and indices from the top of the file: ``("tasks", 1, "sites", 0, "output")``."""


class Mistake(NamedTuple):
    """``compares`` names the sections that the rule compares: while one of them has mistakes it proves nothing."""

    place: Place
    rule: str
    compares: frozenset[str] = frozenset()


class BrokenRulesError(ValueError):
    """Raised in ``__post_init__`` of a document that breaks rules; their places begin at that document."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        super().__init__(mistakes[0].rule)
        self.mistakes = tuple(mistakes)


def refuse(mistakes: Iterable[Mistake]) -> None:
    """Raises: BrokenRulesError, if there is any mistake."""
    if listed := list(mistakes):
        raise BrokenRulesError(listed)


def refusal(mistakes: Sequence[Mistake]) -> ContractError:
    """The error that names them all, the first one in front."""
    first, *others = dict.fromkeys((spelled(m.place), m.rule) for m in mistakes)
    return ContractError(*first, others=tuple(others))


def spelled(place: Place) -> str:
    """``$.tasks[1].sites[0].output``; a key that TOML would quote is quoted."""
    text = "$"
    for part in place:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part if re.fullmatch('[A-Za-z0-9_-]+', part) else json.dumps(part, ensure_ascii=False)}"
    return text


def between_sections(
    raw: dict[str, Any], kind: type[Document], broken: set[str], instead: dict[str, Any]
) -> list[Mistake]:
    """The mistakes between the sections of ``raw`` that are right by themselves.

    Args:
        broken: sections that have mistakes of their own; they are left out, or taken from ``instead``.
    """
    whole = {k: v for k, v in raw.items() if k not in broken} | {k: v for k, v in instead.items() if k in broken}
    return [m for m in mistakes_of_value(whole, kind, ()) if m.compares and not m.compares & broken]


def mistakes_of(value: Any, hint: Any, place: Place) -> Iterator[Mistake]:
    """Of a value that should be a ``hint``: those of its parts if there are any, else its own."""
    bare = typing.get_args(hint)[0] if typing.get_origin(hint) is typing.Annotated else hint
    origin, arguments = typing.get_origin(bare), typing.get_args(bare)
    inner: list[Mistake] = []
    documents = _documents(bare)
    if documents and isinstance(value, dict):
        inner = list(_of_table(value, documents, place))
    elif origin is tuple and isinstance(value, list):
        inner = [m for i, item in enumerate(value) for m in mistakes_of(item, arguments[0], (*place, i))]
    elif origin is dict and isinstance(value, dict):
        for key, item in value.items():
            inner += mistakes_of_value(key, arguments[0], (*place, key))
            inner += mistakes_of(item, arguments[1], (*place, key))
    yield from inner or mistakes_of_value(value, hint, place)


def _documents(hint: Any) -> list[type[Document]]:
    members = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    return [m for m in members if isinstance(m, type) and issubclass(m, Document)]


def _of_table(value: dict[str, Any], documents: list[type[Document]], place: Place) -> Iterator[Mistake]:
    kind, tag = documents[0], documents[0].__struct_config__.tag_field
    if tag is not None:
        kinds = {str(d.__struct_config__.tag): d for d in documents}
        if tag not in value:
            yield Mistake(place, f"misses {tag}, one of {', '.join(kinds)}")
            return
        if value[tag] not in list(kinds):
            yield Mistake((*place, tag), f"is one of {', '.join(kinds)}")
            return
        kind = kinds[value[tag]]
    hints, fields = _fields_of(kind)
    for name in value:
        if name not in fields and name != tag:
            near = difflib.get_close_matches(name, fields, n=1)
            yield Mistake((*place, name), f"is unknown here{f'; is {near[0]} meant?' if near else ''}")
    for name, field in fields.items():
        if name in value:
            yield from mistakes_of(value[name], hints[field.name], (*place, name))
        elif field.required:
            yield Mistake(place, f"misses {name}")


@functools.cache
def _fields_of(kind: type[Document]) -> tuple[dict[str, Any], dict[str, msgspec.structs.FieldInfo]]:
    """Types by field, and the fields by the names that a file has."""
    fields = {f.encode_name: f for f in msgspec.structs.fields(kind) if f.name != "extra"}
    return typing.get_type_hints(kind, include_extras=True), fields


def mistakes_of_value(value: Any, hint: Any, place: Place) -> list[Mistake]:
    """By converting it."""
    try:
        msgspec.convert(value, hint)
    except msgspec.ValidationError as exc:
        if isinstance(exc.__cause__, BrokenRulesError):
            return [m._replace(place=(*place, *m.place)) for m in exc.__cause__.mistakes]
        return [Mistake(place, _in_words(hint, str(exc).partition(" - at `")[0]))]
    except RecursionError:
        return [Mistake(place, "is nested too deeply")]
    return []


_WORDS = {
    "int": "a whole number", "float": "a number", "str": "text", "bool": "true or false", "array": "a list",
    "object": "a table", "null": "nothing",
}  # fmt: skip


def _in_words(hint: Any, rule: str) -> str:
    """A rule of msgspec's as a person reads it."""
    members = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    for member in members:
        for meta in getattr(member, "__metadata__", ()):
            if re.search("regex|`int` [<>]", rule) and meta.extra and "rule" in meta.extra:
                return str(meta.extra["rule"])  # of a pattern that nobody can read, or a bound with a reason
        if rule.startswith("Invalid enum value") and typing.get_origin(member) is typing.Literal:
            allowed = ", ".join(map(str, typing.get_args(member)))
            return f"is one of {allowed}, not {rule.removeprefix('Invalid enum value ')}"
    rule = re.sub(r"^Expected `(\w+)[^`]*`", lambda m: f"is {_WORDS.get(m[1], m[1])}", rule)
    return re.sub(r", got `(\w+)`$", lambda m: f", not {_WORDS.get(m[1], m[1])}", rule)
