"""The node, sans-I/O: what is heard goes in, rows and actions come out.

sources → history → tasks → deciders → rows. Whoever owns the node moves bytes: it commits the rows of
:attr:`Node.ledger` with :meth:`Node.state` and :attr:`Node.steps`, and gives :attr:`Node.plan` to the board. An event
counts as received only when a commit contains it. The file is long because it is the one place where every kind of
source, task and actuator is put together; none of them is decided here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import structlog

from wayside.contracts.frames import Frame
from wayside.contracts.node_config import NodeConfig
from wayside.contracts.passport import Passport
from wayside.contracts.reading import GOOD, Quality, Reading
from wayside.contracts.sensor_config import ContactConfig
from wayside.contracts.summary import Kind
from wayside.contracts.sync import TaskState
from wayside.contracts.task_config import SumConfig
from wayside.contracts.uart_config import uart_values
from wayside.contracts.version import VERSION
from wayside.edge.beat import SignalBeat
from wayside.edge.clock import BoardTime, Clock, LocalCalendar, stamp
from wayside.edge.guard.standing import Asked
from wayside.edge.history import MIN_CAPACITY, NOTHING, Calendar, History
from wayside.edge.journal import Journal, KeptStep, key, read
from wayside.edge.ledger import Ledger
from wayside.edge.outputs import Outputs
from wayside.edge.recovery import of_older, owners, put_back
from wayside.edge.rows import PlainRows
from wayside.edge.runtimes.load import available
from wayside.edge.sources.board import BoardSource
from wayside.edge.sources.contacts import ContactSource
from wayside.edge.sources.entry import Entry
from wayside.edge.sources.frames import FrameSource
from wayside.edge.sources.heads import Heads
from wayside.edge.sources.high_resolution import HighResolution, measure_interval_s
from wayside.edge.sources.manual import ManualSource, Taken
from wayside.edge.sources.quality import USABLE
from wayside.edge.sources.recent import Recent
from wayside.edge.sources.step import Grid, Loss, Source, Step
from wayside.edge.sources.values import ValueSource
from wayside.edge.sources.view import Seen
from wayside.edge.tasks.forecast import ForecastTask
from wayside.edge.tasks.picture import Look, Picture
from wayside.edge.tasks.runner import InlineRunner, Job, Runner
from wayside.edge.tasks.score import ScoreTask
from wayside.edge.tasks.task import NO_MODEL, Model, Parts, Task
from wayside.firmware_bridge.line.board import Heard
from wayside.firmware_bridge.line.messages import Identity, Status

KEPT_STEPS = 64  # of each source, beyond what the tasks ask for: a sum waits for its slowest source
log = structlog.get_logger(__name__)


class Node:
    """One node's readings, from its sensors to its rows."""

    PIECES = ("node", "ledger", "counters", "pipeline", "registers")
    """Keys of the stored state; the last two are of agents before there were several tasks."""

    def __init__(self, config: NodeConfig, clock: Clock, boot: str, runner: Runner | None = None) -> None:
        """
        Args:
            runner: where models run; None: at once, in the caller's thread.

        Raises:
            ClockError: there is no such time zone here.
        """
        self._config, self._clock, self._boot = config, clock, boot
        self.ledger = Ledger(config.node, boot, clock)
        self._grid = Grid(clock, config.step_s)
        self._journal = Journal(self._grid.step_ms)
        self._timed = clock.wall(clock.mono_ns()).ms is not None
        self._older = False  # the state was an older agent's: its keys are cleared with the next commit
        ground = (clock, self._grid, self.ledger)
        signal = config.signal
        heads = Heads(frozenset(c.phase for c in config.cameras if c.phase is not None))
        self.outputs = Outputs(config.actuators, self.ledger, config.clock.timezone)
        calendar, board_time = LocalCalendar(config.clock.timezone), BoardTime(clock)
        self._beat: SignalBeat | None = None
        if signal is not None and signal.beat is not None:
            self._beat = self.outputs.make_beat(
                lambda: SignalBeat(
                    signal,
                    config.detectors,
                    clock=clock,
                    time=board_time,
                    ledger=self.ledger,
                    calendar=calendar,
                ),
                signal.name,
            )
        self._high_resolution: HighResolution | None = None
        if config.event_log_bytes or (signal is not None and signal.loops):
            self._high_resolution = HighResolution(
                signal,
                clock,
                boot,
                self.ledger,
                board_time,
                interval_s=measure_interval_s(config.rows_s or config.step_s),
                keeps_events=config.event_log_bytes > 0,
            )
        self._board = BoardSource(
            config.detectors,
            *ground,
            signal=signal.name if signal is not None else None,
            analog=config.analog,
            heads=heads,
            time=board_time,
            beat=self._beat,
            high_resolution=self._high_resolution,
        )
        self._contacts = ContactSource(config.gpio.contacts, *ground)
        self.registers = ValueSource("registers", [v for line in config.modbus for v in line.values], *ground)
        self.uart = ValueSource("uart", uart_values(config.uart), *ground)
        self.manual = ManualSource(config.manual, *ground)
        self._values = (self.registers, self.uart, self.manual)
        self.frames = FrameSource(config.cameras, *ground)
        self._sources: tuple[Source, ...] = (self._board, self._contacts, *self._values, self.frames)
        self._frames_at = len(self._sources) - 1
        streams = [s.datastreams for s in self._sources]
        self._history = History(streams)
        self._recents = [Recent() for _ in self._sources]
        self._keys = [key(s.name, [d.name for d in s.datastreams]) for s in self._sources]
        self._board_key = self._keys[0]
        self._calendar = Calendar(self._grid, calendar, config.calendar)
        self._runner = runner or InlineRunner()
        self._board.reverted = self.outputs.board_reverted
        offer = config.offer(VERSION, available())
        self._parts = Parts(
            clock,
            self._grid,
            self._history,
            self._calendar,
            self._recents,
            {d.name: d for each in streams for d in each},
            self.ledger,
            self._runner,
            offer,
            self._journal,
            None if self._beat is None else self._beat.know,
        )
        self._tasks: list[ForecastTask | ScoreTask] = []
        self._pictures: list[Picture] = []
        taken, sums = self._make_tasks()
        self._row_steps = steps = round((config.rows_s or config.step_s) / config.step_s)
        self._rows = PlainRows(
            streams,
            taken,
            sums,
            steps,
            grid=self._grid,
            history=self._history,
            recents=self._recents,
            ledger=self.ledger,
        )

    # --- parts ----------------------------------------------------------------------------------

    def _make_tasks(self) -> tuple[set[str], list[SumConfig]]:
        """Returns the datastreams whose rows tasks write, and the sums whose rows nobody writes yet."""
        taken: set[str] = set()
        sums = list(self._config.sums)
        looked_at: set[str] = set()  # cameras
        for config in self._config.tasks:
            decider = self.outputs.decider(config)
            if config.kind in ("classify", "count"):
                cameras = self._config.cameras
                self._pictures.append(
                    Picture(config, self._parts, decider, cameras=cameras, heads=self._board.heads, taken=looked_at)
                )
                looked_at |= {s.output for s in config.sites}
            elif config.kind == "score":
                self._tasks.append(ScoreTask(config, self._parts, decider))
            else:
                own = {s.output for s in config.sites} - taken
                mine = [s for s in sums if own.issuperset(s.of)]
                self._tasks.append(ForecastTask(config, self._parts, decider, taken, mine))
                sums = [s for s in sums if s not in mine]
                taken |= own
        return taken, sums

    # --- what is heard --------------------------------------------------------------------------

    def receive(self, messages: Iterable[Heard]) -> None:
        """Take what the board's line heard, in order."""
        self._board.receive(messages)
        self._drain(0)

    def contact(self, contact: ContactConfig, closed: bool) -> None:
        """A button was pressed or a door moved."""
        self._contacts.change(contact, closed)
        self._drain(1)

    def value_read(
        self,
        source: ValueSource,
        index: int,
        raw: float | None,
        doubtful: bool = False,
        *,
        wraps_at: float | None = None,
    ) -> None:
        """Value ``index`` of the configuration of ``source`` was read (:meth:`ValueSource.read`)."""
        source.read(index, raw, doubtful=doubtful, wraps_at=wraps_at)
        self._drain(self._sources.index(source))

    def value_failed(self, source: ValueSource, index: int, why: str) -> None:
        source.fail(index, why)

    def value_now(self, datastream: str) -> float | None:
        """What a datastream of the node's own clock shows now; None: nothing that may be believed."""
        for value in (*self.registers.each, *self.uart.each):
            if value.config.datastream == datastream and value.live.quality is GOOD:
                return value.live.value
        return None

    def looks(self, camera: int) -> tuple[Look, ...]:
        """What a frame of ``camera`` must become, for each task that looks at it. Any thread may ask."""
        config = self._config.cameras[camera]
        return tuple(look for task in self._pictures if (look := task.look_of(config)) is not None)

    def see(
        self,
        camera: int,
        seen: Seen,
        size: tuple[int, int],
        frames: Mapping[str, Frame],
        done: tuple[int, str] = (0, ""),
    ) -> None:
        """A frame of ``camera`` was taken: what its view says, and what it became for each task."""
        self.frames.see(camera, seen, size, done)
        self._drain(self._frames_at)
        name = self._config.cameras[camera].name
        overtaken = 0
        for task in self._pictures:
            if task.name in frames:
                overtaken += not task.take(name, frames[task.name], changed=seen.changed)
        if overtaken:
            self.frames.drop(camera, overtaken, "the model is slower than the camera")

    def told(self, entries: Sequence[Entry]) -> Taken:
        """Feeding systems told ``entries``. Raises: EntryRefused."""
        taken = self.manual.take(entries)
        self._drain(self._sources.index(self.manual))
        return taken

    def pass_time(self) -> None:
        """Steps on the node's own clock end, tasks stop waiting, conditions that flapped are over."""
        now_ns = self._clock.mono_ns()
        if self._grid.look(now_ns):
            self.ledger.end("clock_unknown", "clock")
        self._contacts.pass_time()
        self._drain(1)
        for source in self._values:
            if source.each:
                source.pass_time()
                self._drain(self._sources.index(source))
        self.frames.pass_time()
        self._drain(self._frames_at)
        for task in (*self._tasks, *self._pictures):
            task.pass_time(now_ns)
        self.outputs.pass_time()
        self.ledger.pass_time()

    def answered(self, job: Job) -> None:
        """A job that ran elsewhere is done."""
        now_ns = self._clock.mono_ns()
        for task in (*self._tasks, *self._pictures):
            if task.name == job.task:
                task.answered(job, now_ns)

    def _drain(self, source: int) -> None:
        for item in self._sources[source].closed():
            if type(item) is Step:
                self._step(source, item)
            elif type(item) is Loss:
                self.ledger.row(
                    Kind.GAP,
                    item.datastream,
                    stamp(self._clock, self._boot, item.end_ns, item.error_ms),
                    duration_s=(item.end_ns - item.start_ns) / 1e9,
                    value=item.value,
                    unit=item.unit,
                    quality=Quality.GAP,
                    detail=dict(item.detail),
                )

    def _step(self, source: int, step: Step) -> None:
        number = step.grid
        at = stamp(self._clock, self._boot, step.end_ns, step.error_ms)
        self._put(source, step)
        self._rows.step(source, step, at)
        if self._beat is not None and source == 0 and not (number + self._grid.base) % self._row_steps:
            self._beat.write(at)
        now_ns = self._clock.mono_ns()
        self._journal.step(self._keys[source], step, at.wall_ms)
        oldest = number
        for task in self._tasks:
            task.offer(source, number, at, now_ns)
            task.advance(now_ns)
            oldest = min(oldest, task.oldest())
        if source == self._frames_at:
            for picture in self._pictures:
                picture.step(number, source, at, now_ns)
        self._recents[source].forget(min(oldest, number - self._rows.steps) - KEPT_STEPS)

    def _put(self, source: int, step: Step) -> None:
        usable = [
            value if quality is GOOD or quality in USABLE else None
            for value, quality in zip(step.values, step.qualities, strict=True)
        ]
        self._history.put(source, step.grid, usable)
        self._recents[source].put(step)

    # --- models ---------------------------------------------------------------------------------

    def set_model(self, bundle: str, model: Model | None, why: str = NO_MODEL, *, waits: bool = False) -> None:
        """The task of ``bundle`` uses ``model`` from its next step on; None: it runs none, and says ``why``.

        Args:
            waits: for its first one: nothing is wrong.
        """
        for task in (*self._tasks, *self._pictures):
            if task.bundle == bundle:
                task.set_model(model, why, waits=waits)

    def fits(self, passport: Passport, task: str) -> None:
        """Raises: TaskMismatch: the model cannot run in that task; the message says all that keeps it."""
        for each in (*self._tasks, *self._pictures):
            if each.name == task:
                each.fits(passport)

    def task_states(self) -> tuple[TaskState, ...]:
        """Of each task: the model that runs, or why none does."""
        states = {t.name: t.state_of_model() for t in (*self._tasks, *self._pictures)}
        return tuple(states[t.name] for t in self._config.tasks)

    @property
    def board(self) -> Identity | None:
        return self._board.identity

    @property
    def status(self) -> Status | None:
        """The board's last."""
        return self._board.status

    @property
    def signal_mode(self) -> str | None:
        """Of the board's signal, in small letters; None: not known."""
        return self._board.mode

    @property
    def signal_fault(self) -> bool:
        return self.ledger.holds("signal_fault", "board")

    @property
    def durable(self) -> tuple[int, int]:
        """(board boot, seq): what the board may forget."""
        return self._board.durable

    @property
    def cycle_s(self) -> float | None:
        signal = self.outputs.signal
        return None if signal is None else signal.cycle_s

    @property
    def plan(self) -> dict[int, float] | None:
        """Green seconds by phase that the board is to be given, once."""
        signal = self.outputs.signal
        return None if signal is None else signal.plan

    @plan.setter
    def plan(self, plan: dict[int, float] | None) -> None:
        if self.outputs.signal is not None:
            self.outputs.signal.plan = plan

    def requests(self) -> list[tuple[int, Asked]]:
        """What the board is to be asked for, in order, once: (number, request)."""
        return [] if self._beat is None else self._beat.take()

    def beat(self) -> dict[str, Any] | None:
        """For people at the cabinet: the policy that speaks once a second; None: there is none."""
        return None if self._beat is None else self._beat.shown()

    @property
    def closures(self) -> dict[str, int]:
        """Of each contact since the start: for people at the cabinet."""
        return self._contacts.closures

    def cameras(self) -> list[dict[str, Any]]:
        """For people at the cabinet: numbers, never a picture."""
        shown = {task.name: task.counts() for task in self._pictures}
        return [
            status | {"counts": {task: by[status["camera"]] for task, by in shown.items() if status["camera"] in by}}
            for status in self.frames.status()
        ]

    @property
    def steps(self) -> list[tuple[int, Any]]:
        """Entries of the history since the last commit, the committer's to take and to clear."""
        return self._journal.entries

    @property
    def kept(self) -> int:
        """How many entries of the history a restart, or a model to come, may need."""
        return self._history.capacity * (sum(bool(s.datastreams) for s in self._sources) + len(self._tasks))

    def take_events(self) -> tuple[list[tuple[int, int, int]], int | None]:
        """What became durable since the last call (:meth:`HighResolution.take_events`): for the local log."""
        return ([], None) if self._high_resolution is None else self._high_resolution.take_events()

    def clock_arrived(self) -> bool:
        """True once: a trusted time came after a start without one. The rows that wait here have it now."""
        now_ns = self._clock.mono_ns()
        if self._timed or self._clock.wall(now_ns).ms is None:
            return False
        self._timed = True
        self._grid.look(now_ns)
        self.ledger.restamp_rows()
        self.ledger.end("clock_unknown", "clock")
        return True

    def readings(self) -> list[Reading]:
        """For people at the cabinet, not for the hub: each detector's count in the step that ended last, the last
        of every other value."""
        readings: list[Reading] = []
        board, steps = self._board, self._recents[0].steps
        if steps:
            step = steps[next(reversed(steps))]
            at = stamp(self._clock, self._boot, step.end_ns, step.error_ms)
            for stream, value, quality in zip(board.datastreams, step.values, step.qualities, strict=True):
                readings.append(Reading(datastream=stream.name, value=value, unit=stream.unit, quality=quality, at=at))
        now = self.ledger.now()
        return readings + [reading for source in self._values for reading in source.readings(now)]

    def count(self) -> dict[str, int]:
        """Totals for :class:`wayside.contracts.sync.Counters`."""
        board = self._board
        return {
            **self.ledger.counters,
            "readings_received": board.received,
            "readings_lost": board.lost,
            "readings_sent": board.sent(),
        }

    # --- durable state --------------------------------------------------------------------------

    def ahead(self) -> bool:
        """The board or a feeding system told what is not durable."""
        return self._board.ahead() or self.manual.ahead

    def committed(self) -> None:
        """What :meth:`state` said is on disk."""
        self._board.committed()
        self.manual.committed()
        self._older = False

    def state(self) -> dict[str, Any]:
        """Everything that a restart needs, as plain JSON values, by key."""
        node = {
            "grid": self._grid.state(),
            "entries": self._journal.last,
            "sources": {s.name: s.state() for s in self._sources if s.datastreams or s is self._board},
            "tasks": {t.name: t.state() for t in (*self._tasks, *self._pictures)},
            "measured_ms": None if self._high_resolution is None else self._high_resolution.told_ms,
            "beat": None if self._beat is None else self._beat.state(),
        }
        older = {"pipeline": None, "registers": None} if self._older else {}
        return {"node": node, "ledger": self.ledger.state(), "counters": self.count(), **older}

    def restore(self, pieces: Mapping[str, Any], history: Sequence[Any]) -> None:
        """Continue after a restart.

        Args:
            pieces: what :meth:`state` gave, by :attr:`PIECES`; an older agent's are taken over.
            history: bodies of :attr:`steps`, oldest first.
        """
        counters = dict(pieces.get("counters") or {})
        self._board.restore_totals(*[counters.pop(f"readings_{what}", 0) for what in ("received", "lost", "sent")])
        self.ledger.counters.update(counters)
        self.ledger.restore(pieces.get("ledger"))
        parts = self._restore_parts(pieces, history)
        tasks = {t.name for t in (*self._tasks, *self._pictures) if t in parts}
        self.ledger.end_unowned(owners(self._config, tasks, board_restored=self._board in parts))

    def _restore_parts(self, pieces: Mapping[str, Any], history: Sequence[Any]) -> list[Any]:
        """Returns the sources and tasks that have their state again."""
        node, older = pieces.get("node"), pieces.get("pipeline")
        if not node:
            if not older:
                return []
            self._older = True
            node = of_older(older, pieces.get("registers"), self._tasks)
        try:
            grid = node["grid"]
            same = grid["step_ms"] == self._grid.step_ms
            board = node["sources"].get("board") or {}
            same_board = list(board.get("names", ())) == [d.name for d in self._board.datastreams]
            older_key = self._board_key if same_board else ""
            kept = read(history, self._grid.step_ms, grid["base"], older_key) if same else []
            newest = max((k.step.grid for k in kept if isinstance(k, KeptStep)), default=NOTHING)
            self._grid.restore(grid if same else None, newest + MIN_CAPACITY + 1 if kept else 0)
            self._journal.last = node["entries"]
        except (KeyError, TypeError, ValueError) as exc:
            self._lost("the numbers of its steps", exc)
            return []
        if self._high_resolution is not None and isinstance(node.get("measured_ms"), int):
            self._high_resolution.told_ms = node["measured_ms"]
        parts: list[Any] = [s for s in self._sources if self._restore(s, node["sources"].get(s.name))]
        if self._beat is not None and self._board in parts:
            self._beat.restore(node.get("beat"))
        for task in self._tasks:
            task.begin_after(newest)
        tasks = (*self._tasks, *self._pictures)
        parts += [t for t in tasks if self._restore(t, node["tasks"].get(t.name) if same else None)]
        put_back(kept, self._keys, self._put, self._sources, self._tasks, self._parts)
        for source, recent in enumerate(self._recents):
            newest = self._history.newest[source]
            recent.forget(newest - KEPT_STEPS - max([self._rows.steps, *(t.reach for t in self._tasks)]))
        return parts

    def _restore(self, part: Source | Task | Picture, state: Any) -> bool:
        try:
            if state is not None:
                part.restore(state)
                return True
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as exc:
            self._lost(f"the open step of {part.name}" if part in self._sources else f"its task {part.name}", exc)
        return False

    def _lost(self, what: str, exc: Exception) -> None:
        log.error("state unreadable", what=what, error=repr(exc))
        self.ledger.alert("storage", f"after the restart {what} could not be read and begins anew: {exc!r}"[:256])
