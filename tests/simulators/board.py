"""The real firmware as a process on a pty. Built when this is imported, unless nothing changed since the last build."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any

from wayside.firmware_bridge.native import build

Edge = tuple[int, int, int, int]  # ms, kind, channel, value


@cache
def firmware() -> Path:
    """The board program."""
    return build(Path(__file__).parents[2] / "build" / "firmware")


firmware()  # now, not while a test's anchor goes by


def write_feed(path: Path, edges: Iterable[Edge]) -> Path:
    path.write_text("".join(f"{ms},{kind},{channel},{value}\n" for ms, kind, channel, value in edges))
    return path


class BoardProcess:
    """``with BoardProcess(tmp_path, edges) as board:`` runs one; ``board.port`` is the link that a host opens.

    The same folder again is the same cabinet: a second board takes over the same port. ``anchor_s=None`` lets the
    board's clock start with the process; with an anchor that passed before the process started, the edges in between
    are skipped, as a board that was off would.
    """

    def __init__(
        self,
        folder: Path,
        edges: Iterable[Edge] = (),
        *,
        speed: float = 1.0,
        anchor_s: float | None = None,
        board_id: str = "board-1",
        ring: int = 8192,
        plan: str | None = None,
        store: bool = False,
    ) -> None:
        self.port = str(folder / "board.tty")
        self.stats_path = folder / "board.json"
        feed = write_feed(folder / "feed.csv", edges)
        self.command = [str(firmware()), "--pty-link", self.port, "--feed", str(feed), "--speed", str(speed)]
        self.command += ["--id", board_id, "--ring", str(ring), "--stats", str(self.stats_path)]
        if anchor_s is not None:
            self.command += ["--anchor", f"{anchor_s:.6f}"]
        if plan is not None:
            (folder / "plan.csv").write_text(plan)
            self.command += ["--plan", str(folder / "plan.csv")]
        if store:
            self.command += ["--store", str(folder / "board.nv")]
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> BoardProcess:
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        ready = self.process.stdout.readline()
        if not ready.startswith("READY "):
            raise RuntimeError(f"the board did not start (exit {self.process.wait()}): {self.command}")
        return self

    def stop(self, how: int = signal.SIGTERM) -> int:
        """End it and return its exit status. SIGTERM leaves final statistics, SIGKILL is a power cut."""
        assert self.process is not None
        self.process.send_signal(how)
        status = self.process.wait(timeout=10)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return status

    def stats(self) -> dict[str, Any]:
        """What the board counted, at most about a second ago; after ``stop``, the end of it."""
        loaded: dict[str, Any] = json.loads(self.stats_path.read_bytes())
        return loaded

    def wait(self, until: str, timeout_s: float = 20.0, **at_least: int) -> dict[str, Any]:
        """The first statistics in which ``until`` is true (a key), or every named count reached."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if self.stats_path.exists():
                stats = self.stats()
                if (not until or stats[until]) and all(stats[k] >= v for k, v in at_least.items()):
                    return stats
            time.sleep(0.05)
        raise TimeoutError(f"the board did not get to {until or at_least}: {self.stats()}")

    def __enter__(self) -> BoardProcess:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None) -> None:
        if self.process is not None and self.process.poll() is None:
            self.stop(signal.SIGKILL)
