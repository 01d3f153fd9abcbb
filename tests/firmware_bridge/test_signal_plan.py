"""A plan as a person writes it becomes the board's table; the real board checks, keeps and runs it."""

from __future__ import annotations

import asyncio
import itertools
import signal
import zlib
from pathlib import Path

import msgspec
import pytest

from tests.firmware_bridge.test_board_process import Host
from tests.simulators.board import BoardProcess
from wayside.firmware_bridge import signal_plan
from wayside.firmware_bridge.errors import PlanError
from wayside.firmware_bridge.line.messages import (
    Action,
    Event,
    EventKind,
    Flag,
    Identity,
    PlanCode,
    PlanResult,
    SignalMode,
    Status,
)
from wayside.firmware_bridge.signal_plan import SignalPlan

PLAN = """
start = { flash_s = 2.0, red_s = 6.0 }
[[phases]]
phase = 2
ring = 1
conflicts = [8]
green_s = 12.0
min_green_s = 5.0
max_green_s = 30.0
yellow_s = 4.0
red_clearance_s = 1.5
walk_s = 5.0
ped_clearance_s = 6.0
ped_input = 9
[[phases]]
phase = 4
ring = 1
conflicts = [6]
green_s = 8.0
min_green_s = 4.0
max_green_s = 20.0
yellow_s = 3.5
red_clearance_s = 1.0
[[phases]]
phase = 6
ring = 2
green_s = 12.5
min_green_s = 5.0
max_green_s = 30.0
yellow_s = 4.0
red_clearance_s = 1.0
[[phases]]
phase = 8
ring = 2
green_s = 8.0
min_green_s = 4.0
max_green_s = 20.0
yellow_s = 3.0
red_clearance_s = 1.5
"""
SPEED = 25.0
COLOURS = {EventKind.PHASE_GREEN: "green", EventKind.PHASE_YELLOW: "yellow", EventKind.PHASE_RED: "red"}


def plan(text: str = PLAN) -> SignalPlan:
    return msgspec.toml.decode(text, type=SignalPlan)


def table(text: str = PLAN) -> bytes:
    return plan(text).encode()


async def answer(host: Host, sent: bytes, request: int) -> PlanCode:
    assert host.line is not None
    host.line.write(sent)
    await host.until(lambda: any(m.request == request for m in host.of(PlanResult)))  # type: ignore[attr-defined]
    [result] = [m for m in host.of(PlanResult) if isinstance(m, PlanResult) and m.request == request]
    return PlanCode(result.code)


async def known(host: Host) -> None:
    """Until the board has heard our HELLO."""
    await host.until(lambda: any(s.flags & Flag.LINKED for s in host.of(Status)))  # type: ignore[attr-defined]


def seen(host: Host, kind: EventKind, channel: int = 0) -> list[Event]:
    return [m for m in host.heard if isinstance(m, Event) and m.kind == kind and m.channel == channel]


def lengths(host: Host, phase: int, colour: EventKind) -> list[int]:
    """How long the colour lasted each time, ms, where its end was seen."""
    events = [m for m in host.heard if isinstance(m, Event) and m.channel == phase and m.kind in COLOURS]
    return [b.ms - a.ms for a, b in itertools.pairwise(events) if a.kind == colour]


def test_conflicts_are_complete_whichever_side_names_them_and_within_each_ring() -> None:
    data = table()
    assert len(data) == 14 + 4 * 16
    assert [data[14 + 16 * row + 2] for row in range(4)] == [0b1010, 0b0101, 0b1010, 0b0101]


@pytest.mark.parametrize(
    ("was", "becomes", "complaint"),
    [
        ("conflicts = [6]", "conflicts = [5]", "phase 4 cannot conflict with 5"),
        ("phase = 8", "phase = 6", "a phase is there twice"),
        ("yellow_s = 4.0", "yellow_s = 4.05", "whole tenths"),
        ("yellow_s = 4.0", "yellow_s = 26.0", "at most 25.5 s"),
    ],
)
def test_what_a_table_cannot_say_is_refused_by_name(was: str, becomes: str, complaint: str) -> None:
    with pytest.raises(PlanError, match=complaint):
        table(PLAN.replace(was, becomes, 1))


