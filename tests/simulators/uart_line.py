"""A sensor on a port: a pseudo-terminal that speaks a protocol, and everything that may go wrong with it."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import threading
import time
import tty
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType

from tests.simulators.uart import ENCODERS, shdlc, sps30
from wayside.edge.sensors.uart.sensirion import READ as SPS30_READ
from wayside.edge.sensors.uart.sensirion import START as SPS30_START
from wayside.edge.sensors.uart.winsen import READ as MHZ19_READ

Values = Mapping[str, float]


class SensorPty:
    """Says ``values`` every ``every_s``, or when it is asked. ``port`` is what a node opens."""

    def __init__(self, folder: Path, protocol: str, values: Values, every_s: float = 0.05) -> None:
        self.port = folder / f"{protocol}.tty"
        self.protocol, self.values, self.every_s = protocol, values, every_s
        self.spoil: Callable[[bytes], bytes] = lambda frame: frame
        self.silent = self.echo = False
        self.flood = b""  # said without end while it is not empty
        self.unix_s: Callable[[], float] = time.time
        self.asked: list[bytes] = []
        self._measures = False  # an SPS30 that was started
        self._ends: tuple[int, int] | None = None
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._next = 0.0
        self.plug()
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._thread.start()

    def __enter__(self) -> SensorPty:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        self.unplug()

    def plug(self) -> None:
        master, slave = pty.openpty()
        tty.setraw(slave)
        os.set_blocking(master, False)
        beside = self.port.with_suffix(".new")
        beside.unlink(missing_ok=True)
        beside.symlink_to(os.ttyname(slave))
        beside.replace(self.port)
        with self._lock:
            self._ends = (master, slave)

    def unplug(self) -> None:
        with self._lock:
            if self._ends is not None:
                for fd in self._ends:
                    os.close(fd)
                self._ends = None
        self.port.unlink(missing_ok=True)

    def cut_power(self) -> None:
        """Its power was away for a moment: an SPS30 is idle again."""
        self._measures = False

    def say(self, data: bytes) -> None:
        with self._lock:
            if self._ends is not None:
                with contextlib.suppress(OSError):
                    os.write(self._ends[0], data)

    def frame(self) -> bytes:
        encode = ENCODERS[self.protocol]
        timed = self.protocol in ("nmea", "dsmr")
        return self.spoil(encode(self.values, self.unix_s()) if timed else encode(self.values))

    def _live(self) -> None:
        while not self._ended.wait(0.005):
            with self._lock:
                fd = self._ends[0] if self._ends is not None else None
                heard = b""
                if fd is not None and select.select([fd], [], [], 0)[0]:
                    with contextlib.suppress(OSError):
                        heard = os.read(fd, 4096)
            if self.flood:
                self.say(self.flood)
            if heard:
                self.asked.append(heard)
                if self.echo:
                    self.say(heard)
                if not self.silent:
                    self.say(self._answer(heard))
            elif self.protocol not in ("sps30", "mhz19") and not self.silent and time.monotonic() >= self._next:
                self._next = time.monotonic() + self.every_s
                self.say(self.frame())

    def _answer(self, request: bytes) -> bytes:
        if self.protocol == "mhz19" and request == MHZ19_READ:
            return self.frame()
        if self.protocol != "sps30":
            return b""
        if request == SPS30_START:
            answer = shdlc(0, b"", 0x43 if self._measures else 0)
            self._measures = True
            return answer
        if request == SPS30_READ:
            return self.spoil(sps30(self.values)) if self._measures else shdlc(3, b"", 0x43)
        return b""
