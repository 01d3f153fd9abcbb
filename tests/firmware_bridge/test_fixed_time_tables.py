"""A board with a plan table of format 1 does what it did when that was the only format, event for event."""

from __future__ import annotations

import json
import random
import zlib
from pathlib import Path

import pytest

from tests.firmware_bridge.test_signal_plan import PLAN, table
from tests.firmware_bridge.test_simulated_board import Line
from wayside.firmware_bridge.line.messages import (
    Event,
    EventKind,
    Message,
    PhaseGreen,
    PhaseTimes,
    PlanResult,
    SignalRequest,
)

GOLDEN = Path(__file__).parents[1] / "golden" / "v1" / "fixed_time_tables.json"
DETECTORS = "detectors = { count = 3, debounce_ms = 20, chatter = 9, stuck_s = 30, no_hit_s = 60 }\n"
# What boards of format 1 were sent: two rings with barriers, one ring, a ring that waits for the other one.
PLANS = {
    "barriers": PLAN,
    "detectors": DETECTORS + PLAN,
    "one ring": PLAN.replace("ring = 2", "ring = 1"),
    "no barrier": PLAN.replace("conflicts = [8]\n", ""),
}


def said(name: str, out: Path) -> list[Message]:
    """What the board says in ten minutes to a host that asks for whatever comes to its mind."""
    rng = random.Random(name)
    line = Line(out)
    assert line.load(table(PLANS[name])) == 0
    for request in range(2, 800):
        ms = line.board.ms
        line.board.edge(ms + 1, rng.randint(1, 4), rng.randint(0, 1))
        if rng.random() < 0.1:
            line.board.edge(ms + 2, 9, rng.randint(0, 1), EventKind.INPUT)
        if rng.random() < 0.8:
            line.say(SignalRequest(request, rng.choice([0, 1, 2, 2, 3, 3, 4, 4, 9]), rng.randint(1, 9)))
        elif rng.random() < 0.8:
            greens = [PhaseGreen(phase, rng.choice([49, 50, 80, 125, 200, 301])) for phase in (2, 4, 6, 8)]
            cycle = sum(g.green for g in greens[:2]) + 100
            line.say(PhaseTimes(request, cycle, 4, tuple(greens)))
        elif rng.random() < 0.1:
            line.board.run(ms + 3000)  # the host is silent
        line.run(line.board.ms + rng.randint(100, 1400))
    return [m for m in line.heard if isinstance(m, Event | PlanResult)]


def digest(messages: list[Message]) -> dict[str, int]:
    return {"messages": len(messages), "crc": zlib.crc32(repr([tuple(m) for m in messages]).encode())}


@pytest.mark.parametrize("name", PLANS)
def test_a_table_of_format_1_is_the_same_bytes_and_makes_the_same_events(name: str, library: Path) -> None:
    golden = json.loads(GOLDEN.read_text())[name]
    assert table(PLANS[name]).hex() == golden["table"]
    assert digest(said(name, library)) == golden["says"]
