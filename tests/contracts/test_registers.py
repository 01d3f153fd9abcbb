"""Registers ↔ numbers: every type in every order, and what is no number."""

from __future__ import annotations

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wayside.contracts import registers
from wayside.contracts.quantities import is_noise, plausible
from wayside.contracts.registers import ORDERS, RegisterType, decode, encode, not_implemented, words_of, wraps_at

KINDS: tuple[RegisterType, ...] = ("uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64")


def bits(kind: str) -> int:
    return 16 * words_of(kind)


def numbers(kind: str) -> st.SearchStrategy[float]:
    if registers.is_float(kind):
        return st.floats(allow_nan=False, allow_infinity=False, width=32 if kind == "float32" else 64)
    low = -(1 << bits(kind) - 1) if kind.startswith("int") else 0
    return st.integers(low, low + (1 << bits(kind)) - 1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("order", ORDERS)
@given(data=st.data())
def test_what_is_written_is_read_back_to_the_bit(
    kind: RegisterType, order: tuple[str, str], data: st.DataObject
) -> None:
    number = data.draw(numbers(kind))
    words = encode(number, kind, *order)  # type: ignore[arg-type]
    assert len(words) == words_of(kind)
    assert all(0 <= word <= 0xFFFF for word in words)
    assert decode(words, kind, *order) == number


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_any_words_are_a_number_of_the_type_or_none_at_all(kind: RegisterType, data: st.DataObject) -> None:
    words = data.draw(st.lists(st.integers(0, 0xFFFF), min_size=words_of(kind), max_size=words_of(kind)))
    order = data.draw(st.sampled_from(ORDERS))
    number = decode(words, kind, *order, missing=(not_implemented(kind),))
    if number is None:
        return
    assert math.isfinite(number)
    assert encode(number, kind, *order) == words
    assert isinstance(number, float) is registers.is_float(kind)


def test_the_four_orders_are_those_of_the_manuals() -> None:
    a, b, c, d = data = struct.pack(">f", 229.01)
    spelled = {"ABCD": (a, b, c, d), "CDAB": (c, d, a, b), "BADC": (b, a, d, c), "DCBA": (d, c, b, a)}
    for (order, wire), (word, byte) in zip(spelled.items(), ORDERS, strict=True):
        words = struct.unpack(">2H", bytes(wire))
        assert decode(words, "float32", word, byte) == pytest.approx(229.01), order
    assert decode(struct.unpack(">2H", data), "float32", "big", "little") != pytest.approx(229.01)


@pytest.mark.parametrize(
    ("kind", "pattern"),
    [
        ("uint16", 0xFFFF), ("int16", 0x8000), ("uint32", 0xFFFFFFFF), ("int32", 0x80000000),
        ("uint64", 0xFFFFFFFFFFFFFFFF), ("int64", 0x8000000000000000), ("float32", 0x7FC00000),
        ("float64", 0x7FF8000000000000),
    ],
)  # fmt: skip
def test_sunspecs_patterns_are_no_numbers(kind: RegisterType, pattern: int) -> None:
    data = pattern.to_bytes(2 * words_of(kind))
    words = struct.unpack(f">{words_of(kind)}H", data)
    assert not_implemented(kind) == pattern
    assert decode(words, kind, missing=(not_implemented(kind),)) is None


@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_no_nan_and_no_infinity_is_a_number(kind: RegisterType) -> None:
    for value in (math.nan, -math.nan, math.inf, -math.inf):
        data = struct.pack(">f" if kind == "float32" else ">d", value)
        assert decode(struct.unpack(f">{words_of(kind)}H", data), kind) is None


def test_a_missing_value_is_given_as_a_number_or_as_its_bits() -> None:
    assert decode([0xD8F1], "int16", missing=(-9999,)) is None
    assert decode([0xD8F1], "int16", missing=(0xD8F1,)) is None
    assert decode([0xD8F0], "int16", missing=(-9999, 0xD8F1)) == -10000


def test_64_bits_are_exact_and_wrap_where_they_end() -> None:
    assert decode([0xFFFF, 0xFFFF, 0xFFFF, 0xFFFE], "uint64") == 2**64 - 2
    assert [wraps_at(kind) for kind in ("uint16", "uint32", "uint64", "int32", "float32")] == [
        2**16, 2**32, 2**64, None, None,
    ]  # fmt: skip


@pytest.mark.parametrize(("value", "kind"), [(65536, "uint16"), (-1, "uint32"), (1e39, "float32"), (math.nan, "int16")])
def test_what_does_not_fit_is_refused(value: float, kind: RegisterType) -> None:
    with pytest.raises(ValueError, match=r"."):
        encode(value, kind)
    for words in ([], [0] * 5, [1 << 16], [-1]):
        with pytest.raises(ValueError, match=r"registers, not|16 bits"):
            decode(words, "uint16")


@pytest.mark.parametrize(("unit", "value"), [("Hz", 50.0), ("V", 400.0), ("V", 5.0), ("V", 229.0)])
def test_a_float_in_the_order_of_another_maker_is_no_value_of_its_unit(unit: str, value: float) -> None:
    low, high = plausible(unit)
    assert low <= value <= high
    words = encode(value, "float32", byte_order="ABCD")
    for order in ("BADC", "DCBA", "CDAB"):
        other = decode(words, "float32", byte_order=order)  # type: ignore[arg-type]
        assert other is None or is_noise(other) or not low <= other <= high, (order, other)
