"""The registers of a SunSpec device, written from its models' points as the specification says."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from importlib import resources
from typing import Any

CODES = {
    "int16": "h", "sunssf": "h", "uint16": "H", "acc16": "H", "enum16": "H", "bitfield16": "H", "count": "H",
    "pad": "H",
    "int32": "i", "uint32": "I", "acc32": "I", "enum32": "I", "bitfield32": "I",
    "int64": "q", "uint64": "Q", "acc64": "Q", "bitfield64": "Q", "float32": "f", "float64": "d",
}  # fmt: skip
NOT_IMPLEMENTED = {
    "int16": 0x8000, "sunssf": 0x8000, "int32": 0x80000000, "int64": 1 << 63, "float32": 0x7FC00000,
    "float64": 0x7FF8000000000000, "acc16": 0, "acc32": 0, "acc64": 0, "pad": 0x8000,
}  # fmt: skip


def points_of(model: int) -> list[dict[str, Any]]:
    file = resources.files("sunspec2").joinpath("models", "json", f"model_{model}.json")
    points: list[dict[str, Any]] = json.loads(file.read_bytes())["group"]["points"]
    return points


def block(model: int, values: Mapping[str, float]) -> list[int]:
    """A model's registers, header included; points that are not named are not implemented."""
    words: list[int] = []
    points = points_of(model)
    for point in points:
        name, kind, size = point["name"], point["type"], point["size"]
        if name == "ID":
            words.append(model)
        elif name == "L":
            words.append(sum(p["size"] for p in points) - 2)
        elif name in values and kind in CODES:
            words += struct.unpack(f">{size}H", struct.pack(f">{CODES[kind]}", values[name]))
        else:
            bits = NOT_IMPLEMENTED.get(kind, (1 << 16 * size) - 1 if kind in CODES else 0)
            words += struct.unpack(f">{size}H", bits.to_bytes(2 * size))
    return words


def device(*models: list[int], base: int = 0) -> list[int]:
    """All registers from 0 on."""
    chain = [0x5375, 0x6E53, *(word for model in models for word in model), 0xFFFF, 0]
    return [0] * base + chain


COMMON = block(1, {})
