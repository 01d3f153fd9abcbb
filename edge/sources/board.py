"""What a board says → closed steps, conditions and alerts. Sans-I/O.

It follows the run of the board that it knows (boot, sequence numbers, what is durable), lays the board's time on the
node's, and takes **every** kind of event; of one that it does not know it tells once. An event counts as received only
when a commit contains it: :attr:`BoardSource.durable` is what the board may forget.

Longer than the house's files: one run of a board is one state, and every kind of message moves it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import structlog

from wayside.contracts.node_config import VEHICLES
from wayside.contracts.reading import GOOD, Quality
from wayside.contracts.sensor_config import AnalogConfig, DetectorConfig
from wayside.contracts.task_config import Datastream
from wayside.edge.beat import SignalBeat
from wayside.edge.clock import BoardTime, Clock
from wayside.edge.ledger import Ledger
from wayside.edge.sources.heads import SHOWS, Heads
from wayside.edge.sources.high_resolution import HighResolution
from wayside.edge.sources.intervals import Interval, Intervals, Lost
from wayside.edge.sources.step import Closed, Grid, Loss, Step
from wayside.firmware_bridge.line.board import Gap, Heard
from wayside.firmware_bridge.line.messages import (
    DetectorFault,
    Event,
    EventKind,
    Flag,
    Identity,
    PlanCode,
    PlanResult,
    PreemptState,
    SignalMode,
    Status,
)

HOST_ALIVE, FAIL_SAFE, HOST_PLAN, LINKED, SIGNALS, SIGNAL_FAULT = (
    int(f) for f in (Flag.HOST_ALIVE, Flag.FAIL_SAFE, Flag.HOST_PLAN, Flag.LINKED, Flag.SIGNALS, Flag.SIGNAL_FAULT)
)
EVENTS = "{event}"  # UCUM annotation
FAULT, MODE = int(EventKind.DETECTOR_FAULT), int(EventKind.SIGNAL_MODE)
PREEMPT, PREEMPTED = int(EventKind.PREEMPT), "signal_preempted"
UNHEARD, NOT_RUNNING = "the board does not hear this node", "the board's signal does not run"
STEP_KINDS = frozenset(int(k) for k in EventKind) - {FAULT, MODE}  # that become part of a step
MODES = {int(m): m.name.lower() for m in SignalMode}
TRIPPED, RUNS = MODES[int(SignalMode.FAULT)], MODES[int(SignalMode.RUN)]
CODES = {int(c): c.name.lower() for c in PlanCode}
UNHEARD_STATUSES = 50  # in a row, five seconds: the board does not hear what this node says
# code, the board's bit, the quality that says the same, and the sentence; a step has one quality and several bits
DETECTOR_TROUBLES: tuple[tuple[str, int, Quality | None, str], ...] = (
    ("detector_stuck_on", int(DetectorFault.STUCK_ON), Quality.STUCK_ON, "presence without release for too long"),
    ("detector_no_hit", int(DetectorFault.NO_HIT), Quality.NO_HIT, "no vehicle for too long"),
    ("detector_chatter", int(DetectorFault.CHATTER), Quality.CHATTER, "more edges than vehicles could cause"),
    ("detector_dead", int(DetectorFault.DEAD), None, "no vehicle in many cycles while others flow"),
)
BIT_OF = {quality: bit for _, bit, quality, _ in DETECTOR_TROUBLES if quality is not None}
log = structlog.get_logger(__name__)


class Listener(Protocol):
    """Who is told every event as it comes, beside the steps."""

    def hear(self, event: Event) -> None: ...
    def pass_time(self, ms: int) -> None:
        """The board's clock reads ``ms`` and all that happened before has been told."""
        ...

    def lose(self) -> None:
        """Events are missing between the last one and now."""
        ...


