"""A warm process that runs verbs: everything is imported once, and each command line runs in a fork of it.

So nothing of one run is left for the next, what a library prints past Python is caught, a run that hangs is killed, and
its memory is its own. Lines of JSON on both sides; see :class:`Order` and :class:`Ran`.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import resource
import select
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
TRACED = 99  # the status of a run that ended with an exception
HUNG = 98
RUNS = 0  # the status of what was still running, as it should, when it was ended
MB = 1 << 20


class Order(NamedTuple):
    words: list[str]
    folder: str  # where it runs
    out: str  # folder of its stdout and stderr
    limit_s: float
    environment: dict[str, str]
    until: str  # it runs until it is told to end, which happens when it has printed this; empty: it ends by itself


class Ran(NamedTuple):
    status: int
    out: str
    err: str
    peak_mb: float  # beyond what the warm process has
    seconds: float
    ended: bool = False  # it ran until it was told to end


class Server:
    def __init__(self, warm: Iterable[str]) -> None:
        """``warm``: modules to import at the start."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith("WAYSIDE_")}
        environment |= {"PYTHONPATH": str(ROOT), "COLUMNS": "400", "OMP_NUM_THREADS": "1", "TERM": "dumb"}
        environment |= {"PYTHONWARNINGS": "default", "WAYSIDE_OPERATOR_TOKEN": "4f0c9a1d7e6b2835c1d94e7fa0b36c58"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz.server", *warm],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environment,
        )

    def run(self, order: Order) -> Ran:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        status, peak, seconds, ended = json.loads(self._process.stdout.readline())
        out, err = ((Path(order.out) / name).read_bytes()[: 4 * MB].decode(errors="replace") for name in ("out", "err"))
        return Ran(status, out, err, peak, seconds, ended)

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)


def _serve(warm: list[str]) -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what an import prints is no answer
    for name in warm:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    base_kb = _resident_kb()
    for line in sys.stdin:
        order = Order(*json.loads(line))
        answers.write(json.dumps(_forked(order, base_kb)) + "\n")
        answers.flush()


def _resident_kb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1024


def _forked(order: Order, base_kb: float) -> tuple[int, float, float, bool]:
    began = time.monotonic()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        os._exit(_child(order))
    ready = os.pidfd_open(pid)
    ended = hung = False
    try:
        if not _over(ready, order):
            ended = _printed(order)
            if ended:
                os.killpg(pid, signal.SIGTERM)
            if not ended or not select.select([ready], [], [], 20)[0]:
                hung = True
        with contextlib.suppress(ProcessLookupError):
            if hung:
                os.killpg(pid, signal.SIGKILL)
        _, raw, usage = os.wait4(pid, 0)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)  # what it left running
    finally:
        os.close(ready)
    status = HUNG if hung else os.waitstatus_to_exitcode(raw)
    if ended and status == -signal.SIGTERM:
        status = RUNS
    return status, max(0.0, usage.ru_maxrss - base_kb) / 1024, time.monotonic() - began, ended


def _over(ready: int, order: Order) -> bool:
    """Wait until it ends by itself (True), has printed what is waited for, or is late."""
    deadline = time.monotonic() + order.limit_s
    while time.monotonic() < deadline:
        step = 0.1 if order.until else order.limit_s
        if select.select([ready], [], [], step)[0]:
            return True
        if order.until and _printed(order):
            return bool(select.select([ready], [], [], 0.3)[0])
    return False


def _printed(order: Order) -> bool:
    if not order.until:
        return False
    written = (path.read_bytes() for path in Path(order.out).glob("*"))
    return any(order.until.encode() in text for text in written)


def _child(order: Order) -> int:
    os.setsid()
    out = Path(order.out)
    out.mkdir(parents=True, exist_ok=True)
    for fd, name in ((1, "out"), (2, "err")):
        file = os.open(out / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, fd)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")  # noqa: SIM115
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.chdir(order.folder)
    os.environ.update(order.environment)
    from wayside.__main__ import main

    try:
        status = main(order.words)
    except SystemExit as exc:
        status = exc.code if isinstance(exc.code, int) else 0 if exc.code is None else 1
        if isinstance(exc.code, str):
            print(exc.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        status = TRACED
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    return status


@contextlib.contextmanager
def served(warm: Iterable[str]) -> Iterator[Server]:
    server = Server(warm)
    try:
        yield server
    finally:
        server.close()


if __name__ == "__main__":
    _serve(sys.argv[1:])
