"""A GNSS receiver that speaks NMEA 0183. 9600 8N1 (older ones 4800), a group of sentences every second.

Source: *NMEA 0183* 4.10 as in the *u-blox 8 receiver description* (UBX-13003221, chapter 31); read by pynmea2::

    $GNRMC,time,A,lat,N,lon,E,speed,course,date,…*hh     $GNGGA,time,lat,N,lon,E,fix,satellites,HDOP,altitude,M,…*hh

``hh`` is the exclusive or of the characters between ``$`` and ``*``: two digits with the same bit flipped pass it, one
time in eight. So a position counts when RMC and GGA of one instant agree on it to the last digit. Without a fix
there is no frame: what some receivers repeat then is where they were last.
"""

from __future__ import annotations

import datetime
import re
from typing import Any

from wayside.edge.sensors.uart.decoder import Frame

_SENTENCE = re.compile(rb"\$(G[APLNQB](?:RMC|GGA),[0-9A-Za-z,.+-]{10,90}\*[0-9A-F]{2})\r\n")
_TIME = re.compile(r"([01]\d|2[0-3])[0-5]\d[0-5]\d(\.\d{1,3})?")
_LATITUDE, _LONGITUDE = re.compile(r"\d{4}\.\d{2,7}"), re.compile(r"\d{5}\.\d{2,7}")
_PLACES = ("timestamp", "lat", "lat_dir", "lon", "lon_dir")
FIXED = ("1", "2", "3", "4", "5")  # GGA: autonomous, differential, PPS, RTK; 6 is dead reckoning, 7 and 8 are invented
LONGEST = 512
NO_FIX = "has no fix yet: it receives too few satellites"


class Nmea:
    def __init__(self) -> None:
        from pynmea2 import parse  # 0.7 MB: only where a receiver is configured

        self._parse = parse
        self.refused = 0
        self.note = ""
        self._buffer = bytearray()
        self._half: Any = None  # RMC or GGA, whose other is to come

    def reset(self) -> None:
        self._buffer.clear()
        self._half = None

    def feed(self, data: bytes) -> list[Frame]:
        self._buffer += data
        *lines, rest = bytes(self._buffer).split(b"\n")
        self._buffer[:] = rest[-LONGEST:]
        frames: list[Frame] = []
        for line in lines:
            begin = line.rfind(b"$")
            if line[begin + 3 : begin + 6] in (b"RMC", b"GGA") or begin < 0:
                frame = self._sentence(line[max(begin, 0) :] + b"\n")
                frames += [frame] if frame is not None else []
        return frames

    def _sentence(self, line: bytes) -> Frame | None:
        match = _SENTENCE.fullmatch(line)
        if match is None:
            self.refused += 1
            return None
        try:
            sentence = self._parse("$" + match[1].decode(), check=True)
            other, self._half = self._half, sentence
            if other is None or {other.sentence_type, sentence.sentence_type} != {"RMC", "GGA"}:
                return None
            rmc, gga = (other, sentence) if other.sentence_type == "RMC" else (sentence, other)
            if [_field(rmc, p) for p in _PLACES] != [_field(gga, p) for p in _PLACES]:
                return None  # of two instants, or one is damaged
            self._half = None
            frame = _frame(rmc, gga)
            self.note = NO_FIX if frame is None else ""
            return frame
        except Exception:  # a damaged sentence with a right checksum may raise anything inside the library
            self.refused += 1
            return None


def _field(sentence: Any, name: str) -> str:
    return str(sentence.data[sentence.name_to_idx[name]])


def _frame(rmc: Any, gga: Any) -> Frame | None:
    time, date = _field(rmc, "timestamp"), _field(rmc, "datestamp")
    if _field(rmc, "status") != "A" or _field(gga, "gps_qual") not in FIXED:
        return None
    if not (
        _TIME.fullmatch(time) and _LATITUDE.fullmatch(_field(gga, "lat")) and _LONGITUDE.fullmatch(_field(gga, "lon"))
    ):
        raise ValueError("not as NMEA writes it")
    values = {"latitude": gga.latitude, "longitude": gga.longitude, "satellites": float(int(gga.num_sats))}
    values |= {"hdop": float(gga.horizontal_dil), "altitude": float(gga.altitude)}
    if not (abs(values["latitude"]) <= 90 and abs(values["longitude"]) <= 180 and gga.altitude_units == "M"):
        raise ValueError("no place on the Earth")
    whole = datetime.datetime.strptime(date + time[:6], "%d%m%y%H%M%S").replace(tzinfo=datetime.UTC)
    return Frame(values, unix_ms=int(whole.timestamp() * 1000) + round(float(time[6:] or 0) * 1000))
