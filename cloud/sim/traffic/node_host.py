"""The node above a simulated board: it hears events, steps its policy once a second, and asks over the same line."""

from __future__ import annotations

import importlib
import pkgutil
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import msgspec

from wayside.cloud.sim.errors import ControllerError
from wayside.contracts.actuator_config import SignalConfig
from wayside.contracts.beat import BeatPolicy, Known, Maxima, Request
from wayside.edge import policies
from wayside.firmware_bridge.line.board import BoardLink, Heard
from wayside.firmware_bridge.line.messages import Action, Event, PlanCode, PlanResult
from wayside.firmware_bridge.line.watch import Watch


def beat_policies() -> Mapping[str, ModuleType]:
    """The policies of the node that speak once a second."""
    modules = {
        each.name: importlib.import_module(f"{policies.__name__}.{each.name}")
        for each in pkgutil.iter_modules(policies.__path__)
    }
    return {name: module for name, module in modules.items() if hasattr(module, "step") and hasattr(module, "begin")}


class NodeHost:
    """
    Args:
        policy: with its settings; what it asks goes to the board as it is.
    """

    def __init__(self, policy: BeatPolicy, settings: Any, signal: SignalConfig, link: BoardLink) -> None:
        self.became: Counter[str] = Counter()  # of requests
        self._policy, self._link = policy, link
        self._memory = policy.begin(settings, signal)
        self._watch = Watch((p.phase for p in signal.phases), (loop.channel for loop in signal.loops))
        self._number = 1
        self._known = Known()
        self._frames: deque[bytes] = deque()

    def hear(self, heard: Sequence[Heard]) -> None:
        for message in heard:
            if isinstance(message, Event):
                self._watch.take(message)
            elif isinstance(message, PlanResult):
                ok = message.code == PlanCode.OK
                self.became["accepted" if ok else f"board: {PlanCode(message.code).name.lower()}"] += 1

    def speak(self, now_ms: int) -> list[bytes]:
        watch = self._watch
        asked = self._policy.step(now_ms, watch.heads, watch.loops, self._known, self._memory)
        return [self._frame(each) for each in asked]

    def _frame(self, asked: Request | Maxima) -> bytes:
        self._number = self._number % 0xFFFF + 1
        self.became["asked"] += 1
        if isinstance(asked, Maxima):
            return self._link.phase_times(self._number, asked.seconds, 0.0)
        return self._link.signal_request(self._number, Action(asked.ask), asked.phase)


def policy_named(name: str, settings: Mapping[str, object]) -> tuple[BeatPolicy, Any]:
    """A policy of the node and its settings.

    Raises:
        ControllerError: there is none of that name, or the settings are not its own.
    """
    there = beat_policies()
    if name not in there:
        raise ControllerError(
            f"there is no policy node:{name}; there are {', '.join(f'node:{n}' for n in there) or 'none'}"
        )
    module: Any = there[name]
    try:
        return module, msgspec.convert(dict(settings), module.Settings)
    except msgspec.ValidationError as exc:
        raise ControllerError(f"the settings of node:{name}: {exc}") from exc
