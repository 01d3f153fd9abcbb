"""A backup becomes a hub's data again: all of it verified before anything changes, then in one step.

The new folder is made beside the old one and exchanged with it by renameat2(2), which is atomic: whenever the computer
stops there is the old data or the new. What a restored hub must not take up again is ended here; what its nodes have
seen since is for ``cloud.hub.restored`` and the TUF versions, which rise with the time.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from wayside.cloud.hub import audit
from wayside.cloud.hub.auth import NONCE_KEY_FILE
from wayside.cloud.hub.backups import restored
from wayside.cloud.hub.backups.archive import Manifest, Told, opened, unpack
from wayside.cloud.hub.clock import now_ms
from wayside.cloud.hub.engine import migrate, open_engine, refuse_no_folder
from wayside.cloud.hub.errors import BackupError
from wayside.cloud.hub.lock import take
from wayside.cloud.hub.online_key import KEY_FILE
from wayside.cloud.hub.sqlite import DATABASE
from wayside.durable import rename, sync_folder

UNFINISHED = ".unfinished"
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


class Done(NamedTuple):
    manifest: Manifest
    aside: Path | None  # where the data are that were there before


def restore(file: Path, data: Path, told: Told, *, replace: bool = False, database: str | None = None) -> Done:
    """Put the backup ``file`` into ``data``, and its rows into ``database`` where it is one of a PostgreSQL.

    Args:
        replace: there may be a hub's data; they are kept aside.
        database: an empty one.

    Raises:
        BackupError: the backup is damaged or a newer release's; ``data`` is in use for something; there is no room.
        ConfigurationError: a hub runs on ``data``.
    """
    data = data.absolute()
    refuse_no_folder(data)
    data = data.resolve()
    at = now_ms()
    with opened(file) as (_, manifest):
        _refuse_kind(file, manifest, database)
    if at < manifest.made_ms:
        made = datetime.fromtimestamp(manifest.made_ms / 1000, UTC)
        raise BackupError("clock", f"{file} was made on {made:%Y-%m-%d %H:%M} UTC: set this computer's clock first")
    there = data.exists() and any(data.iterdir())
    if there:
        _refuse_taken(data, replace)
    if os.path.ismount(data):
        raise BackupError("data", f"{data} is a disk or volume of its own: name a folder on it, as in {data / 'hub'}")
    fresh = data.with_name(f"{data.name}.restoring")
    try:
        with take(data) if there else nullcontext():
            _make(fresh)
            manifest = unpack(file, fresh, told)
            told("bringing it up to date", 0, 0)
            _settle(fresh, manifest, at, database)
            if there:
                _give(fresh, data)
            (fresh / UNFINISHED).unlink()
            sync_folder(fresh)
            if not there:
                rename(fresh, data)
                return Done(manifest, None)
            aside = data.with_name(f"{data.name}.before-{datetime.fromtimestamp(at / 1000, UTC):%Y%m%dT%H%M%SZ}")
            _exchange(fresh, data)
            rename(fresh, aside)
            return Done(manifest, aside)
    except OSError as exc:
        where = exc.filename or data.parent
        raise BackupError("restore", f"{where}: {exc.strerror or exc}; {data} is as it was") from exc
    finally:
        if (fresh / UNFINISHED).exists():
            shutil.rmtree(fresh, ignore_errors=True)


def _refuse_taken(data: Path, replace: bool) -> None:
    if not any((data / name).exists() for name in (DATABASE, NONCE_KEY_FILE, f"tuf/{KEY_FILE}")):
        raise BackupError("data", f"{data} is not empty, and no hub's: name a folder that is not there yet")
    if not replace:
        raise BackupError(
            "data", f"there is a hub's data in {data}: name another folder, or --replace it (the old data are kept)"
        )


def _make(fresh: Path) -> None:
    if fresh.exists() and not (fresh / UNFINISHED).exists():
        raise BackupError(
            "restore",
            f"{fresh} is there: data that a restore was just about to put aside when it was stopped. "
            "Move it to where it is safe, then run this again",
        )
    if fresh.exists():
        shutil.rmtree(fresh)
    fresh.mkdir(mode=0o700)
    (fresh / UNFINISHED).touch()
    sync_folder(fresh)


def _refuse_kind(file: Path, manifest: Manifest, database: str | None) -> None:
    """Raises: BackupError: the rows cannot go there."""
    if manifest.store == "sqlite" and database is not None:
        raise BackupError("database", f"the rows of {file} are a SQLite's: leave --database and WAYSIDE_DATABASE away")
    if manifest.store != "sqlite" and database is None:
        raise BackupError("database", f"the rows of {file} are a PostgreSQL's: name an empty one with --database")


def _settle(fresh: Path, manifest: Manifest, at: int, database: str | None) -> None:
    """Bring the store up to date, and let it know that it was restored."""
    if database is not None:
        from wayside.cloud.hub.postgres_copy import copy_in

        copy_in(fresh, database, manifest.revision)
    migrate(fresh, database=database)
    engine = open_engine(fresh, database)
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        restored.mark(connection, manifest.made_ms, at)
        about = {"backup_ms": manifest.made_ms, "release": manifest.release}
        audit.record(connection, audit.local(), "hub.restored", "", at, **about)
    audit.committed(fresh, connection)
    engine.dispose()


def _give(fresh: Path, data: Path) -> None:
    """To the owner of the old data, where root does this for a service's user."""
    if os.geteuid() == 0:
        facts = data.stat()
        for each in (fresh, *fresh.rglob("*")):
            os.chown(each, facts.st_uid, facts.st_gid, follow_symlinks=False)


def _exchange(one: Path, other: Path) -> None:
    """Each becomes the other, in one step.

    Raises:
        OSError: this system or its disk has no such step.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "renameat2"):
        raise OSError(errno.ENOSYS, "this system cannot exchange two folders in one step: restore into a new folder")
    if libc.renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE):
        number = ctypes.get_errno()
        if number in (errno.EINVAL, errno.ENOSYS):
            why = "this disk cannot exchange two folders in one step: restore into a new folder"
            raise OSError(number, why, str(other))
        raise OSError(number, os.strerror(number), str(other))
    sync_folder(one.parent)
