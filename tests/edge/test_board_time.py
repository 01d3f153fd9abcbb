"""The board's clock on the node's scale: wrong by no more than the bound that is said with it."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.firmware_bridge.test_board_process import Host
from tests.simulators.board import BoardProcess, firmware
from wayside.edge.clock import STATUSES, BoardTime, SystemClock
from wayside.firmware_bridge.line.messages import Status


@given(
    offset_ms=st.integers(0, 10**9),
    ppm=st.integers(-5000, 5000),
    least_ms=st.integers(0, 20),
    jitter_ms=st.integers(0, 100),
    seed=st.integers(0, 1000),
)
def test_the_bound_holds_for_any_offset_drift_and_delay(
    offset_ms: int, ppm: int, least_ms: int, jitter_ms: int, seed: int
) -> None:
    draw = random.Random(seed)
    board = BoardTime(SystemClock())
    for i in range(3 * STATUSES):
        true_ns = (offset_ms + 100 * i) * 1_000_000
        ms = int(100 * i * (1 + ppm / 1e6))
        # One of ten travels at once: that is what "least" means.
        late_ms = least_ms + (0 if i % 10 == 0 else draw.uniform(0, jitter_ms))
        board.observe(ms, true_ns + int(late_ms * 1e6))
        if i >= 10:
            wrong_ms = (board.mono_ns(ms) - true_ns) / 1e6
            assert abs(wrong_ms) <= board.error_ms + least_ms


@pytest.mark.parametrize("speed", [1.0, 1.03, 0.97])
async def test_a_boards_time_is_known_within_its_bound(tmp_path: Path, speed: float) -> None:
    firmware()
    anchor = time.time()
    to_mono_ns = time.monotonic_ns() - time.time_ns()
    board_time, host, worst_ms = BoardTime(SystemClock()), Host(), 0.0
    with BoardProcess(tmp_path, speed=speed, anchor_s=anchor) as board:
        async with host.on(board.port):
            taken = 0

            def look() -> bool:
                nonlocal taken, worst_ms
                statuses = host.of(Status)
                for status in statuses[taken:]:
                    assert isinstance(status, Status)
                    board_time.observe(status.ms, time.monotonic_ns())
                    true_ns = int((anchor + status.ms / 1000 / speed) * 1e9) + to_mono_ns
                    beyond_ms = abs(board_time.mono_ns(status.ms) - true_ns) / 1e6 - board_time.error_ms
                    worst_ms = max(worst_ms, beyond_ms if taken > 10 else 0.0)
                    taken += 1
                return taken >= 40

            await host.until(look, timeout_s=60)
    print(f"speed {speed}: at most {worst_ms:.1f} ms beyond the bound")
    assert worst_ms < 50, "the least time that a frame took, on a busy machine"
