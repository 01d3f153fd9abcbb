"""Pictures: frames in, counts out. A frame is looked at in the model's thread and forgotten; no row can hold pixels.

Each frame is a job of its own. While the model computes, the newest frame of each camera waits; one that waited and
was overtaken is dropped, and told. What a step's frames showed becomes rows ``CAMERA/CLASS`` (further tasks of a camera
write ``TASK/CAMERA/CLASS``): the mean count of a frame, or the share of frames that were taken for the class; ``n`` is
the frames behind it.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from wayside.contracts.action import Answer, Answers
from wayside.contracts.camera_config import CameraConfig, Region
from wayside.contracts.condition import MODEL_CONDITIONS
from wayside.contracts.fit import misfits
from wayside.contracts.frames import Counts, Frame
from wayside.contracts.passport import Passport
from wayside.contracts.reading import MISSING, NO_VALUE, Quality, Stamp
from wayside.contracts.summary import INTERVAL
from wayside.contracts.sync import TaskState
from wayside.contracts.task import PictureSpec, TaskSpec
from wayside.contracts.task_config import TaskConfig
from wayside.contracts.windows import Float32
from wayside.edge.decisions import Decider
from wayside.edge.sources.heads import UNKNOWN, Heads
from wayside.edge.tasks.runner import Job
from wayside.edge.tasks.task import LATE_REAL_S, NO_MODEL, Model, Parts, say_no_model
from wayside.edge.tasks.window import TaskMismatch

CONSTANT = 24
"""Equal answers in a row, to pictures that differ: the model is stuck. That there is nothing is no such answer."""
MOST_ROWS = 16
"""Of a model with more classes only those become rows that were seen in the step."""
UNJUDGED = 4096  # frames of a camera that wait for the board to tell what it drove


class Look(NamedTuple):
    """What a camera's frames must become for one task."""

    task: str
    region: Region
    spec: PictureSpec
    image: tuple[int, int, int]


class _Waiting(NamedTuple):
    frame: Frame
    changed: bool  # another picture than the one before


class _Tally:
    """What the frames of one camera showed in the open step."""

    def __init__(self, camera: CameraConfig) -> None:
        self.camera = camera
        self.frames = 0
        self.totals: dict[str, float] = {}
        self.heads: dict[str, dict[str, float]] = {}  # what was driven → class → frames
        self.unjudged: deque[tuple[int, str]] = deque(maxlen=UNJUDGED)  # when taken, class
        self.last: Counts | None = None

    def add(self, counts: Counts, *, one: bool) -> None:
        """``one``: of a classifier, which says one class of a frame."""
        self.frames += 1
        for name, n in counts.counts.items():
            self.totals[name] = self.totals.get(name, 0.0) + n
        if one and self.camera.phase is not None:
            self.unjudged.append((counts.at.mono_ns, next(iter(counts.counts))))
        self.last = counts

    def judge(self, heads: Heads, *, finally_: bool = False) -> None:
        """Lay the frames beside what the board drove; ``finally_``: what it has not told is unknown."""
        phase = self.camera.phase
        while self.unjudged and phase is not None:
            taken_ns, name = self.unjudged[0]
            shown = heads.at(phase, taken_ns)
            if shown is None:
                if not finally_:
                    return
                shown = UNKNOWN
            self.unjudged.popleft()
            of = self.heads.setdefault(shown, {})
            of[name] = of.get(name, 0.0) + 1

    def clear(self) -> None:
        self.frames, self.totals, self.heads = 0, {}, {}


