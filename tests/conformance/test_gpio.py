"""What a contact is, whatever the pins are made of: mock pins here, lgpio on a chip (`/dev/gpiochip*`) on a node.

A member brings its factory's name and something that drives a pin from outside. On a node whose lines something else
drives, put a module on the path and name it: ``WAYSIDE_GPIO_DRIVE=package.module python -m pytest
tests/conformance/test_gpio.py -m device``. The module has ``PINS``, two pins (BCM numbers), and ``drive(pin, level)``,
which returns when the line has that level.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from wayside.contracts.sensor_config import ContactConfig, GpioConfig
from wayside.edge.sensors.gpio import FIFO, Contacts, GpioError

PATIENCE_S = 30.0
DEBOUNCE_S = 0.2  # long, so that a slow machine still makes a bounce that is shorter


class Member(NamedTuple):
    factory: str
    pins: tuple[int, int]
    drive: Callable[[Path, int, int], None] | None  # None: through the running contacts' fifo
    pulses_s: float  # a pulse that is surely seen


def _chip() -> Member:
    name = os.environ.get("WAYSIDE_GPIO_DRIVE")
    if not list(Path("/dev").glob("gpiochip*")):
        pytest.skip("there is no /dev/gpiochip* here")
    if not name:
        pytest.skip("nothing drives this chip's lines: name a module in WAYSIDE_GPIO_DRIVE")
    rig = importlib.import_module(name)
    return Member("lgpio", rig.PINS, lambda _, pin, level: rig.drive(pin, level), 0.06)


@pytest.fixture(params=["mock", pytest.param("lgpio", marks=pytest.mark.device)])
def member(request: pytest.FixtureRequest) -> Member:
    return Member("mock", (17, 27), None, 0.0) if request.param == "mock" else _chip()


class Rig:
    """Two contacts that are open (pulled up, level 1) when it starts, unless ``levels`` says otherwise."""

    def __init__(self, member: Member, folder: Path, **contact: object) -> None:
        self.member, self.folder = member, folder
        named = [
            ContactConfig(
                pin=pin, datastream=f"contact/{i}", **{"role": "ped_button", "debounce_s": DEBOUNCE_S, **contact}
            )  # type: ignore[arg-type]
            for i, pin in enumerate(member.pins)
        ]
        self.config = GpioConfig(factory=member.factory, contacts=tuple(named))  # type: ignore[arg-type]
        self.seen: list[tuple[str, bool]] = []
        self.contacts = Contacts(self.config, folder, lambda c, closed: self.seen.append((c.datastream, closed)))

    def drive(self, which: int, level: int) -> None:
        pin = self.member.pins[which]
        if self.member.drive is not None:
            self.member.drive(self.folder, pin, level)
            return
        fd = os.open(self.folder / FIFO, os.O_WRONLY | os.O_NONBLOCK)
        os.write(fd, f"{pin} {level}\n".encode())
        os.close(fd)

    async def until(self, what: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not what():  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def settled(self) -> None:
        """A marker on the other contact: what happened before it has been told."""
        count = len(self.seen)
        self.drive(1, 0)
        await self.until(lambda: ("contact/1", True) in self.seen[count:])
        self.drive(1, 1)
        await self.until(lambda: ("contact/1", False) in self.seen[count:])

    def of(self, which: int) -> list[bool]:
        return [closed for name, closed in self.seen if name == f"contact/{which}"]


@asynccontextmanager
async def watching(member: Member, folder: Path, **contact: object) -> AsyncIterator[Rig]:
    rig = Rig(member, folder, **contact)
    if member.drive is not None:
        for which in (0, 1):
            rig.drive(which, 1)
    rig.contacts.start()
    try:
        yield rig
    finally:
        rig.contacts.close()


async def test_an_edge_is_one_event(member: Member, tmp_path: Path) -> None:
    async with watching(member, tmp_path) as rig:
        for level in (0, 1, 0, 1):
            count = len(rig.of(0))
            rig.drive(0, level)
            await rig.until(lambda c=count: len(rig.of(0)) > c)  # type: ignore[misc]
        await rig.settled()
        assert rig.of(0) == [True, False, True, False]


async def test_a_bounce_shorter_than_the_debounce_time_is_none(member: Member, tmp_path: Path) -> None:
    async with watching(member, tmp_path) as rig:
        for _ in range(5):
            rig.drive(0, 0)
            rig.drive(0, 1)
        await rig.settled()
        assert rig.of(0) == []


async def test_a_press_that_bounces_is_one_press(member: Member, tmp_path: Path) -> None:
    async with watching(member, tmp_path) as rig:
        for level in (0, 1, 0, 1, 0):
            rig.drive(0, level)
        await rig.until(lambda: bool(rig.of(0)))
        await rig.settled()
        assert rig.of(0) == [True]


async def test_a_short_press_counts_also_when_the_loop_was_busy_meanwhile(member: Member, tmp_path: Path) -> None:
    if member.drive is None:  # the fifo is read by the loop itself: drive the mock pin as a thread of a driver would
        member = member._replace(drive=lambda _folder, _pin, _level: None)
    async with watching(member, tmp_path, debounce_s=0.02) as rig:
        for level in (0, 1):
            if member.factory == "mock":
                pin = rig.contacts._factory.pin(member.pins[0])
                (pin.drive_high if level else pin.drive_low)()
            else:
                rig.drive(0, level)
            time.sleep(0.1)  # noqa: ASYNC251 -- a slow card
        await rig.until(lambda: rig.of(0) == [True, False])


async def test_the_level_at_the_start_is_known_and_is_no_press(member: Member, tmp_path: Path) -> None:
    async with watching(member, tmp_path) as rig:
        assert rig.contacts.closed == {"contact/0": False, "contact/1": False}
        rig.drive(0, 0)
        await rig.until(lambda: rig.contacts.closed["contact/0"])
        await rig.settled()
        assert rig.of(0) == [True]


async def test_without_a_pull_up_a_high_level_is_closed(member: Member, tmp_path: Path) -> None:
    async with watching(member, tmp_path, pull_up=False) as rig:
        for level, closed in ((0, False), (1, True), (0, False)):
            rig.drive(0, level)
            await rig.until(lambda c=closed: rig.contacts.closed["contact/0"] is c)  # type: ignore[misc]


async def test_two_contacts_do_not_know_each_other(member: Member, tmp_path: Path) -> None:
    async with watching(member, tmp_path) as rig:
        rig.drive(0, 0)
        rig.drive(1, 0)
        await rig.until(lambda: len(rig.seen) == 2)
        rig.drive(1, 1)
        await rig.until(lambda: len(rig.seen) == 3)
        assert (rig.of(0), rig.of(1)) == ([True], [True, False])
        assert rig.contacts.closed == {"contact/0": True, "contact/1": False}


async def test_a_closed_line_is_free_again_and_its_level_is_read_anew(member: Member, tmp_path: Path) -> None:
    async with watching(member, tmp_path) as first:
        first.drive(0, 0)
        await first.until(lambda: first.contacts.closed["contact/0"])
    again = Rig(member, tmp_path)
    again.contacts.start()
    try:
        # Mock pins begin at their pull; a chip's line is where it was left.
        assert again.contacts.closed["contact/0"] is (member.factory != "mock")
        assert again.seen == []
        again.drive(0, 0)
        await again.until(lambda: again.contacts.closed["contact/0"])
    finally:
        again.contacts.close()


@pytest.mark.device  # mock pins begin at their pull, so open
async def test_an_open_door_at_the_start_is_told(tmp_path: Path) -> None:
    member = _chip()
    rig = Rig(member, tmp_path, role="cabinet_door")
    rig.drive(0, 0)
    rig.drive(1, 1)
    rig.contacts.start()
    try:
        await rig.until(lambda: rig.seen == [("contact/0", True)])
    finally:
        rig.contacts.close()


async def test_a_line_that_is_taken_is_an_error_with_a_name(member: Member, tmp_path: Path) -> None:
    both = GpioConfig(
        factory=member.factory,  # type: ignore[arg-type]
        contacts=tuple(
            ContactConfig(pin=member.pins[0], datastream=f"contact/{i}", role="ped_button") for i in range(2)
        ),
    )
    contacts = Contacts(both, tmp_path, lambda *_: None)
    with pytest.raises(GpioError, match="cannot be opened"):
        contacts.start()
    assert contacts.closed == {}  # nobody says of any that it is watched
    async with watching(member, tmp_path) as rig:  # and nothing is left over
        assert len(rig.contacts.closed) == 2
