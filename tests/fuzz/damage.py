"""Damage that files suffer: what editors, spreadsheets, sticks and cables do to them, and the wrong file altogether.

Each damage is a function from a good file to a broken one. What it must lead to is its :class:`Fate`. All are
reproducible: whatever is random comes from the generator that is handed in.
"""

from __future__ import annotations

import os
import random
import re
import sqlite3
import tempfile
import zipfile
from collections.abc import Callable
from enum import StrEnum
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

MB = 1 << 20


class Fate(StrEnum):
    """What a verb may do with a damaged file, beside never showing a traceback."""

    REFUSED = "refused"  # or said, or provably harmless: the result is that of the good file
    SAME = "same"  # read as the good file is, or refused with words about its encoding
    ANY = "any"  # nobody can see it in the bytes: a row less, another digit


class Damage(NamedTuple):
    name: str
    fate: Fate
    make: Callable[[bytes, Path, random.Random], bytes | None]
    """From the good content; a result is written to the path, ``None``: the path is made already (or left away)."""
    texts: bool = False  # for text files only
    twin: Callable[[bytes, random.Random], bytes] | None = None
    """The same change without the damage: what the result is compared with, instead of the good file's."""


# --- of any file ----------------------------------------------------------------------------------------------------


def _missing(_good: bytes, _path: Path, _rng: random.Random) -> None:
    return None


def _folder(_good: bytes, path: Path, _rng: random.Random) -> None:
    path.mkdir()


def _loop(_good: bytes, path: Path, _rng: random.Random) -> None:
    path.symlink_to(path.name)


def _pipe(_good: bytes, path: Path, _rng: random.Random) -> None:
    os.mkfifo(path)


def _null_device(_good: bytes, path: Path, _rng: random.Random) -> None:
    path.symlink_to("/dev/null")


def _sparse(_good: bytes, path: Path, _rng: random.Random) -> None:
    with path.open("wb") as file:
        file.truncate(1024 * MB)


def _empty(_good: bytes, _path: Path, _rng: random.Random) -> bytes:
    return b""


def _cut(share: float) -> Callable[[bytes, Path, random.Random], bytes]:
    return lambda good, _path, _rng: good[: max(1, int(len(good) * share))]


def _last_byte(good: bytes, _path: Path, _rng: random.Random) -> bytes:
    return good[:-1]


def _nuls(good: bytes, _path: Path, rng: random.Random) -> bytes:
    at = rng.randrange(len(good) + 1)
    return good[:at] + bytes(8) + good[at:]


