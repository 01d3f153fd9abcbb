"""One step of the node beside the same step of the agent before tasks had tables, interleaved in one process.

    git worktree add --detach ../before fb743c3
    python -m tests.bench.before ../before

All detectors are live. Prints, for each number of detectors, microseconds of a step from STATUS to the last row in
memory (the second percentile: what the machine does at its quietest), one task's as a multiple of the old agent's, and
what a second task adds as a share of the first.
"""

from __future__ import annotations

import importlib
import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog

STEP_MS = 900_000
WARM, STEPS = 300, 2000


def modules(folder: Path) -> tuple[Any, Any]:
    """The bench of the checkout in ``folder`` and its messages, whatever their names are there."""
    ours = [name for name in sys.modules if name.split(".")[0] in ("tests", "wayside")]
    kept = {name: sys.modules.pop(name) for name in ours}
    sys.path.insert(0, str(folder))
    try:
        bench = importlib.import_module("tests.bench.test_bench_agent")
        return bench, importlib.import_module("firmware_bridge.messages")
    finally:
        sys.path.remove(str(folder))
        for name in [n for n in sys.modules if n.split(".")[0] in ("tests", "wayside")]:
            del sys.modules[name]
        sys.modules.update(kept)


def stepper(node: Any, messages: Any, detectors: int, clear: Callable[[Any], None]) -> Callable[[], int]:
    """Returns a function that takes one step and says how many nanoseconds it took."""
    seq, ms, turn = 1, 0, 0

    def step() -> int:
        nonlocal seq, ms, turn
        heard = []
        for channel in range(1, detectors + 1):
            for vehicle in range(1 + (turn + channel) % 3):
                heard.append(messages.Event(seq, ms + 1000 * vehicle + channel, 1, channel, 1))
                seq += 1
        ms += STEP_MS
        heard.append(messages.Status(ms, seq, 1, seq - 1, 0, 0, 0, 1))
        began = time.perf_counter_ns()
        node.receive(heard)
        took = time.perf_counter_ns() - began
        turn += 1
        if turn % 100 == 0:
            clear(node)
        return took

    return step


def clear_rows(node: Any) -> None:
    (node.ledger.rows if hasattr(node, "ledger") else node.rows).clear()
    node.steps.clear()


def main(folder: str) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    old, old_messages = modules(Path(folder).resolve())
    from tests.bench import test_bench_agent as new
    from wayside.firmware_bridge.line import messages as new_messages

    print("detectors  before  one task   ratio  a second adds")
    for detectors in (1, 2, 8, 16):
        model = new.tiny()
        steppers = (
            stepper(old.made(detectors, old.tiny())[0], old_messages, detectors, clear_rows),
            stepper(new.made(detectors, model, 1)[0], new_messages, detectors, clear_rows),
            stepper(new.made(detectors, model, 2)[0], new_messages, detectors, clear_rows),
        )
        took: list[list[int]] = [[], [], []]
        for turn in range(WARM + STEPS):
            for step, times in zip(steppers, took, strict=True):
                ns = step()
                if turn >= WARM:
                    times.append(ns)
        before, one, two = (sorted(times)[len(times) // 50] / 1000 for times in took)
        print(f"{detectors:9d} {before:7.1f} {one:9.1f} {one / before:7.2f} {(two - one) / one:14.2f}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
