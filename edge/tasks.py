"""The node's task, sans-I/O: what the board says goes in, summaries and plans come out.

board messages → steps → window → int8 inference → forecast and anomaly → policy → guard → plan. Whoever owns the
pipeline moves bytes: it commits :attr:`Pipeline.rows` with :meth:`Pipeline.state`, and gives :attr:`Pipeline.plan` to
the board. An event counts as received only when a commit contains it.

Longer than the house's files on purpose: this is the hot path, and what crosses objects on it is paid for at every step
(``tests/bench/test_bench_agent.py``).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import structlog

from wayside.contracts.action import Greens
from wayside.contracts.node_config import NodeConfig
from wayside.contracts.passport import Passport
from wayside.contracts.reading import Quality, Reading, Stamp
from wayside.contracts.sensor_config import ContactConfig
from wayside.contracts.summary import Kind, Summary
from wayside.edge.clock import BoardTime, Clock, LocalCalendar, stamp
from wayside.edge.errors import EdgeError
from wayside.edge.guard.signal import check
from wayside.edge.intervals import Intervals, Lost, Step
from wayside.edge.ledger import Ledger
from wayside.edge.outbox import HISTORY_STEPS
from wayside.edge.policies import signal_timing
from wayside.edge.quality import USABLE, worst
from wayside.edge.registers import Closed, Late, Registers
from wayside.edge.runtimes.runtime import Runtime
from wayside.edge.windows import History, TaskMismatch, Windows
from wayside.firmware_bridge.line.board import Gap, Heard
from wayside.firmware_bridge.line.messages import Event, Identity, PlanCode, PlanResult, Status

TOTAL = "intersection/volume"
SIGNAL = "intersection/signal"
VEHICLES, EVENTS = "{veh}", "{event}"  # UCUM annotations
PROPOSALS = 3  # the policy's own and two steps toward the fixed plan
LATE_REAL_S = 5.0
log = structlog.get_logger(__name__)


class Model(Protocol):
    """What runs (see :class:`wayside.edge.update.updater.ActiveModel`)."""

    @property
    def passport(self) -> Passport: ...
    @property
    def runtime(self) -> Runtime: ...


class _Past(NamedTuple):
    """What was known when an interval ended: its values, and the forecasts made for the next one."""

    values: list[float | None]
    forecasts: list[float | None]
    model: str | None
    bands: list[list[float] | None] | None = None  # outer quantiles of each forecast, if the model gives them


class Pipeline:
    """One node's readings, from its board to its summaries."""

    def __init__(self, config: NodeConfig, clock: Clock, boot: str) -> None:
        """Raises: ClockError."""
        self._config, self._clock, self._boot = config, clock, boot
        self.ledger = Ledger(config.node, boot, clock)
        self._row = self.ledger.row
        task = config.tasks[0] if config.tasks else None
        step_s = task.every_s if task else config.step_s
        self._interval_s = task.interval_s if task else float(step_s)
        self._alert_sigma = task.alert_sigma if task else 6.0
        self._k = task.steps if task else 1
        self._lanes = {s.output: s.constants.get("lanes", 1.0) for s in task.sites} if task else {}
        self._phases: dict[str, int] = task.settings.get("phases", {}) if task else {}
        self._saturation = float(task.settings.get("saturation_flow_veh_h", 1800.0)) if task else 1800.0
        self._step_s = float(step_s)
        self._detectors = config.detectors
        self._names = tuple(d.datastream for d in config.detectors)
        self._calendar = LocalCalendar(config.clock.timezone)
        self.board_time = BoardTime(clock)
        self._intervals = Intervals(config.detectors, step_s)
        self._intervals.drift_ms = self._drift_ms
        self._history = History(self._names, HISTORY_STEPS)
        self._bins: deque[Step] = deque(maxlen=self._k)
        self._past: deque[_Past] = deque(maxlen=self._k)
        self._model: Model | None = None
        self._windows: Windows | None = None
        self._median: int | None = None  # index among the model's quantiles
        self._model_label: str | None = None
        self._substituted = 0  # rows of the windows of the last step
        self._anomalous = [False] * len(self._names)
        self._meters = config.modbus.registers if config.modbus else ()
        self._registers = Registers(self._meters, step_s, self._meter_drift_ms)
        self._presses = {c.datastream: 0 for c in config.gpio.contacts if c.role == "ped_button"}
        self.closures: dict[str, int] = {}  # of each contact since the start: for people at the cabinet
        self._fixed = {p.phase: p.green_s for p in config.signal.phases} if config.signal else {}
        self._in_force = dict(self._fixed)
        self.cycle_s = config.signal.cycle_s if config.signal else None
        self._step_no = 0
        self._last_wall_ms: int | None = None
        self._timed = clock.wall(clock.mono_ns()).ms is not None
        # of the board: the run of it that we know, and its sequence numbers
        self.board_boot = 0
        self._last_seq: int | None = None
        self._origin = self._board_next = 1
        self._sent_before = 0
        self.board: Identity | None = None
        self.status: Status | None = None
        self.durable: tuple[int, int] = (0, 0)  # (board boot, seq): what the board may forget
        self._base: dict[str, int] = {"readings_received": 0, "readings_lost": 0}
        # to be taken by the owner
        self.steps: list[tuple[int, Any]] = []
        self.plan: dict[int, float] | None = None

    @property
    def rows(self) -> list[Summary]:
        return self.ledger.rows

    @property
    def counters(self) -> dict[str, int]:
        return self.ledger.counters

    # --- from the board -----------------------------------------------------------------------------------------

    def receive(self, heard: Iterable[Heard]) -> None:
        """Take what the link heard, in order."""
        closed: list[Step | Lost] = []
        event = self._intervals.event
        received = 0
        for item in heard:
            if type(item) is Event:
                if not self._intervals.started:
                    self._start(item.ms)
                event(item.ms, item.kind, item.channel, item.value, closed)
                self._last_seq = item.seq
                received += 1
                if closed:
                    self._take(closed)
            elif type(item) is Status:
                self._on_status(item, closed)
            elif type(item) is Gap:
                self._on_gap(item)
            elif type(item) is Identity:
                self._on_identity(item, closed)
            elif type(item) is PlanResult:
                self._on_plan_result(item)
        self._base["readings_received"] += received

    def pass_time(self, ms: int) -> None:
        """A node without a board: the steps follow its own clock."""
        if not self._intervals.started:
            self._start(ms)
        closed: list[Step | Lost] = []
        self._intervals.pass_time(ms, closed)
        self._take(closed)

    def contact(self, contact: ContactConfig, closed: bool) -> None:
        """A button was pressed or a door moved."""
        self.closures[contact.datastream] = self.closures.get(contact.datastream, 0) + closed
        if contact.role == "ped_button":
            self._presses[contact.datastream] += closed
        elif closed:
            self.alert(contact.datastream, "the cabinet door is open")

    # --- from the Modbus line -----------------------------------------------------------------------------------

    def register_read(self, index: int, raw: float) -> None:
        """Register ``index`` of the configuration answered."""
        out: list[Closed | Late] = []
        self._registers.read(index, self._clock.mono_ns() // 1_000_000, raw, out)
        if self._registers.well(index):
            log.info("register answers again", datastream=self._meters[index].datastream)
        self._take_registers(out)

    def register_failed(self, index: int, why: str) -> None:
        said = self._registers.fail(index, why)
        if said is not None:
            log.warning("register fails", datastream=self._meters[index].datastream, why=said)
            self.alert(self._meters[index].datastream, said)

    def pass_register_time(self) -> None:
        """Their steps follow the node's own clock: a board that is unplugged does not stop them."""
        out: list[Closed | Late] = []
        self._registers.pass_time(self._clock.mono_ns() // 1_000_000, out)
        self._take_registers(out)

    def _take_registers(self, out: list[Closed | Late]) -> None:
        for item in out:
            config = self._meters[item.which]
            if type(item) is Closed:
                self._row(
                    Kind.INTERVAL,
                    config.datastream,
                    stamp(self._clock, self._boot, item.end_ms * 1_000_000),
                    duration_s=item.duration_ms / 1000,
                    value=item.value,
                    unit=config.unit,
                    quality=item.quality,
                    n=item.n,
                )
            elif type(item) is Late:
                self._row(
                    Kind.GAP,
                    config.datastream,
                    stamp(self._clock, self._boot, item.to_ms * 1_000_000),
                    duration_s=(item.to_ms - item.from_ms) / 1000,
                    value=item.value,
                    unit=config.unit,
                    quality=Quality.GAP,
                    detail={"what": "counted by the meter while it could not be read"},
                )

    def _meter_drift_ms(self, end_ms: int) -> float:
        wall = self._clock.wall(end_ms * 1_000_000).ms
        return 0.0 if wall is None else float(wall % round(self._step_s * 1000))

    def _on_status(self, status: Status, closed: list[Step | Lost]) -> None:
        self.board_time.observe(status.ms, self._clock.mono_ns())
        self.status = status
        if self._last_seq is None:  # first contact: what an earlier host acknowledged is not ours to count
            self._last_seq = status.acked_seq
            self._origin = status.acked_seq + 1
        self._board_next = max(self._board_next, status.next_seq)
        if self._in_force != self._fixed and status.fail_safe:
            self._in_force = dict(self._fixed)
        if self._last_seq + 1 >= status.next_seq:  # everything before this word of the board has arrived
            if not self._intervals.started:
                self._start(status.ms)
            self._intervals.pass_time(status.ms, closed)
            self._take(closed)

    def _on_gap(self, gap: Gap) -> None:
        if self._last_seq is None:
            self._origin = gap.first
        self._last_seq = gap.last
        self._board_next = max(self._board_next, gap.last + 1)
        self._base["readings_lost"] += gap.events
        if self._intervals.started:
            self._intervals.lose(gap.events)
        else:
            self._row(
                Kind.GAP,
                "board/events",
                self._now(),
                value=float(gap.events),
                quality=Quality.GAP,
                detail={"from_seq": gap.first},
            )

    def _on_identity(self, identity: Identity, closed: list[Step | Lost]) -> None:
        self.board = identity
        if identity.boot == self.board_boot:
            return
        if self.board_boot:
            log.warning("board restarted", board=identity.board, cause=identity.reset_cause)
            self.alert("board", "the board restarted", cause=identity.reset_cause)
            if self._intervals.started:
                self._intervals.interrupt(closed)
                self._take(closed)
            self._sent_before += self._sent() - self._origin
        self.board_boot = identity.boot
        self._last_seq, self._origin, self._board_next = None, 1, 1
        self._in_force = dict(self._fixed)
        self._intervals.started = False
        self.board_time.reset()

    def _on_plan_result(self, result: PlanResult) -> None:
        if result.code != PlanCode.OK:
            names = {c.value: c.name.lower() for c in PlanCode}
            self._in_force = dict(self._fixed)
            why = names.get(result.code, str(result.code))
            self.alert(SIGNAL, f"the board refused the plan: {why}", phase=result.phase)

    def _start(self, ms: int) -> None:
        """Begin to observe: from the board's own beginning where all its events are here, else from now."""
        whole = (self._last_seq or 0) == 0 and self._board_next >= 1 and self._origin == 1
        if self._clock.board_zero_ms is not None and self._intervals.index:
            whole = False  # a simulated board's clock does not begin again when the board does
        self._intervals.start(0 if whole else ms)
        if self._history.steps:  # a hole lies between
            wall = self._clock.wall(self.board_time.mono_ns(ms)).ms
            known = wall is not None and self._last_wall_ms is not None
            hole = (wall - self._last_wall_ms) // self._intervals.step_ms if known else self._history.capacity  # type: ignore[operator]
            self._history.skip(max(1, hole))
            self._bins.clear()
            self._past.clear()

    def _drift_ms(self, end_ms: int) -> float:
        wall = self._clock.wall(self.board_time.mono_ns(end_ms)).ms if self.board_time.known else None
        if wall is None:
            return 0.0
        drift = wall % self._intervals.step_ms
        distance = min(drift, self._intervals.step_ms - drift)
        return 0.0 if distance < max(1000, 3 * self.board_time.error_ms) and self._intervals.started else float(drift)

    # --- a step has ended ---------------------------------------------------------------------------------------

    def _take(self, closed: list[Step | Lost]) -> None:
        for item in closed:
            if type(item) is Step:
                self._step(item)
            elif type(item) is Lost:
                at = self._at(item.to_ms)
                seconds = (item.to_ms - item.from_ms) / 1000
                self._row(
                    Kind.GAP,
                    "board/events",
                    at,
                    value=float(item.events),
                    quality=Quality.GAP,
                    duration_s=seconds,
                    unit=EVENTS,
                )
        closed.clear()

    def _at(self, board_ms: int) -> Stamp:
        return stamp(self._clock, self._boot, self.board_time.mono_ns(board_ms), self.board_time.error_ms)

    def _now(self) -> Stamp:
        return stamp(self._clock, self._boot, self._clock.mono_ns())

    def _step(self, step: Step) -> None:
        at = self._at(step.end_ms)
        self._bins.append(step)
        whole = len(self._bins) == self._k
        duration_s = (step.end_ms - self._bins[0].start_ms) / 1000
        past = self._past[0] if len(self._past) == self._k else None
        values: list[float | None] = []
        usable: list[float | None] = []
        counts: list[int] = []
        qualities: list[Quality] = []
        for i, detector in enumerate(self._detectors):
            value, quality, n = self._interval(i) if whole else (None, Quality.MISSING, step.readings[i])
            if value is not None and value > detector.max_veh_h * self._interval_s / 3600:
                quality = worst(quality, Quality.OUT_OF_RANGE)
            values.append(value)
            usable.append(value if quality is Quality.GOOD or quality in USABLE else None)
            counts.append(n)
            qualities.append(quality)
        hour, weekday = self._calendar.of(at.wall_ms) if at.wall_ms is not None else (None, None)
        self._history.push(usable, hour, weekday)
        for i, name in enumerate(self._names):
            self._interval_row(i, name, at, duration_s, values[i], qualities[i], counts[i], past)
        if len(self._names) > 1 or (self._names and TOTAL not in self._names):
            self._total_row(at, duration_s, values, qualities, counts, past)
        self._contact_rows(at, step)
        forecasts, bands = self._forecast(at)
        self._past.append(_Past(values, forecasts, self._model_label, bands))
        if self._config.signal is not None:
            self._decide(at, forecasts, step)
        body = [self.board_boot, at.wall_ms, *step[1:6], values, usable, forecasts, self._model_label, bands]
        self._step_no += 1
        self._last_wall_ms = at.wall_ms
        self.steps.append((self._step_no, body))

    def _interval(self, i: int) -> tuple[float | None, Quality, int]:
        if self._k == 1:
            step = self._bins[0]
            count = step.counts[i]
            return (None if count is None else float(count)), step.qualities[i], step.readings[i]
        total: float | None = 0.0
        quality, n = Quality.GOOD, 0
        for step in self._bins:
            count = step.counts[i]
            total = None if count is None or total is None else total + count
            quality = worst(quality, step.qualities[i])
            n += step.readings[i]
        if total is None:
            return None, Quality.MISSING, n
        return total, quality, n

    def _interval_row(  # noqa: PLR0917
        self,
        i: int,
        name: str,
        at: Stamp,
        duration_s: float,
        value: float | None,
        quality: Quality,
        n: int,
        past: _Past | None,
    ) -> None:
        forecast = naive = anomaly = band = None
        if past is not None:
            forecast, naive = past.forecasts[i], past.values[i]
            band = past.bands[i] if past.bands else None
            if forecast is not None and value is not None and quality in USABLE and self._model is not None:
                anomaly = abs(value - forecast) / self._model.passport.residual_std
                strange = anomaly > self._alert_sigma
                if strange and not self._anomalous[i]:
                    self.alert(name, "unlike the forecast", at=at, value=value, forecast=forecast, anomaly=anomaly)
                self._anomalous[i] = strange
        self._row(
            Kind.INTERVAL,
            name,
            at,
            duration_s=duration_s,
            value=value,
            unit=VEHICLES,
            quality=quality,
            n=n,
            forecast=forecast,
            naive=naive,
            anomaly=anomaly,
            model=past.model if past is not None and forecast is not None else None,
            detail={"low": band[0], "high": band[1]} if band else {},
        )

    def _total_row(  # noqa: PLR0917
        self,
        at: Stamp,
        duration_s: float,
        values: Sequence[float | None],
        qualities: Sequence[Quality],
        counts: Sequence[int],
        past: _Past | None,
    ) -> None:
        quality = Quality.GOOD
        for each in qualities:
            quality = worst(quality, each)
        value = _sum(values)
        if value is None:
            quality = Quality.MISSING
        forecast = _sum(past.forecasts) if past else None
        self._row(
            Kind.INTERVAL,
            TOTAL,
            at,
            duration_s=duration_s,
            value=value,
            unit=VEHICLES,
            quality=quality,
            n=sum(counts),
            forecast=forecast,
            naive=_sum(past.values) if past else None,
            model=past.model if past is not None and forecast is not None else None,
        )

    def _contact_rows(self, at: Stamp, step: Step) -> None:
        seconds = (step.end_ms - step.start_ms) / 1000
        for name, presses in self._presses.items():
            self._row(Kind.INTERVAL, name, at, duration_s=seconds, value=float(presses), unit="{press}", n=presses)
            self._presses[name] = 0
        for phase, green_ms in step.green_ms.items():
            self._row(
                Kind.INTERVAL, f"phase/{phase}/green", at, duration_s=seconds, value=green_ms / 1000, unit="s", n=1
            )

    # --- model, policy, guard -----------------------------------------------------------------------------------

    def set_model(self, model: Model | None) -> None:
        """Use ``model`` from the next step on. One that this node cannot feed is reported and not used."""
        self._windows, self._model, self._model_label = None, model, None
        if model is None:
            return
        passport = model.passport
        try:
            if abs(passport.task.interval_s - self._interval_s) > 1e-6:
                raise TaskMismatch(
                    f"the model's interval is {passport.task.interval_s:g} s, the configuration's "
                    f"{self._interval_s:g} s"
                )
            self._windows = Windows(self._history, passport.task, self._k, self._lanes)
            self._median = passport.task.median if passport.task.quantiles else None
            self._model_label = f"{passport.bundle} {passport.version}"[:64]
        except EdgeError as exc:
            self._model = None
            self.alert("model", f"the model does not fit this node: {exc}"[:256])

    def _forecast(self, at: Stamp) -> tuple[list[float | None], list[list[float] | None] | None]:
        """Vehicles of each detector in the interval that begins now; their lowest and highest quantile, if any."""
        windows, model, median = self._windows, self._model, self._median
        if windows is None or model is None:
            return [None] * len(self._names), None
        forecasts: list[float | None] = []
        bands: list[list[float] | None] | None = None if median is None else [None] * len(self._names)
        self._substituted = 0
        for i, name in enumerate(self._names):
            window = windows.fill(i)
            if window is None:
                forecasts.append(None)
                continue
            self._substituted += window[1]
            try:
                answer = model.runtime.run(window[0])[0, 0]  # a number, or its quantiles
                y = float(answer if median is None else answer[median])
                if bands is not None and np.isfinite(answer).all():
                    bands[i] = [max(0.0, float(answer[0])), max(0.0, float(answer[-1]))]
            except EdgeError as exc:
                self.alert(name, f"no forecast: {exc}"[:256], at=at)
                y = math.nan
            else:
                if not math.isfinite(y):
                    self.alert(name, "the model's forecast is not a number", at=at)
            forecasts.append(max(0.0, y) if math.isfinite(y) else None)
        return forecasts, bands

    def _decide(self, at: Stamp, forecasts: Sequence[float | None], step: Step) -> None:
        """Propose green times, let the guard judge, log each verdict, choose what the board gets."""
        signal = self._config.signal
        assert signal is not None  # noqa: S101  (the caller looked)
        demand: dict[int, list[float]] = {}
        calling = answered = 0
        for detector, forecast in zip(self._detectors, forecasts, strict=True):
            phase = self._phases.get(detector.datastream)
            if phase is None or phase not in self._fixed:
                continue
            calling += 1
            if forecast is not None:
                answered += 1
                entry = demand.setdefault(phase, [0.0, 0.0])
                entry[0] += forecast
                entry[1] += self._lanes.get(detector.datastream, 1.0)
        if not demand:
            why = "no model" if self._model is None else "no forecast: too few believable readings, or no clock"
            self._hold(at, f"{why}: the fixed plan holds")
            return
        per_hour = 3600 / self._interval_s
        flows = {phase: vehicles * per_hour / lanes for phase, (vehicles, lanes) in demand.items()}
        late_ms = (self._clock.mono_ns() - self.board_time.mono_ns(step.end_ms)) / 1e6
        fresh = late_ms <= max(self._intervals.step_ms, LATE_REAL_S * 1000 * self._clock.speed)
        proposal = signal_timing.greens(flows, signal, self._saturation)
        for attempt in range(PROPOSALS):
            verdict = check(
                proposal,
                signal,
                last=self._in_force,
                quality_ok=fresh and answered * 2 > calling,
                clock_known=at.wall_ms is not None,
            )
            counter = "proposals_allowed" if verdict.allowed else "proposals_refused"
            self._base[counter] = self._base.get(counter, 0) + 1
            self._decision(at, proposal, attempt, verdict.reasons, flows)
            if verdict.allowed:
                if proposal != self._in_force:
                    self.plan, self._in_force = dict(proposal), proposal
                return
            proposal = dict(signal_timing.soften(Greens(proposal), signal).seconds)
        self._hold(at, "every proposal was refused: the fixed plan holds")

    def _hold(self, at: Stamp, why: str) -> None:
        self._row(Kind.DECISION, SIGNAL, at, detail={"verdict": "held", "why": why, "greens": _greens(self._fixed)})
        if self._in_force != self._fixed:
            # To the plan that holds when in doubt at once: the limit on changes is for optimizing, not for safety.
            self.plan, self._in_force = dict(self._fixed), dict(self._fixed)

    def _decision(
        self, at: Stamp, proposal: dict[int, float], attempt: int, reasons: Sequence[str], flows: dict[int, float]
    ) -> None:
        detail: dict[str, str | float | int | bool | None] = {
            "verdict": "refused" if reasons else "allowed",
            "attempt": attempt,
            "greens": _greens(proposal)[:256],
            "flows_veh_h_lane": " ".join([f"{p}:{v:.0f}" for p, v in sorted(flows.items())])[:256],
        }
        if self._substituted:
            detail["substituted_rows"] = self._substituted
        if reasons:
            detail["why"] = "; ".join(reasons)[:256]
        self._row(Kind.DECISION, SIGNAL, at, value=0.0 if reasons else 1.0, model=self._model_label, detail=detail)

    # --- rows ---------------------------------------------------------------------------------------------------

    def alert(self, datastream: str, what: str, *, at: Stamp | None = None, **detail: Any) -> None:
        self.ledger.alert(datastream, what, at=at, model=self._model_label, **detail)

    def clock_arrived(self) -> bool:
        """True once: a trusted time came after a start without one. Calendars of this boot are filled in."""
        if self._timed or self._clock.wall(self._clock.mono_ns()).ms is None:
            return False
        self._timed = True
        self.ledger.restamp_rows()
        end = self._intervals.end_ms
        for back in range(min(self._history.steps, self._history.capacity)):
            end -= self._intervals.step_ms
            if end <= 0:
                break
            wall = self._clock.wall(self.board_time.mono_ns(end)).ms
            if wall is not None and wall > 0:
                self._history.retime(back, *self._calendar.of(wall))
        return True

    # --- durable state ------------------------------------------------------------------------------------------

    def readings(self) -> list[Reading]:
        """For people at the cabinet, not for the hub: each detector's count in the step that ended last, each
        register's last value."""
        found: list[Reading] = []
        if self._bins:
            step = self._bins[-1]
            at = self._at(step.end_ms)
            for name, count, quality in zip(self._names, step.counts, step.qualities, strict=True):
                found.append(Reading(datastream=name, value=count, unit=VEHICLES, quality=quality, at=at))
        for register in self._registers.each:
            value, quality = register.live
            name, unit = register.config.datastream, register.config.unit
            found.append(Reading(datastream=name, value=value, unit=unit, quality=quality, at=self._now()))
        return found

    def count(self) -> dict[str, int]:
        """Totals for :class:`wayside.contracts.sync.Counters`."""
        sent = self._sent_before + self._sent() - self._origin
        return {**self.counters, **self._base, "readings_sent": sent}

    def _sent(self) -> int:
        """The board's next number: events may have come since its last STATUS."""
        return max(self._board_next, (self._last_seq or 0) + 1)

    def state(self) -> dict[str, Any]:
        """Everything that a restart needs, as plain JSON values."""
        return {
            "pipeline": {
                "names": self._names,
                "step_ms": self._intervals.step_ms,
                "board_boot": self.board_boot,
                "last_seq": self._last_seq,
                "origin": self._origin,
                "board_next": self._board_next,
                "sent_before": self._sent_before,
                "step_no": self._step_no,
                "intervals": self._intervals.state(),
                "presses": self._presses,
                "in_force": list(self._in_force.items()),
            },
            "counters": self.count(),
            "ledger": self.ledger.state(),
            **({"registers": self._registers.state()} if self._meters else {}),
        }

    def ahead(self) -> bool:
        """There are events that are not durable."""
        return self.durable != (self.board_boot, self._last_seq or 0)

    def committed(self) -> None:
        """What :meth:`state` said is on disk."""
        self.durable = (self.board_boot, self._last_seq or 0)

    def restore_registers(self, state: dict[str, Any] | None) -> None:
        if state:
            self._registers.restore(state, self._clock.mono_ns() // 1_000_000)

    def restore(self, state: dict[str, Any] | None, counters: dict[str, int] | None, history: Sequence[Any]) -> None:
        """Continue after a restart."""
        for name, total in (counters or {}).items():
            target = self._base if name.startswith(("readings_", "proposals_")) else self.counters
            target[name] = total
        sent = self._base.pop("readings_sent", 0)
        if not state:
            self._sent_before = sent
            return
        if list(state["names"]) != list(self._names) or state["step_ms"] != self._intervals.step_ms:
            history = ()  # another configuration: its steps are not ours
        else:
            self._intervals.restore(state["intervals"])
        self.board_boot, self._last_seq = state["board_boot"], state["last_seq"]
        self._origin, self._board_next = state["origin"], state["board_next"]
        self._sent_before, self._step_no = state["sent_before"], state["step_no"]
        self._presses.update({k: v for k, v in state["presses"].items() if k in self._presses})
        greens = {int(phase): green for phase, green in state["in_force"]}
        self._in_force = greens if greens.keys() == self._fixed.keys() else dict(self._fixed)
        for _, wall_ms, start, end, counts, qualities, readings, values, usable, forecasts, label, *bands in history:
            hour, weekday = self._calendar.of(wall_ms) if wall_ms is not None else (None, None)
            self._history.push(usable, hour, weekday)
            self._bins.append(Step(0, start, end, counts, [Quality(q) for q in qualities], readings, {}))
            self._past.append(_Past(values, forecasts, label, bands[0] if bands else None))
            self._last_wall_ms = wall_ms
        self.committed()


def _sum(values: Sequence[float | None]) -> float | None:
    total = 0.0
    for value in values:
        if value is None:
            return None
        total += value
    return total


def _greens(plan: dict[int, float]) -> str:
    return " ".join([f"{phase}:{green:.1f}" for phase, green in sorted(plan.items())])
