"""A policy with the beat of the line that asks for what a test says, and the decider of a node around it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from tests.edge.test_ledger import Hand
from wayside.contracts.actuator_config import BeatConfig, LoopConfig, PhaseLimits, SignalConfig
from wayside.contracts.beat import Head, Known, Loop
from wayside.contracts.policy_settings import PolicySettings
from wayside.contracts.sensor_config import DetectorConfig
from wayside.edge.beat import SignalBeat
from wayside.edge.clock import BoardTime, Clock, LocalCalendar
from wayside.edge.ledger import Ledger
from wayside.edge.policies import policy

Answer = Callable[[int, Mapping[int, Head], Mapping[int, Loop], Known], Sequence[Any]]
NAME = "scripted"


class Settings(PolicySettings, frozen=True, kw_only=True):
    hold_s: float = 5.0


class ScriptedBeat(ModuleType):
    def __init__(self, answer: Answer) -> None:
        super().__init__(NAME)
        self.Settings = Settings
        self.answer = answer
        self.known: list[Known] = []

    def begin(self, settings: Any, limits: Any) -> dict[str, Any]:
        return {}

    def step(self, now_ms: int, heads: Any, loops: Any, known: Known, memory: Any) -> Sequence[Any]:
        self.known.append(known)
        return self.answer(now_ms, heads, loops, known)


@contextmanager
def scripted(answer: Answer = lambda *_: ()) -> Iterator[ScriptedBeat]:
    """The policy is shipped as long as this holds."""
    module = ScriptedBeat(answer)
    policy._BEATS[NAME] = module
    try:
        yield module
    finally:
        del policy._BEATS[NAME]


def phase(number: int, **other: Any) -> PhaseLimits:
    times: dict[str, Any] = {"green_s": 26.0, "min_green_s": 8.0, "max_green_s": 45.0, "yellow_s": 3.0}
    return PhaseLimits(phase=number, **{**times, "red_clearance_s": 1.0, **other})


def signal(**other: Any) -> SignalConfig:
    loops = (LoopConfig(channel=1, phase=2, lane=0, at_m=3), LoopConfig(channel=2, phase=4, lane=1, at_m=3))
    parts: dict[str, Any] = {
        "phases": (phase(2), phase(4)),
        "loops": loops,
        "beat": BeatConfig(policy=NAME, compare=False),
    }
    return SignalConfig(name="signal", cycle_s=60, **{**parts, **other})


def signal_beat(
    answer: Answer = lambda *_: (), ledger: Ledger | None = None, clock: Clock | None = None, **other: Any
) -> SignalBeat:
    clock = clock or Hand()
    with scripted(answer):
        return SignalBeat(
            signal(**other),
            (DetectorConfig(channel=1, datastream="det/1"),),
            clock=clock,
            time=BoardTime(clock),
            ledger=ledger or Ledger("n", "0" * 32, clock),
            calendar=LocalCalendar("UTC"),
        )
