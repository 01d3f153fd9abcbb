"""Runs, each in a process of its own: SUMO's library repeated in one process gives other results.

Whatever ends the caller ends the runs: an exception and Ctrl-C terminate them, and a run whose caller was killed ends
when it next tells how far it is.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import connection
from pathlib import Path
from typing import Any

import msgspec

from wayside.cloud.sim.errors import PlantError, SimulateError
from wayside.cloud.sim.traffic.spec import RunResult, RunSpec
from wayside.firmware_bridge.errors import BuildError
from wayside.firmware_bridge.native import build_library

Tell = Callable[[int, float], None]
"""Number of the run, and the share of it that is done; 1.0 comes once, at its end."""
JOIN_S = 5.0


def run_all(
    specs: Sequence[RunSpec], jobs: int | None = None, tell: Tell = lambda number, share: None
) -> list[RunResult]:
    """Their results, in the order of ``specs``. ``jobs``: so many at once, None: one a core.

    Raises:
        SimulateError: one of them failed; the others are ended.
    """
    try:
        build_library()  # once, and not in each of them
    except BuildError as exc:
        raise PlantError(str(exc)) from exc
    with tempfile.TemporaryDirectory(prefix="wayside-sim-") as scratch:
        return _run_all(specs, jobs or os.cpu_count() or 1, tell, scratch)


def _run_all(specs: Sequence[RunSpec], jobs: int, tell: Tell, scratch: str) -> list[RunResult]:
    results: dict[int, RunResult] = {}
    running: dict[Any, tuple[int, Any]] = {}
    waiting = iter(enumerate(specs))
    try:
        _start(waiting, running, jobs, scratch)
        while running:
            for receiver in connection.wait(list(running)):
                number, process = running[receiver]
                message = _receive(receiver, process)
                if isinstance(message, float):
                    tell(number, min(message, 0.999))
                    continue
                results[number] = message
                process.join(JOIN_S)
                del running[receiver]
                tell(number, 1.0)
                _start(waiting, running, 1, scratch)
    except SimulateError as exc:
        raise type(exc)(f"{_named(specs, running)}{exc}") from exc
    finally:
        for _, process in running.values():
            process.terminate()
        for _, process in running.values():
            process.join(JOIN_S)
            if process.is_alive():
                process.kill()
                process.join()
    return [results[number] for number in range(len(specs))]


def _named(specs: Sequence[RunSpec], running: dict[Any, tuple[int, Any]]) -> str:
    ended = [specs[number] for number, process in running.values() if not process.is_alive()]
    return f"{ended[0].net}, {ended[0].policy}, seed {ended[0].seed}: " if len(specs) > 1 and ended else ""


def _start(
    waiting: Iterator[tuple[int, RunSpec]], running: dict[Any, tuple[int, Any]], jobs: int, scratch: str
) -> None:
    context = multiprocessing.get_context("spawn")
    for _ in range(jobs):
        for number, spec in waiting:
            receiver, sender = context.Pipe(duplex=False)
            process = context.Process(target=_child, args=(msgspec.json.encode(spec), sender, scratch), daemon=True)
            process.start()
            sender.close()
            running[receiver] = (number, process)
            break


def _receive(receiver: Any, process: Any) -> float | RunResult:
    try:
        kind, value = receiver.recv()
    except EOFError:
        process.join(JOIN_S)
        raise PlantError(
            f"the run ended by itself with status {process.exitcode}: SUMO crashed, or memory ran out"
        ) from None
    if kind == "share":
        return float(value)
    process.join(JOIN_S)
    if kind == "result":
        return msgspec.json.decode(value, type=RunResult)
    from wayside.cloud.sim import errors

    raise getattr(errors, kind, PlantError)(value)


def _child(spec: bytes, sender: Any, scratch: str) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the caller ends it
    from wayside.cloud.sim.traffic.plant import run

    with tempfile.TemporaryFile("w+b") as talk:
        os.dup2(talk.fileno(), 1)  # SUMO's own words go where its fault is told
        os.dup2(talk.fileno(), 2)
        try:
            told = msgspec.json.decode(spec, type=RunSpec)
            with tempfile.TemporaryDirectory(dir=scratch) as own:
                result = run(told, Path(own), lambda share: sender.send(("share", share)))
            sender.send(("result", msgspec.json.encode(result)))
        except BrokenPipeError:  # the caller is gone
            return
        except SimulateError as exc:
            talk.seek(0)
            said = [line for line in talk.read().decode(errors="replace").splitlines() if line.startswith("Error")]
            sender.send((type(exc).__name__, " ".join([str(exc), *said[:2]])))
        except BaseException:
            sender.send(("PlantError", f"the run failed:\n{traceback.format_exc()}"))