class Picture:
    """A task of kind ``classify`` or ``count``. Each of its sites is a camera."""

    def __init__(
        self,
        config: TaskConfig,
        parts: Parts,
        decider: Decider | None,
        *,
        cameras: Sequence[CameraConfig],
        heads: Heads,
        taken: set[str],
    ) -> None:
        """``taken``: cameras whose rows an earlier task names after them."""
        self.config, self.name, self.bundle = config, config.name, config.bundle
        self.decider = decider
        self._parts, self._ledger, self._heads = parts, parts.ledger, heads
        named = {c.name: c for c in cameras}
        self._tallies = {s.output: _Tally(named[s.output]) for s in config.sites if s.output in named}
        self._rows_of = {name: f"{self.name}/{name}" if name in taken else name for name in self._tallies}
        base_s = parts.grid.step_ms // 1000
        self._every, self._steps = round(config.every_s / base_s), round(config.every_s / base_s)
        self._fresh_ns = int(max(config.every_s, LATE_REAL_S * parts.clock.speed) * 1e9)
        self._model: Model | None = None
        self._classes: tuple[str, ...] = ()  # of the last model
        self.label: str | None = None
        self.why: str | None = NO_MODEL
        self._job: Job | None = None
        self._asked: tuple[str, _Waiting] | None = None  # camera and frame of the job
        self._waiting: dict[str, _Waiting] = {}  # by camera
        self._open = set(MODEL_CONDITIONS)  # that may be open: those of before the restart, to begin with
        self._said: bytes = b""
        self._same = 0  # answers in a row

    # --- model ----------------------------------------------------------------------------------

    def fits(self, passport: Passport) -> None:
        """Raises: TaskMismatch: the model cannot run here; the message says all that keeps it."""
        wrong = misfits(passport, self.config.offered(), self._parts.offer)
        if wrong:
            raise TaskMismatch("; ".join(m.message for m in wrong))

    def set_model(self, model: Model | None, why: str = NO_MODEL, *, waits: bool = False) -> None:
        """Use ``model`` from the next frame on. None, or one that does not fit: none runs, and ``why`` is said."""
        before = self._model
        if before is not None and (model is None or model.runtime is not before.runtime):
            self._parts.runner.forget(before.runtime)
        self._forget_waiting()
        if model is not None:
            try:
                self.fits(model.passport)
            except TaskMismatch as exc:
                model, why, waits = None, str(exc), False
        self._model, self.why, self.label = model, None, None
        self._same = 0
        for code in MODEL_CONDITIONS:
            self._over(code)
        if model is None:
            self.why = why
            say_no_model(self._ledger, self.name, why, waits=waits)
            return
        passport = model.passport
        self.label = f"{passport.bundle} {passport.version}"[:64]
        if passport.task.classes != self._classes:  # what was counted of others is not added to these
            self._classes = passport.task.classes
            for tally in self._tallies.values():
                tally.clear()
        self._ledger.end("no_model", self.name)

    def state_of_model(self) -> TaskState:
        version = None if self._model is None else self._model.passport.version
        return TaskState(name=self.name, bundle=self.bundle, model=version, why=self.why and self.why[:512])

    def look_of(self, camera: CameraConfig) -> Look | None:
        """What frames of ``camera`` must become; None: nobody asks for them."""
        spec = None if self._model is None else self._model.passport.task
        if spec is None or spec.image is None or camera.name not in self._tallies:
            return None
        return Look(self.name, camera.region, spec.seen_as, spec.image)

    # --- frames ---------------------------------------------------------------------------------

    def take(self, camera: str, frame: Frame, *, changed: bool) -> bool:
        """A frame of ``camera``, prepared for the model. False: an older one was dropped for it."""
        if self._model is None or camera not in self._tallies:
            frame.forget()
            return True
        before = self._waiting.pop(camera, None)  # and to the end of the queue
        if before is not None:
            before.frame.forget()
        self._waiting[camera] = _Waiting(frame, changed)
        self._next()
        return before is None

    def _next(self) -> None:
        """Ask the model about the frame that waits longest."""
        while self._job is None and self._waiting and self._model is not None:
            runtime = self._model.runtime
            if self._parts.runner.busy(runtime):  # in what was given up
                return
            camera = next(iter(self._waiting))
            self._asked = camera, self._waiting.pop(camera)
            pixels: Float32 = np.ascontiguousarray(self._asked[1].frame.pixels[None], np.float32)
            job = self._job = Job(self.name, runtime, [pixels], (0,), self.config.deadline_s)
            self._parts.runner.submit(job)
            if not job.done:
                return
            self._finish(job)

    def answered(self, job: Job, now_ns: int) -> None:
        """``job`` is done. One that was given up is not listened to any more."""
        if job is self._job:
            if job.seconds > job.deadline_s:
                self._give_up()
            else:
                self._finish(job)
        self._next()

    def pass_time(self, now_ns: int) -> None:
        if self._job is not None and self._parts.runner.late(self._job):
            self._give_up()
        for tally in self._tallies.values():
            tally.judge(self._heads)
        self._next()

    def _finish(self, job: Job) -> None:
        camera, waiting = self._end_job()
        at = waiting.frame.at
        waiting.frame.forget()
        model = self._model
        if model is None or job.runtime is not model.runtime:
            return  # another model came in
        self._over("model_late")
        if job.failed is not None:
            self._begin("model_fails", job.failed, at)
            return
        self._over("model_fails")
        answer = job.answers[0]
        if answer is None or not np.isfinite(answer).all():
            self._begin("model_nan", "it answers what is not a number", at)
            return
        self._over("model_nan")
        self._watch(answer, at, changed=waiting.changed)
        spec = model.passport.task
        self._tallies[camera].add(counted(answer[0], spec, at), one=spec.kind == "classify")

    def _watch(self, answer: Float32, at: Stamp, *, changed: bool) -> None:
        said = answer.tobytes()
        if said != self._said or not answer.any():
            self._same = 0
            self._over("model_constant")
        elif changed:
            self._same += 1
            if self._same >= CONSTANT:
                what = f"its last {self._same} answers were all the same, to pictures that differ"
                self._begin("model_constant", what, at, severe=False)
        self._said = said

    def _give_up(self) -> None:
        job = self._job
        assert job is not None  # noqa: S101  (the caller looked)
        _, waiting = self._end_job()
        at = waiting.frame.at
        waiting.frame.forget()
        if self._model is not None and job.runtime is self._model.runtime:
            self._begin("model_late", f"it did not answer within {job.deadline_s:g} s", at)

    def _end_job(self) -> tuple[str, _Waiting]:
        asked = self._asked
        assert asked is not None  # noqa: S101  (it was submitted with the job)
        job, self._job, self._asked = self._job, None, None
        if job is not None and job.done:
            for pixels in job.views:
                pixels[:] = 0
        return asked

    def _forget_waiting(self) -> None:
        for waiting in self._waiting.values():
            waiting.frame.forget()
        self._waiting.clear()

    def _begin(self, code: str, what: str, at: Stamp, *, severe: bool = True) -> None:
        self._open.add(code)
        self._ledger.begin(code, self.name, f"the model: {what}", at=at, severe=severe)

    def _over(self, code: str) -> None:
        if code in self._open:
            self._open.discard(code)
            self._ledger.end(code, self.name)

    # --- a step ---------------------------------------------------------------------------------

    def step(self, number: int, source: int, at: Stamp, now_ns: int) -> None:
        """The cameras' step ``number`` has closed at ``at``: its counts become rows, and the policy is asked."""
        if (number + self._parts.grid.base) % self._every:
            return
        history, recent = self._parts.history, self._parts.recents[source]
        answers: dict[str, Answer] = {}
        for name, tally in self._tallies.items():
            tally.judge(self._heads, finally_=True)
            seen = recent.intervals((history.index(name),), number, self._steps, (False,))
            quality = seen.qualities[0]
            means = {c: tally.totals.get(c, 0.0) / tally.frames for c in self._classes} if tally.frames else None
            self._rows(self._rows_of[name], means, quality, tally.frames, at)
            heads = None
            if tally.camera.phase is not None and tally.frames:
                heads = tally.heads
            answers[name] = Answer(seen.values[0], quality, counts=means, by_head=heads)
            tally.clear()
        if self.decider is not None:
            self._decide(answers, number, at, now_ns)

    def _rows(self, row: str, means: Mapping[str, float] | None, quality: Quality, n: int, at: Stamp) -> None:
        unit = "1"
        if means is None or quality in NO_VALUE:
            quality = quality if quality in NO_VALUE else MISSING
        classes = self._classes
        if len(classes) > MOST_ROWS:
            classes = tuple(c for c in classes if means is not None and means[c])
        for name in classes:
            value = None if means is None or quality in NO_VALUE else means[name]
            self._ledger.row(
                INTERVAL,
                row_name(row, name),
                at,
                duration_s=self.config.every_s,
                value=value,
                unit=unit,
                quality=quality,
                n=n,
                model=self.label,
            )

    def _decide(self, sites: dict[str, Answer], number: int, at: Stamp, now_ns: int) -> None:
        decider, calendar = self.decider, self._parts.calendar
        assert decider is not None  # noqa: S101  (the caller looked)
        local = calendar.at(number) if calendar.known else None
        answers = Answers(
            self.config.every_s,
            sites,
            clock_known=at.wall_ms is not None,
            fresh=now_ns - at.mono_ns <= self._fresh_ns,
            hour=None if local is None else local.hour,
            weekday=None if local is None else local.weekday,
        )
        why = f"no model, because {self.why}" if self.why is not None else "no camera gave a frame"
        decider.decide(answers, at, model=self.label, why_none=why)

    def counts(self) -> dict[str, dict[str, float]]:
        """For people at the cabinet: by camera, what the last frame showed."""
        return {name: t.last.counts for name, t in self._tallies.items() if t.last is not None}

    # --- durable state --------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """What a restart needs, as plain JSON values: numbers, no pixels."""
        tallies = {
            name: [t.frames, t.totals, t.heads, [] if t.camera.phase is None else list(t.unjudged)]
            for name, t in self._tallies.items()
        }
        decider = None if self.decider is None else self.decider.state()
        return {"classes": list(self._classes), "tallies": tallies, "decider": decider}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._classes = tuple(state["classes"])
        for name, (frames, totals, heads, unjudged) in state["tallies"].items():
            tally = self._tallies.get(name)
            if tally is not None:
                tally.frames, tally.totals, tally.heads = int(frames), dict(totals), dict(heads)
                tally.unjudged.extend((int(ns), str(c)) for ns, c in unjudged)
        if self.decider is not None:
            self.decider.restore(state["decider"])


def counted(answer: Float32, spec: TaskSpec, at: Stamp) -> Counts:
    """What an answer (K,) says: the one class that a classifier takes the picture for, or how many of each."""
    if spec.kind == "classify":
        return Counts(at=at, counts={spec.classes[int(answer.argmax())]: 1.0})
    return Counts(at=at, counts={name: max(0.0, float(n)) for name, n in zip(spec.classes, answer, strict=True)})


def row_name(row: str, name: str) -> str:
    """``CAMERA/CLASS``, of what a name may have."""
    return f"{row}/{re.sub('[^A-Za-z0-9_.-]', '_', name)}"[:64]
