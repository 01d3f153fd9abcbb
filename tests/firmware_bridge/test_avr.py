"""The firmware on the boards' own processors, emulated: it talks, keeps its table, drives the heads and fits."""

from __future__ import annotations

import re
import zlib
from pathlib import Path

import pytest

from tests.firmware_bridge.test_board_process import Host
from tests.firmware_bridge.test_signal_plan import PLAN, answer, known, lengths, seen, table
from tests.simulators.avr import AvrBoard, end_of_data, needs_avrdude, needs_simavr, program, symbols
from wayside.firmware_bridge.avr_build import AVR
from wayside.firmware_bridge.flash.firmware_file import load_image
from wayside.firmware_bridge.line.messages import (
    Action,
    Event,
    EventKind,
    Identity,
    PlanCode,
    ResetCause,
    SignalMode,
    Status,
)

pytestmark = needs_simavr
FLASH = {"atmega328p": 32_768 - 512, "atmega2560": 262_144 - 8_192}  # without the bootloader
# Short enough to be watched in real time, still legal.
QUICK = PLAN
for was, becomes in (
    ("green_s = 12.", "green_s = 5."),
    ("green_s = 8.0", "green_s = 4.0"),
    ("walk_s = 5.0", "walk_s = 4.0"),
):
    QUICK = QUICK.replace(was, becomes)
QUICK = QUICK.replace("ped_input = 9", "ped_input = 1").replace("ped_clearance_s = 6.0", "ped_clearance_s = 3.0")


@pytest.mark.parametrize("mcu", AVR)
def test_the_firmware_fits_the_chip(mcu: str) -> None:
    built = program(mcu)
    print(f"{mcu}: {built.flash} bytes of flash, {built.ram} of memory")
    assert built.flash < FLASH[mcu]


@pytest.mark.parametrize("mcu", AVR)
def test_the_firmware_has_no_heap_and_no_floating_point(mcu: str) -> None:
    heap, arithmetic = {"malloc", "calloc", "realloc", "free"}, r"__(fp_|(add|sub|mul|div|cmp|eq|ne|lt|le|gt|ge|neg)sf)"
    assert not heap & symbols(mcu).keys()
    assert [name for name in symbols(mcu) if re.match(arithmetic, name)] == []


@pytest.mark.parametrize(("mcu", "detector"), [("atmega328p", "D 4"), ("atmega2560", "A 2")])
async def test_a_real_board_reports_its_inputs_and_answers(tmp_path: Path, mcu: str, detector: str) -> None:
    host = Host("wayside")
    with AvrBoard(tmp_path, mcu) as board:
        async with host.on(board.port):
            await known(host)
            for level in (0, 1, 0, 1):
                board.tell(f"pin {detector} {level}")
                count = len(host.events) + 1
                await host.until(lambda count=count: len(host.events) >= count)  # type: ignore[misc]
            assert await answer(host, host.link.phase_times(7, {2: 30.0, 4: 21.0}, 60), 7) == PlanCode.OK
            assert await answer(host, host.link.signal_request(8, Action.CALL, 2), 8) == PlanCode.NOT_RUNNING
    assert [(m.channel, m.value) for m in host.of(Event)] == [(3, 1), (3, 0), (3, 1), (3, 0)]  # type: ignore[attr-defined]
    assert (host.link.counts.dropped, host.lost) == (0, [])


