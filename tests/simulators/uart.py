"""What sensors on serial ports say, and what a bad line makes of it."""

from __future__ import annotations

import datetime
import random
import struct
from collections.abc import Iterator, Mapping
from typing import Any

from wayside.edge.sensors.uart.dsmr import crc16

Values = Mapping[str, float]


def pms(values: Values) -> bytes:
    """A frame of a PMS5003; what is not given is made of what is."""
    mass = [values.get(n, 0.0) for n in ("pm1", "pm2_5", "pm10")]
    factory = [values.get(f"{n}_cf1", m) for n, m in zip(("pm1", "pm2_5", "pm10"), mass, strict=True)]
    counts = [values.get(n, 0.0) * 100 for n in ("n0_3", "n0_5", "n1", "n2_5", "n5", "n10")]
    words = [round(v) for v in (*factory, *mass, *counts)]
    return pms_frame(struct.pack(">12HBB", *words, 0x97, 0))


def pms_frame(body: bytes) -> bytes:
    frame = b"BM" + (len(body) + 2).to_bytes(2, "big") + body
    return frame + (sum(frame) & 0xFFFF).to_bytes(2, "big")


def sds011(values: Values, device: bytes = b"\x58\xd9") -> bytes:
    body = struct.pack("<2H", round(values["pm2_5"] * 10), round(values["pm10"] * 10)) + device
    return b"\xaa\xc0" + body + bytes([sum(body) & 0xFF]) + b"\xab"


def mhz19(values: Values) -> bytes:
    body = b"\x86" + round(values["co2"]).to_bytes(2, "big") + b"\x44\0\0\0"
    return b"\xff" + body + bytes([-sum(body) & 0xFF])


SPS30 = ("pm1", "pm2_5", "pm4", "pm10", "n0_5", "n1", "n2_5", "n4", "n10", "typical_size")


def shdlc(command: int, data: bytes, state: int = 0) -> bytes:
    """An answer of a Sensirion device."""
    body = bytes([0, command, state, len(data)]) + data
    body += bytes([~sum(body) & 0xFF])
    for plain, escaped in ((0x7D, 0x5D), (0x7E, 0x5E), (0x11, 0x31), (0x13, 0x33)):
        body = body.replace(bytes([plain]), bytes([0x7D, escaped]))
    return b"\x7e" + body + b"\x7e"


def sps30(values: Values) -> bytes:
    return shdlc(3, struct.pack(">10f", *(values[n] for n in SPS30)))


def sentence(text: str) -> bytes:
    check = 0
    for character in text.encode():
        check ^= character
    return f"${text}*{check:02X}\r\n".encode()


def nmea(values: Values, unix_s: float = 1_780_000_000.0) -> bytes:
    at = datetime.datetime.fromtimestamp(unix_s, datetime.UTC)
    time = at.strftime("%H%M%S.") + f"{at.microsecond // 10000:02d}"
    lat, lon = values["latitude"], values["longitude"]
    place = f"{_minutes(abs(lat), 2)},{'N' if lat >= 0 else 'S'},{_minutes(abs(lon), 3)},{'E' if lon >= 0 else 'W'}"
    tail = f"1,{int(values['satellites']):02d},{values['hdop']:.2f},{values['altitude']:.1f},M,46.9,M,,"
    rmc = sentence(f"GNRMC,{time},A,{place},0.004,77.52,{at:%d%m%y},,,A")
    return rmc + sentence("GNVTG,,T,,M,0.004,N,0.008,K,A") + sentence(f"GNGGA,{time},{place},{tail}")


def _minutes(degrees: float, width: int) -> str:
    whole, part = divmod(round(degrees * 60 * 100_000), 60 * 100_000)
    return f"{whole:0{width}d}{part / 100_000:08.5f}"


def dsmr(values: Values, unix_s: float = 1_780_000_000.0) -> bytes:
    at = datetime.datetime.fromtimestamp(unix_s, datetime.UTC).strftime("%y%m%d%H%M%SW")
    lines = ["/ISk5\\2MT382-1000", "", "1-3:0.2.8(50)", f"0-0:1.0.0({at})"]
    lines += ["0-0:96.1.1(4B384547303034303436333935353037)"]
    for name, reference in (("in_t1", "1.8.1"), ("in_t2", "1.8.2"), ("out_t1", "2.8.1"), ("out_t2", "2.8.2")):
        if f"energy_{name}" in values:
            lines.append(f"1-0:{reference}({values[f'energy_{name}']:010.3f}*kWh)")
    lines += ["0-0:96.14.0(0002)"]
    for name, reference in (("power_in", "1.7.0"), ("power_out", "2.7.0")):
        if name in values:
            lines.append(f"1-0:{reference}({values[name]:06.3f}*kW)")
    if "voltage_l1" in values:
        lines.append(f"1-0:32.7.0({values['voltage_l1']:05.1f}*V)")
    if "gas" in values:
        lines += ["0-1:24.1.0(003)", f"0-1:24.2.1({at})({values['gas']:09.3f}*m3)"]
    text = "\r\n".join(lines).encode() + b"\r\n!"
    return text + b"%04X\r\n" % crc16(text)


