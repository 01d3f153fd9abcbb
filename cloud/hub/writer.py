"""The one writer: jobs that wait together are committed together, so that they share one fsync.

A job's future resolves only after COMMIT has returned: what a caller awaits is on disk.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, OperationalError

from wayside.cloud.hub.engine import translated
from wayside.cloud.hub.errors import StoreUnavailableError

T = TypeVar("T")
Job = tuple[Callable[[sa.Connection], Any], "Future[Any]"]

MAX_BATCH = 128  # jobs of one transaction: bounds what one failure makes us repeat


class Writer:
    """A thread with the only writing connection.

    A job takes the connection and returns a value. It may be run twice (when another job of its batch fails), so what
    it remembers outside the database must be forgotten in ``on_rollback``.
    """

    def __init__(self, engine: sa.Engine, on_rollback: Callable[[], None] = lambda: None) -> None:
        self._engine = engine
        self._on_rollback = on_rollback
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="hub-writer", daemon=True)
        self._connection: sa.Connection | None = None  # kept: a pooled one costs more than the transaction around it
        self._closed = False
        self.commits = 0

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Finish what was submitted, then stop."""
        self._closed = True
        self._jobs.put(None)
        self._thread.join()

    def submit(self, job: Callable[[sa.Connection], T]) -> Future[T]:
        """Queue ``job``.

        Raises:
            StoreUnavailableError: the hub is stopping.
        """
        if self._closed:
            raise StoreUnavailableError("stopping", "the hub is stopping; send it again in a minute")
        future: Future[T] = Future()
        self._jobs.put((job, future))
        return future

    async def write(self, job: Callable[[sa.Connection], T]) -> T:
        """Run ``job`` in a transaction and return its value after COMMIT.

        Raises:
            HubError: the job's own, or StoreFullError / StoreUnavailableError; then nothing of the job is stored.
        """
        return await asyncio.wrap_future(self.submit(job))

    def _run(self) -> None:
        try:
            self._serve()
        finally:
            self._disconnect()

    def _serve(self) -> None:
        while (first := self._jobs.get()) is not None:
            batch = [first]
            stop = False
            while len(batch) < MAX_BATCH and not self._jobs.empty():
                following = self._jobs.get()
                if following is None:
                    stop = True
                    break
                batch.append(following)
            self._commit([(job, future) for job, future in batch if future.set_running_or_notify_cancel()])
            if stop:
                return

    def _commit(self, batch: list[Job]) -> None:
        try:
            values = self._transact([job for job, _ in batch])
        except OperationalError as exc:  # the disk or the file: nobody's turn will be better
            for _, future in batch:
                future.set_exception(translated(exc))
        except Exception as exc:
            if len(batch) == 1:
                batch[0][1].set_exception(translated(exc) if isinstance(exc, DBAPIError) else exc)
                return
            for alone in batch:  # one of them is bad: the others deserve their own transaction
                self._commit([alone])
        else:
            for (_, future), value in zip(batch, values, strict=True):
                future.set_result(value)

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _transact(self, jobs: list[Callable[[sa.Connection], Any]]) -> list[Any]:
        try:
            if self._connection is None:
                self._connection = self._engine.connect().execution_options(writes=True)
            connection = self._connection
            with connection.begin():
                values = [job(connection) for job in jobs]
        except Exception:
            self._on_rollback()
            self._disconnect()  # whatever was wrong with it, the next one is fresh
            raise
        self.commits += 1
        return values