def _nul_block(good: bytes, _path: Path, _rng: random.Random) -> bytes:
    """What a power cut leaves: the length is there, the end was never written."""
    return good[: len(good) // 2] + bytes(len(good) - len(good) // 2)


def _flip(good: bytes, _path: Path, rng: random.Random) -> bytes:
    at = rng.randrange(len(good))
    return good[:at] + bytes([good[at] ^ (1 << rng.randrange(8))]) + good[at + 1 :]


def _span_lost(good: bytes, _path: Path, rng: random.Random) -> bytes:
    at = rng.randrange(len(good))
    return good[:at] + good[at + rng.randrange(1, max(2, len(good) // 8)) :]


def _span_twice(good: bytes, _path: Path, rng: random.Random) -> bytes:
    at = rng.randrange(len(good))
    end = at + rng.randrange(1, max(2, len(good) // 8))
    return good[:end] + good[at:end] + good[end:]


def _noise(good: bytes, _path: Path, rng: random.Random) -> bytes:
    at = rng.randrange(len(good))
    return good[:at] + rng.randbytes(24) + good[at:]


# --- of text --------------------------------------------------------------------------------------------------------


def _bom(good: bytes, _path: Path, _rng: random.Random) -> bytes:
    return b"\xef\xbb\xbf" + good


def _encoded(name: str) -> Callable[[bytes, Path, random.Random], bytes]:
    return lambda good, _path, _rng: good.decode().encode(name)


def _umlaut(good: bytes, rng: random.Random) -> bytes:
    """One letter becomes an umlaut, in UTF-8: in a word of a comment or a value where there is one."""
    text = good.decode()
    spots = [m.start() + 1 for m in re.finditer(r"(?<=[\"',;# ])[A-Za-z]{3,}(?=[\"',;. \n])", text)]
    spots = spots or [m.start() for m in re.finditer("[a-z]", text)] or [0]
    at = spots[rng.randrange(len(spots))]
    return (text[:at] + "ü" + text[at + 1 :]).encode()


def _ansi(good: bytes, _path: Path, rng: random.Random) -> bytes:
    return _umlaut(good, rng).decode().encode("cp1252")


def _crlf(good: bytes, _path: Path, _rng: random.Random) -> bytes:
    return good.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def _cr(good: bytes, _path: Path, _rng: random.Random) -> bytes:
    return good.replace(b"\r\n", b"\n").replace(b"\n", b"\r")


def _lines(change: Callable[[list[bytes], random.Random], object]) -> Callable[[bytes, Path, random.Random], bytes]:
    def make(good: bytes, _path: Path, rng: random.Random) -> bytes:
        lines = good.splitlines(keepends=True)
        change(lines, rng)
        return b"".join(lines)

    return make


def _shuffle(lines: list[bytes], rng: random.Random) -> None:
    rest = lines[1:]
    rng.shuffle(rest)
    lines[1:] = rest


def _line_lost(lines: list[bytes], rng: random.Random) -> None:
    del lines[rng.randrange(len(lines))]


def _line_twice(lines: list[bytes], rng: random.Random) -> None:
    at = rng.randrange(len(lines))
    lines.insert(at, lines[at])


def _line_torn(lines: list[bytes], rng: random.Random) -> None:
    at = rng.randrange(len(lines))
    lines[at] = lines[at][: len(lines[at]) // 2] + b"\n"


def _long_line(good: bytes, _path: Path, _rng: random.Random) -> bytes:
    return good + b"x" * (2 * MB) + b"\n"


def _huge_number(good: bytes, _path: Path, rng: random.Random) -> bytes:
    numbers = list(re.finditer(rb"(?<![\w.])\d+(\.\d+)?(?![\w.])", good))
    if not numbers:
        return good + b"\n9" * 10
    number = rng.choice(numbers)
    huge = rng.choice((b"9" * 400, b"1e999", b"-1", b"nan", b"9223372036854775808", b"0", b"-0.0", b"1e-320"))
    return good[: number.start()] + huge + good[number.end() :]


def _deep(bracket: bytes) -> Callable[[bytes, Path, random.Random], bytes]:
    return lambda _good, _path, _rng: b"a = " * (bracket == b"[ ") + bracket * 100_000


def _columns(change: Callable[[list[str], random.Random], object]) -> Callable[[bytes, Path, random.Random], bytes]:
    """Changes the header of a CSV alone."""

    def make(good: bytes, _path: Path, rng: random.Random) -> bytes:
        head, _, rest = good.decode().partition("\n")
        names = head.rstrip("\r").split(",")
        change(names, rng)
        return (",".join(names) + "\n" + rest).encode()

    return make


def _swap(names: list[str], rng: random.Random) -> None:
    if len(names) > 1:
        i, j = rng.sample(range(len(names)), 2)
        names[i], names[j] = names[j], names[i]


def _rename(names: list[str], rng: random.Random) -> None:
    names[rng.randrange(len(names))] = "other"


def _same_name(names: list[str], rng: random.Random) -> None:
    if len(names) > 1:
        i, j = rng.sample(range(len(names)), 2)
        names[i] = names[j]


def _nameless(names: list[str], rng: random.Random) -> None:
    names[rng.randrange(len(names))] = ""


def _semicolons(good: bytes, _path: Path, _rng: random.Random) -> bytes:
    return good.replace(b",", b";")


def _ragged(good: bytes, _path: Path, rng: random.Random) -> bytes:
    lines = good.split(b"\n")
    at = rng.randrange(1, max(2, len(lines) - 1))
    lines[at] += b",1,2,3"
    return b"\n".join(lines)


def _quote(good: bytes, _path: Path, rng: random.Random) -> bytes:
    """A quotation mark that nothing closes."""
    lines = good.split(b"\n")
    at = rng.randrange(1, max(2, len(lines) - 1))
    lines[at] = b'"' + lines[at]
    return b"\n".join(lines)


# --- the wrong file -------------------------------------------------------------------------------------------------

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c63600000000005000"
    "1a5f645400000000049454e44ae426082"
)


def _zip() -> bytes:
    made = BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("readme.txt", "nothing of interest\n" * 9)
    return made.getvalue()


def _sqlite() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x"
        db = sqlite3.connect(path)
        db.execute("CREATE TABLE things (name TEXT)")
        db.commit()
        db.close()
        return path.read_bytes()


def _elf() -> bytes:
    return b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\xb7\x00" + random.Random(1).randbytes(4000)


KINDS: dict[str, Callable[[], bytes]] = {
    "png": lambda: PNG,
    "zip": _zip,
    "sqlite": _sqlite,
    "elf": _elf,
    "gzip": lambda: bytes.fromhex("1f8b0800000000000003") + random.Random(2).randbytes(200),
    "json": lambda: b'{"a": [1, {"b": null}]}\n',
    "json-list": lambda: b"[1, 2, 3]\n",
    "yaml": lambda: b"a:\n  - 1\n  - b: 2\n",
    "toml": lambda: b'[other]\nname = "x"\n',
    "csv": lambda: b"a;b;c\n1;2;3\n",
    "html": lambda: b"<!DOCTYPE html><html><head><title>404</title></head><body>Not found</body></html>\n",
    "prose": lambda: b"Dear Sir,\n\nplease find the file attached.\n",
    "noise": lambda: random.Random(3).randbytes(5000),
}


def _kind(name: str) -> Damage:
    return Damage(f"kind {name}", Fate.REFUSED, lambda _good, _path, _rng: KINDS[name]())


R, S, A = Fate.REFUSED, Fate.SAME, Fate.ANY
DAMAGE: tuple[Damage, ...] = (
    Damage("missing", R, _missing),
    Damage("folder", R, _folder),
    Damage("symlink loop", R, _loop),
    Damage("pipe", R, _pipe),
    Damage("null device", R, _null_device),
    Damage("sparse 1 GiB", R, _sparse),
    Damage("empty", R, _empty),
    Damage("cut 10", R, _cut(0.1)),
    Damage("cut 50", R, _cut(0.5)),
    Damage("cut 90", R, _cut(0.9)),
    Damage("last byte", R, _last_byte),
    Damage("nuls", R, _nuls),
    Damage("nul block", R, _nul_block),
    Damage("flip", R, _flip),
    Damage("span lost", R, _span_lost),
    Damage("span twice", R, _span_twice),
    Damage("noise", R, _noise),
    *map(_kind, KINDS),
    Damage("bom", S, _bom, texts=True),
    Damage("utf-16", S, _encoded("utf-16"), texts=True),
    Damage("utf-16-be without mark", S, _encoded("utf-16-be"), texts=True),
    Damage("utf-32", S, _encoded("utf-32"), texts=True),
    Damage("ansi", S, _ansi, texts=True, twin=_umlaut),
    Damage("umlaut", A, lambda good, _path, rng: _umlaut(good, rng), texts=True),
    Damage("crlf", S, _crlf, texts=True),
    Damage("cr", R, _cr, texts=True),
    Damage("shuffled", A, _lines(_shuffle), texts=True),
    Damage("line lost", A, _lines(_line_lost), texts=True),
    Damage("line twice", A, _lines(_line_twice), texts=True),
    Damage("line torn", A, _lines(_line_torn), texts=True),
    Damage("long line", R, _long_line, texts=True),
    Damage("huge number", A, _huge_number, texts=True),
    Damage("deep brackets", R, _deep(b"["), texts=True),
    Damage("deep toml", R, _deep(b"[ "), texts=True),
    Damage("deep braces", R, _deep(b'{"a":'), texts=True),
)
TABLES: tuple[Damage, ...] = (
    Damage("columns swapped", A, _columns(_swap)),
    Damage("column renamed", A, _columns(_rename)),
    Damage("column twice", R, _columns(_same_name)),
    Damage("column nameless", R, _columns(_nameless)),
    Damage("semicolons", S, _semicolons),
    Damage("ragged row", R, _ragged),
    Damage("open quote", R, _quote),
)
"""Of CSV files, beside those of every text."""

UNSEEN = frozenset({"cut 10", "cut 50", "cut 90", "last byte", "flip", "span lost", "span twice", "noise"})
"""Nobody can see these in a text without a checksum: a digit is another digit, a file ends a line earlier."""
