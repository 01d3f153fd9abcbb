"""DSMR P1: an electricity meter's port for its customer. 115200 8N1, inverted; a telegram every second, or every ten.

Source: *Dutch Smart Meter Requirements P1 Companion Standard* 5.0.2, Netbeheer Nederland, 2016 (Belgium, Luxembourg,
Sweden and others with the same form; 4.0 and later: before that there was no checksum, and none is believed here)::

    /XXX5identification CR LF CR LF
    OBIS reference(value*unit) CR LF …
    !CRC CR LF                            CRC-16 (polynomial 0x8005 reflected, from 0) of all from / to !, as hex

Lines are read strictly. An object that is not in a telegram has no value. Gas is the meter of device type 003, whose
reading is of the last 5 minutes or hour.
"""

from __future__ import annotations

import re

from wayside.edge.sensors.uart.decoder import Frame

LONGEST = 4096  # bytes; the longest telegram in the standard has about 1200
_END = re.compile(rb"!([0-9A-F]{4})\r\n")
_HEADER = re.compile(rb"/[A-Za-z0-9]{3}[0-9][ -~]{1,32}\r\n\r\n")
_LINE = re.compile(rb"(\d-\d{1,2}:\d{1,3}\.\d{1,3}\.\d{1,3})((?:\([ -'*-~]*\))+)\r\n")
_NUMBER = re.compile(rb"\((\d{1,9}(?:\.\d{1,3})?)\*(\w{1,4})\)")
_GAS = re.compile(rb"\(\d{12}[SW]\)\((\d{5}\.\d{3})\*m3\)")
MEASURES = {
    b"1-0:1.7.0": "power_in", b"1-0:2.7.0": "power_out",
    b"1-0:1.8.1": "energy_in_t1", b"1-0:1.8.2": "energy_in_t2",
    b"1-0:2.8.1": "energy_out_t1", b"1-0:2.8.2": "energy_out_t2",
    b"1-0:32.7.0": "voltage_l1", b"1-0:52.7.0": "voltage_l2", b"1-0:72.7.0": "voltage_l3",
    b"1-0:31.7.0": "current_l1", b"1-0:51.7.0": "current_l2", b"1-0:71.7.0": "current_l3",
}  # fmt: skip
UNITS = {
    "power": {b"kW": 1.0, b"W": 0.001},
    "energy": {b"kWh": 1.0, b"Wh": 0.001},
    "voltage": {b"V": 1.0},
    "current": {b"A": 1.0},
}


def crc16(data: bytes) -> int:
    """CRC-16/ARC: polynomial 0x8005, reflected, initial value 0."""
    crc = 0
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc


def _entry(value: int) -> int:
    for _ in range(8):
        value = value >> 1 ^ (0xA001 if value & 1 else 0)
    return value


_TABLE = tuple(_entry(i) for i in range(256))


class Dsmr:
    def __init__(self) -> None:
        self.refused = 0
        self.note = ""
        self._buffer = bytearray()

    def reset(self) -> None:
        self._buffer.clear()

    def feed(self, data: bytes) -> list[Frame]:
        buffer = self._buffer
        buffer += data
        frames: list[Frame] = []
        while (end := _END.search(buffer)) is not None:
            start = buffer.rfind(b"/", 0, end.start())
            frame = None
            if start >= 0 and crc16(bytes(buffer[start : end.start() + 1])) == int(end[1], 16):
                frame = _parse(bytes(buffer[start : end.start()]))
            if frame is None:
                self.refused += 1
            else:
                frames.append(frame)
            del buffer[: end.end()]
        del buffer[:-LONGEST]
        return frames


def _parse(telegram: bytes) -> Frame | None:
    header = _HEADER.match(telegram)
    if header is None:
        return None
    objects: dict[bytes, bytes] = {}
    at = header.end()
    while at < len(telegram):
        line = _LINE.match(telegram, at)
        if line is None or line[1] in objects:
            return None
        objects[line[1]] = line[2]
        at = line.end()
    values: dict[str, float] = {}
    for reference, name in MEASURES.items():
        if reference not in objects:
            continue
        number = _NUMBER.fullmatch(objects[reference])
        factor = UNITS[name.partition("_")[0]].get(number[2]) if number is not None else None
        if number is None or factor is None:
            return None
        values[name] = float(number[1]) * factor
    for channel in range(1, 5):
        if objects.get(b"0-%d:24.1.0" % channel) != b"(003)":
            continue
        for reference in (b"0-%d:24.2.1" % channel, b"0-%d:24.2.3" % channel):  # .3: Belgium, not temperature-corrected
            if reference in objects and (gas := _GAS.fullmatch(objects[reference])) is not None:
                values["gas"] = float(gas[1])
    return Frame(values, identity=header[0])
