"""Text files as people's editors and spreadsheets write them: UTF-8 with or without a mark, UTF-16, "ANSI".

Every room may use this module; it stands on the standard library alone.
"""

from __future__ import annotations

import codecs
import errno
import json
import os
import re
import stat
import tomllib
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from wayside.errors import WaysideError

_MARKS = (
    # UTF-32 little-endian begins with UTF-16's mark: the longer ones first
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


MAX_FILE_BYTES = 64 << 20  # what is read whole at once; who expects more names its own limit
MAX_TOML_BYTES = 1 << 20  # ten times the longest configuration that a person writes
_SLIPS = {  # a part of tomllib's complaint: what to do
    "Cannot overwrite a value": "this key is given twice; remove one of the two",
    "Cannot declare": "this table is given twice; put both together, or write [[name]] where there are several",
    "Unescaped '\\'": "write a path of Windows in 'single quotes'",
    "Invalid hex value": "write a path of Windows in 'single quotes'",
}


class TextError(WaysideError, ValueError):
    """The bytes are no text, or no text of the kind that is asked for; the message says where, why and what to do."""


class Text(NamedTuple):
    """What the bytes say, without the byte order mark."""

    text: str
    encoding: str  # a codec name: utf-8, utf-16-le, cp1252, …
    guessed: bool  # no mark, and not UTF-8: an 8-bit encoding was taken; say so to whoever gave the file


def decode(data: bytes, encoding: str | None = None) -> Text:
    """Bytes to text.

    Args:
        data: the whole file.
        encoding: the codec that its owner named; a byte order mark that says otherwise is an error. None: the mark
            decides, else UTF-8, else Windows-1252, which is what "ANSI" means in western Europe (``guessed``).

    Raises:
        TextError: NUL bytes (no text), or bytes that the encoding has not.
    """
    mark, marked = next(((mark, name) for mark, name in _MARKS if data.startswith(mark)), (b"", ""))
    named = _codec(encoding) if encoding is not None else ""
    if named and marked and not _agree(named, marked):
        raise TextError(f"the file begins with the mark of {marked}, not of {encoding}: name the one that it is")
    name = marked or named or "utf-8"
    body = data[len(mark) :]
    try:
        text, guessed = body.decode(name), False
    except UnicodeDecodeError as exc:
        if marked or named:
            raise TextError(f"line {_line(body, exc.start, name)}: bytes that {name} has not") from exc
        try:
            name, text, guessed = "cp1252", body.decode("cp1252"), True
        except UnicodeDecodeError as again:
            raise TextError(
                f"line {_line(body, exc.start, 'utf-8')}: neither UTF-8 nor Windows-1252; "
                "it is another encoding, or no text"
            ) from again
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        hint = "; it may be UTF-16 without its mark" if not marked and data.count(b"\0") * 4 >= len(data) else ""
        raise TextError(f"line {line}: a NUL byte: this is no text, or the file is damaged{hint}")
    return Text(text, name, guessed)


def decode_unicode(data: bytes) -> str:
    """Text that has to be UTF-8, or UTF-16 or UTF-32 with its mark: nothing is guessed.

    Raises:
        TextError: as :func:`decode`, or another encoding; the line and its first strange letter are named.
    """
    decoded = decode(data)
    if decoded.guessed:
        line, letter = _first_beyond_ascii(decoded.text)
        raise TextError(
            f"line {line}: {letter!r} is not written in UTF-8 (Windows calls this ANSI): "
            'save the file again with the encoding "UTF-8"'
        )
    return decoded.text


def loads_toml(data: bytes | str) -> dict[str, Any]:
    """TOML, which is UTF-8 by its standard; a byte order mark and UTF-16 are read, too, for editors write them.

    Raises:
        TextError: another encoding, no TOML, or more than :data:`MAX_TOML_BYTES`.
    """
    if len(data) > MAX_TOML_BYTES:
        raise TextError(f"no configuration: it has more than {MAX_TOML_BYTES >> 20} MiB; is it the right file?")
    text = data.removeprefix("\ufeff") if isinstance(data, str) else decode_unicode(data)
    try:
        return tomllib.loads(text)
    except ValueError as exc:  # TOMLDecodeError; and an integer of thousands of digits
        raise TextError(f"no TOML: {str(exc)[:200]}{_meant(text, str(exc))}") from exc
    except RecursionError as exc:
        raise TextError("no TOML that can be read: its arrays or tables are nested too deep") from exc


def read_toml(path: Path) -> bytes:
    """The bytes of a TOML file.

    Raises:
        OSError: as :func:`read_file`.
    """
    return read_file(path, MAX_TOML_BYTES)


def loads_json(data: bytes | str, *, finite: bool = True) -> Any:
    """JSON, which is UTF-8 by its standard; a byte order mark and UTF-16 are read, too.

    Args:
        finite: NaN and Infinity, which JSON has not, are refused; else read, as in a training's report, where a measure
            that nothing was measured for is NaN.

    Raises:
        TextError: another encoding, or no JSON.
    """
    text = data.removeprefix("\ufeff") if isinstance(data, str) else decode_unicode(data)
    try:
        return json.loads(text, parse_constant=_no_constant if finite else None)
    except ValueError as exc:  # JSONDecodeError; and an integer of thousands of digits
        raise TextError(f"no JSON: {str(exc)[:200]}") from exc
    except RecursionError as exc:
        raise TextError("no JSON that can be read: it is nested too deep") from exc


def read_file(path: Path, limit: int = MAX_FILE_BYTES) -> bytes:
    """All bytes of a regular file; a pipe, which might never end or never begin, and a device are refused.

    Raises:
        OSError: it cannot be read, is no regular file, or holds more than ``limit`` bytes; ``strerror`` says which.
    """
    with open_file(path) as file:
        length = os.fstat(file.fileno()).st_size
        data = file.read(limit + 1) if length <= limit else b""
    if max(length, len(data)) > limit:
        size = f"{limit >> 20} MiB" if limit >> 20 else f"{limit} bytes"
        raise OSError(errno.EFBIG, f"has more than {size}; is it the right file?", str(path))
    return data


def open_file(path: Path) -> BinaryIO:
    """A regular file, to be read.

    Raises:
        OSError: it cannot be read, or is no regular file.
    """
    file: BinaryIO = open(path, "rb", opener=_at_once)  # noqa: SIM115  (Path.open has no opener)
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "a pipe or a device, not a file", str(path))
    return file


