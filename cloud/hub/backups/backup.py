"""A backup of a hub that runs: the store as of one instant, then every other file of its data folder.

In this order, for files that the store names (cold rows, published bundles) are written before it names them: what is
newer than the store does no harm to it. No rows are moved into files, and no file is merged or deleted, meanwhile. What
the hub signs itself is left out: a restored hub signs anew.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy.exc import DBAPIError

from wayside.cloud.hub.backups.archive import Manifest, Told, Writing, chunks
from wayside.cloud.hub.clock import now_ms
from wayside.cloud.hub.engine import check_schema
from wayside.cloud.hub.errors import BackupError
from wayside.cloud.hub.retention.cold import FOLDER, WORK
from wayside.cloud.hub.retention.runs import LOCK, alone
from wayside.cloud.hub.sqlite import DATABASE, WAIT_S, SqliteStore
from wayside.contracts.version import VERSION
from wayside.durable import finish_file
from wayside.text import open_file

STEP_PAGES = 2048  # of the store between two looks at Ctrl-C: 8 MiB
LEFT_OUT = re.compile(
    rf"{re.escape(DATABASE)}(-wal|-shm|-journal)?|hub\.lock|audit\.head|health\.probe|nonce\.key|.*\.part"
    rf"|{re.escape(LOCK)}|{FOLDER}/{re.escape(WORK)}/.*"
    r"|tuf/metadata/(timestamp|[0-9]+\.snapshot)\.json"
)
"""The store, which is copied apart, and what a hub makes anew: nonces of before a restore are none."""


def make(data: Path, file: Path, told: Told, database: str | None = None) -> Manifest:
    """Write a backup into the new ``file``, for its owner alone. There is no file before it is whole.

    Args:
        database: where the rows of ``data`` are, if not in its SQLite.

    Raises:
        ConfigurationError: ``data`` is no hub's, or an earlier release's.
        BackupError: ``file`` is there already, or inside ``data``, or cannot be written.
        StoreUnavailableError: the store cannot be read, or is damaged.
    """
    check_schema(data, database)
    _refuse_place(data, file)
    part, store = file.with_name(f".{file.name}.part"), file.with_name(f".{file.name}.store.part")
    at = now_ms()
    try:
        try:
            for each in (part, store):
                each.unlink(missing_ok=True)  # of a backup that was killed
                os.close(os.open(each, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            told("waiting for old rows to be moved", 0, 0)
            with alone(data, wait=True), part.open("wb") as out, Writing(out) as archive:
                if database is None:
                    about = _copy_store(data, store, told)
                else:
                    from wayside.cloud.hub.postgres_copy import copy_out

                    about = copy_out(data, database, archive, told)
                _fill(archive, data, store if database is None else None, told)
                manifest = archive.finish(release=VERSION, made_ms=at, **about)
            _refuse_place(data, file)  # again: it took its time
            finish_file(part, file)
        finally:
            for each in (part, store, *(store.with_name(store.name + end) for end in ("-journal", "-wal", "-shm"))):
                each.unlink(missing_ok=True)
    except OSError as exc:
        where = exc.filename or file.parent
        raise BackupError("backup", f"{where}: {exc.strerror or exc}; there is no backup in {file}") from exc
    return manifest


def _refuse_place(data: Path, file: Path) -> None:
    if file.exists() or file.is_symlink():
        raise BackupError("backup", f"{file} is there already: name a new file")
    if not file.parent.is_dir():
        raise BackupError("backup", f"there is no folder {file.parent}: make it, or name another file")
    if file.parent.resolve().is_relative_to(data.resolve()):
        raise BackupError("backup", f"{file} is inside {data} and would be lost with it: name a file on another disk")


def _copy_store(data: Path, copy: Path, told: Told) -> dict[str, Any]:
    """The store as of one instant in the file ``copy``, looked through; what the manifest says of it.

    The transaction keeps its instant while others write. Without it SQLite would begin anew at each foreign commit and
    never end beside a busy hub.
    """
    path = data / DATABASE
    try:
        with closing(_connected(path)) as source, closing(sqlite3.connect(copy, isolation_level=None)) as target:
            source.execute("BEGIN")
            (revision,) = source.execute("SELECT version_num FROM alembic_version").fetchone()
            nodes, rows = source.execute("SELECT count(*), coalesce(sum(stored), 0) FROM nodes").fetchone()
            page = source.execute("PRAGMA page_size").fetchone()[0]
            target.execute("PRAGMA synchronous=OFF")  # the archive is what has to last
            source.backup(
                target,
                pages=STEP_PAGES,
                progress=lambda _, left, all_: told("copying the store", (all_ - left) * page, all_ * page),
            )
            source.rollback()
            target.execute("PRAGMA journal_mode=DELETE")
            told("looking through the copy", 0, 0)
            if (verdict := target.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
                raise BackupError("backup", f"{path} is damaged ({verdict}): restore an earlier backup")
    except sqlite3.Error as exc:
        if copy.exists() and getattr(exc, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
            size = path.stat().st_size >> 20
            raise BackupError(
                "backup", f"no room in {copy.parent} for a copy of the store ({size} MiB): name a file on another disk"
            ) from exc
        raise SqliteStore(data).told(DBAPIError("", None, exc)) from exc
    return {"revision": revision, "nodes": nodes, "rows": rows, "store": "sqlite"}


def _connected(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=WAIT_S, isolation_level=None)


def _fill(archive: Writing, data: Path, store: Path | None, told: Told) -> None:
    """``store``: the copy of a SQLite; None: the rows are in the archive already."""
    places = {DATABASE: store} if store is not None else {}
    places |= {name: data / name for name in _settled(data)}
    done, total = 0, sum(place.stat().st_size for place in places.values())

    def more(read: int) -> None:
        nonlocal done
        done += read
        told("packing", done, max(done, total))

    for name, place in places.items():
        with open_file(place) as source:
            archive.add(name, chunks(source), more)


def _settled(data: Path) -> list[str]:
    """The files' names. Looked up twice: a folder that changes while it is read may be told as it never was."""
    before: list[str] = []
    for _ in range(100):
        now = sorted(_files(data))
        if now == before:
            return now
        before = now
    raise BackupError("backup", f"the files in {data} change all the time: run it again when nothing is published")


def _files(data: Path) -> Iterator[str]:
    """Of ``data``, links followed: a folder may have moved to another disk."""
    seen = set()
    for folder, folders, names in os.walk(data, followlinks=True, onerror=_raise):
        here = Path(folder)
        if (facts := (here.stat().st_dev, here.stat().st_ino)) in seen:
            folders.clear()  # a link that leads back
            continue
        seen.add(facts)
        for name in names:
            path = (here / name).relative_to(data).as_posix()
            if not LEFT_OUT.fullmatch(path):
                yield path


def _raise(exc: OSError) -> None:
    raise exc