def test_an_unknown_field_is_refused_with_its_file(tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text(PLAN.replace("walk_s", "wlak_s"))
    with pytest.raises(PlanError, match=r"plan.toml: .*wlak_s"):
        signal_plan.load(tmp_path / "plan.toml")


@pytest.mark.parametrize(
    ("was", "becomes", "code"),
    [
        ("green_s = 12.0", "green_s = 4.0", PlanCode.TABLE_TIMES),
        ("yellow_s = 3.0", "yellow_s = 2.9", PlanCode.TABLE_LIMITS),
        ("red_s = 6.0", "red_s = 5.9", PlanCode.TABLE_LIMITS),
        ("ped_clearance_s = 6.0", "ped_clearance_s = 26.0", PlanCode.TABLE_TIMES),
        ("ped_clearance_s = 6.0", "", PlanCode.TABLE_TIMES),
        ("", "", PlanCode.OK),
    ],
)
async def test_a_dry_run_says_what_is_wrong_and_changes_nothing(
    tmp_path: Path, was: str, becomes: str, code: PlanCode
) -> None:
    host = Host()
    with BoardProcess(tmp_path, store=True) as board:
        async with host.on(board.port):
            await known(host)
            assert (
                await answer(host, host.link.plan_table(5, table(PLAN.replace(was, becomes, 1)), store=False), 5)
                == code
            )
            assert host.link.identity is not None
            assert host.link.identity.table == 0
    assert set((tmp_path / "board.nv").read_bytes()) <= {0xFF}


async def test_a_matrix_that_is_not_symmetric_and_damaged_parts_are_refused(tmp_path: Path) -> None:
    host = Host()
    lopsided, damaged = bytearray(table()), table()
    lopsided[14 + 2] = 0b0010
    with BoardProcess(tmp_path, store=True) as board:
        async with host.on(board.port):
            await known(host)
            assert (
                await answer(host, host.link.plan_table(1, bytes(lopsided), store=True), 1) == PlanCode.TABLE_CONFLICTS
            )
            sent = host.link.plan_table(2, damaged, store=True).split(b"\0")
            del sent[0]  # a part that the line lost
            assert await answer(host, b"\0".join(sent), 2) == PlanCode.TABLE_CRC
            assert await answer(host, host.link.plan_table(3, damaged, store=True), 3) == PlanCode.OK


async def test_a_kept_table_runs_and_survives_a_power_cut(tmp_path: Path) -> None:
    host = Host()
    with BoardProcess(tmp_path, speed=SPEED, store=True) as board:
        async with host.on(board.port):
            await known(host)
            assert await answer(host, host.link.plan_table(7, table(), store=True), 7) == PlanCode.OK
            await host.until(lambda: len(lengths(host, 2, EventKind.PHASE_RED)) > 0)
            assert host.of(Identity)[-1].table == zlib.crc32(table())  # type: ignore[attr-defined]
        board.stop(signal.SIGKILL)
        board.start()
        again = Host()
        async with again.on(board.port):
            await again.until(lambda: len(lengths(again, 2, EventKind.PHASE_YELLOW)) > 0)
        assert again.of(Identity)[-1].table == zlib.crc32(table())  # type: ignore[attr-defined]
    assert [m.value for m in seen(again, EventKind.SIGNAL_MODE)] == [SignalMode.ALL_RED, SignalMode.RUN]
    for phase, yellow_ms, green_ms in ((2, 4000, 12_000), (4, 3500, 8000)):
        assert all(length >= yellow_ms for length in lengths(host, phase, EventKind.PHASE_YELLOW))
        assert all(length >= green_ms for length in lengths(host, phase, EventKind.PHASE_GREEN)), "fixed-time"


async def test_a_table_that_comes_again_is_answered_at_once_and_closes_nothing(tmp_path: Path) -> None:
    """The first answer was lost, and the signals are still on their way to it."""
    host = Host()
    with BoardProcess(tmp_path, speed=SPEED, store=True) as board:
        async with host.on(board.port):
            await known(host)
            assert await answer(host, host.link.plan_table(1, table(), store=True), 1) == PlanCode.OK
            await host.until(lambda: bool(seen(host, EventKind.PHASE_GREEN, 2)))
            other = table(PLAN.replace("max_green_s = 30.0", "max_green_s = 31.0"))
            assert await answer(host, host.link.plan_table(2, other, store=True), 2) == PlanCode.OK
            assert await answer(host, host.link.plan_table(3, other, store=True), 3) == PlanCode.OK
            await host.until(lambda: len(seen(host, EventKind.SIGNAL_MODE)) >= 5)
            assert await answer(host, host.link.plan_table(4, other, store=True), 4) == PlanCode.OK
            await host.until(lambda: bool(lengths(host, 4, EventKind.PHASE_GREEN)))
    run, closing, red = SignalMode.RUN, SignalMode.CLOSING, SignalMode.ALL_RED
    assert [m.value for m in seen(host, EventKind.SIGNAL_MODE)] == [red, run, closing, red, run]


async def test_requests_are_granted_or_refused_with_the_reason(tmp_path: Path) -> None:
    host = Host()
    with BoardProcess(tmp_path, speed=SPEED, store=True) as board:
        async with host.on(board.port):
            await known(host)
            ask = host.link.signal_request
            assert await answer(host, ask(1, Action.HOLD, 2), 1) == PlanCode.NOT_RUNNING
            assert await answer(host, host.link.plan_table(2, table(), store=True), 2) == PlanCode.OK
            assert await answer(host, ask(3, Action.CALL, 2), 3) == PlanCode.NOT_RUNNING
            await host.until(lambda: bool(seen(host, EventKind.PHASE_GREEN, 2)))
            assert await answer(host, ask(4, Action.FORCE_OFF, 2), 4) == PlanCode.BELOW_MIN_GREEN
            assert await answer(host, ask(5, Action.HOLD, 4), 5) == PlanCode.NOT_GREEN
            assert await answer(host, ask(6, Action.PED_CALL, 4), 6) == PlanCode.NO_WALK
            assert await answer(host, ask(7, Action.CALL, 5), 7) == PlanCode.UNKNOWN_PHASE
            assert await answer(host, ask(8, Action.CALL, 8), 8) == PlanCode.OK
            assert await answer(host, ask(9, Action.CALL, 2), 9) == PlanCode.CONFLICT
            assert await answer(host, ask(10, Action.STORE_TABLE, 2), 10) == PlanCode.UNKNOWN_ACTION
            assert await answer(host, ask(11, Action.HOLD, 2), 11) == PlanCode.OK
            await host.until(lambda: bool(lengths(host, 2, EventKind.PHASE_GREEN)))
    assert lengths(host, 2, EventKind.PHASE_GREEN)[0] >= 30_000, "held, up to the maximum"


async def test_a_push_button_brings_walk_and_clearance_in_full(tmp_path: Path) -> None:
    host = Host()
    button = [(1000, EventKind.INPUT.value, 9, 1), (2000, EventKind.INPUT.value, 9, 0)]
    with BoardProcess(tmp_path, speed=SPEED, store=True) as board:
        async with host.on(board.port):
            await known(host)
            assert await answer(host, host.link.plan_table(2, table(), store=True), 2) == PlanCode.OK
        board.stop()
        (tmp_path / "feed.csv").write_text("".join(f"{','.join(map(str, row))}\n" for row in button))
        board.start()
        again = Host()
        async with again.on(board.port):
            await again.until(lambda: len(seen(again, EventKind.PED, 2)) >= 3, 30)
    walk, clearance, end = seen(again, EventKind.PED, 2)[:3]
    assert [walk.value, clearance.value, end.value] == [1, 2, 0]
    assert clearance.ms - walk.ms >= 5000
    assert end.ms - clearance.ms >= 6000


async def test_without_a_heartbeat_the_fixed_times_return(tmp_path: Path) -> None:
    host = Host()
    # cycle: ring 1 12+5.5 + 8+4.5 = 30, ring 2 12.5+5 + 8+4.5 = 30
    with BoardProcess(tmp_path, speed=SPEED, store=True) as board:
        async with host.on(board.port) as line:
            await known(host)
            assert await answer(host, host.link.plan_table(2, table(), store=True), 2) == PlanCode.OK
            assert host.of(Identity)
            await host.until(lambda: bool(seen(host, EventKind.PHASE_GREEN, 2)))
            greens = {2: 22.0, 4: 8.0, 6: 22.5, 8: 8.0}
            assert await answer(host, host.link.phase_times(3, greens, 40), 3) == PlanCode.OK
            await host.until(lambda: bool(lengths(host, 2, EventKind.PHASE_GREEN)))
            assert lengths(host, 2, EventKind.PHASE_GREEN)[0] >= 22_000
            for _ in range(40):  # three seconds without a word of ours: the board keeps events, STATUS comes
                host.take(host.link.receive(await line.read()))
                await asyncio.sleep(0.075)
            await host.until(lambda: len(lengths(host, 2, EventKind.PHASE_GREEN)) > 3)
    # Late steps of a busy machine make a green longer, never shorter: 12 s are the plan's, 22 s the host's.
    assert 12_000 <= min(lengths(host, 2, EventKind.PHASE_GREEN)[1:]) < 20_000


async def test_the_plan_in_the_document_is_one_that_a_board_takes(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "board.md").read_text().split("```toml\n")[1].split("```")[0]
    host = Host()
    with BoardProcess(tmp_path, store=True) as board:
        async with host.on(board.port):
            await known(host)
            assert await answer(host, host.link.plan_table(1, table(text), store=True), 1) == PlanCode.OK
