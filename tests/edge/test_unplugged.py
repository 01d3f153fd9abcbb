"""The serial line is pulled, cut and plugged into the wrong board while the agent runs: it finds back by itself."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import signal
import threading
import time
import tty
from pathlib import Path

from tests.edge.test_agent import STEP_MS, intervals, traffic, vehicles
from tests.simulators.agent import AgentProcess, node_toml
from tests.simulators.board import BoardProcess, firmware
from wayside.contracts.reading import Quality
from wayside.contracts.summary import Kind, Summary

START_MS = 1704067200_000
HOUR_MS = 3_600_000


class Cable:
    """Between a board and the port that the agent opens. What does not fit is lost, as on a wire."""

    def __init__(self, port: Path) -> None:
        self.port = port
        self._thread: threading.Thread | None = None

    def plug(self, board: BoardProcess) -> None:
        master, slave = pty.openpty()
        tty.setraw(slave)
        far = os.open(board.port, os.O_RDWR | os.O_NOCTTY)
        for fd in (master, far):
            os.set_blocking(fd, False)
        self._pulled = threading.Event()
        self._thread = threading.Thread(target=self._carry, args=(master, slave, far, self._pulled), daemon=True)
        self._thread.start()
        self.port.symlink_to(os.ttyname(slave))

    def pull(self) -> None:
        assert self._thread is not None
        self.port.unlink()
        self._pulled.set()
        self._thread.join()
        self._thread = None

    @staticmethod
    def _carry(master: int, slave: int, far: int, pulled: threading.Event) -> None:
        other = {master: far, far: master}
        while not pulled.is_set():
            for fd in select.select([master, far], [], [], 0.05)[0]:
                with contextlib.suppress(OSError):
                    os.write(other[fd], os.read(fd, 65536))
        for fd in (master, slave, far):
            os.close(fd)

    def __enter__(self) -> Cable:
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread is not None:
            self.pull()


def alerts(rows: list[Summary]) -> list[str]:
    return [str(r.detail["what"]) for r in rows if r.kind is Kind.ALERT and r.datastream == "board"]


def conditions(rows: list[Summary]) -> list[tuple[str, str]]:
    """(code, "began" or "over") of the board, in order."""
    board = [r for r in rows if r.kind is Kind.ALERT and r.datastream == "board" and "condition" in r.detail]
    return [(str(r.detail["condition"]), "over" if r.detail.get("ended") else "began") for r in board]


def told(agent: AgentProcess, what: str) -> bool:
    return any(what in alert for alert in alerts(agent.rows()))


def test_a_pulled_cable_and_a_wrong_board_cost_nothing_but_time(tmp_path: Path) -> None:
    edges = traffic(6)
    firmware()
    anchor = time.time() + 1.0
    for name in ("right", "wrong"):
        (tmp_path / name).mkdir()
    with (
        BoardProcess(tmp_path / "right", edges, speed=3600, anchor_s=anchor) as right,
        BoardProcess(tmp_path / "wrong", traffic(1), speed=3600, anchor_s=anchor, board_id="other") as wrong,
        Cable(tmp_path / "cable.tty") as cable,
    ):
        toml = node_toml(str(cable.port), anchor_s=anchor, speed=3600)
        toml = toml.replace("baud = 921600", 'baud = 921600\nidentity = "board-1"')
        cable.plug(right)
        with AgentProcess(tmp_path, toml) as agent:
            agent.wait(lambda a: a.counters().get("readings_received", 0) > len(edges) // 8)
            cable.pull()
            agent.wait(lambda a: told(a, "line lost"))
            agent.wait(lambda a: a.status["board"]["connected"] is False)
            assert agent.status["healthy"] is False
            cable.plug(wrong)
            agent.wait(lambda a: told(a, "wrong board"))
            wrong.wait("", frames_rx=3, timeout_s=60)  # asked again and again
            cable.pull()
            cable.plug(right)
            agent.wait(lambda a: len(intervals(a.rows(), "det/1")) >= 24, timeout_s=60)
            assert agent.stop() == 0
            rows, counters = agent.rows(), agent.counters()
    assert conditions(rows) == [
        ("line_lost", "began"),
        ("wrong_board", "began"),
        ("line_lost", "over"),
        ("wrong_board", "over"),
    ]
    assert "wrong board: board 'other' answers where 'board-1' should: look at the cabling" in alerts(rows)
    assert counters["readings_received"] == counters["readings_sent"] == len(edges)
    assert counters["readings_lost"] == 0
    for channel in (1, 2):
        truth, seen = vehicles(edges, channel), intervals(rows, f"det/{channel}")[:24]
        assert [(r.at.wall_ms, r.value, r.quality) for r in seen] == [
            (START_MS + (i + 1) * STEP_MS, float(truth.get(i, 0)), Quality.GOOD) for i in range(24)
        ]


def test_boards_that_changed_their_ports_are_told_apart_by_name(tmp_path: Path) -> None:
    edges = traffic(6)
    firmware()
    anchor = time.time() + 1.0
    ports = tmp_path / "by-id"
    for folder in (tmp_path / "right", tmp_path / "wrong", ports):
        folder.mkdir()
    with (
        BoardProcess(tmp_path / "right", edges, speed=3600, anchor_s=anchor) as right,
        BoardProcess(tmp_path / "wrong", traffic(1), speed=3600, anchor_s=anchor, board_id="other") as wrong,
        Cable(ports / "0") as zero,
        Cable(ports / "1") as one,
    ):
        toml = node_toml(str(ports / "*"), anchor_s=anchor, speed=3600)
        toml = toml.replace("baud = 921600", 'baud = 921600\nidentity = "board-1"')
        zero.plug(right)
        one.plug(wrong)
        with AgentProcess(tmp_path, toml) as agent:
            agent.wait(lambda a: a.counters().get("readings_received", 0) > len(edges) // 8)
            zero.pull()
            one.pull()
            zero.plug(wrong)
            one.plug(right)
            agent.wait(lambda a: len(intervals(a.rows(), "det/1")) >= 24, timeout_s=60)
            assert agent.stop() == 0
            rows, counters = agent.rows(), agent.counters()
    assert not [a for a in alerts(rows) if "wrong board" in a]
    assert counters["readings_received"] == counters["readings_sent"] == len(edges)
    assert counters["readings_lost"] == 0


def test_a_board_that_loses_power_leaves_a_gap_where_it_was_off_and_true_counts_elsewhere(tmp_path: Path) -> None:
    before = traffic(2)
    after = [(ms + 4 * HOUR_MS, kind, channel, value) for ms, kind, channel, value in traffic(2, seed=2)]
    edges = before + after
    firmware()
    anchor = time.time() + 1.0
    with BoardProcess(tmp_path, before, speed=1800, anchor_s=anchor) as first:  # noqa: SIM117
        with AgentProcess(tmp_path, node_toml(first.port, anchor_s=anchor, speed=1800)) as agent:
            agent.wait(lambda a: a.counters().get("readings_received", 0) == len(before))
            first.stop(signal.SIGKILL)  # its feed is at its end: nothing is on its way
            with BoardProcess(tmp_path, edges, speed=1800, anchor_s=anchor) as second:
                agent.wait(lambda a: told(a, "the board restarted"))
                agent.wait(lambda a: len(intervals(a.rows(), "det/1")) >= 24, timeout_s=60)
                second.wait("feed_done")
                assert agent.stop() == 0
                second.stop()
                stats = second.stats()
            rows, counters = agent.rows(), agent.counters()
    assert told(agent, "line lost")
    produced = len(before) + stats["produced"]
    assert counters["readings_received"] == counters["readings_sent"] == produced, str((stats, counters))
    assert counters["readings_lost"] == 0
    for channel in (1, 2):
        truth, seen = vehicles(edges, channel), intervals(rows, f"det/{channel}")
        good = [r for r in seen if r.quality is Quality.GOOD]
        ends = [r.at.wall_ms for r in good if r.at.wall_ms is not None]
        assert ends == sorted(set(ends)), "an interval is told once, in order"
        numbers = [(end - START_MS) // STEP_MS - 1 for end in ends]
        assert [r.value for r in good] == [truth.get(number, 0) for number in numbers]
        # The interval of the cut has two ends, of the old board and of the new: neither claims to know.
        doubted = [r for r in seen if r.quality is not Quality.GOOD]
        assert 1 <= len(doubted) <= 4
        assert all(r.value != 0 for r in doubted)
        assert len(good) >= 20