@pytest.mark.slow
async def test_a_real_board_keeps_its_table_drives_the_heads_and_never_lights_a_conflict(tmp_path: Path) -> None:
    host, again = Host("wayside"), Host("wayside")
    with AvrBoard(tmp_path, "atmega328p") as board:
        async with host.on(board.port):
            await known(host)
            assert board.tell("heads")[:2] == [0, 0]
            assert await answer(host, host.link.plan_table(2, table(QUICK), store=True), 2) == PlanCode.OK
            bad = table(QUICK.replace("yellow_s = 3.0", "yellow_s = 2.0"))
            assert await answer(host, host.link.plan_table(3, bad, store=True), 3) == PlanCode.TABLE_LIMITS
    with AvrBoard(tmp_path, "atmega328p") as board:  # the power was off
        async with again.on(board.port):
            await known(again)
            board.tell("pin C 0 0")  # somebody presses the button
            await again.until(lambda: bool(seen(again, EventKind.PHASE_GREEN, 2)), 60)
            green, yellow, red, walk, dont = board.tell("heads")
            assert (green, yellow, red, walk, dont) == (0b0101, 0, 0b11111010, 0b0001, 0b11111110)
            assert await answer(again, again.link.signal_request(4, Action.FORCE_OFF, 2), 4) == PlanCode.BELOW_MIN_GREEN
            await again.until(lambda: bool(lengths(again, 4, EventKind.PHASE_YELLOW)), 120)
            conflicts, latches = board.tell("worst")
            stack = board.tell(f"stack {end_of_data('atmega328p')}")[0]
    identity = again.of(Identity)[-1]
    assert isinstance(identity, Identity)
    assert identity.table == zlib.crc32(table(QUICK))
    assert conflicts == 0
    assert latches > 200
    assert stack > 48, "the stack comes close to the data"
    assert [m.value for m in seen(again, EventKind.PED, 2)] == [1, 2, 0]
    assert lengths(again, 2, EventKind.PHASE_YELLOW)[0] >= 4000
    assert lengths(again, 2, EventKind.PHASE_GREEN)[0] >= 7000, "walk and clearance"
    assert again.lost == []


# All that an actuated table can say, and short enough to be watched in real time.
ACTUATED = QUICK.replace(
    "[[phases]]",
    """
detectors = { count = 6, debounce_ms = 20, stuck_s = 60, dead_cycles = 3 }
overlaps = [{ number = 1, parents = [2, 4] }, { number = 4, parents = [6] }]
preempts = [{ input = 4, track = [4], track_s = 1, dwell = [2, 6], dwell_s = 1 }]
[[phases]]""",
    1,
)
for number in range(4):
    ACTUATED = ACTUATED.replace("\nring =", f"\npassage_s = 1.0\ndetectors = [{number + 1}]\nring  =", 1)


@pytest.mark.slow
async def test_an_actuated_board_serves_who_comes_and_its_stack_has_room(tmp_path: Path) -> None:
    host = Host("wayside")
    with AvrBoard(tmp_path, "atmega328p") as board:
        async with host.on(board.port):
            await known(host)
            assert await answer(host, host.link.plan_table(2, table(ACTUATED), store=True), 2) == PlanCode.OK
            await host.until(lambda: bool(seen(host, EventKind.PHASE_GREEN, 2)), 60)
            assert await answer(host, host.link.phase_times(3, {2: 5.0, 4: 5.0, 6: 5.0, 8: 5.0}, 0), 3) == PlanCode.OK
            assert await answer(host, host.link.signal_request(4, Action.HOLD, 2), 4) == PlanCode.OK
            assert await answer(host, host.link.signal_request(5, Action.RELEASE, 2), 5) == PlanCode.OK
            board.tell("pin D 3 0")  # detector 2
            await host.until(lambda: bool(seen(host, EventKind.PHASE_GREEN, 4)), 60)
            board.tell("pin D 3 1", "pin C 0 0", "pin C 3 0")  # a pedestrian and a train
            await host.until(lambda: len(seen(host, EventKind.PREEMPT, 4)) >= 2, 60)
            board.tell("pin C 3 1")
            await host.until(lambda: len(seen(host, EventKind.PREEMPT, 4)) >= 3, 60)
            bad = table(ACTUATED.replace("yellow_s = 3.0", "yellow_s = 2.0"))
            assert await answer(host, host.link.plan_table(6, bad, store=False), 6) == PlanCode.TABLE_LIMITS
            conflicts, latches = board.tell("worst")
            stack = board.tell(f"stack {end_of_data('atmega328p')}")[0]
    print(f"atmega328p, actuated: {stack} bytes between stack and data")
    assert conflicts == 0
    assert latches > 200
    assert stack > 32, "the stack comes close to the data"
    assert [m.value for m in seen(host, EventKind.OVERLAP, 1)][:1] == [1]
    assert (host.link.counts.dropped, host.lost) == (0, [])


