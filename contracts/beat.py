"""What crosses between a board's line and a policy that speaks once a second (NTCIP 1202's words).

A **beat policy** is a module of ``edge/policies`` that stands on ``contracts`` alone. It sees what the line tells,
heads and loops, and asks for holds, force-offs, calls and maximum greens; the guard judges each request by the same
limits that the board holds, and the board judges again. Without it the board is actuated by itself, so a policy that
has nothing better to ask for asks for nothing.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol


class Shows(enum.IntEnum):
    RED = 0
    GREEN = 1
    YELLOW = 2


class Walk(enum.IntEnum):
    DONT = 0
    WALK = 1
    CLEARANCE = 2


class Head(NamedTuple):
    """What a phase shows. Times are the board's clock, ms."""

    shows: Shows = Shows.RED
    since_ms: int = 0
    walk: Walk = Walk.DONT
    called: bool = False
    """the board has a call for it: a vehicle, a recall or the host"""
    ped_called: bool = False


class Loop(NamedTuple):
    """A detector."""

    occupied: bool = False
    since_ms: int = 0
    rises: int = 0
    """vehicles since the first word of the line"""
    fault: int = 0
    """bits of the board's detector faults; 0: it is well"""


class Ask(enum.IntEnum):
    """What can be asked for a phase; the numbers of the line's ``Action``. All are void when the host falls silent."""

    PED_CALL = 1
    CALL = 2  # serve it next in its ring
    HOLD = 3  # keep it green, at most up to its maximum
    FORCE_OFF = 4  # end its green now
    RELEASE = 7  # what was asked for it is void
    OMIT = 8  # pass over it, as long as no rule says that it must be served


class Request(NamedTuple):
    ask: Ask
    phase: int


class Maxima(NamedTuple):
    """Maximum greens from now on, seconds by phase, each from its minimum to its legal maximum; no cycle binds them."""

    seconds: Mapping[int, float]


class Known(NamedTuple):
    """What the node's tasks know, as plain values."""

    flows_veh_h: Mapping[int, float] = {}
    """forecast for the current interval, by detector channel"""
    hour: float | None = None
    """local time; None: the clock is not known"""


class BeatPolicy(Protocol):
    """Such a module. It has also ``Settings``, a type of :class:`wayside.contracts.policy_settings.PolicySettings`."""

    def begin(self, settings: Any, limits: Any) -> Any:
        """Its memory, for a signal of :class:`wayside.contracts.actuator_config.SignalConfig`."""
        ...

    def step(
        self, now_ms: int, heads: Mapping[int, Head], loops: Mapping[int, Loop], known: Known, memory: Any
    ) -> Sequence[Request | Maxima]:
        """What it asks for now; ``heads`` by phase, ``loops`` by channel. Pure but for ``memory``.

        Called once a second of the board's clock. Nothing asked: holds and calls that stand are not touched.
        """
        ...
