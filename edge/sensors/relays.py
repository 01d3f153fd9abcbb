"""Relays on GPIO pins through gpiozero: set-points whose level is written and read back, safe at start and end.

A pin is an output from the first moment on at its safe level. When the process ends the pin becomes an input again, and
when it is killed the kernel may do the same: then the relay's wiring decides, not this code (docs/meters.md).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from typing import Any

from wayside.contracts.actuator_config import PinTarget
from wayside.edge.actuators import ReadBackSetpoint
from wayside.edge.backoff import full_jitter
from wayside.edge.sensors.gpio import GpioError, open_factory

LOOK_S = 0.2  # a new value is seen within
READ_BACK_S = 5.0  # costs nothing on the node's own pins
RETRY_BASE_S, RETRY_CAP_S = 0.5, 15.0
STOP_TRIES = 3


class Relay:
    """One pin. Raises GpioError where it cannot be had."""

    def __init__(self, factory: Any, setpoint: ReadBackSetpoint) -> None:
        pin = setpoint.config.pin
        assert pin is not None  # noqa: S101  (the others are not a relay's)
        self._target: PinTarget = pin
        self._factory, self._setpoint = factory, setpoint
        self._device: Any = None
        self._due = 0.0

    def turn(self, now: float) -> None:
        """Write what is pending and read back; once in a while read back what is confirmed.

        Raises:
            GpioError
        """
        value = self._setpoint.pending()
        if value is None and now < self._due:
            return
        self._due = now + READ_BACK_S
        try:
            if self._device is None:
                self._open(value)
            if value is not None:
                self._device.value = value
            held = float(self._device.value)
        except Exception as exc:  # gpiozero and lgpio raise many unrelated kinds, and which depends on the board
            raise GpioError(f"pin {self._target.number} cannot be moved: {exc}") from exc
        self._setpoint.confirmed(held)

    def _open(self, value: float | None) -> None:
        from gpiozero import DigitalOutputDevice

        self._device = DigitalOutputDevice(
            self._target.number,
            active_high=self._target.active_high,
            initial_value=bool(self._setpoint.config.safe if value is None else value),
            pin_factory=self._factory,
        )

    def close(self) -> None:
        if self._device is not None:
            self._device.close()
            self._device = None


class Relays:
    """Every set-point on a pin, until cancelled; then its safe level is written and read back once more."""

    def __init__(self, factory: str, setpoints: Iterable[ReadBackSetpoint]) -> None:
        self._kind = factory
        self._setpoints = [s for s in setpoints if s.config.pin is not None]
        self._draw = random.Random()  # noqa: S311
        self.factory: Any = None
        self._relays: list[tuple[ReadBackSetpoint, Relay]] = []

    async def run(self) -> None:
        failures: dict[str, tuple[int, float]] = {}  # by name: in a row, and until when it is left alone
        loop = asyncio.get_running_loop()
        try:
            while True:
                for setpoint, relay in self._opened(failures, loop.time()):
                    times, until = failures.get(setpoint.config.name, (0, 0.0))
                    if loop.time() < until:
                        continue
                    try:
                        relay.turn(loop.time())
                        failures.pop(setpoint.config.name, None)
                    except GpioError as exc:
                        setpoint.failed(str(exc))
                        pause_s = full_jitter(times, RETRY_BASE_S, RETRY_CAP_S, self._draw)
                        failures[setpoint.config.name] = (times + 1, loop.time() + pause_s)
                await asyncio.sleep(LOOK_S)
        finally:
            self._leave_safe()

    def _opened(self, failures: dict[str, tuple[int, float]], now: float) -> list[tuple[ReadBackSetpoint, Relay]]:
        """The relays; none while the pins cannot be had, which is told of each."""
        times, until = failures.get("", (0, 0.0))
        if self.factory is None and now >= until:
            try:
                self.factory = open_factory(self._kind)
                self._relays = [(s, Relay(self.factory, s)) for s in self._setpoints]
            except GpioError as exc:
                for setpoint in self._setpoints:
                    setpoint.failed(str(exc))
                failures[""] = (times + 1, now + full_jitter(times, RETRY_BASE_S, RETRY_CAP_S, self._draw))
        return self._relays

    def _leave_safe(self) -> None:
        for setpoint in self._setpoints:
            setpoint.stop()
        whys: dict[str, str] = {}
        for setpoint, relay in self._relays:
            for _ in range(STOP_TRIES):
                if setpoint.pending() is not None:
                    try:
                        relay.turn(0.0)
                    except GpioError as exc:
                        whys[setpoint.config.name] = str(exc)
        for setpoint in self._setpoints:
            if setpoint.pending() is not None:
                why = whys.get(setpoint.config.name, "it could not be read back")
                setpoint.give_up(f"the agent ended before the safe value was confirmed: {why}")
        for _, relay in self._relays:
            relay.close()
        self._relays = []
        if self.factory is not None:
            self.factory.close()
            self.factory = None