ENCODERS: dict[str, Any] = {"pms": pms, "sds011": sds011, "sps30": sps30, "mhz19": mhz19, "nmea": nmea, "dsmr": dsmr}


class Walk:
    """Frames of a sensor whose values wander as real air does, from a seed."""

    def __init__(self, protocol: str, draw: random.Random) -> None:
        self.protocol, self._draw = protocol, draw
        self._level, self._unix_s, self._energy = draw.uniform(5, 120), 1_780_000_000.0, draw.uniform(0, 99_000)

    def values(self) -> dict[str, float]:
        draw = self._draw
        self._level = min(400.0, max(1.0, self._level * draw.uniform(0.93, 1.07)))
        self._unix_s += 1
        self._energy += draw.choice((0.0, 0.001))
        a = self._level
        if self.protocol == "nmea":
            place = {"latitude": 39.9042 + draw.randint(-9, 9) / 6e6, "longitude": 116.4074 + draw.randint(-9, 9) / 6e6}
            return place | {"altitude": round(43.5 + draw.uniform(-2, 2), 1), "hdop": 0.8, "satellites": 11.0}
        if self.protocol == "dsmr":
            e = self._energy
            power = {"power_in": round(a / 100, 3), "power_out": 0.0, "voltage_l1": round(225 + a / 50, 1)}
            return power | {"energy_in_t1": round(e, 3), "energy_in_t2": 1435.706, "gas": 981.443}
        if self.protocol == "mhz19":
            return {"co2": float(round(400 + 4 * a))}
        if self.protocol == "sds011":
            return {"pm2_5": round(a, 1), "pm10": round(a * draw.uniform(1.0, 1.6), 1)}
        if self.protocol == "sps30":
            mass = (a * 0.7, a, a * 1.1, a * 1.2)
            number = (a * 4, a * 5, a * 5.2, a * 5.25, a * 5.3)
            return dict(zip(SPS30, _f32((*mass, *number, draw.uniform(0.45, 0.6))), strict=True))
        cf1 = [float(round(a * f)) for f in (0.7, 1.0, 1.2)]
        air = [float(round(v if v < 30 else max(30.0, v * 0.67))) for v in cf1]
        names = ("pm1", "pm2_5", "pm10")
        counts = {
            n: round(a * f) / 100
            for n, f in zip(("n0_3", "n0_5", "n1", "n2_5", "n5", "n10"), (99, 30, 9, 2, 1, 0), strict=True)
        }
        return dict(zip(names, air, strict=True)) | {f"{n}_cf1": v for n, v in zip(names, cf1, strict=True)} | counts

    def frame(self, values: Values) -> bytes:
        timed = self.protocol in ("nmea", "dsmr")
        encoded: bytes = ENCODERS[self.protocol](values, self._unix_s) if timed else ENCODERS[self.protocol](values)
        return encoded


def _f32(numbers: tuple[float, ...]) -> tuple[float, ...]:
    return struct.unpack(">10f", struct.pack(">10f", *numbers))


def damaged(frame: bytes, other: bytes, draw: random.Random) -> bytes:
    """``frame`` as a bad line delivers it; ``other`` is the next one, for what runs into it."""
    kind, out = draw.randrange(8), bytearray(frame)
    at = draw.randrange(len(out))
    if kind == 0:  # one bit
        out[at] ^= 1 << draw.randrange(8)
    elif kind == 1:  # two or three bits, anywhere
        for _ in range(draw.randint(2, 3)):
            out[draw.randrange(len(out))] ^= 1 << draw.randrange(8)
    elif kind == 2:  # two bits of the same weight: what a sum or an exclusive or sees least
        bit = 1 << draw.randrange(8)
        for _ in range(2):
            out[draw.randrange(len(out))] ^= bit
    elif kind == 3:  # a burst
        for i in range(at, min(len(out), at + draw.randint(2, 6))):
            out[i] = draw.randrange(256)
    elif kind == 4:  # lost bytes
        del out[at : at + draw.randint(1, 4)]
    elif kind == 5:  # doubled bytes
        out[at:at] = out[at : at + draw.randint(1, 4)]
    elif kind == 6:  # inserted bytes
        out[at:at] = draw.randbytes(draw.randint(1, 4))
    else:  # the head of one, the tail of the other
        del out[at:]
        out += other[draw.randrange(len(other)) if draw.random() < 0.5 else min(at, len(other)) :]
    return bytes(out)


def pieces(data: bytes, draw: random.Random) -> Iterator[bytes]:
    """As a port hands it over."""
    while data:
        size = draw.choice((1, 3, 8, 32, 200))
        yield data[:size]
        data = data[size:]
