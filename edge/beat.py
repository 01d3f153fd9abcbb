"""A signal's beat decider: a second of the board's clock passes, its policy asks, the guard judges, the line carries.

How they come to what is asked is :mod:`wayside.edge.guard.beat`, the simulator's, too. The decider of a task
(:mod:`wayside.edge.decisions`) speaks once a step has closed and writes rows for each proposal; this one writes a row
for each summary interval. Whatever goes wrong, what holds is the board's own actuation.
"""

from __future__ import annotations

import zlib
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from typing import Any

import structlog

from wayside.contracts.actuator_config import SignalConfig
from wayside.contracts.beat import Known
from wayside.contracts.reading import Stamp
from wayside.contracts.sensor_config import DetectorConfig
from wayside.contracts.summary import DECISION
from wayside.edge.clock import BoardTime, Clock, LocalCalendar
from wayside.edge.decisions import POLICY_FAILED, PolicyError
from wayside.edge.guard.beat import DEADLINE_S, BeatRunner, Step
from wayside.edge.guard.standing import Asked
from wayside.edge.guard.tally import State, Summary
from wayside.edge.ledger import Detail, Ledger
from wayside.edge.policies.policy import SettingsError, choose_beat
from wayside.firmware_bridge.line.messages import Event, EventKind, PlanCode, PlanResult, Termination
from wayside.firmware_bridge.line.watch import Watch

LET_GO = "signal_let_go"
STEP_MS = 1000
LATE_S = 2.0  # real seconds: what is older is no picture of now
FIRST_REQUEST = 0x8000  # numbers of green times lie under it
WAITING = 64  # requests; older ones are dropped: the line does not take them
ENDS = {int(t): t.name.lower() for t in Termination}
CODES = {int(c): c.name.lower() for c in PlanCode}
log = structlog.get_logger(__name__)


