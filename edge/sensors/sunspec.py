"""SunSpec on a Modbus line: where a device has a model is found out step by step, then its points are polled.

Scale factors are read with the points each time: a device may change them while it runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from wayside.contracts.modbus_config import SunspecConfig
from wayside.edge.sensors.modbus_lines import OnFailed, OnRead
from wayside.edge.sensors.modbus_port import Port, Refused
from wayside.edge.sensors.sunspec_model import HEADER, Definition, Model, Number, SunspecError, load_model

BASES = (40000, 50000, 0)  # SunSpec Device Information Model Specification V1.1, §5.1
MARK = [0x5375, 0x6E53]  # "SunS"
END = 0xFFFF  # instead of a model's number, behind the last one
MAX_MODELS = 128
MAX_WORDS = 120  # of one request; Modbus allows 125
AGAIN_S = 60.0  # before a device in which the model was not found is searched again


class Place(NamedTuple):
    """Of a model: the register of its number, and how many follow its header."""

    address: int
    length: int


class Search:
    """Sans-I/O: which two registers to read next, until the model is found or certainly not there."""

    def __init__(self, config: SunspecConfig) -> None:
        self._config = config
        self._bases = [config.base] if config.base is not None else list(BASES)
        self._at: int | None = None  # of the next header
        self._left = config.instance
        self.models: list[int] = []  # passed on the way
        self.place: Place | None = None
        self.failed: str | None = None

    @property
    def address(self) -> int:
        """Of the two registers to read."""
        return self._bases[0] if self._at is None else self._at

    def answer(self, words: Sequence[int] | None) -> None:
        """None: the device has no such registers."""
        if self._at is None:
            if words is not None and list(words) == MARK:
                self._at = self._bases[0] + len(MARK)
            elif len(self._bases) > 1:
                del self._bases[0]
            else:
                looked = self._config.base if self._config.base is not None else "40000, 50000 and 0"
                self.failed = (
                    f'no "SunS" at {looked}: is it a SunSpec device, and are the maker\'s registers switched on?'
                )
            return
        number, length = words if words is not None else (END, 0)
        if number == self._config.model:
            self._left -= 1
            if not self._left:
                self.place = Place(self._at, length)
                return
        if number == END:
            has = ", ".join(map(str, self.models)) or "none"
            nth = f"no instance {self._config.instance} of" if self._config.instance > 1 else "no"
            self.failed = f"it has {nth} SunSpec model {self._config.model}; it has {has}"
            return
        self.models.append(number)
        self._at += HEADER + length
        if len(self.models) > MAX_MODELS or self._at + HEADER > 0x10000:
            self.failed = "its list of SunSpec models does not end"


def spans(points: Sequence[Definition], length: int) -> list[tuple[int, int]]:
    """(offset, words) of the requests that read the model's header and ``points``, as few as there can be.

    Args:
        length: of the model in this device; an older one may lack the last points.
    """
    read: list[tuple[int, int]] = [(0, HEADER)]
    for point in points:
        if point.offset + point.size > HEADER + length:
            continue
        begin, _ = read[-1]
        if point.offset + point.size - begin <= MAX_WORDS:
            read[-1] = (begin, point.offset + point.size - begin)
        else:
            read.append((point.offset, point.size))
    return read


class Reader:
    """Reads the points of one model of one device."""

    def __init__(self, config: SunspecConfig) -> None:
        """Raises: SunspecError: there is no such model or point."""
        self._config = config
        self.model: Model = load_model(config.model)
        self._points = [self.model.point(p.point) for p in config.points]
        self._needed = self.model.needed([p.point for p in config.points])
        self._search = Search(config)
        self._scales: dict[str, float | None] | None = None

    @property
    def is_searching(self) -> bool:
        return self._search.place is None

    @property
    def scales(self) -> dict[str, float | None]:
        """The device's scale factors at the last reading; None: not implemented."""
        return self._scales or {}

    async def search(self, port: Port) -> None:
        """One step.

        Raises:
            LineSilent; Refused: it is not there; the next call begins anew.
        """
        try:
            words: list[int] | None = await port.read_words(self._config.device, "holding", self._search.address, 2)
        except Refused:
            words = None
        self._search.answer(words)
        if self._search.failed is not None:
            why, self._search = self._search.failed, Search(self._config)
            raise Refused(f"device {self._config.device} on {port.name}: {why}")

    async def read(self, port: Port) -> list[Number] | None:
        """The points, in the order of the configuration; None: to be read once more, since a scale factor that came
        in another answer than its points has just changed.

        Raises:
            LineSilent, Refused: also when the model is no longer where it was; then it is searched anew.
        """
        place = self._search.place
        assert place is not None  # noqa: S101  (the caller looked)
        words: dict[int, int] = {}
        read = spans(self._needed, place.length)
        try:
            for offset, count in read:
                got = await port.read_words(self._config.device, "holding", place.address + offset, count)
                words.update(enumerate(got, offset))
        except Refused:
            self._search = Search(self._config)
            raise
        if (words[0], words[1]) != (self._config.model, place.length):
            self._search = Search(self._config)
            raise Refused(f"device {self._config.device} on {port.name} has other SunSpec models than before")
        before, self._scales = self._scales, self.model.scale_factors(self._needed, words)
        if len(read) > 1 and before is not None and before != self._scales:
            return None
        return [self.model.number_of(point, words) for point in self._points]


