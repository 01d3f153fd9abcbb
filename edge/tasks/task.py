"""One ``[[tasks]]`` table at work: when it is due, its windows, its model, and what becomes of the answers.

What an answer of a kind means is the subclasses' (:mod:`~wayside.edge.tasks.forecast`,
:mod:`~wayside.edge.tasks.score`). A task deals with the steps one after the other: while its model computes, later
ones wait, and what a restart finds undone is done then.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from wayside.contracts.action import Answer, Answers
from wayside.contracts.condition import MODEL_CONDITIONS
from wayside.contracts.fit import misfits
from wayside.contracts.passport import Passport
from wayside.contracts.reading import Stamp
from wayside.contracts.sync import TaskState
from wayside.contracts.task_config import Datastream, Offer, TaskConfig
from wayside.contracts.windows import Float32
from wayside.edge.clock import Clock
from wayside.edge.decisions import Decider
from wayside.edge.history import NOTHING, Calendar, History
from wayside.edge.journal import Journal, KeptAnswers, key
from wayside.edge.ledger import Ledger
from wayside.edge.runtimes.runtime import Runtime
from wayside.edge.sources.recent import Recent, Values
from wayside.edge.sources.step import Grid
from wayside.edge.tasks.health import Health
from wayside.edge.tasks.runner import Job, Runner
from wayside.edge.tasks.window import TIMELESS, TaskMismatch, Window

LATE_REAL_S = 5.0
NO_MODEL = "none has been installed"


class Model(Protocol):
    """What runs (see :class:`wayside.edge.update.trial.ActiveModel`)."""

    @property
    def passport(self) -> Passport: ...
    @property
    def runtime(self) -> Runtime: ...


def say_no_model(ledger: Ledger, task: str, why: str, *, waits: bool) -> None:
    """A task that ``waits`` for its first model does not make the node unhealthy: else the rollout that brings another
    task's would be held up by it."""
    ledger.begin("no_model", task, f"this task runs no model, because {why}"[:256], severe=not waits)


class Parts(NamedTuple):
    """What a task stands on: the node's own, shared by all tasks."""

    clock: Clock
    grid: Grid
    history: History
    calendar: Calendar
    recents: Sequence[Recent]  # of each source
    streams: Mapping[str, Datastream]
    ledger: Ledger
    runner: Runner
    offer: Offer
    journal: Journal
    foretell: Callable[[Mapping[str, float | None], float], None] | None = None
    """takes what forecast tasks expect of their outputs, and the interval's seconds"""


class Due(NamedTuple):
    """A step that the task has to deal with."""

    number: int
    at: Stamp  # its end
    since_ns: int  # it closed
    told: bool = False  # its rows were written before a restart, its answer was not


class Site(NamedTuple):
    """Where the task's model runs, with every index resolved."""

    output: str
    unit: str
    mean: bool
    source: int
    which: int  # in its source


