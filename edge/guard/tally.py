"""What came of a beat policy's steps since the last row: counts, delay as the loops see it, greens that were shown."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from wayside.contracts.beat import Head, Shows
from wayside.edge.guard.queues import Queues
from wayside.edge.guard.signal import STEP_S, Refusal


class State(enum.Enum):
    IN_FORCE = "in_force"
    RESTS = "rests"  # for the comparison with the board alone
    LET_GO = "let_go"  # worse than the board alone
    AWAY = "away"  # it failed
    BLIND = "blind"  # the board runs no signal, is preempted, or not all is known of it


class Summary(NamedTuple):
    """Of the steps since the last one."""

    steps: Mapping[State, int]
    asked: Mapping[str, int]  # that was allowed, by kind: an :class:`Ask` in small letters, or "maxima"
    refused: Mapping[str, int]  # by :class:`Rule`
    first_refusal: str = ""
    released: int = 0  # by the guard itself, because somebody waited too long
    failed: int = 0  # steps in which the policy failed
    delay_s: Mapping[str, float] = {}  # of a vehicle, as the loops see it: "in_force", "rests"
    greens_s: Mapping[int, float] = {}  # mean of the greens that ended, by phase


class Tally:
    """Counts of the open summary."""

    def __init__(self) -> None:
        self.steps: Counter[State] = Counter()
        self.asked: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.first_refusal = ""
        self.released = self.failed = 0
        self._delay: dict[State, list[float]] = {}  # vehicle seconds, vehicles
        self._greens: dict[int, list[float]] = {}  # seconds of green, greens that ended
        self._green_since: dict[int, int] = {}

    def go_on(self, before: Tally) -> None:
        self._green_since = before._green_since

    def refuse(self, refusal: Refusal) -> None:
        self.refused[refusal.rule.value] += 1
        self.first_refusal = self.first_refusal or refusal.why

    def step(self, state: State, heads: Mapping[int, Head], queues: Queues) -> None:
        self.steps[state] += 1
        if queues.sees:
            sums = self._delay.setdefault(state, [0.0, 0.0])
            sums[0] += queues.waiting * STEP_S
            sums[1] += queues.arrived
        for phase, head in heads.items():
            if head.shows is Shows.GREEN:
                self._green_since[phase] = head.since_ms
            elif (since := self._green_since.pop(phase, None)) is not None:
                green = self._greens.setdefault(phase, [0.0, 0.0])
                green[0] += (head.since_ms - since) / 1000
                green[1] += 1

    def summary(self) -> Summary:
        delays = {state.value: round(v / n, 2) for state, (v, n) in self._delay.items() if n}
        greens = {phase: round(s / n, 1) for phase, (s, n) in sorted(self._greens.items())}
        return Summary(
            self.steps, self.asked, self.refused, self.first_refusal, self.released, self.failed, delays, greens
        )
