"""A step that is killed at random moments and run again must come to the end that an undisturbed one has."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

few_or_many = pytest.mark.parametrize(
    "times", [3, pytest.param(100, marks=[pytest.mark.slow, pytest.mark.timeout(7200)])]
)
"""Three kills among the other tests, a hundred under ``make test-slow``."""


class Kills(NamedTuple):
    hit: int  # how often it was running when it was killed
    rounds: int
    undisturbed_s: float


def killed_then_run_again(
    command: Sequence[str | Path],
    *,
    times: int,
    check: Callable[[], None],
    fresh: Callable[[], None] = lambda: None,
    environment: dict[str, str] | None = None,
    seed: int = 0,
    timeout_s: float = 120.0,
) -> Kills:
    """SIGKILL ``command`` and all its children at a random moment, then run it to its end, until ``times`` were hit.

    A run that ended before its moment is looked at like the others and not counted; the next moments come earlier.

    Args:
        check: asserts the correct end; called after every run that was let finish.
        fresh: puts the world back to before the step.
    """
    chance = random.Random(seed)
    words = [str(word) for word in command]

    def started() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            words,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def finished() -> float:
        begun = time.monotonic()
        process = started()
        try:
            said, _ = process.communicate(timeout=timeout_s)
        finally:
            _kill(process)
        assert process.returncode == 0, said.decode(errors="replace")[-4000:]
        check()
        return time.monotonic() - begun

    fresh()
    longest_s = undisturbed_s = finished()
    hit = rounds = 0
    while hit < times:
        assert rounds < 10 * times, f"only {hit} of {rounds} kills came before the end"
        rounds += 1
        fresh()
        begun = time.monotonic()
        process = started()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=chance.uniform(0, longest_s))
        if process.poll() is None:
            hit += 1
        else:
            longest_s = time.monotonic() - begun
        _kill(process)
        finished()
    print(f"{words[:4]}: killed {hit} times while it ran, in {rounds} rounds ({undisturbed_s:.2f} s undisturbed)")
    return Kills(hit, rounds, undisturbed_s)


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdout is not None:
        process.stdout.close()