class Task:
    """One task of the node. Not for pictures: :class:`wayside.edge.tasks.picture.Picture`."""

    def __init__(self, config: TaskConfig, parts: Parts, decider: Decider | None) -> None:
        self.config, self.name, self.bundle = config, config.name, config.bundle
        self.decider = decider
        self._parts, self._ledger = parts, parts.ledger
        base_s = parts.grid.step_ms // 1000
        self._base_s = base_s
        self._every = round(config.every_s / base_s)  # base steps
        self._steps = round(config.interval_s / base_s)
        self._wait_ns = int((config.wait_s or config.every_s) * 1e9)
        self._fresh_ns = int(max(config.every_s, LATE_REAL_S * parts.clock.speed) * 1e9)
        self.key = key(self.name, [s.output for s in config.sites])
        self.sites = tuple(self._site(s.output) for s in config.sites)
        self._output_sources = frozenset(s.source for s in self.sites)
        self._outputs_only = tuple(sorted(self._output_sources))
        self._sources = self._outputs_only
        self._one_source = parts.recents[self._outputs_only[0]] if len(self._outputs_only) == 1 else None
        self._model: Model | None = None
        self._window: Window | None = None
        self._health: Health | None = None
        self._kept_health: Mapping[str, Any] | None = None  # of before the restart, until its model is here
        self.label: str | None = None
        self.why: str | None = NO_MODEL
        """Why no model runs; None: one does."""
        self._queue: deque[Due] = deque()
        self.offered = self._told = NOTHING
        self.done = NOTHING
        """The last step that was dealt with."""
        self._open = set(MODEL_CONDITIONS)  # that may be open: those of before the restart, to begin with
        self._job: Job | None = None
        self._asked: Due | None = None  # what the job is about
        self._which = tuple(s.which for s in self.sites)
        self._means = tuple(s.mean for s in self.sites)
        self._seen = Values((), (), ())  # of the sites, in the step that is dealt with

    def _site(self, output: str) -> Site:
        stream = self._parts.streams[output]
        history = self._parts.history
        return Site(output, stream.unit, stream.aggregate == "mean", history.source(output), history.index(output))

    # --- model ----------------------------------------------------------------------------------

    def fits(self, passport: Passport) -> None:
        """Raises: TaskMismatch: the model cannot run here; the message says all that keeps it."""
        wrong = misfits(passport, self.config.offered(), self._parts.offer)
        if wrong:
            raise TaskMismatch("; ".join(m.message for m in wrong))

    def set_model(self, model: Model | None, why: str = NO_MODEL, *, waits: bool = False) -> None:
        """Use ``model`` from the next step on. None, or one that does not fit: none runs, and ``why`` is said."""
        before = self._model
        if before is not None and (model is None or model.runtime is not before.runtime):
            self._parts.runner.forget(before.runtime)
        self._model, self._window, self._health, self.label = None, None, None, None
        self._sources = self._outputs_only
        if model is not None:
            try:
                self.fits(model.passport)
                self._adopt(model)
            except TaskMismatch as exc:
                model, why, waits = None, str(exc), False
        if model is None:
            self.why = why
            self._forgive()
            self.forget_alarms()
            say_no_model(self._ledger, self.name, why, waits=waits)
        else:
            self.why = None
            self._ledger.end("no_model", self.name)

    def forget_alarms(self) -> None:
        """No model runs: what its answers raised is over, for nobody can tell."""

    def _adopt(self, model: Model) -> None:
        """Raises: TaskMismatch."""
        passport = model.passport
        spec = passport.task
        self._window = Window(spec, self.config, self._base_s, self._parts.history, self._parts.calendar)
        self._sources = self._window.sources
        self.label = f"{passport.bundle} {passport.version}"[:64]
        self._health = Health(len(self.sites), passport.residual_std)
        kept, self._kept_health = self._kept_health, None
        if kept is not None and kept.get("model") == self.label:
            self._health.restore(kept)
        else:
            self._forgive()  # what the model before was told of is not this one's doing
        self._model = model

    def _forgive(self) -> None:
        for code in MODEL_CONDITIONS:
            self._over(code)

    @property
    def reach(self) -> int:
        """Base steps of the past that the task may still ask for."""
        return max(self._window.span if self._window is not None else 0, self._steps)

    def state_of_model(self) -> TaskState:
        version = None if self._model is None else self._model.passport.version
        return TaskState(name=self.name, bundle=self.bundle, model=version, why=self.why and self.why[:512])

    # --- when -----------------------------------------------------------------------------------

    def offer(self, source: int, number: int, at: Stamp, now_ns: int) -> None:
        """A step of ``source`` has closed."""
        if source not in self._output_sources or number <= self.offered:
            return
        if self._every == 1 or not (number + self._parts.grid.base) % self._every:
            self.offered = number
            self._queue.append(Due(number, at, now_ns, number == self._told))

    def advance(self, now_ns: int) -> None:
        """Deal with every step that is due: all its inputs have arrived, or have been waited for long enough."""
        queue, history = self._queue, self._parts.history
        while queue and self._job is None:
            due = queue[0]
            if history.reached(self._sources) < due.number:
                if now_ns - due.since_ns < self._wait_ns:
                    return
                history.go_on(self._sources, due.number)
            queue.popleft()
            self._step(due)

    def pass_time(self, now_ns: int) -> None:
        if self._job is not None and self._parts.runner.late(self._job):
            self._give_up()
        self.advance(now_ns)

    def oldest(self) -> int:
        """The number from which on steps may still be asked for as they were."""
        number = self._queue[0].number if self._queue else self.offered
        if self._asked is not None:
            number = self._asked.number
        return number - self._steps

    # --- a step ---------------------------------------------------------------------------------

    def _step(self, due: Due) -> None:
        if due.at.wall_ms is None:
            due = due._replace(at=self._ledger.timed(due.at))
        number = due.number
        self._seen = self._look(number)
        self._closed(due)
        window, model = self._window, self._model
        if window is None or model is None:
            self._conclude(due, None, f"no model, because {self.why}")
            return
        why = window.fill(number)
        if why == TIMELESS:
            self._ledger.begin(
                "clock_unknown", "clock", "nobody has said the time yet: models that need it do not run", severe=False
            )
        if why is None:
            sites = window.usable(number)
            if not sites:
                why = "no forecast: too few believable readings"
        if why is not None:
            self._conclude(due, None, why)
            return
        runner = self._parts.runner
        if runner.busy(model.runtime):  # in what was given up
            self._conclude(due, None, "the model still computes an answer that is late")
            return
        job = Job(self.name, model.runtime, window.views, sites, self.config.deadline_s)
        self._job, self._asked = job, due
        runner.submit(job)
        if job.done:
            self._finish(job)

    def _look(self, number: int) -> Values:
        """The sites' intervals that end with step ``number``."""
        if self._one_source is not None:
            return self._one_source.intervals(self._which, number, self._steps, self._means)
        recents = self._parts.recents
        each = [recents[s.source].intervals((s.which,), number, self._steps, (s.mean,)) for s in self.sites]
        return Values([v.values[0] for v in each], [v.qualities[0] for v in each], [v.n[0] for v in each])

    def answered(self, job: Job, now_ns: int) -> None:
        """``job`` is done. One that was given up is not listened to any more."""
        if job is self._job:
            if job.seconds > job.deadline_s:  # and nobody has looked at the time meanwhile
                self._give_up()
            else:
                self._finish(job)
            self.advance(now_ns)

    def _finish(self, job: Job) -> None:
        due, model = self._asked, self._model
        assert due is not None  # noqa: S101  (it was submitted with the job)
        self._job = self._asked = None
        self._over("model_late")
        if model is None or job.runtime is not model.runtime:
            self._conclude(due, None, "another model came in")
            return
        if job.failed is not None:
            self._begin("model_fails", job.failed, due.at)
            self._conclude(due, None, job.failed)
            return
        self._over("model_fails")
        self._conclude(due, job.answers, None)

    def _give_up(self) -> None:
        due, job = self._asked, self._job
        assert due is not None and job is not None  # noqa: S101  (the caller looked)
        self._job = self._asked = None
        if self._model is None or job.runtime is not self._model.runtime:
            self._conclude(due, None, "another model came in")
            return
        why = f"it did not answer within {job.deadline_s:g} s"
        self._begin("model_late", why, due.at)
        self._conclude(due, None, f"no answer of the model: {why}")

    def _watch(self, bad: bool, answers: Sequence[float | None], at: Stamp) -> None:
        """What health says of the model's first answers; ``bad``: one of them is no number."""
        if bad:
            self._begin("model_nan", "it answers what is not a number", at)
        else:
            self._over("model_nan")
        health = self._health
        if health is None:
            return
        if not health.answered(answers, self._seen.values):
            if self._open:
                self._over("model_constant")
                self._over("model_worse")
            return
        for code, what in (("model_constant", health.constant), ("model_worse", health.worse)):
            if what is not None:
                self._begin(code, what, at, severe=False)
            else:
                self._over(code)

    def _begin(self, code: str, what: str, at: Stamp, *, severe: bool = True) -> None:
        self._open.add(code)
        self._ledger.begin(code, self.name, f"the model: {what}", at=at, severe=severe)

    def _over(self, code: str) -> None:
        if code in self._open:
            self._open.discard(code)
            self._ledger.end(code, self.name)

    def _decide(self, due: Due, sites: dict[str, Answer], why: str | None, quantiles: Sequence[float] = ()) -> None:
        decider, calendar = self.decider, self._parts.calendar
        if decider is None:
            return
        local = calendar.at(due.number) if calendar.known else None
        answers = Answers(
            self.config.interval_s,
            sites,
            quantiles,
            due.at.wall_ms is not None,
            due.since_ns - due.at.mono_ns <= self._fresh_ns,
            None if local is None else local.hour,
            None if local is None else local.weekday,
            0 if self._window is None else self._window.filled,
            self.sites[0].unit,
            step_s=self.config.step_s,
        )
        decider.decide(answers, due.at, model=self.label, why_none=why)

    # --- of the kind ----------------------------------------------------------------------------

    def _closed(self, due: Due) -> None:
        """The step has closed; ``self._seen`` are its intervals. The model has not been asked yet."""

    def _conclude(self, due: Due, answers: Sequence[Float32 | None] | None, why: str | None) -> None:
        """The model has answered, or not: then ``answers`` is None and ``why`` says why not."""
        raise NotImplementedError

    # --- durable state --------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """What a restart needs, as plain JSON values."""
        health = self._kept_health
        if self._health is not None:
            health = self._health.state() | {"model": self.label}
        decider = None if self.decider is None else self.decider.state()
        undone = self._asked.number if self._asked is not None else None
        return {"done": self.done, "undone": undone, "health": health, "decider": decider}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.done = self.offered = state.get("done", self.done)
        if state["undone"] is not None:
            self.offered, self._told = state["undone"] - 1, state["undone"]
        self._kept_health = state["health"]
        if self.decider is not None:
            self.decider.restore(state["decider"])

    def begin_after(self, number: int) -> None:
        """What was before is nothing to deal with, unless :meth:`restore` says so."""
        self.done = self.offered = number

    def restore_answers(self, kept: KeptAnswers) -> None:
        """Of an entry of the journal, after :meth:`restore`."""
