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
from collections.abc import Callable, Sequence
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
    data = msgspec.json.encode(document)
    # An empty ``extra`` is left out, and within a text its quotes would be escaped: where these bytes are not, none is.
    return msgspec.json.encode(_merge(document)) if b'"extra":{' in data else data


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


_Aside = Callable[[Any], Any]
"""Takes what JSON says of a value, and gives the same with the unknown keys of each Document in its ``extra``."""


def _set_aside(raw: Any, kind: Any) -> Any:
    """Move unknown keys of each Document in ``raw`` into its ``extra``."""
    aside = _aside(kind)
    return raw if aside is None else aside(raw)


@functools.cache
def _aside(kind: Any) -> _Aside | None:
    """Planned once a type: of a thousand rows only what can hold a Document is looked at. None: nothing can."""
    origin = typing.get_origin(kind)
    if origin is typing.Annotated:
        return _aside(typing.get_args(kind)[0])
    if origin in (typing.Union, types.UnionType):
        members = [m for m in typing.get_args(kind) if isinstance(m, type) and issubclass(m, Document)]
        return _aside(members[0]) if len(members) == 1 else None
    if origin in (list, tuple):
        return _of_items(_aside(typing.get_args(kind)[0]))
    if origin is dict:
        return _of_values(_aside(typing.get_args(kind)[1]))
    return _of_document(kind) if isinstance(kind, type) and issubclass(kind, Document) else None


def _of_items(aside: _Aside | None) -> _Aside | None:
    if aside is None:
        return None
    return lambda raw: [aside(item) for item in raw] if isinstance(raw, list) else raw


def _of_values(aside: _Aside | None) -> _Aside | None:
    if aside is None:
        return None
    return lambda raw: {name: aside(item) for name, item in raw.items()} if isinstance(raw, dict) else raw


def _of_document(kind: type[Document]) -> _Aside:
    hints = typing.get_type_hints(kind, include_extras=True)
    fields = {f.encode_name: hints[f.name] for f in msgspec.structs.fields(kind) if f.name != "extra"}
    known = fields.keys()
    inside = [(name, aside) for name, hint in fields.items() if (aside := _aside(hint)) is not None]

    def of_document(raw: Any) -> Any:
        if not isinstance(raw, dict):
            return raw
        parts = {name: made for name, aside in inside if name in raw and (made := aside(raw[name])) is not raw[name]}
        if raw.keys() <= known:
            return raw | parts if parts else raw
        extra = {name: part for name, part in raw.items() if name not in known}
        return {name: part for name, part in raw.items() if name in known} | parts | {"extra": extra}

    return of_document


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
