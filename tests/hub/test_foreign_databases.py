"""Every state in which a hub's database may be found is one sentence, and another's database stays as it was."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy.exc import DBAPIError
from typer.testing import CliRunner

from tests.hub.conftest import ROOT
from wayside.cloud.hub import engine, sqlite
from wayside.cloud.hub.cli import hub
from wayside.cloud.hub.engine import DATABASE
from wayside.cloud.hub.errors import StoreFullError, StoreUnavailableError
from wayside.cloud.hub.sqlite import SqliteStore


def said(verb: str, data: Path) -> str:
    """The one sentence of a verb that failed."""
    done = CliRunner().invoke(hub, [verb, "--data", str(data), *(["--port", "0"] if verb == "run" else [])])
    assert done.exit_code == 1, done.output
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    assert len(done.output.strip().splitlines()) == 1
    return done.output


@pytest.fixture
def data(tmp_path: Path) -> Path:
    assert CliRunner().invoke(hub, ["init", "--data", str(tmp_path / "hub")]).exit_code == 0
    return tmp_path / "hub"


def execute(path: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute(statement)


VERBS = ["init", "token", "run"]


@pytest.mark.parametrize("verb", VERBS)
def test_a_newer_releases_database_is_not_touched(verb: str, data: Path) -> None:
    execute(data / DATABASE, "UPDATE alembic_version SET version_num = 'v9999'")
    assert "another release of wayside (revision 'v9999')" in said(verb, data)


@pytest.mark.parametrize("verb", VERBS)
def test_another_programs_database_is_not_touched(verb: str, data: Path) -> None:
    (data / DATABASE).unlink()
    for suffix in ("-wal", "-shm"):
        (data / f"{DATABASE}{suffix}").unlink(missing_ok=True)
    execute(data / DATABASE, "CREATE TABLE films (name)")
    assert "another program's database (it has films)" in said(verb, data)
    with contextlib.closing(sqlite3.connect(data / DATABASE)) as db:
        assert db.execute("SELECT name FROM sqlite_master").fetchall() == [("films",)]


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    ("content", "words"),
    [(b"no database " * 999, "is no database: restore"), (None, "is a folder"), (1, "is damaged")],
)
def test_what_is_no_database_is_named(verb: str, content: bytes | int | None, words: str, data: Path) -> None:
    path = data / DATABASE
    whole = path.read_bytes()
    path.unlink()
    for suffix in ("-wal", "-shm"):
        (data / f"{DATABASE}{suffix}").unlink(missing_ok=True)
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(whole[: len(whole) // 2] if isinstance(content, int) else content)
    assert words in said(verb, data)


def test_a_database_that_another_program_holds_is_named(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "WAIT_S", 0.1)
    with contextlib.closing(sqlite3.connect(data / DATABASE, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert "is in use by another program" in said("token", data)


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("DELETE FROM alembic_version", "does not say of which release it is"),
        ("DROP TABLE tokens", "is damaged (it lacks tokens): restore"),
        ("ALTER TABLE alembic_version RENAME version_num TO other", "is damaged (no such column"),
        ("UPDATE alembic_version SET version_num = x'ff00'", "another release of wayside"),
    ],
)
def test_a_hubs_database_with_parts_gone_is_named_and_not_called_ready(
    verb: str, statement: str, words: str, data: Path
) -> None:
    execute(data / DATABASE, statement)
    assert words in said(verb, data)


@pytest.mark.parametrize("verb", VERBS)
def test_what_can_be_no_hubs_folder_is_named(verb: str, data: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nowhere")
    assert "is a file, not a folder" in said(verb, tmp_path / "file")
    assert "is a link that leads nowhere" in said(verb, tmp_path / "link")
    for part in data.glob(f"{DATABASE}*"):
        part.unlink()
    os.mkfifo(data / DATABASE)
    assert "is a pipe or a device" in said(verb, data)


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        (sqlite3.SQLITE_READONLY_DIRECTORY, StoreUnavailableError, "read-only for this user"),
        (sqlite3.SQLITE_PERM, StoreUnavailableError, "read-only for this user"),
        (sqlite3.SQLITE_CANTOPEN, StoreUnavailableError, "may this user read and write"),
        (sqlite3.SQLITE_LOCKED, StoreUnavailableError, "in use by another program"),
        (sqlite3.SQLITE_BUSY_RECOVERY, StoreUnavailableError, "in use by another program"),
        (sqlite3.SQLITE_FULL, StoreFullError, "is the disk full"),
        (sqlite3.SQLITE_IOERR_WRITE, StoreFullError, "is the disk full"),
        (sqlite3.SQLITE_CORRUPT_VTAB, StoreUnavailableError, "restore it from a backup"),
        (sqlite3.SQLITE_NOTADB, StoreUnavailableError, "is no database"),
    ],
)
def test_each_complaint_of_sqlite_has_its_sentence(code: int, kind: type[Exception], words: str, data: Path) -> None:
    complaint = sqlite3.OperationalError("in SQLite's words")
    complaint.sqlite_errorcode = code
    told = SqliteStore(data).told(DBAPIError("SELECT", {}, complaint))
    assert type(told) is kind
    assert words in str(told)
    assert str(data / DATABASE) in str(told)


@pytest.mark.parametrize("verb", ["init", "token"])
def test_a_full_disk_is_one_sentence_and_leaves_no_half_made_hub(verb: str, data: Path, tmp_path: Path) -> None:
    where = tmp_path / "new" if verb == "init" else data
    limited = f"ulimit -f 8; exec {sys.executable} -m wayside hub {verb} --data {where}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(["bash", "-c", limited], capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, len(done.stderr.strip().splitlines())) == (1, 1), done.stderr
    assert "cannot be written" in done.stderr
    assert CliRunner().invoke(hub, ["init", "--data", str(where)]).exit_code == 0
    assert CliRunner().invoke(hub, ["token", "--data", str(where)]).exit_code == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_database_that_may_not_be_written_is_named(data: Path) -> None:
    (data / DATABASE).chmod(0o400)
    data.chmod(0o500)
    try:
        assert "hub.sqlite cannot be" in said("token", data)
    finally:
        data.chmod(0o700)


def test_an_earlier_releases_database_is_brought_up_to_date_by_name(data: Path) -> None:
    engine.migrate(data, "-1", down=True)
    assert f"`wayside hub init --data {data}` brings it up to date" in said("token", data)
    assert CliRunner().invoke(hub, ["init", "--data", str(data)]).exit_code == 0
    assert CliRunner().invoke(hub, ["token", "--data", str(data)]).exit_code == 0
