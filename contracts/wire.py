"""Wire version 1: how every document is encoded, decoded and refused.

Rules (docs/wire.md):
- every top-level document carries ``wire``; a reader accepts any version up to its own;
- a reader keeps the fields it does not know (``Document.extra``) and writes them back;
- a writer never requires a field that version 1 did not have;
- refusal is a :class:`ContractError` that names the field and the rule.
"""

from __future__ import annotations

import functools
import types
import typing
from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from wayside.errors import WaysideError
from wayside.text import TextError, loads_toml

WIRE_VERSION = 1


class ContractError(WaysideError, ValueError):
    """A document breaks a rule.

    Attributes:
        field: path of the offending field, ``$`` for the whole document.
        rule: the rule that it breaks, as a sentence.
        mistakes: all of them as (field, rule); more than one only of a file that a person wrote.
    """

    def __init__(self, field: str, rule: str, others: Sequence[tuple[str, str]] = ()) -> None:
        more = f" (and {len(others)} more)" if others else ""
        super().__init__(f"{field}: {rule}{more}")
        self.field = field
        self.rule = rule
        self.mistakes = ((field, rule), *others)


class Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Base of all documents. ``extra`` holds fields of a newer writer, untouched."""

    extra: dict[str, Any] = {}


def wire_field() -> Any:
    # A factory, not a plain default: ``omit_defaults`` must not drop the version.
    return msgspec.field(default_factory=lambda: WIRE_VERSION)


D = TypeVar("D", bound=Document)


def encode(document: Document) -> bytes:
    """Return the JSON bytes of ``document``, unknown fields included."""
    return msgspec.json.encode(_merge(document) if _has_extra(document) else document)


def decode(data: bytes, kind: type[D]) -> D:
    """Decode hostile JSON bytes into ``kind``.

    Raises:
        ContractError: naming the field and the rule that it breaks.
    """
    try:
        document = _decoder(kind).decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # The slow path: perhaps only unknown fields, perhaps really wrong.
        try:
            raw = msgspec.json.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
            raise ContractError("$", f"is not JSON: {exc}") from exc
        return from_builtins(raw, kind)
    _check_version(getattr(document, "wire", WIRE_VERSION))
    return document


def decode_toml(file: str | bytes, kind: type[D]) -> D:
    """Decode a TOML file into ``kind``; unknown keys are refused, since a person wrote them.

    Raises:
        ContractError: naming the field and the rule that it breaks.
    """
    return _convert(parsed_toml(file), kind)


def parsed_toml(file: str | bytes) -> dict[str, Any]:
    """The tables of a TOML file that a person or an editor wrote.

    Raises:
        ContractError: it is no text, or no TOML; the line is named.
    """
    try:
        return loads_toml(file)
    except TextError as exc:
        raise ContractError("$", str(exc)) from exc


def from_builtins(raw: Any, kind: type[D]) -> D:
    """Like :func:`decode`, for a value that is already parsed."""
    if isinstance(raw, dict):
        version = raw.get("wire", WIRE_VERSION)
        if isinstance(version, int):
            _check_version(version)
    return _convert(_set_aside(raw, kind), kind)


def to_builtins(document: Document) -> dict[str, Any]:
    """The document as plain dicts and lists, unknown fields merged back in."""
    return typing.cast(dict[str, Any], _merge(document))


_decoders: dict[type, msgspec.json.Decoder[Any]] = {}


def _decoder(kind: type[D]) -> msgspec.json.Decoder[D]:
    if kind not in _decoders:
        _decoders[kind] = msgspec.json.Decoder(kind)
    return _decoders[kind]


def _check_version(version: int) -> None:
    if not 1 <= version <= WIRE_VERSION:
        raise ContractError("wire", f"is {version}; this software reads 1 to {WIRE_VERSION}")


def _convert(raw: Any, kind: type[D]) -> D:
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as exc:
        # msgspec gives the path only inside its message: "<rule> - at `$.a.b`".
        rule, _, path = str(exc).partition(" - at `")
        raise ContractError(path.rstrip("`") or "$", rule) from exc
    except RecursionError as exc:
        raise ContractError("$", "is nested too deeply") from exc


def _set_aside(raw: Any, kind: Any) -> Any:
    """Move unknown keys of each Document in ``raw`` into its ``extra``."""
    origin = typing.get_origin(kind)
    if origin is typing.Annotated:
        return _set_aside(raw, typing.get_args(kind)[0])
    if origin in (list, tuple) and isinstance(raw, list):
        return [_set_aside(item, typing.get_args(kind)[0]) for item in raw]
    if origin is dict and isinstance(raw, dict):
        return {k: _set_aside(v, typing.get_args(kind)[1]) for k, v in raw.items()}
    if origin in (typing.Union, types.UnionType):
        members = [m for m in typing.get_args(kind) if isinstance(m, type) and issubclass(m, Document)]
        return _set_aside(raw, members[0]) if len(members) == 1 else raw
    if not (isinstance(kind, type) and issubclass(kind, Document) and isinstance(raw, dict)):
        return raw
    known = _known_fields(kind)
    kept = {k: _set_aside(v, known[k]) for k, v in raw.items() if k in known}
    extra = {k: v for k, v in raw.items() if k not in known}
    return {**kept, "extra": extra} if extra else kept


@functools.cache
def _known_fields(kind: type[Document]) -> dict[str, Any]:
    # Remembered: a thousand rows with a field of a newer writer are a thousand times the same question.
    hints = typing.get_type_hints(kind, include_extras=True)
    return {f.encode_name: hints[f.name] for f in msgspec.structs.fields(kind) if f.name != "extra"}


def _has_extra(value: Any) -> bool:
    if isinstance(value, Document):
        return bool(value.extra) or any(_has_extra(getattr(value, n)) for n in value.__struct_fields__ if n != "extra")
    if isinstance(value, (list, tuple)):
        return any(_has_extra(v) for v in value)
    return isinstance(value, dict) and any(_has_extra(v) for v in value.values())


def _merge(value: Any) -> Any:
    if isinstance(value, Document):
        plain = {k: _merge(v) for k, v in msgspec.structs.asdict(value).items() if k != "extra"}
        kept = msgspec.to_builtins(value)
        return {k: v for k, v in plain.items() if k in kept} | value.extra
    if isinstance(value, (list, tuple)):
        return [_merge(v) for v in value]
    if isinstance(value, dict):
        return {k: _merge(v) for k, v in value.items()}
    return msgspec.to_builtins(value)
