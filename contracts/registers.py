"""Registers of 16 bits and the numbers that they hold, in any order of words and bytes. Pure.

MODBUS has no types: what several registers mean is the maker's choice. What stands for "no value" is SunSpec's, whose
patterns many others use as well (SunSpec Device Information Model Specification V1.1, §4.3).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Literal

RegisterType = Literal["uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64"]
Order = Literal["big", "little"]
ByteOrder = Literal["ABCD", "CDAB", "BADC", "DCBA", "big", "little"]
"""As manuals spell the order of a number's bytes; "big" and "little" speak of the two within a register alone."""

_CODES = {
    "uint16": "H", "int16": "h", "uint32": "I", "int32": "i", "uint64": "Q", "int64": "q",
    "float32": "f", "float64": "d",
}  # fmt: skip
ORDERS: tuple[tuple[Order, Order], ...] = (("big", "big"), ("little", "big"), ("big", "little"), ("little", "little"))
"""(word order, byte order): of four bytes ABCD, CDAB, BADC, DCBA."""
LETTERS: tuple[ByteOrder, ...] = ("ABCD", "CDAB", "BADC", "DCBA")
"""The same in letters; of eight bytes CDAB reads GHEFCDAB, and so on."""


def words_of(kind: str) -> int:
    """How many registers hold a number of that type."""
    return struct.calcsize(_CODES[kind]) // 2


def is_float(kind: str) -> bool:
    return kind.startswith("float")


def wraps_at(kind: str) -> int | None:
    """Where a counter of that type begins again at 0; None: it does not count upwards for ever."""
    return 1 << 16 * words_of(kind) if kind.startswith("uint") else None


def not_implemented(kind: str) -> int:
    """The bits that mean "no value" in SunSpec; of floats every NaN does."""
    bits = 16 * words_of(kind)
    if is_float(kind):
        return 0x7FC00000 if bits == 32 else 0x7FF8000000000000
    return 1 << bits - 1 if kind.startswith("int") else (1 << bits) - 1


def decode(
    words: Sequence[int],
    kind: str,
    word_order: Order = "big",
    byte_order: ByteOrder = "big",
    missing: Sequence[int] = (),
) -> float | None:
    """The number in ``words``; whole numbers come as ``int``, exact up to 64 bits.

    Args:
        missing: numbers, or their bits, that mean "no value".

    Returns:
        None for those, and for a float that is no finite number.

    Raises:
        ValueError: another number of words than the type has, or one that is no 16 bits.
    """
    if len(words) != words_of(kind):
        raise ValueError(f"{kind} has {words_of(kind)} registers, not {len(words)}")
    data = _arranged(words, word_order, byte_order)
    (value,) = struct.unpack(f">{_CODES[kind]}", data)
    number: float = value
    if not math.isfinite(number) or number in missing or int.from_bytes(data) in missing:
        return None
    return number


def encode(value: float, kind: str, word_order: Order = "big", byte_order: ByteOrder = "big") -> list[int]:
    """The registers for ``value``: of a whole number's type the nearest one.

    Raises:
        ValueError: the type cannot hold it.
    """
    try:
        data = struct.pack(f">{_CODES[kind]}", value if is_float(kind) else round(value))
    except (struct.error, OverflowError) as exc:
        raise ValueError(f"{value:g} is no {kind}") from exc
    data = _arranged(struct.unpack(f">{len(data) // 2}H", data), word_order, byte_order)
    return list(struct.unpack(f">{len(data) // 2}H", data))


def letters(word_order: Order, byte_order: ByteOrder) -> ByteOrder:
    """The one order that both keys give; letters decide alone."""
    return byte_order if byte_order in LETTERS else LETTERS[ORDERS.index((word_order, byte_order))]


def _arranged(words: Sequence[int], word_order: Order, byte_order: ByteOrder) -> bytes:
    """Either way: each of the four orders is its own inverse."""
    order = letters(word_order, byte_order)
    ordered = words if order in ("ABCD", "BADC") else words[::-1]
    try:
        return struct.pack(f"{'>' if order in ('ABCD', 'CDAB') else '<'}{len(words)}H", *ordered)
    except struct.error as exc:
        raise ValueError("a register has 16 bits") from exc
