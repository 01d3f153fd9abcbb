"""Dry contacts on GPIO pins through gpiozero: the same code on mock pins and on a Pi's lgpio.

Debouncing is done here and not by the pin's driver: a level that held for ``debounce_s`` counts. So every factory
behaves alike (``tests/conformance/test_gpio.py``), and a bounce that ends where it began is nothing. Edges carry the
time at which the driver's thread saw them: a short press counts also when the event loop was busy meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from wayside.contracts.sensor_config import ContactConfig, GpioConfig
from wayside.edge.errors import EdgeError

log = structlog.get_logger()

FIFO = "gpio.fifo"
MAX_LINE = 32

OnChange = Callable[[ContactConfig, bool], None]  # closed: a pressed button, an open door's switch


class GpioError(EdgeError):
    """The pins cannot be had."""


def make_factory(kind: str) -> Any:
    """The pins of ``gpio.factory``; raises whatever its driver does."""
    if kind == "mock":
        from gpiozero.pins.mock import MockFactory

        return MockFactory()
    from gpiozero.pins.lgpio import LGPIOFactory

    return LGPIOFactory()


def open_factory(kind: str) -> Any:
    """Raises: GpioError."""
    try:
        return make_factory(kind)
    except Exception as exc:  # gpiozero and lgpio raise many unrelated kinds, and which depends on the board
        raise GpioError(f"GPIO ({kind}) cannot be opened: {exc}") from exc


class Contacts:
    """Watches the configured contacts; ``on_change(contact, closed)`` runs on the asyncio loop.

    A button that is closed at the start is no change and is not reported; an open door is.
    """

    def __init__(self, config: GpioConfig, state_dir: Path, on_change: OnChange) -> None:
        self._config = config
        self._fifo = state_dir / FIFO
        self._on_change = on_change
        self._factory: Any = None
        self._buttons: dict[int, Any] = {}
        self._pending: dict[int, tuple[float, bool]] = {}  # the last edge: when, and to what
        self._settling: dict[int, asyncio.TimerHandle] = {}
        self.closed: dict[str, bool] = {}  # by datastream, as last reported
        self._fd: int | None = None
        self._line = b""

    def start(self) -> None:
        """Raises: GpioError."""
        if not self._config.contacts:
            return
        loop = asyncio.get_running_loop()
        try:
            from gpiozero import Button

            self._factory = make_factory(self._config.factory)
            for contact in self._config.contacts:
                button = Button(
                    contact.pin,
                    pull_up=contact.pull_up,
                    pin_factory=self._factory,
                )
                self._buttons[contact.pin] = button
                self.closed[contact.datastream] = bool(button.is_pressed)
                if contact.role == "cabinet_door" and button.is_pressed:
                    loop.call_soon(self._on_change, contact, True)
                # gpiozero calls from a thread of its own
                button.when_pressed = self._relay(loop, contact, closed=True)
                button.when_released = self._relay(loop, contact, closed=False)
                if bool(button.is_pressed) != self.closed[contact.datastream]:  # it moved in between
                    self._edge(loop, contact, time.monotonic(), closed=bool(button.is_pressed))
        except Exception as exc:  # gpiozero and lgpio raise many unrelated kinds, and which depends on the board
            self.close()
            self.closed.clear()
            raise GpioError(f"GPIO ({self._config.factory}) cannot be opened: {exc}") from exc
        if self._config.factory == "mock":
            self._open_fifo(loop)

    def close(self) -> None:
        if self._fd is not None:
            asyncio.get_running_loop().remove_reader(self._fd)
            os.close(self._fd)
            self._fd = None
            self._fifo.unlink(missing_ok=True)
        for waiting in self._settling.values():
            waiting.cancel()
        self._settling.clear()
        self._pending.clear()
        for button in self._buttons.values():
            button.close()
        self._buttons.clear()
        if self._factory is not None:
            self._factory.close()
            self._factory = None

    def _relay(self, loop: asyncio.AbstractEventLoop, contact: ContactConfig, *, closed: bool) -> Callable[[], None]:
        def seen() -> None:
            edge = partial(self._edge, loop, contact, time.monotonic(), closed=closed)
            with contextlib.suppress(RuntimeError):  # the loop ended first
                loop.call_soon_threadsafe(edge)

        return seen

    def _edge(self, loop: asyncio.AbstractEventLoop, contact: ContactConfig, at_s: float, *, closed: bool) -> None:
        if contact.pin not in self._buttons:
            return  # closed meanwhile
        waiting = self._settling.pop(contact.pin, None)
        if waiting is not None:
            waiting.cancel()
        self._settle(contact, at_s)
        self._pending[contact.pin] = (at_s, closed)
        # Twice around: edges that came while the loop was busy are taken before the time that they cut short is up.
        due = partial(loop.call_soon, self._settle, contact, math.inf)
        self._settling[contact.pin] = loop.call_later(contact.debounce_s, due)

    def _settle(self, contact: ContactConfig, until_s: float) -> None:
        """The level since the last edge has held until now."""
        since_s, closed = self._pending.get(contact.pin, (math.inf, False))
        if until_s - since_s < contact.debounce_s or since_s == math.inf:
            return
        del self._pending[contact.pin]
        if closed != self.closed[contact.datastream]:
            self.closed[contact.datastream] = closed
            self._on_change(contact, closed)

    def _open_fifo(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            self._fifo.unlink(missing_ok=True)
            os.mkfifo(self._fifo, 0o600)
            # Read and write: a fifo without a writer would be readable at its end for ever.
            self._fd = os.open(self._fifo, os.O_RDWR | os.O_NONBLOCK)
        except OSError as exc:
            raise GpioError(f"{self._fifo}: {exc.strerror}; mock pins cannot be driven") from exc
        loop.add_reader(self._fd, self._drive)

    def _drive(self) -> None:
        """Lines ``<pin> <0|1>``: the electrical level, so 0 closes a pulled-up contact."""
        if self._fd is None:
            return
        self._line += os.read(self._fd, 4096)
        *lines, self._line = self._line.split(b"\n")
        self._line = self._line[-MAX_LINE:]
        for line in lines:
            pin, _, level = line.decode("ascii", "replace").partition(" ")
            if not (pin.isascii() and pin.isdigit() and int(pin) in self._buttons and level in ("0", "1")):
                log.warning(
                    "gpio.fifo: not '<pin> <0|1>' of a configured pin", line=line[:MAX_LINE].decode("ascii", "replace")
                )
                continue
            mock = self._factory.pin(int(pin))
            if level == "1":
                mock.drive_high()
            else:
                mock.drive_low()
