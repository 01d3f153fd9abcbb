"""The one writer: jobs that wait together are committed together, so that they share one fsync.

A job's future resolves only after COMMIT has returned: what a caller awaits is on disk.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import Future
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, OperationalError, TimeoutError

from wayside.cloud.hub.engine import is_contended, translated
from wayside.cloud.hub.errors import HubError, StoreUnavailableError

T = TypeVar("T")
Job = tuple[Callable[[sa.Connection], Any], "Future[Any]", int | None]
Begin = Callable[[sa.Connection, Collection[int]], None]

MAX_BATCH = 128  # jobs of one transaction: bounds what one failure makes us repeat


class Writer:
    """A thread with the only writing connection.

    A job takes the connection and returns a value. It may be run twice (when another job of its batch fails), so what
    it remembers outside the database must be forgotten in ``on_rollback``.
    """

    def __init__(
        self,
        engine: sa.Engine,
        on_rollback: Callable[[], None] = lambda: None,
        on_begin: Begin = lambda _connection, _nodes: None,
        on_commit: Callable[[sa.Connection], None] = lambda _connection: None,
        on_end: Callable[[sa.Connection], None] = lambda _connection: None,
    ) -> None:
        """Args:
        on_begin: called in each transaction before its jobs, with the rows of the nodes that they serve.
        on_end: called in each transaction after its jobs.
        on_commit: called with the connection after each commit, before anybody is told; it raises nothing.
        """
        self._engine = engine
        self._on_end = on_end
        self._on_commit = on_commit
        self._on_rollback = on_rollback
        self._on_begin = on_begin
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="hub-writer", daemon=True)
        self._connection: sa.Connection | None = None  # kept: a pooled one costs more than the transaction around it
        self._closed = False
        self.commits = 0
        self.committed_s: float | None = None  # by time.monotonic(), of the last commit
        self.since_s: float | None = None  # of the transaction under way
        self.trouble: HubError | None = None  # of the last transaction, where the database failed it

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Finish what was submitted, then stop."""
        self._closed = True
        self._jobs.put(None)
        self._thread.join()

    @property
    def waiting(self) -> int:
        """Jobs that no transaction has taken yet."""
        return self._jobs.qsize()

    def submit(self, job: Callable[[sa.Connection], T], node: int | None = None) -> Future[T]:
        """Queue ``job``; ``node`` is the row of the node that it serves.

        Raises:
            StoreUnavailableError: the hub is stopping.
        """
        if self._closed:
            raise StoreUnavailableError("stopping", "the hub is stopping; send it again in a minute")
        future: Future[T] = Future()
        self._jobs.put((job, future, node))
        return future

    async def write(self, job: Callable[[sa.Connection], T], node: int | None = None) -> T:
        """Run ``job`` in a transaction and return its value after COMMIT.

        Raises:
            HubError: the job's own, or StoreFullError / StoreUnavailableError; then nothing of the job is stored.
        """
        return await asyncio.wrap_future(self.submit(job, node))

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
            self.since_s = time.monotonic()
            self._commit([job for job in batch if job[1].set_running_or_notify_cancel()])
            self.since_s = None
            if stop:
                return

    def _commit(self, batch: list[Job], tries: int = 3) -> None:
        try:
            values = self._transact(batch)
        except OperationalError as exc:
            if is_contended(exc) and tries:  # what two of several processes wait for each other over is not one job
                for alone in batch:
                    self._commit([alone], tries - 1)
                return
            self.trouble = translated(exc)  # the disk or the file: nobody's turn will be better
            for _, future, _ in batch:
                future.set_exception(self.trouble)
        except Exception as exc:
            if len(batch) == 1:
                batch[0][1].set_exception(translated(exc) if isinstance(exc, DBAPIError | TimeoutError) else exc)
                return
            for alone in batch:  # one of them is bad: the others deserve their own transaction
                self._commit([alone])
        else:
            for (_, future, _), value in zip(batch, values, strict=True):
                future.set_result(value)

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _transact(self, batch: list[Job]) -> list[Any]:
        try:
            if self._connection is None:
                self._connection = self._engine.connect().execution_options(writes=True)
            connection = self._connection
            with connection.begin():
                self._on_begin(connection, {node for _, _, node in batch if node is not None})
                values = [job(connection) for job, _, _ in batch]
                self._on_end(connection)
        except Exception:
            self._on_rollback()
            self._disconnect()  # whatever was wrong with it, the next one is fresh
            raise
        self.commits += 1
        self.committed_s, self.trouble = time.monotonic(), None
        self._on_commit(connection)
        return values
