"""Where models run: not in the event loop's thread, so that a slow or hung one keeps nothing else waiting.

A :class:`Job` is one step of one task: the windows of all its sites, in the task's own array, which nobody fills anew
while the job runs. A task has one job at a time; what has no answer after ``deadline_s`` is given up, and the worker
that hangs in it is left to itself.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from wayside.contracts.windows import Float32
from wayside.edge.errors import EdgeError
from wayside.edge.runtimes.runtime import Runtime


class Job:
    """What is asked, and once :attr:`done`, what was answered."""

    __slots__ = ("answers", "deadline_s", "done", "failed", "runtime", "seconds", "since", "sites", "task", "views")

    def __init__(
        self, task: str, runtime: Runtime, views: Sequence[Float32], sites: Sequence[int], deadline_s: float
    ) -> None:
        self.task, self.runtime = task, runtime
        self.views, self.sites = views, sites  # (1, T, F) of every site, and which of them are asked for
        self.deadline_s = deadline_s
        self.answers: list[Float32 | None] = [None] * len(views)  # of each site
        self.failed: str | None = None  # what the runtime said
        self.done = False
        self.since = 0.0
        self.seconds = 0.0

    def run(self) -> None:
        began = time.monotonic()
        run, views, answers = self.runtime.run, self.views, self.answers
        try:
            for site in self.sites:
                answers[site] = run(views[site])
        except EdgeError as exc:
            self.failed = str(exc)
        except Exception as exc:  # what a back end may raise besides must not end the worker
            self.failed = f"{type(exc).__name__}: {exc}"
        self.seconds = time.monotonic() - began
        self.done = True


class Runner(Protocol):
    def submit(self, job: Job) -> None:
        """Run ``job``: at once (then it is done on return), or elsewhere (then its task hears of it later)."""
        ...

    def busy(self, runtime: Runtime) -> bool:
        """It still runs a job: a new one would wait."""
        ...

    def late(self, job: Job) -> bool:
        """Its deadline has passed."""
        ...

    def forget(self, runtime: Runtime) -> None:
        """Nobody asks ``runtime`` any more."""
        ...


class InlineRunner:
    """Runs each job at once, in the caller's thread: for tests, benches and replays."""

    def submit(self, job: Job) -> None:
        job.run()

    def busy(self, runtime: Runtime) -> bool:
        return False

    def late(self, job: Job) -> bool:
        return False

    def forget(self, runtime: Runtime) -> None:
        pass


class ThreadRunner:
    """A thread for each model: a runtime is not for two threads, and a hung one must hold up no other.

    ``done(job)`` is called in the worker's thread. The threads are daemons: a model that hangs does not keep the
    agent from ending.
    """

    def __init__(self, done: Callable[[Job], None]) -> None:
        self._done = done
        self._workers: dict[int, _Worker] = {}  # by the runtime's identity

    def submit(self, job: Job) -> None:
        job.since = time.monotonic()
        worker = self._workers.get(id(job.runtime))
        if worker is None or worker.runtime is not job.runtime:
            worker = self._workers[id(job.runtime)] = _Worker(job.runtime, self._done)
        worker.take(job)

    def busy(self, runtime: Runtime) -> bool:
        worker = self._workers.get(id(runtime))
        return worker is not None and worker.runtime is runtime and worker.busy

    def late(self, job: Job) -> bool:
        return time.monotonic() - job.since > job.deadline_s

    def close(self) -> None:
        """Let every worker end that can."""
        for worker in self._workers.values():
            worker.end()
        self._workers.clear()

    def forget(self, runtime: Runtime) -> None:
        """Another model took its place: its worker ends, as soon as it can."""
        worker = self._workers.get(id(runtime))
        if worker is not None and worker.runtime is runtime:
            worker.end()
            del self._workers[id(runtime)]


class _Worker:
    def __init__(self, runtime: Runtime, done: Callable[[Job], None]) -> None:
        self.runtime, self._tell = runtime, done
        self.busy = False
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        threading.Thread(target=self._run, name="model", daemon=True).start()

    def take(self, job: Job) -> None:
        self.busy = True
        self._jobs.put(job)

    def end(self) -> None:
        self._jobs.put(None)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            job.run()
            self.busy = False
            self._tell(job)