class SignalBeat:
    """Of the one signal of a node."""

    def __init__(
        self,
        signal: SignalConfig,
        detectors: Sequence[DetectorConfig],
        *,
        clock: Clock,
        time: BoardTime,
        ledger: Ledger,
        calendar: LocalCalendar,
    ) -> None:
        """
        Args:
            detectors: whose forecasts the policy may know.
            time: of the board.

        Raises:
            PolicyError: signal and policy do not fit together.
        """
        try:
            chosen = choose_beat(signal)
        except SettingsError as exc:
            raise PolicyError(f"{exc}; mend the configuration, `wayside node check` says more") from exc
        assert signal.beat is not None  # noqa: S101  (the caller looked)
        self._signal, self._clock, self._time, self._ledger, self._calendar = signal, clock, time, ledger, calendar
        self.policy = str(signal.beat.policy)
        self._runner = BeatRunner(
            chosen.policy,
            chosen.settings,
            signal,
            name=self.policy,
            compare=signal.beat.compare,
            seed=_seed(signal.name),
            deadline_s=DEADLINE_S,
        )
        rings = [[p.phase for p in ring] for ring in signal.rings]
        self._watch = Watch(signal.by_phase, [each.channel for each in signal.loops], rings)
        self._watch.lose(0)  # until the board's first words say more
        self.trouble: str | None = "the board has told nothing yet"
        """Why nothing can be asked now."""
        self._channels = {d.datastream: d.channel for d in detectors}
        self._known = Known()
        self._known_until_ns = 0
        self._next_ms: int | None = None
        self._late = LATE_S * clock.speed
        self._last = Step((), State.BLIND, "the board has told nothing yet")
        self._request = FIRST_REQUEST
        self._asked: dict[int, Asked] = {}  # what was asked under which number, until it is answered
        self._waiting: deque[tuple[int, Asked]] = deque(maxlen=WAITING)
        self._answers: Counter[str] = Counter()
        self._ends: Counter[str] = Counter()

    # --- what the board says ----------------------------------------------------------------------

    def begin(self, ms: int, *, whole: bool) -> None:
        """The board's first word of this run; ``whole``: all its events are to come."""
        self._watch.lose(ms)
        if whole:
            rings = [[p.phase for p in ring] for ring in self._signal.rings]
            channels = [each.channel for each in self._signal.loops]
            self._watch = Watch(self._signal.by_phase, channels, rings)
        self._next_ms = ms + STEP_MS

    def hear(self, event: Event) -> None:
        """The next event."""
        if self._next_ms is not None and event.ms >= self._next_ms:
            self.pass_time(event.ms)
        self._watch.take(event)
        if event.kind == EventKind.TERMINATION:
            self._ends[ENDS.get(event.value, f"termination_{event.value}")] += 1

    def pass_time(self, ms: int) -> None:
        """The board's clock reads ``ms``, and all that happened before has been told."""
        if self._next_ms is None:
            self._next_ms = ms + STEP_MS
        if ms < self._next_ms:
            return
        behind_s = (self._clock.mono_ns() - self._time.mono_ns(self._next_ms)) / 1e9 if self._time.known else 0.0
        if behind_s > self._late:
            self._step(ms, f"what the board tells is {behind_s:.0f} s old")
            self._next_ms = ms + STEP_MS
            return
        while self._next_ms <= ms:
            self._step(self._next_ms, self.trouble)
            self._next_ms += STEP_MS

    def lose(self) -> None:
        """Events are missing."""
        self._watch.lose(self._next_ms or 0)

    def forget(self) -> None:
        """The board follows its own plan again: nothing that was asked stands."""
        self._runner.forgotten_by_board()
        self._waiting.clear()
        self._asked.clear()

    def answer(self, result: PlanResult) -> bool:
        """Whether ``result`` answers a request of this decider."""
        asked = self._asked.pop(result.request, None)
        if asked is None:
            return result.request >= FIRST_REQUEST
        code = CODES.get(result.code, f"code {result.code}")
        self._answers[code] += 1
        if result.code != PlanCode.OK:
            self._runner.refused_by_board(asked, code)
        return True

    # --- what the tasks know ------------------------------------------------------------------------

    def know(self, forecasts: Mapping[str, float | None], interval_s: float) -> None:
        """Forecasts for the interval that begins now, vehicles by the datastream of a detector."""
        flows = {
            self._channels[name]: 3600 * value / interval_s
            for name, value in forecasts.items()
            if name in self._channels and value is not None
        }
        if flows:
            self._known = Known({**self._known.flows_veh_h, **flows})
            self._known_until_ns = self._clock.mono_ns() + int(2e9 * interval_s)

    def _what_is_known(self) -> Known:
        now_ns = self._clock.mono_ns()
        wall_ms = self._clock.wall(now_ns).ms
        hour = None if wall_ms is None else self._calendar.of(wall_ms // 1000).hour
        return Known(self._known.flows_veh_h if now_ns < self._known_until_ns else {}, hour)

    # --- a step -------------------------------------------------------------------------------------

    def _step(self, now_ms: int, trouble: str | None) -> None:
        watch, runner = self._watch, self._runner
        if trouble is None and watch.preempted:
            trouble = "the intersection is preempted"
        step = runner.step(now_ms, watch.heads, watch.loops, self._what_is_known(), blind=trouble)
        for asked in step.send:
            self._request = FIRST_REQUEST | (self._request + 1)
            if self._request > 0xFFFF:
                self._request = FIRST_REQUEST
            if len(self._asked) >= WAITING:
                del self._asked[next(iter(self._asked))]  # its answer was lost
            self._asked[self._request] = asked
            self._waiting.append((self._request, asked))
        self._tell(step)
        self._last = step

    def _tell(self, step: Step) -> None:
        name, ledger = self._signal.name, self._ledger
        if step.let_go is not None:
            go = step.let_go
            ledger.begin(
                LET_GO,
                name,
                f"{self.policy} is let go for {go.away_s / 60:.0f} min: {go.why}",
                severe=False,
                ratio=round(go.ratio, 3),
                comparisons=go.comparisons,
                away_s=go.away_s,
            )
        elif step.state in (State.RESTS, State.IN_FORCE):
            ledger.end(LET_GO, name)
        if step.state is State.AWAY:
            ledger.begin(POLICY_FAILED, name, f"{self.policy}: {step.why}; the board is alone")
        elif step.state is State.IN_FORCE and self._runner.failed is None:
            ledger.end(POLICY_FAILED, name)

    def take(self) -> list[tuple[int, Asked]]:
        """What is to be sent now, in order, once: (number, request)."""
        waiting = list(self._waiting)
        self._waiting.clear()
        return waiting

    # --- rows and state -----------------------------------------------------------------------------

    def write(self, at: Stamp) -> None:
        """The row of the summary interval that ended at ``at``."""
        summary = self._runner.summary()
        steps = sum(summary.steps.values())
        if not steps:
            return
        in_force = summary.steps.get(State.IN_FORCE, 0) / steps
        detail = self._detail(summary, steps)
        self._ledger.count("proposals_allowed", sum(summary.asked.values()))
        self._ledger.count("proposals_refused", sum(summary.refused.values()))
        self._ledger.row(DECISION, self._signal.name, at, value=round(in_force, 4), n=steps, detail=detail)
        self._answers.clear()
        self._ends.clear()

    def _detail(self, summary: Summary, steps: int) -> Detail:
        detail: Detail = {"verdict": "beat", "policy": self.policy, "seconds": steps}
        detail |= {f"{state.value}_s": n for state, n in summary.steps.items()}
        asked = ("hold", "call", "force_off", "omit", "release", "ped_call", "maxima")
        detail |= {f"asked_{kind}": summary.asked[kind] for kind in asked if kind in summary.asked}
        refused = sum(summary.refused.values())
        if refused:
            detail |= {"refused": refused, "first_refused": summary.first_refusal[:256]}
            detail["refused_by"] = " ".join(f"{rule}:{n}" for rule, n in sorted(summary.refused.items()))[:256]
        if summary.released:
            detail["released_by_guard"] = summary.released
        if summary.failed:
            detail |= {"failed_s": summary.failed, "failed_last": (self._runner.failed or "")[:256]}
        if self._ends:
            detail["greens_ended"] = " ".join(f"{why}:{n}" for why, n in sorted(self._ends.items()))
        if summary.greens_s:
            detail["greens"] = " ".join(f"{phase}:{s:.1f}" for phase, s in summary.greens_s.items())[:256]
        delays = {f"delay_{state}_s": delay for state, delay in summary.delay_s.items()}
        detail |= {name: round(delay, 2) for name, delay in delays.items()}
        if self._last.state is not State.IN_FORCE:
            detail["why"] = self._last.why[:256]
        answered = {code: n for code, n in self._answers.items() if code != "ok"}
        if answered:
            detail["board_refused"] = " ".join(f"{code}:{n}" for code, n in sorted(answered.items()))[:256]
        return detail

    def shown(self) -> dict[str, Any]:
        """For people at the cabinet."""
        comparison = self._runner.comparison
        shown: dict[str, Any] = {
            "signal": self._signal.name,
            "policy": self.policy,
            "state": self._last.state.value,
            "why": self._last.why,
        }
        if comparison is not None:
            shown |= {"comparisons": comparison.comparisons, "ratio": round(comparison.ratio, 3)}
            shown |= {"evidence": round(comparison.evidence, 2), "away_s": round(comparison.away_s)}
        return shown

    def state(self) -> dict[str, Any]:
        """What a restart needs, as plain JSON values."""
        comparison = self._runner.comparison
        return {
            "policy": self.policy,
            "watch": self._watch.state(),
            "next_ms": self._next_ms,
            "comparison": None if comparison is None else comparison.state(),
            "ends": dict(self._ends),
            "answers": dict(self._answers),
        }

    def restore(self, state: Mapping[str, Any] | None) -> None:
        """Continue after a restart of the agent; the board goes on where its last acknowledged event was."""
        if not state:
            return
        try:
            self._watch.restore(state["watch"])
            self._next_ms = None if state["next_ms"] is None else int(state["next_ms"])
            self._ends, self._answers = Counter(state["ends"]), Counter(state["answers"])
            comparison = self._runner.comparison
            if comparison is not None and state["comparison"] is not None and state["policy"] == self.policy:
                comparison.restore(state["comparison"])
        except (KeyError, TypeError, ValueError) as exc:
            log.error("beat unreadable", signal=self._signal.name, error=repr(exc))
            self._watch.lose(0)


def _seed(name: str) -> int:
    """Of when the policy rests: another one at each signal, the same at each start."""
    return zlib.crc32(name.encode())