@pytest.mark.parametrize(
    ("how", "cause"),
    [("wdrf", ResetCause.WATCHDOG), ("borf", ResetCause.BROWN_OUT), ("extrf", ResetCause.EXTERNAL)],
)
async def test_a_reset_is_reported_as_what_it_was_and_is_another_boot(
    tmp_path: Path, how: str, cause: ResetCause
) -> None:
    host = Host("wayside")
    with AvrBoard(tmp_path, "atmega328p") as board:
        async with host.on(board.port):
            await known(host)
            first = host.link.identity
            board.tell(f"reset {how}")
            await host.until(lambda: host.link.identity is not None and host.link.identity.rebooted)
            second = host.link.identity
    assert first is not None
    assert second is not None
    assert (first.reset_cause, second.reset_cause) == (ResetCause.POWER_ON, cause)
    assert first.boot != second.boot


STOPS = {"its loop hangs": "hang {board_step}", "its clock stands still": "set 110 0"}  # TIMSK0


@pytest.mark.parametrize("how", STOPS)
async def test_the_watchdog_resets_a_board_when(tmp_path: Path, how: str) -> None:
    host = Host("wayside")
    with AvrBoard(tmp_path, "atmega328p") as board:
        async with host.on(board.port):
            await known(host)
            board.tell(STOPS[how].format(**symbols("atmega328p")))
            await host.until(lambda: host.link.identity is not None and host.link.identity.rebooted)
            assert host.link.identity is not None
            assert host.link.identity.reset_cause == ResetCause.WATCHDOG


@needs_avrdude
@pytest.mark.parametrize("mcu", AVR)
async def test_behind_a_bootloader_the_watchdogs_reset_is_told_and_the_heads_are_dark_until_the_firmware_runs(
    tmp_path: Path, mcu: str
) -> None:
    """Arduino's bootloaders clear the processor's own flags: of other resets they leave nothing to tell."""
    host = Host("wayside")
    board = AvrBoard(tmp_path, mcu, bootloader=True)
    board.flash.write_bytes(load_image(program(mcu).hex).data.ljust(FLASH[mcu], b"\xff"))
    with board:
        async with host.on(board.port):
            await known(host)
            assert host.link.identity is not None
            assert host.link.identity.reset_cause == ResetCause.UNKNOWN
            assert board.tell("lit") == [1]
            for order, cause in (
                (f"hang {symbols(mcu)['board_step']}", ResetCause.WATCHDOG),
                ("reset extrf", ResetCause.UNKNOWN),
            ):
                boot = host.link.boot
                lit = board.tell(order, "lit")
                assert lit == [order != "reset extrf"], "dark while the bootloader waits for a new firmware"
                await host.until(lambda boot=boot: host.link.boot != boot)  # type: ignore[misc]
                assert host.link.identity.reset_cause == cause
                assert board.tell("lit") == [1]


async def test_after_49_days_the_milliseconds_begin_again_and_everything_goes_on(tmp_path: Path) -> None:
    host = Host("wayside")
    quick = table(QUICK)
    with AvrBoard(tmp_path, "atmega328p") as board:
        async with host.on(board.port):
            await known(host)
            assert await answer(host, host.link.plan_table(2, quick, store=True), 2) == PlanCode.OK
            board.tell(f"set {symbols('atmega328p')['ms']} {2**32 - 500}")
            await host.until(lambda: SignalMode.RUN in {m.value for m in seen(host, EventKind.SIGNAL_MODE)}, 60)
            board.tell("pin D 2 0")
            await host.until(lambda: bool(seen(host, EventKind.DETECTOR, 1)))
    assert host.lost == []


async def test_the_analogue_channel_is_reported_when_it_moved_enough(tmp_path: Path) -> None:
    host = Host("wayside")
    limits = table("phases = []\ndetectors = { count = 6, analog_delta = 20 }\n")
    with AvrBoard(tmp_path, "atmega328p") as board:
        async with host.on(board.port):
            await known(host)
            board.tell("adc 5 1000")
            assert await answer(host, host.link.plan_table(2, limits, store=True), 2) == PlanCode.OK
            for millivolts in (1000, 1020, 2500):
                board.tell(f"adc 5 {millivolts}")
                wanted = millivolts * 1024 // 5000
                for _ in range(5):  # half a second of the board's
                    count = len(host.of(Status))
                    await host.until(lambda count=count: len(host.of(Status)) > count)  # type: ignore[misc]
                if millivolts != 1020:
                    assert abs(seen(host, EventKind.ANALOG)[-1].value - wanted) <= 1
    assert len(seen(host, EventKind.ANALOG)) == 2, "20 mV are four steps: too little to tell"
