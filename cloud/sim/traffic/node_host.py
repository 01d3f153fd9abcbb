"""The node above a simulated board: it hears events, steps its policy once a second, and asks over the same line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from wayside.cloud.sim.errors import ControllerError
from wayside.contracts.actuator_config import BeatConfig, SignalConfig
from wayside.contracts.beat import BeatPolicy, Known, Maxima, Request
from wayside.edge.guard.beat import BeatRunner
from wayside.edge.policies.policy import ChosenBeat, SettingsError, choose_beat
from wayside.firmware_bridge.line.board import BoardLink, Heard
from wayside.firmware_bridge.line.messages import Action, Event, PlanCode, PlanResult
from wayside.firmware_bridge.line.watch import Watch


class NodeHost:
    """
    Args:
        policy: with its settings.
        compare: the guard compares it with the board alone, and lets it go where it is worse; it rests for that.
        guarded: else what it asks goes to the board as it is: a node whose guard is broken.
        hour: local time at the begin.
    """

    def __init__(
        self,
        policy: BeatPolicy,
        settings: Any,
        signal: SignalConfig,
        link: BoardLink,
        *,
        seed: int,
        compare: bool = False,
        guarded: bool = True,
        hour: float = 0.0,
    ) -> None:
        self.became: Counter[str] = Counter()  # of requests, and of seconds
        self._link, self._hour = link, hour
        # No clock of this machine decides anything: a run is to be the same whenever it is run.
        self._runner = BeatRunner(policy, settings, signal, compare=compare, seed=seed, timer=lambda: 0.0)
        self._guarded, self._policy = guarded, policy
        self._memory = None if guarded else policy.begin(settings, signal)
        self._watch = Watch((p.phase for p in signal.phases), (loop.channel for loop in signal.loops))
        self._number = 0
        self._asked: dict[int, Request | Maxima] = {}  # by number, until it is answered
        self._began_ms: int | None = None

    def hear(self, heard: Sequence[Heard]) -> None:
        for message in heard:
            if isinstance(message, Event):
                self._watch.take(message)
            elif isinstance(message, PlanResult) and message.request in self._asked:
                asked = self._asked.pop(message.request)
                if message.code == PlanCode.OK:
                    self.became["accepted"] += 1
                else:
                    why = PlanCode(message.code).name.lower()
                    self.became[f"board: {why}"] += 1
                    self._runner.refused_by_board(asked, why)

    def speak(self, now_ms: int) -> list[bytes]:
        watch = self._watch
        self._began_ms = now_ms if self._began_ms is None else self._began_ms
        known = Known(hour=(self._hour + (now_ms - self._began_ms) / 3_600_000) % 24)
        if not self._guarded:
            return [
                self._frame(each) for each in self._policy.step(now_ms, watch.heads, watch.loops, known, self._memory)
            ]
        blind = None if watch.runs else "the board runs no signal"
        step = self._runner.step(
            now_ms, watch.heads, watch.loops, known, blind="preempted" if watch.preempted else blind
        )
        self.became[f"seconds {step.state.value}"] += 1
        for refusal in step.refused:
            self.became[f"guard: {refusal.rule.value}"] += 1
        return [self._frame(each) for each in step.send]

    def _frame(self, asked: Request | Maxima) -> bytes:
        self._number = self._number % 0xFFFF + 1
        self._asked[self._number] = asked
        self.became["sent"] += 1
        if isinstance(asked, Maxima):
            return self._link.phase_times(self._number, asked.seconds, 0.0)
        return self._link.signal_request(self._number, Action(asked.ask), asked.phase)


def policy_named(name: str, settings: Mapping[str, object], signal: SignalConfig) -> ChosenBeat:
    """A policy of the node with its settings, as the node chooses it.

    Raises:
        ControllerError: there is none of that name, or it does not go with these settings or this signal.
    """
    beat = BeatConfig(policy=name, settings=dict(settings))
    try:
        return choose_beat(msgspec.structs.replace(signal, beat=beat))
    except SettingsError as exc:
        raise ControllerError(f"node:{name}: {exc}") from exc
