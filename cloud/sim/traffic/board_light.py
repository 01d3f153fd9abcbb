"""A traffic light that a board drives: the compiled core behind its own frames, with a node above it or none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from wayside.cloud.sim.errors import PlantError
from wayside.cloud.sim.traffic.intersection import Intersection
from wayside.cloud.sim.traffic.lamps import Lamp
from wayside.firmware_bridge.line.board import BoardLink, Heard
from wayside.firmware_bridge.line.conversation import Rhythm
from wayside.firmware_bridge.line.messages import Event, EventKind, PlanCode, PlanResult, SignalMode
from wayside.firmware_bridge.simulated_board import SimulatedBoard

START_MS = 60_000  # a board has started, and its signals run, at the latest so long after its power came


class Edge(NamedTuple):
    """An input that changes."""

    ms: int  # after the begin of the simulation
    channel: int
    value: int
    kind: EventKind = EventKind.DETECTOR


AT_ONCE = 4  # requests that the board answers in one step; it drops what comes beyond them
STEP_MS = 100


class Host(Protocol):
    """What speaks with the board over its line: a node."""

    became: Counter[str]
    """what became of its requests"""

    def hear(self, heard: Sequence[Heard]) -> None: ...

    def speak(self, now_ms: int) -> Sequence[bytes]:
        """Its requests of this second, a frame each."""
        ...


class BoardLight:
    """Starts a board of its own, gives it the plan and waits until its signals run.

    Args:
        listens: whether somebody acknowledges its events and keeps them, where nobody asks it for anything.

    Raises:
        BuildError: the core cannot be compiled here. PlantError: it refuses the plan.
    """

    def __init__(self, intersection: Intersection, width: int, *, listens: bool = False) -> None:
        self.intersection = intersection
        self.host: Host | None = None
        self.silent = False
        self.events: list[Event] = []  # since the last :meth:`step`; times are the board's
        self._listens = listens
        self.link = BoardLink()
        self.board = SimulatedBoard(intersection.light[:8].encode("ascii", "replace").decode().replace(" ", "_"))
        self._lamp = Lamp(intersection, width)
        self._last_seq = 0
        self._unsent: list[bytes] = []
        self._rhythm = Rhythm("the simulated line", self.link, lambda: (self.link.boot, self._last_seq))
        self.begin_ms = self._start(intersection.plan.encode())
        self.started = list(self.events)
        """what it told until its signals ran"""

    def attach(self, host: Host) -> None:
        """``host`` speaks with it from now on, and has heard all that came before."""
        host.hear(self.started)
        self.host = host

    def _start(self, table: bytes) -> int:
        """Returns the board's time at which its signals run: the begin of the simulation."""
        mode, sent = SignalMode.FLASH, False
        for ms in range(100, START_MS, 100):
            for heard in self._turn(ms):
                if isinstance(heard, PlanResult) and heard.code != PlanCode.OK:
                    code = PlanCode(heard.code).name
                    raise PlantError(f"the board of {self.intersection.light} refuses its plan: {code}, {heard.phase}")
                if isinstance(heard, Event) and heard.kind == EventKind.SIGNAL_MODE:
                    mode = SignalMode(heard.value)
            if self.link.identity is not None and not sent:
                self.board.write(self.link.plan_table(1, table, store=True))
                sent = True
            if mode == SignalMode.RUN:
                return ms
        raise PlantError(f"the board of {self.intersection.light} does not start its signals")

    def _turn(self, to_ms: int) -> list[Heard]:
        """Half a conversation: what is due is said, time passes, what came is returned."""
        if due := self._rhythm.speak(to_ms / 1000):
            self.board.write(due)
        self.board.run(to_ms)
        heard = self._rhythm.receive(self.board.read(), to_ms / 1000)
        for message in heard:
            if isinstance(message, Event):
                self._last_seq = message.seq
                self.events.append(message)
        return heard

    @property
    def became(self) -> Counter[str]:
        return self.host.became if self.host is not None else Counter()

    def step(self, edges: Sequence[Edge], to_ms: int) -> str:
        """Time passes up to ``to_ms`` after the begin, with what the inputs did until then; returns what is shown."""
        board, begin_ms = self.board, self.begin_ms
        self.events.clear()
        for edge in sorted(edges):
            board.edge(max(board.ms, edge.ms + begin_ms), edge.channel, edge.value, edge.kind)
        to_ms += begin_ms
        if self.silent or (self.host is None and not self._listens):
            self._unsent.clear()
            board.run(to_ms)
            board.read()
            return self._lamp.state(board.heads)
        while self._unsent:
            board.write(b"".join(self._unsent[:AT_ONCE]))
            del self._unsent[:AT_ONCE]
            board.run(min(board.ms + STEP_MS, to_ms))
        heard = self._turn(to_ms)
        if self.host is not None:
            self.host.hear(heard)
            self._unsent += self.host.speak(to_ms)
        return self._lamp.state(board.heads)
