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


_PLAUSIBLE: dict[str, tuple[float, float]] = {
    "W": (-1e10, 1e10), "kW": (-1e7, 1e7), "MW": (-1e5, 1e5), "GW": (-1e3, 1e3),
    "mV": (-1e9, 1e9), "V": (-1e5, 1e6), "kV": (-2e3, 2e3), "mA": (-1e9, 1e9), "A": (-1e6, 1e6),
    "Hz": (0, 2e4), "Cel": (-200, 3000), "K": (0, 3300), "[degF]": (-330, 5500), "%": (-1e4, 1e4),
    "Pa": (-1e9, 1e9), "hPa": (-1e7, 1e7), "kPa": (-1e6, 1e6), "bar": (-1e4, 1e4), "mbar": (-1e7, 1e7),
    "km/h": (-1e3, 1e3), "m/s": (-300, 300), "[mi_i]/h": (-700, 700), "[kn_i]": (-600, 600),
    "ug/m3": (-1e3, 1e8), "mg/m3": (-1e3, 1e6), "g/m3": (-1e3, 1e5), "[ppm]": (-1e4, 1e6), "[ppb]": (-1e4, 1e9),
    "lx": (-10, 1e6), "dB": (-300, 300), "dB[A]": (-300, 300), "mm/h": (-1, 1e4),
}  # fmt: skip
_ANY = (-1e12, 1e12)


def plausible(unit: str) -> tuple[float, float]:
    """Beyond these no sensor on a street reads in ``unit``, so that bytes in another order are not taken for a value.

    They are generous: a limit of what is *normal* somewhere is the ``low`` and ``high`` of a sensor's own table.
    """
    return _PLAUSIBLE.get(unit, _ANY)


def is_noise(value: float) -> bool:
    """A number too small for any sensor, as a float is whose words or bytes are in another order; 0 is none."""
    return 0 < abs(value) < 1e-15