class SunspecTurn:
    """The polls of one model's points, which are read together."""

    def __init__(self, first: int, config: SunspecConfig, on_read: OnRead, on_failed: OnFailed) -> None:
        """``first``: index of its first point among the line's values."""
        self.device = config.device
        self.due = 0.0
        self._first, self._config = first, config
        self._on_read, self._on_failed = on_read, on_failed
        self._dues = [0.0] * len(config.points)
        self._last: list[float | None] = [None] * len(config.points)
        self._not_there: tuple[float, str] | None = None  # until when it is not searched, and why
        self._reader: Reader | None = None
        self._why = ""
        try:
            self._reader = Reader(config)
        except SunspecError as exc:
            self._why = str(exc)

    async def ask(self, port: Port) -> None:
        """Raises: LineSilent, Refused."""
        now = asyncio.get_running_loop().time()
        if self._reader is None:
            raise Refused(self._why)
        if self._not_there is not None and now < self._not_there[0]:
            raise Refused(self._not_there[1])
        if self._reader.is_searching:
            try:
                await self._reader.search(port)
            except Refused as exc:
                self._not_there = (now + AGAIN_S, str(exc))
                raise
            self.due = asyncio.get_running_loop().time()  # its next step, behind others that are due
            return
        numbers = await self._reader.read(port)
        if numbers is None:
            self.due = asyncio.get_running_loop().time()
            return
        for i in self._taken():
            self._tell(i, numbers[i])

    def _tell(self, i: int, number: Number) -> None:
        value = number.value
        if self._config.points[i].kind == "counter" and value is not None:
            last = self._last[i]
            if last is not None and 0 < last - value < 10.0 ** self._coarseness(i):
                value = last  # with another scale factor it lost digits, not counts
            self._last[i] = value
        self._on_read(self._first + i, value, number.wraps_at)

    def _coarseness(self, i: int) -> int:
        assert self._reader is not None  # noqa: S101
        sf = self._reader.model.point(self._config.points[i].point).sf
        return int(self._reader.scales.get(sf) or 0) if isinstance(sf, str) else 0

    def fail(self, why: str) -> None:
        """It was asked in vain, or is due and is not asked."""
        for i in self._taken():
            self._on_failed(self._first + i, why)

    skip = fail

    def _taken(self) -> list[int]:
        """Points whose time has come; it comes again after their ``poll_s``."""
        now = asyncio.get_running_loop().time()
        taken = [i for i, due in enumerate(self._dues) if due <= now]
        for i in taken:
            later = self._dues[i] + self._config.points[i].poll_s
            self._dues[i] = later if later > now else now + self._config.points[i].poll_s
        self.due = min(self._dues)
        return taken
