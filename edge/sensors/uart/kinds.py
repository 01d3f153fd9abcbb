"""The decoder of each protocol. A protocol's module is loaded when a sensor speaks it."""

from __future__ import annotations

from importlib import import_module

from wayside.edge.sensors.uart.decoder import Decoder

_DECODERS = {
    "pms": ("plantower", "Plantower"),
    "sds011": ("nova", "Nova"),
    "sps30": ("sensirion", "Sensirion"),
    "mhz19": ("winsen", "Winsen"),
    "nmea": ("nmea", "Nmea"),
    "dsmr": ("dsmr", "Dsmr"),
}
PROTOCOLS = tuple(_DECODERS)


def decoder_of(protocol: str) -> Decoder:
    """A new one, that has heard nothing."""
    module, name = _DECODERS[protocol]
    made: Decoder = getattr(import_module(f"wayside.edge.sensors.uart.{module}"), name)()
    return made