def _at_once(name: str, flags: int) -> int:
    """A pipe that nobody writes to would hold up its opening."""
    return os.open(name, flags | os.O_NONBLOCK)


def pem(data: bytes) -> str:
    """The ASCII of a PEM file, which is what OpenSSL takes. Other letters stand in comments alone, and are left away.

    Raises:
        TextError: as :func:`decode`.
    """
    return decode(data).text.encode("ascii", "ignore").decode()


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no number in JSON")


def _meant(text: str, complaint: str) -> str:
    """What a person may have written instead of TOML, or did not know of it."""
    for part, hint in _SLIPS.items():
        if part in complaint:
            return f": {hint}"
    if text.lstrip().startswith("{") or re.match(r'\s*\[\s*[\n"{]', text):
        return "; it looks like JSON, and TOML writes key = value, one a line"
    if "'='" in complaint and re.search(r"^\s*(- )?[\w.-]+\s*:(\s|$)", text, re.MULTILINE):
        return "; it looks like YAML, and TOML writes key = value"
    return ""


def _codec(name: str) -> str:
    try:
        codec = codecs.lookup(name)
    except LookupError as exc:
        raise TextError(f"no encoding is called {name!r}; examples: utf-8, cp1252, iso-8859-15, utf-16") from exc
    if not getattr(codec, "_is_text_encoding", True):
        raise TextError(f"{name!r} is no encoding of text; examples: utf-8, cp1252, iso-8859-15, utf-16")
    return codec.name


def _agree(named: str, marked: str) -> bool:
    whole = named.removesuffix("-sig")  # "utf-16" is either of its byte orders
    return named == marked or (whole in ("utf-8", "utf-16", "utf-32") and marked.startswith(whole))


def _line(body: bytes, at: int, name: str) -> int:
    return body[:at].decode(name, errors="replace").count("\n") + 1


def _first_beyond_ascii(text: str) -> tuple[int, str]:
    at = next(i for i, letter in enumerate(text) if not letter.isascii())
    return text.count("\n", 0, at) + 1, text[at]
