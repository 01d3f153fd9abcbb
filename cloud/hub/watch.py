"""What is wrong with the hub itself. A thread of its own looks every few seconds; whoever asks is told what it saw.

So the answer costs nothing, and comes also while the store, the disk or every other thread hangs: then it says that
nobody could look for so long.
"""

from __future__ import annotations

import datetime as dt
import errno
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from wayside.cloud.hub import views
from wayside.cloud.hub.backups import restored
from wayside.cloud.hub.backups.ahead import Ahead
from wayside.cloud.hub.engine import head, translated
from wayside.cloud.hub.sqlite import DATABASE
from wayside.cloud.hub.store import nodes
from wayside.cloud.hub.tuf_repository import TufRepository
from wayside.cloud.hub.writer import Writer

EVERY_S = 3.0
BLIND_S = 15.0  # without a look for so long nobody knows
SLOW_S, STUCK_S = 2.0, 15.0  # of one transaction
LONG_QUEUE = 2_000  # jobs that wait for the writer
PROBE = "health.probe"
PROBE_BYTES = 8192
LEAST_FREE, LEAST_SHARE = 1 << 30, 0.02  # of the disk
ONLINE = ("timestamp", "snapshot")  # that the hub signs itself, long before they expire
SOON = dt.timedelta(days=14)  # for those who sign the other roles


class Seen(NamedTuple):
    at_s: float  # by time.monotonic()
    nodes: int
    free_bytes: int
    findings: tuple[views.HealthFinding, ...]


class Watch:
    """:meth:`told` is anybody's, at any time."""

    def __init__(self, data: Path, engine: sa.Engine, writer: Writer, tuf: TufRepository, ahead: Ahead) -> None:
        self._data, self._engine, self._writer, self._tuf, self._ahead = data, engine, writer, tuf, ahead
        self._store = _inode(data / DATABASE)  # None: the rows are not in the data directory
        self._revision = head()
        self._nodes = 0
        self._free = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="hub-watch", daemon=True)
        self._seen = self.look()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(timeout=5)  # it may hang with the disk that it looks at

    def _run(self) -> None:
        while not self._stop.wait(EVERY_S):
            self._seen = self.look()

    def told(self) -> views.HealthDetail:
        """What was seen last, and what can be said without looking."""
        seen, now_s = self._seen, time.monotonic()
        findings = [*seen.findings, *self._of_writer(now_s)]
        if (age_s := now_s - seen.at_s) > BLIND_S:
            findings.append(_failing("blind", f"nobody could look at the store and the disk for {age_s:.0f} s"))
        worst: views.HealthStatus = "failing" if any(f.failing for f in findings) else "warning" if findings else "ok"
        committed = self._writer.committed_s
        return views.HealthDetail(
            status=worst,
            nodes=seen.nodes,
            findings=findings,
            waiting=self._writer.waiting,
            last_commit_age_s=None if committed is None else now_s - committed,
            looked_age_s=age_s,
            disk_free_bytes=seen.free_bytes,
        )

    def look(self) -> Seen:
        at_s = time.monotonic()
        findings = tuple(f for part in (self._of_disk, self._of_store, self._of_tuf) for f in _kept(part))
        return Seen(at_s, self._nodes, self._free, findings)

    def _of_disk(self) -> Iterator[views.HealthFinding]:
        usage = shutil.disk_usage(self._data)
        self._free = usage.free
        probe = self._data / PROBE
        try:
            with probe.open("wb") as out:
                out.write(bytes(PROBE_BYTES))
                out.flush()
                os.fsync(out.fileno())
            probe.unlink(missing_ok=True)  # another worker looks, too
        except OSError as exc:
            if exc.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                yield _failing("disk_full", f"there is no room in {self._data}: free some, the hub goes on by itself")
            else:
                yield _failing("disk_fails", f"cannot write in {self._data}: {exc.strerror}")
            return
        if usage.free < min(LEAST_FREE, LEAST_SHARE * usage.total):
            yield _warning("disk_nearly_full", f"{usage.free / 1e6:,.0f} MB are free in {self._data}")

    def _of_store(self) -> Iterator[views.HealthFinding]:
        path = self._data / DATABASE
        if self._store is not None and _inode(path) != self._store:
            yield _failing("store_away", f"{path} was removed or replaced while the hub runs: restart it")
            return
        try:
            with self._engine.connect() as connection:
                revision = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
                held = restored.is_held(connection)
                self._nodes = connection.execute(sa.select(sa.func.count()).select_from(nodes)).scalar_one()
        except DBAPIError as exc:
            yield _failing("store_fails", translated(exc).message)
        except SQLAlchemyError as exc:
            yield _failing("store_fails", f"the database does not answer: {exc}"[:512])
        else:
            if revision != self._revision:
                what = f"the database's schema is {revision}, and this hub is for {self._revision}"
                yield _failing("schema", f"{what}: stop it, and run the release that changed it")
            if held:
                what = "the hub was restored from a backup, and orders no node anything"
                yield _warning("held", f"{what} until `wayside rollout release-hold` (docs/operating.md)")

    def _of_tuf(self) -> Iterator[views.HealthFinding]:
        for what in self._ahead.sentences():
            yield _warning("behind_nodes", what)
        now = dt.datetime.now(dt.UTC)
        for role, expires in self._tuf.expiries().items():
            if expires <= now:
                who = (
                    "the hub signs it itself: its log says why not" if role in ONLINE else "its keys must sign it anew"
                )
                yield _warning("tuf_expired", f"{role} expired on {expires:%Y-%m-%d}: no node installs anything; {who}")
            elif role in ONLINE and expires - now < dt.timedelta(hours=3):
                yield _warning("tuf_expires", f"{role} expires at {expires:%H:%M} UTC and was not signed anew")
            elif role not in ONLINE and expires - now < SOON:
                yield _warning("tuf_expires", f"{role} expires on {expires:%Y-%m-%d}: its keys must sign it before")

    def _of_writer(self, now_s: float) -> Iterator[views.HealthFinding]:
        writer = self._writer
        if (trouble := writer.trouble) is not None:
            yield _failing(trouble.code, trouble.message)
        since = writer.since_s
        busy_s = 0.0 if since is None else now_s - since
        if busy_s > SLOW_S:
            what = f"a transaction takes {busy_s:.0f} s by now, {writer.waiting} wait behind it"
            yield views.HealthFinding(code="writer_slow", message=what, failing=busy_s > STUCK_S)
        if writer.waiting > LONG_QUEUE:
            yield _warning("writer_queue", f"{writer.waiting} requests wait for the store")


def _kept(part: Callable[[], Iterator[views.HealthFinding]]) -> list[views.HealthFinding]:
    """What a part finds; that it could not look is a finding, too."""
    try:
        return list(part())
    except Exception as exc:  # of a disk that goes away under it, or ours: the watch goes on
        return [_failing("unseen", f"cannot look at {part.__name__.removeprefix('_of_')}: {exc}"[:512])]


def _failing(code: str, message: str) -> views.HealthFinding:
    return views.HealthFinding(code=code, message=message, failing=True)


def _warning(code: str, message: str) -> views.HealthFinding:
    return views.HealthFinding(code=code, message=message, failing=False)


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
