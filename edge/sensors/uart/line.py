"""A sensor on its port: opened, listened to, asked where it has to be asked, opened anew when it was unplugged.

Nothing here ends but by cancellation. What arrives is gathered for a moment, so that a line that babbles costs twenty
looks a second; a value that does not arrive fails at the time at which it should have.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, cast

from wayside.contracts.uart_config import UartConfig, barkjohn2021
from wayside.edge.backoff import full_jitter
from wayside.edge.errors import EdgeError
from wayside.edge.sensors.uart.confirm import FRAMES, Confirmation
from wayside.edge.sensors.uart.decoder import Asked, Frame
from wayside.edge.sensors.uart.gps_time import GpsTime
from wayside.edge.sensors.uart.kinds import decoder_of
from wayside.firmware_bridge.errors import LineError
from wayside.firmware_bridge.line.finder import is_pattern, matching
from wayside.firmware_bridge.line.noise import WINDOW_S, ErrorBudget
from wayside.firmware_bridge.line.transport import Line, open_transport

RETRY_BASE_S, RETRY_CAP_S = 0.5, 15.0
GATHER_S = 0.05
CHUNK_BYTES = 16_384  # at once; what a line says faster is no sensor's, and is counted as refused
UNANSWERED = 3  # requests in a row after which an asked sensor is begun with anew: its power may have been cut


class UartError(EdgeError):
    """The port of a sensor cannot be had."""


class Conditions(Protocol):
    """Of :class:`wayside.edge.ledger.Ledger`."""

    def begin(self, code: str, subject: str, message: str, *, severe: bool = True) -> bool: ...
    def end(self, code: str, subject: str) -> bool: ...


class Told(NamedTuple):
    """What a sensor tells the node; all of them run on the event loop."""

    read: Callable[[int, float, bool], None]
    """index of the value, reading, doubtful"""
    failed: Callable[[int, str], None]
    now: Callable[[str], float | None]
    """what another datastream of the node shows now"""
    time: Callable[[int, int, int], str | None]
    """Unix ms, at which ``mono_ns``, with which error in ms; returns why it is doubted"""
    mono_ns: Callable[[], int]


async def open_line(config: UartConfig, baud: int | None = None) -> Line:
    """Open the port of ``config``.

    Raises:
        UartError: no such port, more than one, taken, or not an address that pyserial knows.
    """
    name = config.port
    if is_pattern(name):
        ports = await asyncio.to_thread(matching, name)
        if len(ports) != 1:
            listed = f"{', '.join(ports)} all match" if ports else "nothing matches"
            raise UartError(f"{listed} uart.port {name}: plug the sensor in, or name its port by /dev/serial/by-path/…")
        name = ports[0]
    try:
        return open_transport(name, baud or config.rate)
    except LineError as exc:
        raise UartError(f"{exc}".replace("the board", "the sensor")) from exc


class UartSensor:
    """Feeds the node from the sensor of ``config``. Conditions of its first datastream: ``uart_noisy``,
    ``uart_doubtful``; of a receiver's: ``gps_doubted``. None is severe.
    """

    def __init__(self, config: UartConfig, first: int, told: Told, conditions: Conditions) -> None:
        """``first``: the index of its first value among those of all sensors."""
        self._config, self._first, self._told, self._conditions = config, first, told, conditions
        self._decoder = decoder_of(config.protocol)
        self._confirmation = Confirmation()
        self._gps = GpsTime()
        self._noise = ErrorBudget()
        self._due = [0.0] * len(config.values)  # loop time at which each has failed if it was not read
        self._every_s = min((v.poll_s for v in config.values), default=5.0)
        self._memory_s = FRAMES * max(config.kind.every_s, self._every_s if config.kind.asked else 0.0)
        self._frame_at = -math.inf  # loop time of the last one
        self._unanswered = 0
        self._heard_bytes = self._heard_frames = 0  # since the port was opened
        self._draw = random.Random()  # noqa: S311
        self.connected = False
        self.opened = self.frames = self.overrun = 0

    def status(self) -> dict[str, Any]:
        """For people at the cabinet."""
        return {
            "port": self._config.port,
            "protocol": self._config.protocol,
            "connected": self.connected,
            "opened": self.opened,
            "frames": self.frames,
            "refused": self._decoder.refused,
            "set_aside": self._confirmation.set_aside,
            "overrun_bytes": self.overrun,
        }

    async def run(self) -> None:
        """Until cancelled."""
        failures = 0
        now = asyncio.get_running_loop().time()
        self._due = [now + self._memory_s + self._patience_s(i) for i in range(len(self._due))]
        while True:
            try:
                line = await open_line(self._config)
            except UartError as exc:
                failures += 1
                await self._wait(full_jitter(failures, RETRY_BASE_S, RETRY_CAP_S, self._draw), str(exc))
                continue
            self.opened += 1
            self.connected = True
            try:
                why = await self._listen(line)
            finally:
                self.connected = False
                line.close()
            failures = 0 if self._heard_frames else failures + 1
            await self._wait(full_jitter(failures, RETRY_BASE_S, RETRY_CAP_S, self._draw), why)

    # --- the line ----------------------------------------------------------------------------------

    async def _listen(self, line: Line) -> str:
        """Until the line is lost; returns how."""
        self._decoder.reset()
        self._forget()
        self._heard_bytes = self._heard_frames = self._unanswered = 0
        loop = asyncio.get_running_loop()
        ask_at = loop.time() if self._config.kind.asked else math.inf
        try:
            while True:
                until = min([ask_at, loop.time() + 1.0, *self._due])
                data = b""
                try:
                    async with asyncio.timeout_at(until):
                        data = await line.read()
                except TimeoutError:
                    pass
                now = loop.time()
                if data:
                    self._hear(data, now)
                if now >= ask_at:
                    self._ask(line)
                    ask_at = now + self._every_s
                self._fail_due(now, self._silence)
                self._judge_noise()
                await asyncio.sleep(GATHER_S)
        except LineError as exc:
            return f"{exc}: plug the sensor in again"

    def _ask(self, line: Line) -> None:
        self._unanswered += 1
        if self._unanswered > UNANSWERED:
            self._decoder.reset()
            self._unanswered = 0
        line.write(cast("Asked", self._decoder).request())

    def _hear(self, data: bytes, now: float) -> None:
        self._heard_bytes += len(data)
        if len(data) > CHUNK_BYTES:
            self.overrun += len(data) - CHUNK_BYTES
            data = data[-CHUNK_BYTES:]
        for frame in self._decoder.feed(data):
            if now - self._frame_at > self._memory_s:
                self._forget()
            self._frame_at = now
            self.frames += 1
            self._heard_frames += 1
            self._unanswered = 0
            confirmed = self._confirmation.take(frame)
            if confirmed is not None:
                self._tell(confirmed, now)

    def _tell(self, frame: Frame, now: float) -> None:
        subject = self._config.subject
        if frame.doubt is not None:
            self._conditions.begin("uart_doubtful", subject, f"{self._config.port}: {frame.doubt}", severe=False)
        else:
            self._conditions.end("uart_doubtful", subject)
        for i, value in enumerate(self._config.values):
            raw = frame.values.get(value.measure)
            if raw is None:
                continue
            if value.correction is not None:
                humidity = self._told.now(value.humidity or "")
                if humidity is None:
                    continue
                raw = barkjohn2021(raw, humidity)
            self._due[i] = now + self._patience_s(i)
            self._told.read(self._first + i, raw, frame.doubt is not None)
        if frame.unix_ms is not None:
            self._tell_time(frame.unix_ms, subject)

    def _tell_time(self, unix_ms: int, subject: str) -> None:
        mono_ns = self._told.mono_ns()
        steady = self._gps.take(unix_ms, mono_ns)
        if steady is None:
            return
        why = self._told.time(steady, mono_ns, GpsTime.ERROR_MS)
        if why is None:
            self._conditions.end("gps_doubted", subject)
        else:
            self._conditions.begin("gps_doubted", subject, why, severe=False)

    # --- what does not come ------------------------------------------------------------------------

    def _patience_s(self, i: int) -> float:
        return max(self._config.values[i].poll_s, 1.5 * self._config.kind.every_s)

    def _fail_due(self, now: float, why: Callable[[int], str]) -> None:
        for i, due in enumerate(self._due):
            if now >= due:
                self._due[i] = now + self._patience_s(i)
                self._told.failed(self._first + i, why(i))

    def _silence(self, i: int) -> str:
        """Why value ``i`` did not come while the port is open."""
        config, value = self._config, self._config.values[i]
        where = f"{config.kind.what} on {config.port}"
        if self._decoder.note:
            return f"{where} {self._decoder.note}"
        if self._heard_frames:
            if value.correction is not None:
                return f"{value.humidity} is not known, which the correction needs"
            return f"{where}: its frames came, and none with {value.measure} that can be believed"
        if self._heard_bytes:
            return f"{where}: what arrives is none of its frames: another baud rate or sensor? ask wayside doctor"
        verb = "does not answer" if config.kind.asked else "says nothing"
        return f"{where} {verb}: has it power, and does its TX go to our RX (3.3 V) and back?"

    def _forget(self) -> None:
        """What was heard is too old to vouch for what comes."""
        self._confirmation.clear()
        self._gps.clear()

    async def _wait(self, pause_s: float, why: str) -> None:
        """While there is no line, every value fails when it is due."""
        loop = asyncio.get_running_loop()
        until = loop.time() + max(0.1, pause_s)
        while (now := loop.time()) < until:
            self._fail_due(now, lambda _i: why)
            await asyncio.sleep(max(0.01, min([until, *self._due]) - now))

    def _judge_noise(self) -> None:
        was_noisy = self._noise.noisy
        refused = self._decoder.refused
        noisy = self._noise.observe(time.monotonic(), refused, self.frames + refused)
        if self._noise.quiet:  # also one that an earlier run of the agent left open
            self._conditions.end("uart_noisy", self._config.subject)
        if noisy and not was_noisy:
            text = (
                f"{self._noise.errors} frames within {WINDOW_S:.0f} s cannot be read: look at cable, shield and ground"
            )
            self._conditions.begin("uart_noisy", self._config.subject, f"{self._config.port}: {text}", severe=False)
