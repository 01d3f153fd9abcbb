"""Which model is installed when: what the hub wants, one install at a time, and its outcome told."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence

from wayside.contracts.rollout import Refusal
from wayside.contracts.sync import Desired, Reported, TaskState
from wayside.contracts.task_config import TaskConfig
from wayside.edge.backoff import full_jitter
from wayside.edge.commit import Committer
from wayside.edge.tasks import Pipeline
from wayside.edge.update.updater import Updater


class Installs:
    def __init__(
        self, updater: Updater | None, tasks: Sequence[TaskConfig], pipeline: Pipeline, committer: Committer
    ) -> None:
        self._updater, self._tasks, self._pipeline, self._committer = updater, tasks, pipeline, committer
        self.installing: asyncio.Task[None] | None = None
        self._retry_at = 0.0
        self._failures = 0
        if updater is not None:
            pipeline.set_model(updater.active())

    def first_report(self) -> Reported:
        return self._updater.reported() if self._updater else Reported()

    def reports(self) -> tuple[Reported, ...]:
        return (self.first_report(),) if self._updater else ()

    def task_states(self) -> tuple[TaskState, ...]:
        return ()

    def want(self, wanted: Sequence[Desired]) -> None:
        """Start an update if the hub wants another model, it was not refused before, and none runs."""
        desired = next(iter(wanted), None)
        if desired is None or self._updater is None or (self.installing and not self.installing.done()):
            return
        active, reported = self._updater.active(), self._updater.reported()
        # Also while a refusal is reported: people must see it until another model has come in.
        if active and (active.passport.bundle, active.passport.version) == (desired.bundle, desired.version):
            return
        early = time.monotonic() < self._retry_at
        tried = reported.attempted == desired.version and reported.refusal is not None
        if tried and (reported.refusal is not Refusal.DOWNLOAD or early):
            return
        self.installing = asyncio.create_task(self._install(self._updater, desired))

    async def _install(self, updater: Updater, desired: Desired) -> None:
        reported = await asyncio.to_thread(updater.install, desired)
        active = updater.active()
        if reported.refusal is None:
            self._failures = 0
            self._pipeline.set_model(active)
        else:
            pause = full_jitter(self._failures, 5.0, 900.0, random.SystemRandom())
            self._failures += 1
            self._retry_at = time.monotonic() + pause
            if reported.refusal is not Refusal.DOWNLOAD or self._failures == 1:
                what = f"{desired.bundle} {desired.version} refused: {reported.refusal.value}: {reported.reason or ''}"
                self._pipeline.ledger.alert("model", what, refusal=reported.refusal.value)
        self._committer.commit()
        self._committer.urgent.set()  # the hub waits for the outcome
