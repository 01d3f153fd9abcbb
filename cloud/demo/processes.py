"""Child processes that cannot outlive the demo."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from wayside.errors import WaysideError

_libc = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1


class StageError(WaysideError):
    """A stage of the demo did not do its work; the message ends with the last lines of its log."""


def _die_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Processes:
    """Starts, watches and stops; ``with`` guarantees that none stays behind, whatever happens."""

    def __init__(self, logs: Path, stopped: threading.Event | None = None) -> None:
        """``stopped``: somebody wants the end; said again wherever a process is started or looked at."""
        self._logs, self._stopped = logs, stopped
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(*reversed(list(self._running)))

    def run(self, name: str, command: Sequence[str], *, env: Mapping[str, str] | None = None) -> str:
        """Run to the end.

        Returns:
            What it printed.

        Raises:
            StageError: it exited with another status than 0.
        """
        self.start(name, command, env=env)
        return self.finish(name)

    def finish(self, name: str) -> str:
        """Wait until one that was started ends.

        Returns:
            What it printed.

        Raises:
            StageError: it exited with another status than 0.
        """
        process = self._running[name]
        status = process.wait()
        del self._running[name]
        if status:
            raise StageError(f"{name} failed with status {status}\n{self.tail(name)}")
        return self.log(name).read_text(errors="replace")

    def at_most(self, n: int, chains: Mapping[str, Sequence[Sequence[str]]], *, env: Mapping[str, str]) -> None:
        """Run chains of commands, ``n`` chains at a time; the commands of a chain one after the other, as NAME-1 ….

        Raises:
            StageError: one exited with another status than 0.
        """
        waiting = [(name, list(commands)) for name, commands in chains.items()]
        running: dict[str, tuple[int, list[Sequence[str]]]] = {}  # name → number of its command, the rest
        while waiting or running:
            while waiting and len(running) < n:
                name, commands = waiting.pop(0)
                self.start(f"{name}-1", commands[0], env=env)
                running[name] = (1, list(commands[1:]))
            for name, (number, rest) in list(running.items()):
                if self._running[f"{name}-{number}"].poll() is None:
                    continue
                self.finish(f"{name}-{number}")
                del running[name]
                if rest:
                    self.start(f"{name}-{number + 1}", rest[0], env=env)
                    running[name] = (number + 1, list(rest[1:]))
            time.sleep(0.1)

    def start(self, name: str, command: Sequence[str], *, env: Mapping[str, str] | None = None) -> None:
        with self.log(name).open("ab") as log:
            self._running[name] = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | (env or {}),
                # A session of its own: Ctrl-C reaches the demo alone, which then stops all in order.
                start_new_session=True,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - this program has one thread
            )
        self._heed()

    def _heed(self) -> None:
        """Raises: KeyboardInterrupt: it came before, where it could not be raised."""
        if self._stopped is not None and self._stopped.is_set():
            raise KeyboardInterrupt

    def kill(self, name: str) -> None:
        """SIGKILL: the process learns nothing of it."""
        process = self._running.pop(name)
        process.kill()
        process.wait()

    def stop(self, *names: str, timeout_s: float = 15.0) -> None:
        """SIGTERM to all named, then wait; SIGKILL to those that do not go."""
        stopping = [self._running.pop(name) for name in names if name in self._running]
        for process in stopping:
            process.terminate()
        deadline = time.monotonic() + timeout_s
        for process in stopping:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def check(self) -> None:
        """Raises:
        StageError: a process that should run has ended.
        """
        self._heed()
        for name, process in self._running.items():
            if process.poll() is not None:
                raise StageError(f"{name} ended with status {process.returncode}\n{self.tail(name)}")

    def log(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    def tail(self, name: str, lines: int = 15) -> str:
        stream: IO[str]
        with self.log(name).open(errors="replace") as stream:
            return "".join(f"  {line}" for line in stream.readlines()[-lines:])
