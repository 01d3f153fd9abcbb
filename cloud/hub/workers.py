"""Several processes over one listening socket: started, watched, started again where one dies, and ended together.

They are forked after everything is imported and checked: what is wrong with the data directory is said once, before
the address is printed, and a worker that died is replaced in milliseconds. Connections wait in the one socket that all
of them accept from: those that a dead worker had not accepted are another's.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import NoReturn

from wayside.errors import WaysideError

DRAIN_S = 20.0  # for requests in progress, when all are to end
FIRST_PAUSE_S = 0.1  # before a worker is started again; doubled while it does not stay
LAST_PAUSE_S = 30.0
STAYS_S = 10.0
_WATCHED = frozenset({signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
_log = logging.getLogger("wayside.hub.workers")


class Workers:
    """Runs ``work`` in ``count`` processes. For the main thread of a process that has no other."""

    def __init__(self, count: int, work: Callable[[], None]) -> None:
        self._work = work
        self._running: dict[int, float] = {}  # pid → when it was started, monotonic seconds
        self._due: list[float] = [0.0] * count  # when those are started that do not run
        self._pause_s = FIRST_PAUSE_S
        self._asked: signal.Signals | None = None
        self._alive = os.pipe()  # nobody writes: it ends when this process does

    def run(self) -> None:
        """Until SIGTERM or Ctrl-C; then all have ended.

        Raises:
            KeyboardInterrupt: it was Ctrl-C.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
        until = float("inf")
        while self._asked is None or self._running:
            self._start_due()
            told = signal.sigtimedwait(_WATCHED, self._wait_s())
            if told is not None and told.si_signo == signal.SIGHUP:
                self._tell(signal.SIGHUP)
            elif told is not None and told.si_signo != signal.SIGCHLD and self._asked is None:
                self._asked = signal.Signals(told.si_signo)
                self._due.clear()
                self._tell(signal.SIGTERM)
                until = time.monotonic() + DRAIN_S
            self._reap()
            if time.monotonic() > until:
                _log.error("%d workers do not end: killed", len(self._running))
                self._tell(signal.SIGKILL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _WATCHED)
        if self._asked is signal.SIGINT:
            raise KeyboardInterrupt

    def _wait_s(self) -> float:
        if self._asked is not None:
            return 0.5
        now = time.monotonic()
        return max(0.0, min(self._due, default=now + 3600) - now)

    def _start_due(self) -> None:
        now = time.monotonic()
        while self._due and min(self._due) <= now:
            self._due.remove(min(self._due))
            self._start()

    def _start(self) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            self._be_worker()
        self._running[pid] = time.monotonic()

    def _be_worker(self) -> NoReturn:
        code = 1
        try:
            os.close(self._alive[1])
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _WATCHED)
            threading.Thread(target=self._end_with_parent, name="hub-parent", daemon=True).start()
            self._work()
            code = 0
        except KeyboardInterrupt:
            code = 0
        except WaysideError as exc:
            _log.error("a worker cannot serve: %s", exc)
        except BaseException:
            traceback.print_exc()
        finally:
            logging.shutdown()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _end_with_parent(self) -> None:
        """Whoever is left alone drains: nobody would start it again, and it holds the data directory."""
        os.read(self._alive[0], 1)
        os.kill(os.getpid(), signal.SIGTERM)

    def _reap(self) -> None:
        while self._running:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            started = self._running.pop(pid, None)
            if started is None or self._asked is not None:
                continue
            now = time.monotonic()
            if now - started > STAYS_S:
                self._pause_s = FIRST_PAUSE_S
            _log.warning("worker %d ended (%s): another is started", pid, _how(status))
            self._due.append(now + self._pause_s)
            self._pause_s = min(LAST_PAUSE_S, 2 * self._pause_s)

    def _tell(self, what: signal.Signals) -> None:
        for pid in self._running:
            os.kill(pid, what)


def _how(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"exit status {code}" if code >= 0 else signal.Signals(-code).name
