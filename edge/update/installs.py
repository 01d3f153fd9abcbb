"""Which model is installed when: what the hub wants, one install at a time over all bundles, and its outcome told.

A final refusal (``contracts.rollout.FINAL``) is an alert, and the same bytes are not tried again. Everything else may
pass by itself: it is tried again after a pause with full jitter, from seconds to :data:`RETRY_CAP_S`, until it works or
the hub wants something else; when it lasts it is the condition ``install_fails``.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec
import structlog

from wayside.contracts.rollout import FINAL, Refusal, UpdateState
from wayside.contracts.sync import Desired, Reported, Trusted
from wayside.contracts.task_config import TaskOffer
from wayside.edge.backoff import full_jitter
from wayside.edge.commit import Committer
from wayside.edge.node import Node
from wayside.edge.update.installation import MAX_REASON
from wayside.edge.update.trial import ActiveModel
from wayside.edge.update.updater import Outcome, Updater

RETRY_BASE_S, RETRY_CAP_S = 5.0, 900.0
LOOK_AGAIN_S = 3600.0  # whether a version that was refused for good has other bytes now
LASTS = 2  # failures in a row
STOP_S = 2.0  # for an install that is broken off; what does not end by then is left behind
T = TypeVar("T")
log = structlog.get_logger(__name__)


class _Job(msgspec.Struct):
    """What is wanted of one bundle. Times are ``time.monotonic``."""

    desired: Desired | None = None
    due: float | None = None  # None: nothing to do
    failures: int = 0


class Installs:
    """The models of the node's tasks, as the hub wants them."""

    def __init__(self, updater: Updater | None, tasks: Sequence[TaskOffer], node: Node, committer: Committer) -> None:
        """``updater`` is None where no model can be had; that was told already."""
        self._updater, self._tasks = updater, tasks
        self._node, self._committer = node, committer
        self._jobs = {task.bundle: _Job() for task in tasks}
        self._unclaimed: tuple[Desired, ...] = ()  # wanted, and no task is for it
        self._running: tuple[Desired, threading.Event] | None = None
        self._in_use: dict[str, ActiveModel | None] = {}
        self._changed = asyncio.Event()
        self._draw = random.SystemRandom()
        for task in tasks:
            self._hand_over(task)

    # --- reported -------------------------------------------------------------------------------

    def first_report(self) -> Reported:
        """Of the first task's bundle, for readers that know only one model."""
        if self._updater is None or not self._tasks:
            return Reported()
        return self._with_next_try(self._tasks[0].bundle)

    def trusted(self) -> Trusted | None:
        """Of the signed metadata, the versions that are verified here; None: none yet."""
        return None if self._updater is None else self._updater.trusted.versions()

    def reports(self) -> tuple[Reported, ...]:
        """Of each task's bundle, and of what is wanted and no task is for."""
        if self._updater is None:
            return ()
        mine = [msgspec.structs.replace(self._with_next_try(t.bundle), bundle=t.bundle) for t in self._tasks]
        others = [
            Reported(
                state=UpdateState.REFUSED,
                bundle=desired.bundle,
                attempted=desired.version,
                refusal=Refusal.UNSUPPORTED,
                reason=self._no_task(desired),
            )
            for desired in self._unclaimed
        ]
        return (*mine, *others)[:64]

    def _with_next_try(self, bundle: str) -> Reported:
        assert self._updater is not None  # noqa: S101  (the callers looked)
        report, job = self._updater.installations[bundle].reported, self._jobs[bundle]
        if report.refusal is None or report.refusal in FINAL or job.due is None:
            return report
        pause = f"; tried again in {max(0.0, job.due - time.monotonic()):.0f} s"
        return msgspec.structs.replace(report, reason=(report.reason or "")[: MAX_REASON - len(pause)] + pause)

    # --- wanted ---------------------------------------------------------------------------------

    def want(self, wanted: Sequence[Desired]) -> None:
        """The hub's word: for each bundle the version that shall run; at most one each, absent ones may stay."""
        if self._updater is None:
            return
        by_bundle = {desired.bundle: desired for desired in wanted}
        for bundle, job in self._jobs.items():
            desired = by_bundle.pop(bundle, None)
            if desired != job.desired:
                self._change(bundle, job, desired)
        news = [desired for desired in by_bundle.values() if desired not in self._unclaimed]
        self._unclaimed = tuple(by_bundle.values())
        for desired in news:
            self._alert(desired, Refusal.UNSUPPORTED, self._no_task(desired))
        if self._running is not None and self._running[0] != self._jobs[self._running[0].bundle].desired:
            self._running[1].set()
        self._changed.set()

    def _change(self, bundle: str, job: _Job, desired: Desired | None) -> None:
        assert self._updater is not None  # noqa: S101  (the caller looked)
        place = self._updater.installations[bundle]
        job.desired, job.due, job.failures = desired, None, 0
        self._node.ledger.end("install_fails", bundle)
        busy = self._running is not None and self._running[0].bundle == bundle
        if busy:  # it is broken off, and its end looks at what is wanted then
            return
        if desired is None:
            place.withdraw()
        elif place.runs(desired.version):
            place.settle()
        else:
            if (refused := place.refused(desired.version)) is not None:
                place.recall(refused)  # also where the hub cannot be reached now to see whether the bytes are others
            job.due = time.monotonic()

    # --- installing -----------------------------------------------------------------------------

    async def run(self) -> None:
        while True:
            self._changed.clear()
            bundle = self._next()
            if bundle is None:
                due = min((job.due for job in self._jobs.values() if job.due is not None), default=None)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(None if due is None else max(0.0, due - time.monotonic())):
                        await self._changed.wait()
                continue
            await self._install(bundle)

    def _next(self) -> str | None:
        """The bundle whose turn it is: the one that has been due for longest."""
        now = time.monotonic()
        due = [(job.due, bundle) for bundle, job in self._jobs.items() if job.due is not None and job.due <= now]
        return min(due)[1] if due else None

    async def _install(self, bundle: str) -> None:
        job, updater = self._jobs[bundle], self._updater
        desired, cancel = job.desired, threading.Event()
        assert updater is not None and desired is not None  # noqa: S101  (else it is not due)
        self._running = desired, cancel
        try:
            outcome = await _in_thread(lambda: updater.install(desired, cancel), cancel)
        except asyncio.CancelledError:
            updater.installations[bundle].forgive_trial()
            raise
        finally:
            self._running = None
        if not outcome.cancelled:
            self._tell(bundle, desired, outcome)
        if outcome.cancelled or job.desired != desired:  # begin with what is wanted now, from what is true now
            self._change(bundle, job, job.desired)
        self._committer.commit()

    def _tell(self, bundle: str, desired: Desired, outcome: Outcome) -> None:
        job, ledger = self._jobs[bundle], self._node.ledger
        refusal, reason = outcome.reported.refusal, outcome.reported.reason or ""
        if refusal is None:
            job.due, job.failures = None, 0
            ledger.end("install_fails", bundle)
        elif refusal in FINAL:
            job.due, job.failures = time.monotonic() + self._draw.uniform(0.5, 1.0) * LOOK_AGAIN_S, 0
            ledger.end("install_fails", bundle)
            if not outcome.known:
                self._alert(desired, refusal, reason)
        else:
            job.due = time.monotonic() + full_jitter(job.failures, RETRY_BASE_S, RETRY_CAP_S, self._draw)
            job.failures += 1
            if job.failures == LASTS:
                what = f"{bundle} {desired.version} cannot be installed, it is tried again: {refusal.value}: {reason}"
                ledger.begin("install_fails", bundle, what, severe=False)
        self._hand_over(next(task for task in self._tasks if task.bundle == bundle))
        if job.failures < LASTS:  # the hub waits for the outcome; not for each of many failures
            self._committer.urgent.set()

    def _alert(self, desired: Desired, refusal: Refusal, reason: str) -> None:
        what = f"{desired.bundle} {desired.version} refused: {refusal.value}: {reason}"
        self._node.ledger.alert("model", what, refusal=refusal.value)

    # --- the tasks' models ----------------------------------------------------------------------

    def _hand_over(self, task: TaskOffer) -> None:
        """The task uses what runs now; or it is said why none does."""
        place = self._updater.installations[task.bundle] if self._updater is not None else None
        active = place.active if place is not None else None
        if active is None:
            waits = place is not None and place.reported.refusal is None and place.reported.attempted is None
            self._node.set_model(task.bundle, None, self._why_none(task), waits=waits)
        elif active is not self._in_use.get(task.bundle):
            self._node.set_model(task.bundle, active)
        self._in_use[task.bundle] = active

    def _why_none(self, task: TaskOffer) -> str:
        if self._updater is None:
            return "the folder of the models cannot be used"
        place = self._updater.installations[task.bundle]
        return place.why_none()

    def _no_task(self, desired: Desired) -> str:
        takes = ", ".join(task.bundle for task in self._tasks) or "none"
        return f"no task of this node is for {desired.bundle}; its tasks take {takes}"[:MAX_REASON]


async def _in_thread(work: Callable[[], T], cancel: threading.Event) -> T:
    """Run ``work`` in a thread that no exit waits for; when this is cancelled, set ``cancel`` and wait a moment.

    A trial runs native code, which nothing can interrupt: the agent must end all the same.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, exc: BaseException | None) -> None:
        if done.done():
            return
        if exc is not None:
            done.set_exception(exc)
        else:
            done.set_result(result)  # type: ignore[arg-type]

    def body() -> None:
        result, failure = None, None
        try:
            result = work()
        except BaseException as exc:  # raised where it is awaited
            # a future takes no StopIteration, and would be waited for without end
            failure = RuntimeError(f"{exc!r} in an install") if isinstance(exc, StopIteration) else exc
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=body, name="install", daemon=True).start()
    try:
        return await asyncio.shield(done)
    except asyncio.CancelledError:
        cancel.set()
        await asyncio.wait({done}, timeout=STOP_S)
        if done.done() and not done.cancelled():
            done.exception()  # looked at: nobody else will
        raise
