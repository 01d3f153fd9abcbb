"""Numbers with bounds that several documents use, and what a unit measures."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

Seconds = Annotated[float, msgspec.Meta(gt=0, le=86400)]
UnixSeconds = Annotated[float, msgspec.Meta(ge=0, le=32_503_680_000)]  # to the year 3000; NaN is refused
Channel = Annotated[int, msgspec.Meta(ge=0, le=255)]
Phase = Annotated[int, msgspec.Meta(ge=1, le=16)]  # NEMA phase
Unit = Annotated[str, msgspec.Meta(min_length=1, max_length=16)]  # UCUM code

_QUANTITIES = {
    "vehicles": ("{veh}",),
    "pedestrians": ("{ped}",),
    "patients": ("{pat}",),
    "presses": ("{press}",),
    "flow of vehicles": ("{veh}/h", "{veh}/min"),
    "speed": ("km/h", "m/s", "[mi_i]/h", "[kn_i]"),
    "power": ("W", "kW", "MW", "GW"),
    "energy": ("J", "kJ", "MJ", "W.h", "kW.h", "MW.h"),
    "temperature": ("Cel", "K", "[degF]"),
    "mass concentration": ("ug/m3", "mg/m3", "g/m3"),
    "fraction by volume": ("[ppm]", "[ppb]"),
    "share": ("%",),
    "pressure": ("Pa", "hPa", "kPa", "bar", "mbar"),
    "length": ("mm", "cm", "m", "km"),
    "rain rate": ("mm/h",),
    "time": ("ms", "s", "min", "h", "d"),
    "voltage": ("mV", "V", "kV"),
    "current": ("mA", "A"),
    "illuminance": ("lx",),
    "sound level": ("dB", "dB[A]"),
}
_COUNTED = frozenset({"vehicles", "pedestrians", "patients", "presses", "energy"})
"""Amounts: the value of an interval is the sum of its parts."""
_EITHER = frozenset({"length", "time"})  # millimetres of rain add up, a water level does not
_OF_UNIT = {unit: quantity for quantity, units in _QUANTITIES.items() for unit in units}


def quantity(unit: str) -> str:
    """What a UCUM unit measures, in words: ``"power"`` of ``"kW"``; a unit that is not listed stands for itself.

    Two units of one quantity can be converted, two quantities never: a model of kW must not be fed vehicles.
    """
    return _OF_UNIT.get(unit, "a plain number" if unit == "1" else unit)


def aggregate(unit: str) -> Literal["sum", "mean"] | None:
    """How values in ``unit`` become one of a longer interval: vehicles add up, speeds do not; None: it depends."""
    of = _OF_UNIT.get(unit)
    if of is None or of in _EITHER:
        return None
    return "sum" if of in _COUNTED else "mean"
