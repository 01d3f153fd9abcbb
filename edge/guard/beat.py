"""A beat policy and the guard, one second a step: what may be asked of the board now.

The node's decider and the simulator run this same code. It does nothing itself: a :class:`Step` says what is to be
sent, in order, and what was refused. A policy that raises, is slow or asks nonsense loses that second, and after
:data:`FAILURES` such seconds in a row it is away for a while; one that does worse than the board alone is let go
(:mod:`wayside.edge.guard.comparison`). Whenever it is not in force nothing of it is left on the board.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from wayside.contracts.actuator_config import SignalConfig
from wayside.contracts.beat import Ask, BeatPolicy, Head, Known, Loop, Maxima, Request, Shows
from wayside.edge.guard.comparison import Comparison, LetGo
from wayside.edge.guard.queues import Queues
from wayside.edge.guard.signal import STEP_S, Refusal, Rule, Seen, check_maxima, check_request
from wayside.edge.guard.standing import Asked, Standing, words
from wayside.edge.guard.tally import State, Summary, Tally

ASKED_AT_MOST = 64  # in a step: more is nonsense
FAILURES = 5  # in a row
AWAY_S, LONGEST_AWAY_S = 60.0, 3600.0
DEADLINE_S = 0.2  # of a step


class Step(NamedTuple):
    send: Sequence[Asked]  # in this order; some may be the guard's own releases
    state: State
    why: str = ""  # not in force
    refused: Sequence[Refusal] = ()
    let_go: LetGo | None = None  # in this step


class BeatRunner:
    """Of one signal."""

    def __init__(
        self,
        policy: BeatPolicy,
        settings: Any,
        signal: SignalConfig,
        *,
        name: str = "it",
        compare: bool = True,
        seed: int = 0,
        deadline_s: float = DEADLINE_S,
        timer: Callable[[], float] = time.perf_counter,
    ) -> None:
        """
        Args:
            name: of the policy, for sentences.
            compare: with the board alone: the policy rests at times. Where no loop is at a stop line it cannot be.
            seed: of when it rests.
            deadline_s: of one step of the policy, by ``timer``; what it asks for later is void.
        """
        self._policy, self._settings, self._signal, self._name = policy, settings, signal, name
        self._deadline_s, self._timer = deadline_s, timer
        self._memory: Any = None
        self._queues = Queues(signal.loops)
        self.comparison = Comparison(seed) if compare and self._queues.sees else None
        self._state = State.BLIND
        self._waits: dict[int, int] = {}
        self._board = Standing(signal)
        self._failures = self._times_away = 0
        self._away_s = 0.0
        self.failed: str | None = None
        """How the policy failed in its last step."""
        self._tally = Tally()

    # --- a step ---------------------------------------------------------------------------------

    def step(
        self,
        now_ms: int,
        heads: Mapping[int, Head],
        loops: Mapping[int, Loop],
        known: Known = Known(),  # noqa: B008 -- immutable
        *,
        blind: str | None = None,
    ) -> Step:
        """A second of the board's clock has passed.

        Args:
            heads, loops: every phase and every loop of the signal, or ``blind``.
            blind: why no request makes sense: no signal runs, somebody has preempted it, or events are missing.
        """
        if blind is None and (missing := self._missing(heads, loops)):
            blind = missing
        if blind is not None:
            return self._blind(blind)
        self._look(now_ms, heads, loops)
        let_go = self._judge(now_ms, heads, loops)
        state, why = self._stance()
        send: list[Asked] = []
        refused: list[Refusal] = []
        if state in (State.IN_FORCE, State.RESTS):
            asked = self._ask(now_ms, heads, loops, known)  # also while it rests: what it learns goes on
            if self._away_s > 0:
                state, why = self._stance()
        else:
            asked, self._memory = (), None
        if state is State.IN_FORCE:
            seen = self._seen(now_ms, heads, loops)
            late = self._board.release_late(seen)
            self._tally.released += len(late)
            send += late
            send += self._allowed(asked, seen, refused)
        else:
            send += self._board.void()
        if let_go is not None:
            why = let_go.why
        self._state = state
        self._tally.step(state, heads, self._queues)
        return Step(send, state, why, refused, let_go)

    def _missing(self, heads: Mapping[int, Head], loops: Mapping[int, Loop]) -> str | None:
        for p in self._signal.phases:
            if p.phase not in heads:
                return f"the board has not told what phase {p.phase} shows"
        for each in self._signal.loops:
            if each.channel not in loops:
                return f"nothing is known of the detector at channel {each.channel}"
        return None

    def _blind(self, why: str) -> Step:
        """What was asked is void on such a board, or nobody knows what became of it: all is released once."""
        send = self._board.void()
        self._memory = None
        self._waits = {}
        self._queues = Queues(self._signal.loops) if self._state is not State.BLIND else self._queues
        if self.comparison is not None and self._state is not State.BLIND:
            self.comparison.interrupt()
        self._state = State.BLIND
        self._tally.steps[State.BLIND] += 1
        return Step(send, State.BLIND, why)

    def _look(self, now_ms: int, heads: Mapping[int, Head], loops: Mapping[int, Loop]) -> None:
        """Who waits: a phase that is not green and has a call, or whose loop at the stop line somebody stands on.

        Who goes in another phase of his lane, or turns on red, waits no longer: a wait ends where nobody is left.
        """
        stand: dict[int, bool] = {}  # phase → whether one of them came while no phase of his lane was green
        for each in self._signal.loops:
            if each.function == "stop_line" and loops[each.channel].occupied:
                served = any(heads[p].shows is Shows.GREEN for p in (each.phase, *each.also) if p in heads)
                stand[each.phase] = stand.get(each.phase, False) or not served
        for p in self._signal.phases:
            head, phase = heads[p.phase], p.phase
            called = head.called or head.ped_called
            if head.shows is Shows.GREEN or not (called or phase in stand):
                self._waits.pop(phase, None)
            elif called or stand[phase]:
                self._waits.setdefault(phase, now_ms)

    def _judge(self, now_ms: int, heads: Mapping[int, Head], loops: Mapping[int, Loop]) -> LetGo | None:
        changed = self._queues.step(now_ms, heads, loops)
        if self.comparison is None:
            return None
        if changed or self._away_s > 0:
            self.comparison.interrupt()  # what was measured before is of other lanes, or now no policy's doing
        return self.comparison.step(self._queues.waiting, self._queues.arrived)

    def _stance(self) -> tuple[State, str]:
        if self._away_s > 0:
            self._away_s -= STEP_S
            return State.AWAY, f"it failed {FAILURES} times in a row, the last time: {self.failed}"
        if self.comparison is not None and self.comparison.away:
            return State.LET_GO, "it was worse than the board alone"
        if self.comparison is not None and self.comparison.rests:
            return State.RESTS, "it rests, for the comparison with the board alone"
        return State.IN_FORCE, ""

    def _seen(self, now_ms: int, heads: Mapping[int, Head], loops: Mapping[int, Loop]) -> Seen:
        faulty = {each.phase for each in self._signal.loops if loops[each.channel].fault}
        return Seen(now_ms, heads, self._waits, frozenset(faulty), self._board.maxima)

    # --- what the policy asks for -----------------------------------------------------------------

    def _ask(self, now_ms: int, heads: Mapping[int, Head], loops: Mapping[int, Loop], known: Known) -> Sequence[Asked]:
        """What it asks for; nothing where it fails, and :attr:`failed` says how."""
        self.failed = None
        began = self._timer()
        asked: list[Asked] = []
        try:
            if self._memory is None:
                self._memory = self._policy.begin(self._settings, self._signal)
            shown = MappingProxyType(heads), MappingProxyType(loops)
            for each in self._policy.step(now_ms, *shown, known, self._memory):
                if not _is_request(each):
                    self.failed = f"it asked for {each!r}, which is no request"[:256]
                    break
                asked.append(each)
                if len(asked) > ASKED_AT_MOST:
                    self.failed = f"it asked for more than {ASKED_AT_MOST} things in one second"
                    break
        except Exception as exc:  # whatever it raises: one second is lost, not the node
            self.failed = f"it raised {exc!r}"[:256]
        took_s = self._timer() - began
        if self.failed is None and took_s > self._deadline_s:
            self.failed = f"it took {took_s:.2f} s, it has {self._deadline_s:g} s"
        if self.failed is None:
            self._failures = 0
            return asked
        self._failures += 1
        self._tally.failed += 1
        self._memory = None
        if self._failures >= FAILURES:
            self._away_s = min(LONGEST_AWAY_S, AWAY_S * 2**self._times_away)
            self._times_away += 1
            self._failures = 0
        return ()

    def _allowed(self, asked: Sequence[Asked], seen: Seen, refused: list[Refusal]) -> Iterator[Asked]:
        """What of it goes to the board. What stands there already is judged again, and not sent again."""
        board, now_ms = self._board, seen.now_ms
        for each in asked:
            if isinstance(each, Maxima):
                refusal = check_maxima(each, self._signal, seen)
                if refusal is None:
                    board.wanted |= each.seconds
            else:
                refusal = check_request(each, self._signal, seen)
                if refusal is None and not board.stands(each, now_ms):
                    refusal = board.busy(now_ms)
                    if refusal is None:
                        yield self._note(each, now_ms)
            if refusal is not None:
                refused.append(refusal)
                self._tally.refuse(refusal)
        moved = board.moved(now_ms)
        if moved is not None:
            yield self._note(moved, now_ms)

    def _note(self, sent: Asked, now_ms: int) -> Asked:
        self._board.note(sent, now_ms)
        self._tally.asked["maxima" if isinstance(sent, Maxima) else sent.ask.name.lower()] += 1
        return sent

    # --- what the board says ----------------------------------------------------------------------

    def refused_by_board(self, asked: Asked, why: str) -> None:
        """It answered that it does not do ``asked``."""
        self._board.refused(asked)
        self._tally.refuse(Refusal(Rule.BOARD, f"the board refused {words(asked)}: {why}"))

    def forgotten_by_board(self) -> None:
        """It follows its own plan again: it restarted, or heard no sign of life of this node."""
        self._board.forget()

    # --- rows and state -----------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """Of the last step."""
        return self._state

    def summary(self) -> Summary:
        """Of the steps since the last call."""
        tally, self._tally = self._tally, Tally()
        self._tally.go_on(tally)
        return tally.summary()


def _is_request(asked: object) -> bool:
    if isinstance(asked, Maxima):
        return isinstance(asked.seconds, Mapping) and all(type(phase) is int for phase in asked.seconds)
    return isinstance(asked, Request) and isinstance(asked.ask, Ask) and type(asked.phase) is int
