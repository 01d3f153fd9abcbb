"""The real firmware on a pty: every event arrives once or is named as lost, whatever happens to line and host."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from tests.simulators.board import BoardProcess, Edge, firmware
from wayside.firmware_bridge.errors import LineLost, LineUnavailable, WrongBoard
from wayside.firmware_bridge.line.board import BoardLink, Gap, Heard
from wayside.firmware_bridge.line.messages import Event, Identity, PlanCode, PlanResult, Status
from wayside.firmware_bridge.line.transport import SerialLine, open_transport

PLAN = "phase,ring,min_green,max_green,clearance,green\n2,1,70,400,50,250\n4,1,70,400,50,250\n"


def edges(count: int, every_ms: float = 1.0) -> list[Edge]:
    return [(int(i * every_ms), 1, i % 32, i % 2) for i in range(count)]


class Host:
    """A careful host: acknowledges what it has, says hello and heartbeat, remembers events and gaps."""

    def __init__(self, board_id: str | None = "board-1") -> None:
        self.link = BoardLink(board_id)
        self.heard: list[Heard] = []
        self.line: SerialLine | None = None
        self.acked = 0
        self.acknowledging = True

    @asynccontextmanager
    async def on(self, port: str) -> AsyncIterator[SerialLine]:
        self.line = open_transport(port, 921_600)
        self.line.write(self.link.hello(self.acked))
        try:
            yield self.line
        finally:
            self.line.close()

    async def until(
        self, done: Callable[[], bool], timeout_s: float = 20.0, mangle: Callable[[bytes], bytes] = bytes
    ) -> None:
        assert self.line is not None
        beat_s = 0.0
        async with asyncio.timeout(timeout_s):
            while not done():
                if time.monotonic() >= beat_s:
                    self.line.write(self.link.heartbeat(self.acked, self.link.boot))
                    beat_s = time.monotonic() + 0.05
                self.take(self.link.receive(mangle(await self.line.read())))

    def take(self, heard: list[Heard]) -> None:
        self.heard += heard
        if self.acknowledging:
            for message in heard:
                if isinstance(message, (Event, Gap)):
                    self.acked = message.seq if isinstance(message, Event) else message.last

    def of(self, kind: type) -> list[Heard]:
        return [m for m in self.heard if isinstance(m, kind)]

    @property
    def events(self) -> list[int]:
        return [m.seq for m in self.heard if isinstance(m, Event)]

    @property
    def lost(self) -> list[int]:
        return [seq for m in self.heard if isinstance(m, Gap) for seq in range(m.first, m.last + 1)]


async def test_every_event_of_the_feed_arrives_once_as_it_was(tmp_path: Path) -> None:
    feed = edges(3000)
    host = Host()
    with BoardProcess(tmp_path, feed, speed=3) as board:
        async with host.on(board.port):
            await host.until(lambda: len(host.events) == 3000)
            await host.until(lambda: any(s.acked_seq == 3000 for s in host.of(Status)))  # type: ignore[attr-defined]
        assert board.stop() == 0
        assert [m[1:] for m in host.of(Event)] == feed
        assert host.events == list(range(1, 3001))
        stats = board.stats()
    assert (stats["produced"], stats["acked"], stats["lost"], stats["rx_errors"]) == (3000, 3000, 0, 0)
    assert stats["sent"] == 3000, "on a clean line nothing is sent twice"
    assert host.link.received.identities == 1
    assert not os.path.lexists(board.port)  # noqa: ASYNC240


async def test_a_noisy_line_in_both_directions_loses_nothing(tmp_path: Path) -> None:
    rng = random.Random(4)
    host = Host()

    def mangle(data: bytes) -> bytes:
        if rng.random() < 0.3:
            out = bytearray(data)
            out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
            return bytes(out)
        return data[: rng.randrange(len(data))] if rng.random() < 0.1 else data

    with BoardProcess(tmp_path, edges(1500)) as board:
        async with host.on(board.port) as line:
            write = line.write
            line.write = lambda data: write(mangle(data))  # type: ignore[method-assign]
            await host.until(lambda: len(host.events) == 1500, mangle=mangle)
    assert host.events == list(range(1, 1501))
    assert host.lost == []
    assert host.link.counts.dropped > 0


async def test_a_killed_reader_and_a_full_ring_make_one_gap_of_the_exact_size(tmp_path: Path) -> None:
    reader = (
        "import asyncio, sys\n"
        "from wayside.firmware_bridge.line.board import BoardLink\n"
        "from wayside.firmware_bridge.line.messages import Event\n"
        "from wayside.firmware_bridge.line.transport import open_transport\n"
        "async def main():\n"
        "    line, link, ack = open_transport(sys.argv[1], 921600), BoardLink(), 0\n"
        "    line.write(link.hello())\n"
        "    while True:\n"
        "        ack = max([ack, *(m.seq for m in link.receive(await line.read()) if isinstance(m, Event))])\n"
        "        line.write(link.heartbeat(ack)); print(link.boot, ack, flush=True)\n"
        "asyncio.run(main())\n"
    )
    # The reader has time to start, and a ring of a second: what is lost is lost after its end.
    with BoardProcess(tmp_path, edges(2500), ring=1000, anchor_s=time.time() + 1.5) as board:
        command = [sys.executable, "-c", reader, board.port]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: ASYNC220
            assert process.stdout is not None
            for text in process.stdout:
                boot, durable = map(int, text.split())
                if durable >= 300:
                    break
            process.kill()
        board.wait("feed_done", oldest_seq=1501)
        host = Host()
        host.line = open_transport(board.port, 921_600)
        host.line.write(host.link.hello(durable, boot))
        await host.until(lambda: bool(host.events) and host.events[-1] == 2500)
        await host.until(lambda: bool(host.of(Status)))
        host.line.close()
        board.stop()
        stats = board.stats()
    assert host.lost == list(range(durable + 1, 1501))
    assert host.events == list(range(1501, 2501))
    assert durable + len(host.lost) + len(host.events) == stats["produced"] == 2500
    assert stats["lost"] == len(host.lost)


async def test_a_silent_host_stops_the_events_and_brings_the_fixed_plan(tmp_path: Path) -> None:
    host = Host()
    with BoardProcess(tmp_path, edges(4000), plan=PLAN) as board:
        async with host.on(board.port) as line:
            await host.until(lambda: bool(host.events))
            line.write(host.link.phase_times(9, {2: 30, 4: 20}, 60))
            await host.until(lambda: bool(host.of(PlanResult)))
            deadline = time.monotonic() + 10
            while not host.heard[-1:] or not isinstance(host.heard[-1], Status) or not host.heard[-1].fail_safe:
                assert time.monotonic() < deadline
                host.take(host.link.receive(await line.read()))
            status = host.heard[-1]
            assert not status.host_alive
            held = status.sent_seq
            for _ in range(5):
                host.take(host.link.receive(await line.read()))
            assert host.events[-1] == held
            # The host is back: no hello is needed, nothing was lost.
            await host.until(lambda: host.events[-1] == 4000)
    assert host.events == list(range(1, 4001))
    plans = [bool(s.flags & 4) for s in host.heard if isinstance(s, Status)]
    assert True in plans
    assert plans[-1] is False


async def test_a_hung_up_line_and_a_new_host_go_on_where_the_old_one_was(tmp_path: Path) -> None:
    host = Host()
    with BoardProcess(tmp_path, edges(3000)) as board:
        for target in (500, 1500, 3000):
            async with host.on(board.port):
                await host.until(lambda target=target: len(host.events) >= target)  # type: ignore[misc]
            await asyncio.sleep(0.1)
    assert host.events == list(range(1, 3001))


async def test_a_host_that_does_not_read_blocks_neither_clock_nor_feed(tmp_path: Path) -> None:
    host = Host()
    with BoardProcess(tmp_path, edges(8000), speed=8) as board:
        async with host.on(board.port):
            stats = board.wait("feed_done")  # the event loop stands still: nobody reads
            assert stats["sent"] < 8000
            assert stats["clock_ms"] >= 8000
            await host.until(lambda: len(host.events) == 8000)
    assert host.events == list(range(1, 8001))


async def test_a_host_too_slow_for_the_ring_learns_exactly_what_it_missed(tmp_path: Path) -> None:
    host = Host()
    with BoardProcess(tmp_path, edges(8000), speed=8, ring=100) as board:
        async with host.on(board.port):
            await host.until(lambda: len(host.events) > 10)
            board.wait("feed_done")
            await host.until(lambda: max([*host.events, *host.lost]) == 8000)
            await host.until(lambda: isinstance(host.heard[-1], Status))
        board.stop()
        stats = board.stats()
    assert sorted(host.events + host.lost) == list(range(1, 8001))
    assert stats["lost"] == len(host.lost) > 0


async def test_a_board_that_lost_power_is_another_boot_and_the_line_says_so(tmp_path: Path) -> None:
    host = Host()
    anchor_s = time.time()
    with BoardProcess(tmp_path, edges(20_000), anchor_s=anchor_s) as board:
        async with host.on(board.port):
            await host.until(lambda: len(host.events) > 200)
            board.stop(signal.SIGKILL)
            with pytest.raises(LineLost):
                await host.until(lambda: False)
        with pytest.raises(LineUnavailable, match="plugged in"):
            open_transport(board.port, 921_600)  # the link of a killed board points at nothing
        first_boot, before = host.link.boot, len(host.heard)
        board.start()
        async with host.on(board.port):
            await host.until(lambda: len(host.of(Identity)) >= 2)
            await host.until(lambda: isinstance(host.heard[-1], Event))
    second = host.of(Identity)[1]
    assert isinstance(second, Identity)
    assert second.rebooted
    assert second.boot != first_boot
    after = [m for m in host.heard[before:] if isinstance(m, Event)]
    assert after[0].seq == 1
    # Its clock is the wall's: what happened while it was off it never saw.
    assert after[0].ms > [m for m in host.heard[:before] if isinstance(m, Event)][-1].ms


async def test_the_wrong_board_is_refused(tmp_path: Path) -> None:
    host = Host("board-2")
    with BoardProcess(tmp_path) as board, pytest.raises(WrongBoard, match="'board-1' answers where 'board-2'"):
        async with host.on(board.port):
            await host.until(lambda: False)


@pytest.mark.parametrize(
    ("greens", "cycle", "code", "phase"),
    [
        ({2: 30, 4: 20}, 60, PlanCode.OK, 0),
        ({2: 6.9, 4: 43.1}, 60, PlanCode.BELOW_MIN_GREEN, 2),
        ({2: 9, 4: 41}, 60, PlanCode.ABOVE_MAX_GREEN, 4),
        ({2: 30, 4: 21}, 60, PlanCode.CYCLE_SUM, 0),
        ({2: 50}, 60, PlanCode.ABOVE_MAX_GREEN, 2),
        ({2: 30}, 60, PlanCode.MISSING_PHASE, 4),
        ({2: 30, 5: 20}, 60, PlanCode.UNKNOWN_PHASE, 5),
        ({}, 60, PlanCode.MISSING_PHASE, 2),
    ],
)
async def test_a_plan_is_checked_against_the_boards_own_limits(
    tmp_path: Path, greens: dict[int, float], cycle: float, code: PlanCode, phase: int
) -> None:
    host = Host()
    with BoardProcess(tmp_path, plan=PLAN) as board:
        async with host.on(board.port) as line:
            await host.until(lambda: bool(host.of(Status)))
            line.write(host.link.phase_times(9, greens, cycle))
            await host.until(lambda: bool(host.of(PlanResult)))
    assert host.of(PlanResult) == [PlanResult(9, code, phase)]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("100,1,2,1\n50,1,2,1\n", "line 2: 50 ms is before the line above"),
        ("ms,kind,channel,value\n1,1,1,1\n-5,1,2,1\n", "line 3: expected ms,kind,channel,value"),
        ("1,10,1,1\n", "line 1"),
        ("1,1,256,1\n", "line 1"),
        ("1,1,1\n", "line 1"),
        ("1,1,1,1,1\n", "line 1"),
        ("1,1,1, 1\n", "line 1"),
        ("99999999999999999999,1,1,1\n", "line 1"),
        ("1" * 500 + "\n", "line 1"),
        ("\n", "line 1"),
    ],
)
def test_a_hostile_feed_is_refused_with_its_line_before_anything_starts(
    tmp_path: Path, text: str, complaint: str
) -> None:
    (tmp_path / "feed.csv").write_text(text)
    link = tmp_path / "tty"
    done = subprocess.run(
        [firmware(), "--feed", tmp_path / "feed.csv", "--pty-link", link], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert complaint in done.stderr
    assert not link.is_symlink()


@pytest.mark.parametrize(
    "option",
    [("--ring", "0"), ("--ring", "9000"), ("--speed", "0"), ("--id", "ninechars"), ("x",)],
)
def test_an_impossible_option_is_refused(option: tuple[str, ...]) -> None:
    done = subprocess.run([firmware(), *option], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("board: ")


def test_before_the_anchor_the_clock_is_0_and_nothing_happens(tmp_path: Path) -> None:
    with BoardProcess(tmp_path, [(0, 1, 1, 1)], anchor_s=time.time() + 3600) as board:
        time.sleep(0.3)
        assert board.wait("")["produced"] == 0
        board.stop()
        assert board.stats()["clock_ms"] == 0


def test_a_second_board_takes_the_link_over_and_the_first_leaves_it_alone(tmp_path: Path) -> None:
    with BoardProcess(tmp_path) as first, BoardProcess(tmp_path) as second:
        target = Path(second.port).readlink()
        first.stop()
        assert Path(second.port).readlink() == target
        second.stop(signal.SIGINT)
        assert not Path(second.port).is_symlink()


def test_an_idle_board_hardly_uses_the_processor(tmp_path: Path) -> None:
    with BoardProcess(tmp_path) as board:
        assert board.process is not None
        time.sleep(1.0)
        spent = psutil.Process(board.process.pid).cpu_times()
        assert spent.user + spent.system < 0.1
