"""SunSpec models: which registers of a model hold what. The definitions are those of the package ``pysunspec2``.

Only its JSON files are read: the package's own client waits in the caller's thread, which here is the event loop's.
Source: SunSpec Device Information Model Specification V1.1.
"""

from __future__ import annotations

import difflib
import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from typing import Any, NamedTuple

from wayside.contracts import registers
from wayside.contracts.mistakes import Mistake
from wayside.contracts.modbus_config import SunspecConfig, SunspecPoint
from wayside.contracts.quantities import quantity
from wayside.edge.errors import EdgeError

MAX_SF = 10  # §4.3.3
HEADER = 2  # registers before the first point: the model's number and length
_PLAIN = {"acc16": "uint16", "acc32": "uint32", "acc64": "uint64", "count": "uint16", "sunssf": "int16"}
_NUMBERS = frozenset({
    "int16", "uint16", "int32", "uint32", "int64", "uint64", "acc16", "acc32", "acc64", "float32", "float64", "count",
})  # fmt: skip
_UCUM = {
    "W": "W", "Wh": "W.h", "V": "V", "A": "A", "Hz": "Hz", "C": "Cel", "Pct": "%", "VA": "V.A", "VAh": "V.A.h",
    "Ah": "A.h", "var": "var", "varh": "var.h", "Secs": "s",
}  # fmt: skip


class SunspecError(EdgeError):
    """There is no such model or point, or its definition cannot be read."""


class Definition(NamedTuple):
    """One point; ``offset`` counts registers from the model's number."""

    name: str
    type: str
    offset: int
    size: int
    sf: str | int | None
    units: str


class Number(NamedTuple):
    """A point's value with its scale factor applied; None: not implemented."""

    value: float | None
    wraps_at: float | None


class Model:
    def __init__(self, number: int, points: Mapping[str, Definition]) -> None:
        self.number, self.points = number, points

    def point(self, name: str) -> Definition:
        """Raises: SunspecError: the model has no such point, or it is no number."""
        definition = self.points.get(name)
        if definition is None:
            spelled = {p.lower(): p for p in self.points}
            near = [spelled[p] for p in difflib.get_close_matches(name.lower(), spelled, n=2)]
            meant = f"; is {' or '.join(near)} meant?" if near else ""
            raise SunspecError(f"model {self.number} has no point {name} in its fixed block{meant}")
        if definition.type not in _NUMBERS:
            raise SunspecError(f"point {name} of model {self.number} is a {definition.type}, no number")
        return definition

    def needed(self, names: Sequence[str]) -> list[Definition]:
        """The points of these names and of their scale factors, in the order of the registers.

        Raises:
            SunspecError
        """
        wanted = {p.name: p for p in map(self.point, names)}
        for point in list(wanted.values()):
            if isinstance(point.sf, str):
                if point.sf not in self.points:
                    raise SunspecError(f"model {self.number} lacks the scale factor {point.sf}")
                wanted[point.sf] = self.points[point.sf]
        return sorted(wanted.values(), key=lambda p: p.offset)

    def number_of(self, point: Definition, words: Mapping[int, int]) -> Number:
        """
        Args:
            words: what was read, by offset; a point of which some is missing is not implemented.
        """
        raw = _raw(point, words)
        exponent = 0
        if isinstance(point.sf, int):
            exponent = point.sf
        elif point.sf is not None:
            scale = _raw(self.points[point.sf], words)
            if scale is None or abs(scale) > MAX_SF:
                return Number(None, None)
            exponent = int(scale)
        wraps_at = registers.wraps_at(_PLAIN.get(point.type, point.type))
        return Number(
            None if raw is None else _scaled(raw, exponent), None if wraps_at is None else _scaled(wraps_at, exponent)
        )

    def scale_factors(self, points: Sequence[Definition], words: Mapping[int, int]) -> dict[str, float | None]:
        return {p.name: _raw(p, words) for p in points if p.type == "sunssf"}


def _raw(point: Definition, words: Mapping[int, int]) -> float | None:
    plain = _PLAIN.get(point.type, point.type)
    try:
        given = [words[at] for at in range(point.offset, point.offset + point.size)]
    except KeyError:
        return None
    missing = 0 if point.type.startswith("acc") else registers.not_implemented(plain)
    return registers.decode(given, plain, missing=(missing,))


def _scaled(value: float, exponent: int) -> float:
    """Divided rather than multiplied by 0.1: 2301 with -1 is 230.1."""
    power: int = 10 ** abs(exponent)
    return value * power if exponent >= 0 else value / power


@functools.cache
def load_model(number: int) -> Model:
    """Raises: SunspecError."""
    try:
        file = resources.files("sunspec2").joinpath("models", "json", f"model_{number}.json")
        group = json.loads(file.read_bytes())["group"]
    except ModuleNotFoundError as exc:
        raise SunspecError('SunSpec needs the package pysunspec2: pip install "wayside[edge]"') from exc
    except FileNotFoundError as exc:
        raise SunspecError(f"there is no SunSpec model {number} in the definitions of pysunspec2") from exc
    except (OSError, ValueError, KeyError) as exc:
        raise SunspecError(f"the definition of SunSpec model {number} cannot be read: {exc!r}") from exc
    points, offset = {}, 0
    for each in group["points"]:
        points[each["name"]] = _definition(each, offset)
        offset += each["size"]
    return Model(number, points)


def _definition(point: dict[str, Any], offset: int) -> Definition:
    return Definition(
        point["name"], point["type"], offset, point["size"], point.get("sf"), str(point.get("units") or "")
    )


def mistakes(config: SunspecConfig) -> Iterator[Mistake]:
    """What the model's definition does not allow; places begin at ``config``."""
    try:
        model = load_model(config.model)
    except SunspecError as exc:
        yield Mistake(("model",), str(exc))
        return
    for i, point in enumerate(config.points):
        try:
            model.needed([point.point])
        except SunspecError as exc:
            yield Mistake(("points", i, "point"), str(exc))
            continue
        yield from (m._replace(place=("points", i, *m.place)) for m in _of_point(point, model.point(point.point)))


def _of_point(point: SunspecPoint, definition: Definition) -> Iterator[Mistake]:
    if point.kind == "counter" and not definition.type.startswith(("acc", "uint")):
        yield Mistake(("kind",), f"{point.point} is a {definition.type}, which does not count upwards for ever")
    unit = _UCUM.get(definition.units)
    if unit is None:
        return
    if point.scale == 1 and point.unit != unit:
        yield Mistake(("unit",), f'{point.point} comes in {definition.units}: write unit = "{unit}", or a scale, too')
    elif quantity(point.unit) != quantity(unit):
        yield Mistake(("unit",), f"{point.point} comes in {definition.units}, which no scale makes {point.unit}")
