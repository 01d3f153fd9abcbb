"""What the processes of a hub over one PostgreSQL tell each other, and which of them leads.

Each has one connection for it: it listens there (``LISTEN``), and who holds the advisory lock is the leader, who does
what is to be done once: deadlines of rollouts, the timestamp of TUF. PostgreSQL gives the lock free when the leader's
connection ends, so that another has it within seconds. Everything that a leader does is harmless when two do it.

What is told is only a hint to look again: who did not hear it, looks in the store where it matters (a node that it
does not know, a signature that does not fit, a serial number that moved on), and reads all anew when it listens again.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from typing import Protocol

import psycopg
import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from wayside.cloud.hub.engine import has_other_writers

CHANNEL = "wayside_hub"
LOCK = 0x77617973696465  # "wayside": one leader in a database
WAIT_S = 1.0
_TELL = sa.text(f"SELECT pg_notify('{CHANNEL}', :words)")
_log = logging.getLogger("wayside.hub.peers")


def announce(connection: sa.Connection, topic: str, about: str) -> None:
    """Tell the other processes, when the transaction is committed. With SQLite there are none."""
    if has_other_writers(connection):
        connection.execute(_TELL, {"words": f"{topic} {about}"})


class Listener(Protocol):
    """What remembers something that other processes may change. Called in a thread of its own."""

    def hear(self, connection: sa.Connection, topic: str, about: str) -> None:
        """Another process (or this one) announced it."""

    def load(self, connection: sa.Connection) -> None:
        """Others may have announced anything unheard."""


class Peers:
    def __init__(self, engine: sa.Engine, *listeners: Listener) -> None:
        self._engine = engine
        self._listeners = listeners
        self._alone = engine.dialect.name != "postgresql"
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="hub-peers", daemon=True)
        self.leads = self._alone
        """Whether this process is the one that does what is to be done once."""

    @property
    def are_possible(self) -> bool:
        """Whether other processes may serve the same store."""
        return not self._alone

    def start(self) -> None:
        if not self._alone:
            self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                self._listen()
            except (psycopg.Error, SQLAlchemyError) as exc:
                _log.warning("the other workers are not heard, tried again: %s", str(exc).splitlines()[0])
            except Exception:
                _log.exception("the other workers are not heard, tried again")
            finally:
                self.leads = False
            self._ended.wait(WAIT_S)

    def _listen(self) -> None:
        pooled = self._engine.raw_connection()
        connection = pooled.driver_connection
        pooled.detach()  # kept for as long as it lives
        assert isinstance(connection, psycopg.Connection)  # noqa: S101 it is PostgreSQL's
        with contextlib.closing(connection):
            connection.rollback()
            connection.read_only = None
            connection.isolation_level = None
            connection.autocommit = True
            # For whoever asks the database who leads: pg_locks joined with pg_stat_activity.
            connection.execute("SELECT set_config('application_name', %s, false)", (f"wayside hub {os.getpid()}",))
            connection.execute(f"LISTEN {CHANNEL}")  # from here on nothing is missed; what was before is read
            with self._engine.connect() as reading:
                for listener in self._listeners:
                    listener.load(reading)
            while not self._ended.is_set():
                self.leads = self.leads or _take_lead(connection)
                for told in connection.notifies(timeout=WAIT_S, stop_after=1):
                    topic, _, about = told.payload.partition(" ")
                    with self._engine.connect() as reading:
                        for listener in self._listeners:
                            listener.hear(reading, topic, about)


def _take_lead(connection: psycopg.Connection[tuple[bool]]) -> bool:
    row = connection.execute("SELECT pg_try_advisory_lock(%s)", (LOCK,)).fetchone()
    return bool(row and row[0])
