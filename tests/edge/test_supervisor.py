"""systemd hears what it needs, back-off spreads a fleet, and contacts reach the loop."""

from __future__ import annotations

import asyncio
import os
import random
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wayside.contracts.sensor_config import ContactConfig, GpioConfig
from wayside.edge import supervisor
from wayside.edge.backoff import full_jitter
from wayside.edge.sensors.gpio import FIFO, Contacts
from wayside.edge.supervisor import Notifier, outlive

CONTACTS = GpioConfig(
    factory="mock",
    contacts=(
        ContactConfig(pin=17, datastream="ped/1/presses", role="ped_button", debounce_s=0),
        ContactConfig(pin=27, datastream="cabinet/door", role="cabinet_door", debounce_s=0),
    ),
)


def test_systemd_receives_ready_watchdog_and_stopping(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        notifier = Notifier(str(tmp_path / "notify"))
        notifier.ready()
        notifier.pet()
        notifier.status("22 detectors")
        notifier.stopping()
        assert [systemd.recv(99) for _ in range(4)] == [
            b"READY=1",
            b"WATCHDOG=1",
            b"STATUS=22 detectors",
            b"STOPPING=1",
        ]


def test_without_systemd_nothing_happens(tmp_path: Path) -> None:
    Notifier("").pet()
    Notifier(str(tmp_path / "gone")).pet()


@given(st.integers(0, 10_000), st.integers(0, 2**32))
def test_every_wait_is_within_the_cap_and_jitters_fully_even_there(attempt: int, seed: int) -> None:
    draws = [full_jitter(attempt, 1.0, 900.0, random.Random(seed + i)) for i in range(20)]
    assert all(0 <= d <= 900 for d in draws)
    assert len({round(d, 6) for d in draws}) > 1


async def test_a_fault_is_over_when_the_routine_has_run_for_a_while_without_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {"RESTART_BASE_S": 0.01, "RESTART_CAP_S": 0.02, "STEADY_S": 0.3}.items():
        monkeypatch.setattr(supervisor, name, value)
    faults = iter([KeyError("x"), asyncio.CancelledError(), ExceptionGroup("all", [OSError(5, "disk")])])
    told: list[str] = []

    async def work() -> None:
        if (fault := next(faults, None)) is not None:
            raise fault
        await asyncio.sleep(3600)

    life = asyncio.create_task(outlive("sync", work, told.append, lambda: told.append("over")))
    async with asyncio.timeout(30):
        while "over" not in told:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    life.cancel()
    with pytest.raises(asyncio.CancelledError):
        await life
    assert [t.split(": ")[1:2] for t in told] == [["KeyError"], ["CancelledError"], ["ExceptionGroup"], []]


async def drive(fifo: Path, lines: bytes, done: Callable[[], bool]) -> None:
    fd = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
    os.write(fd, lines)
    os.close(fd)
    async with asyncio.timeout(30):
        while not done():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_press_and_a_door_arrive_on_the_loop_by_name(tmp_path: Path) -> None:
    seen: list[tuple[str, bool]] = []
    contacts = Contacts(CONTACTS, tmp_path, lambda contact, closed: seen.append((contact.datastream, closed)))
    contacts.start()
    await drive(tmp_path / FIFO, b"17 0\n", lambda: len(seen) == 1)
    await drive(tmp_path / FIFO, b"17 1\n", lambda: len(seen) == 2)
    await drive(tmp_path / FIFO, b"27 0\n", lambda: len(seen) == 3)
    contacts.close()
    assert seen == [("ped/1/presses", True), ("ped/1/presses", False), ("cabinet/door", True)]
    assert not (tmp_path / FIFO).exists()


@pytest.mark.parametrize("noise", [b"\xff\xfe\n", b"99 1\n", b"17 2\n", b"17\n", b"x" * 100_0, "١٧ 0\n".encode()])
async def test_noise_in_the_fifo_is_ignored_and_the_next_line_counts(tmp_path: Path, noise: bytes) -> None:
    seen: list[bool] = []
    contacts = Contacts(CONTACTS, tmp_path, lambda _contact, closed: seen.append(closed))
    contacts.start()
    await drive(tmp_path / FIFO, noise + b"\n17 0\n", lambda: bool(seen))
    contacts.close()
    assert seen == [True]
