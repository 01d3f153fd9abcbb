"""The core in this process speaks as a board on a line does, many boards at once and the same bytes every time."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest

from tests.firmware_bridge.test_signal_plan import table
from wayside.firmware_bridge.line import frames, messages
from wayside.firmware_bridge.line.messages import (
    Action,
    Event,
    EventKind,
    Heartbeat,
    Hello,
    Identity,
    PlanCode,
    PlanResult,
    TableCommit,
    TablePart,
)
from wayside.firmware_bridge.signal_plan import checksum
from wayside.firmware_bridge.simulated_board import SimulatedBoard

TABLE_ROW = "ring = 1\ngreen_s = 10.0\nmin_green_s = 5.0\nmax_green_s = 20.0\nyellow_s = 3.0\nred_clearance_s = 1.0\n"


class Line:
    """A host of one board: it stores nothing and misses nothing."""

    def __init__(self, out: Path, name: str = "board") -> None:
        self.board = SimulatedBoard(name, out)
        self.decoder = frames.Decoder()
        self.heard: list[messages.Message] = []

    def say(self, *said: messages.Message) -> None:
        data = b"".join(frames.encode(messages.encode(m)) for m in said)
        assert self.board.write(data) == len(data)

    def run(self, to_ms: int) -> None:
        """In steps of at most a second, with a heartbeat in each."""
        while self.board.ms < to_ms:
            acked = max((m.seq for m in self.heard if isinstance(m, Event)), default=0)
            self.say(Heartbeat(1, acked))
            self.board.run(min(self.board.ms + 1000, to_ms))
            self.heard += [messages.decode(p) for p in self.decoder.feed(self.board.read())]

    def load(self, plan: bytes, request: int = 1) -> PlanCode:
        size = messages.PART_BYTES
        parts = [TablePart(at, plan[at : at + size].ljust(size, b"\0")) for at in range(0, len(plan), size)]
        self.say(Hello(0, 0), *parts, TableCommit(request, Action.STORE_TABLE, len(plan), checksum(plan)))
        self.run(self.board.ms + 100)
        return PlanCode([m.code for m in self.heard if isinstance(m, PlanResult) and m.request == request][-1])

    def events(self, kind: EventKind) -> list[tuple[int, int, int]]:
        return [(m.ms, m.channel, m.value) for m in self.heard if isinstance(m, Event) and m.kind == kind]


def test_two_boards_in_one_process_do_not_know_each_other(library: Path) -> None:
    one, other = Line(library, "one"), Line(library, "other")
    assert one.load(table()) == PlanCode.OK
    for line in (one, other):
        line.run(60_000)
    names = [[m for m in line.heard if isinstance(m, Identity)][-1] for line in (one, other)]
    assert [(i.board, i.table) for i in names] == [("one", checksum(table())), ("other", 0)]
    assert len(one.events(EventKind.PHASE_GREEN)) > 4
    assert (other.events(EventKind.PHASE_GREEN), other.board.heads.flash) == ([], 1)


def test_the_same_calls_give_the_same_bytes_and_a_power_cut_keeps_the_table(library: Path) -> None:
    runs = []
    for _ in range(2):
        line = Line(library)
        assert line.load(table()) == PlanCode.OK
        for ms in range(1000, 40_000, 700):
            line.board.edge(ms, 3, ms // 700 % 2)
        line.run(50_000)
        runs.append(line.heard)
    assert runs[0] == runs[1]
    before = line.board.memory
    line.board.start(boot=2)
    line.board.run(15_000)
    assert line.board.memory == before
    assert line.board.heads.green == 0b0101


def test_an_edge_of_the_past_is_refused(library: Path) -> None:
    board = SimulatedBoard(out=library)
    board.run(1000)
    with pytest.raises(ValueError, match="out of order"):
        board.edge(999, 1, 1)


def copy(generation: int, kept: bytes) -> bytes:
    """As it lies in a board's memory."""
    head = struct.pack("<IH", generation, len(kept)) + kept
    return head + struct.pack("<I", zlib.crc32(head))


@pytest.mark.parametrize("phases", [2, 8])
@pytest.mark.parametrize("before", [0, 6])
def test_a_table_that_firmware_2_0_kept_in_its_second_place_runs_and_goes_to_a_new_one(
    library: Path, phases: int, before: int
) -> None:
    newest, older = rows(phases), rows(before)
    line = Line(library)
    memory = copy(7, older).ljust(152, b"\xff") + copy(8, newest)
    for cut_ms in (0, 100):  # the power goes at once, and comes again
        line.board.memory = memory
        line.board.start(boot=1)
        line.board.run(cut_ms)
        line.board.start(boot=2)
        line.board.run(100)
        assert line.board.memory[:152].startswith(copy(9, newest))
        line.heard.clear()
        assert line.load(table()) == PlanCode.OK  # into the other slot, wherever the old copy ends
        line.board.start(boot=3)
        line.heard.clear()
        line.run(line.board.ms + 2000)
        assert [m for m in line.heard if isinstance(m, Identity)][-1].table == checksum(table())


def rows(count: int) -> bytes:
    phases = [f"phase = {n + 1}\n" + TABLE_ROW for n in range(count)]
    return table("".join("[[phases]]\n" + row for row in phases))