class BoardSource:
    """The open step of one board, and everything else that it tells."""

    name = "board"

    def __init__(
        self,
        detectors: Sequence[DetectorConfig],
        clock: Clock,
        grid: Grid,
        ledger: Ledger,
        *,
        signal: str | None,
        analog: Sequence[AnalogConfig] = (),
        heads: Heads | None = None,
        time: BoardTime | None = None,
        beat: SignalBeat | None = None,
        high_resolution: HighResolution | None = None,
    ) -> None:
        """
        Args:
            signal: name of the actuator that the board drives; None: the configuration has none.
            heads: is told what the phases show.
            time: of the board, where others look at it, too.
            beat: of the signal's policy that speaks once a second.
            high_resolution: makes measures of the events.
        """
        self._clock, self._grid, self._ledger = clock, grid, ledger
        self._signal = signal
        self.heads = heads or Heads(frozenset())
        self._names = tuple(d.datastream for d in detectors)
        self._analog = tuple(a.datastream for a in analog)
        self._at_channel = {d.channel: i for i, d in enumerate(detectors)}
        self.datastreams = tuple(Datastream(name=n, unit=VEHICLES, aggregate="sum") for n in self._names)
        self.datastreams += tuple(a.stream() for a in analog)
        self.time = time or BoardTime(clock)
        self._beat = beat
        self._listeners: list[Listener] = [each for each in (beat, high_resolution) if each is not None]
        self._intervals = Intervals(detectors, grid.step_ms / 1000, analog)
        self._intervals.drift_ms = self._drift_ms
        self._next: int | None = None
        self._faults = [0] * len(self._names)  # bits of DetectorFault, as the board said last
        self._own = [0] * len(self._names)  # of the last step's quality
        self._troubles = [0] * len(self._names)  # that are open conditions
        self._unknown: dict[int, int] = {}  # kind of event → how many
        self._linked = False  # the board has taken a HELLO of ours
        self._unheard = 0  # STATUS in a row
        self._deaf = True  # the board, to this node: until a STATUS says that it is not
        self.boot = 0  # the run of the board that is known
        self._last_seq: int | None = None
        self._origin = self._board_next = 1
        self._sent_before = 0
        self.received = self.lost = 0
        self.identity: Identity | None = None
        self.status: Status | None = None
        self.mode: str | None = None  # of the signal, None: not known
        self.durable: tuple[int, int] = (0, 0)  # (boot, seq)
        self.reverted: Callable[[], None] = lambda: None
        """Called when the board follows its own plan again."""
        self._lost_now: list[Interval | Lost] = []
        self._closed: Closed = []

    # --- what is heard --------------------------------------------------------------------------

    def receive(self, messages: Iterable[Heard]) -> None:
        """Take what the link heard, in order."""
        event, closed, listeners = self._intervals.event, self._lost_now, self._listeners
        received = 0
        for item in messages:
            if type(item) is Event:
                if not self._intervals.started:
                    self._start(item.ms)
                kind = item.kind
                if kind not in STEP_KINDS:
                    self._tell(item)
                elif kind in SHOWS and item.channel in self.heads.phases and item.value:
                    self._show(item)
                elif kind == PREEMPT:
                    self._on_preempt(item)
                for listener in listeners:
                    listener.hear(item)
                event(item.ms, kind, item.channel, item.value, closed)
                self._last_seq = item.seq
                received += 1
                if closed:
                    self._take()
            elif type(item) is Status:
                self._on_status(item)
            elif type(item) is Gap:
                self._on_gap(item)
            elif type(item) is Identity:
                self._on_identity(item)
            elif type(item) is PlanResult:
                self._on_plan_result(item)
        self.received += received

    def _tell(self, event: Event) -> None:
        """Events that are no part of a step's values."""
        if event.kind == MODE:
            self._on_mode(MODES.get(event.value, f"mode {event.value}"))
        elif event.kind == FAULT:
            which = self._at_channel.get(event.channel)
            if which is not None:
                self._faults[which] = event.value
                self._judge(which)
            else:
                self._set_troubles(f"detector/{event.channel}", event.value, ~event.value)
        else:
            if event.kind not in self._unknown:
                self._ledger.alert(
                    "board",
                    f"the board tells of something that this agent does not know (event kind {event.kind}): update it",
                )
            self._unknown[event.kind] = self._unknown.get(event.kind, 0) + 1

    def _show(self, event: Event) -> None:
        if self.time.known:  # before the first word of its clock a board's time means nothing
            self.heads.change(event.channel, SHOWS[event.kind], self.time.mono_ns(event.ms))

    def _on_status(self, status: Status) -> None:
        before = self.status
        self.time.observe(status.ms, self._clock.mono_ns())
        self.status = status
        if self._last_seq is None:  # first contact: what an earlier host acknowledged is not ours to count
            self._last_seq = status.acked_seq
            self._origin = status.acked_seq + 1
        self._board_next = max(self._board_next, status.next_seq)
        if before is None or status.flags != before.flags or self._unheard:
            self._on_flags(status.flags, before.flags if before is not None else 0)
        if self._last_seq + 1 >= status.next_seq:  # everything before this word of the board has arrived
            if not self._intervals.started:
                self._start(status.ms)
            self._intervals.pass_time(status.ms, self._lost_now)
            self.heads.pass_time(self.time.mono_ns(status.ms))
            self._take()
            for listener in self._listeners:
                listener.pass_time(status.ms)

    def _on_flags(self, flags: int, before: int) -> None:
        if flags & FAIL_SAFE or (before & HOST_PLAN and not flags & HOST_PLAN):
            self.reverted()
        if flags & SIGNAL_FAULT:
            self._on_mode(TRIPPED)
        elif flags & SIGNALS:
            self._on_mode(RUNS)
        elif self.mode in (TRIPPED, RUNS):
            self._on_mode(None)  # an event tells which one it is now
        self._linked = self._linked or bool(flags & LINKED)
        unlinked = self._linked and not flags & LINKED
        self._deaf = bool(flags & FAIL_SAFE or not flags & HOST_ALIVE or unlinked)
        self._tell_trouble()
        if self._deaf:
            self._unheard += 1  # just after HELLO a board has not heard a sign of life yet
            if self._unheard == UNHEARD_STATUSES:
                self._ledger.begin(
                    "fail_safe",
                    "board",
                    "the board follows its own plan: it hears no sign of life of this node",
                    severe=self._signal is not None,
                )
        else:
            self._unheard = 0
            self._ledger.end("fail_safe", "board")

    def _tell_trouble(self) -> None:
        if self._beat is not None:
            self._beat.trouble = UNHEARD if self._deaf else None if self.mode == RUNS else NOT_RUNNING

    def _on_mode(self, mode: str | None) -> None:
        if mode == self.mode:
            return
        self.mode = mode
        if mode != RUNS:
            self.heads.lose(self._clock.mono_ns())
        self._tell_trouble()
        if mode == TRIPPED:
            self._ledger.begin(
                "signal_fault",
                "board",
                "the conflict monitor has tripped: the signal flashes until a person resets the board",
            )
            self.reverted()
        else:
            self._ledger.end("signal_fault", "board")

    def _on_gap(self, gap: Gap) -> None:
        if self._last_seq is None:
            self._origin = gap.first
        self._last_seq = gap.last
        self._board_next = max(self._board_next, gap.last + 1)
        self.lost += gap.events
        self.heads.lose(self._clock.mono_ns())
        for listener in self._listeners:
            listener.lose()
        if self._intervals.started:
            self._intervals.lose(gap.events)
        else:
            now_ns = self._clock.mono_ns()
            self._closed.append(
                Loss("board/events", now_ns, now_ns, 0, float(gap.events), EVENTS, {"from_seq": gap.first})
            )

    def _on_identity(self, identity: Identity) -> None:
        self.identity = identity
        if identity.boot == self.boot:
            return
        if self.boot:
            log.warning("board restarted", board=identity.board, cause=identity.reset_cause)
            self._ledger.alert("board", "the board restarted", cause=identity.reset_cause)
            if self._intervals.started:
                self._intervals.interrupt(self._lost_now)
                self._take()
                if self._next is not None:
                    self._next -= 1  # what is left of the same step comes under the same number
            self._sent_before += self._sent() - self._origin
        self.boot = identity.boot
        self.heads.lose(self._clock.mono_ns())
        for listener in self._listeners:
            listener.lose()
        self._ledger.end(PREEMPTED, "board")
        self._last_seq, self._origin, self._board_next = None, 1, 1
        self._intervals.started = False
        self.status, self._linked = None, False
        self._faults = [0] * len(self._names)
        self.time.reset()
        self.reverted()

    def _on_preempt(self, event: Event) -> None:
        if event.value == PreemptState.OFF:
            self._ledger.end(PREEMPTED, "board")
        else:
            what = f"the intersection is preempted by input {event.channel}: a railway or the fire brigade has it"
            self._ledger.begin(PREEMPTED, "board", what, severe=False)

    def _on_plan_result(self, result: PlanResult) -> None:
        if self._beat is not None and self._beat.answer(result):
            return
        if result.code != PlanCode.OK:
            self.reverted()
            why = CODES.get(result.code, str(result.code))
            self._ledger.alert(self._signal or "board", f"the board refused the plan: {why}", phase=result.phase)

    # --- steps ----------------------------------------------------------------------------------

    def _start(self, ms: int) -> None:
        """Begin to observe: from the board's own beginning where all its events are here, else from now."""
        whole = (self._last_seq or 0) == 0 and self._board_next >= 1 and self._origin == 1
        if self._clock.board_zero_ms is not None and self._intervals.closed:
            whole = False  # a simulated board's clock does not begin again when the board does
        self._intervals.start(0 if whole else ms)
        if self._beat is not None:
            self._beat.begin(ms, whole=(self._last_seq or 0) == 0 and self._origin == 1)

    def _drift_ms(self, end_ms: int) -> float:
        wall = self._clock.wall(self.time.mono_ns(end_ms)).ms if self.time.known else None
        if wall is None:
            return 0.0
        drift = wall % self._intervals.step_ms
        distance = min(drift, self._intervals.step_ms - drift)
        return 0.0 if distance < max(1000, 3 * self.time.error_ms) and self._intervals.started else float(drift)

    def _take(self) -> None:
        mono_ns = self.time.mono_ns
        for item in self._lost_now:
            error_ms = self.time.error_ms
            if type(item) is Interval:
                start_ms, end_ms, counts, qualities, readings, extras = item
                # Before the first word of its clock a board's time means nothing; a step then follows the one before.
                end_ns = mono_ns(end_ms)
                grid = self._grid.number(end_ns, self._next)
                self._next = grid + 1
                start_ns = end_ns - (end_ms - start_ms) * 1_000_000
                self._closed.append(Step(grid, start_ns, end_ns, error_ms, counts, qualities, readings, extras))
                for which, quality in enumerate(qualities[: len(self._names)]):
                    if quality is not GOOD or self._own[which]:
                        self._own[which] = BIT_OF.get(quality, 0)
                        self._judge(which)
            elif type(item) is Lost:
                start_ns, end_ns = mono_ns(item.from_ms), mono_ns(item.to_ms)
                self._closed.append(Loss("board/events", start_ns, end_ns, error_ms, float(item.events), EVENTS))
        self._lost_now.clear()

    def _judge(self, which: int) -> None:
        """The detector has the troubles that its edges or the board tell of, and no others."""
        now, before = self._own[which] | self._faults[which], self._troubles[which]
        if now != before:
            self._troubles[which] = now
            self._set_troubles(self._names[which], now & ~before, before & ~now)

    def _set_troubles(self, subject: str, begun: int, over: int) -> None:
        for code, bit, _, what in DETECTOR_TROUBLES:
            if begun & bit:
                self._ledger.begin(code, subject, what, severe=False)
            elif over & bit:
                self._ledger.end(code, subject)

    def closed(self) -> Closed:
        closed, self._closed = self._closed, []
        return closed

    # --- durable state --------------------------------------------------------------------------

    def sent(self) -> int:
        """Events that the board has produced, over all its boots, from its sequence numbers."""
        return self._sent_before + self._sent() - self._origin

    def _sent(self) -> int:
        """The board's next number: events may have come since its last STATUS."""
        return max(self._board_next, (self._last_seq or 0) + 1)

    def ahead(self) -> bool:
        """There are events that are not durable."""
        return self.durable != (self.boot, self._last_seq or 0)

    def committed(self) -> None:
        """What :meth:`state` said is on disk."""
        self.durable = (self.boot, self._last_seq or 0)

    def next_number(self, grid: int) -> None:
        self._next = grid

    def state(self) -> dict[str, Any]:
        return {
            "names": self._names + self._analog,
            "step_ms": self._intervals.step_ms,
            "board_boot": self.boot,
            "last_seq": self._last_seq,
            "origin": self._origin,
            "board_next": self._board_next,
            "sent_before": self._sent_before,
            "intervals": self._intervals.state(),
            "time": self.time.state(),
            "faults": dict(zip(self._names, zip(self._faults, self._own, strict=True), strict=True)),
            "mode": self.mode,
            "unknown": list(self._unknown.items()),
        }

    def restore_totals(self, received: int, lost: int, sent: int) -> None:
        """Of the counters; where the state itself is lost they are all that is left."""
        self.received, self.lost, self._sent_before = received, lost, sent

    def restore(self, state: Mapping[str, Any]) -> None:
        if list(state["names"]) == [*self._names, *self._analog] and state["step_ms"] == self._intervals.step_ms:
            self._intervals.restore(state["intervals"])
        self.boot, self._last_seq = state["board_boot"], state["last_seq"]
        self._origin, self._board_next = state["origin"], state["board_next"]
        self._sent_before = state["sent_before"]
        self.time.restore(state.get("time"))
        for name, (faults, own) in state.get("faults", {}).items():
            if name in self._names:
                which = self._names.index(name)
                self._faults[which], self._own[which], self._troubles[which] = faults, own, faults | own
        self.mode = state.get("mode")
        self._unknown = {int(kind): n for kind, n in state.get("unknown", ())}
        self.committed()
