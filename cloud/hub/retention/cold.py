"""The cold tier: old rows in Parquet files. Which there are, whether they are whole, and what they say.

A file holds every row of its kind from one number to another. ``cold_files`` names it with its SHA-256; while a file's
rows are still being deleted from the database, it speaks only for those up to ``moved_id``. DuckDB reads; it is loaded
when the first file is asked for.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from wayside.cloud.hub.errors import StoreUnavailableError
from wayside.cloud.hub.store import cold_files

if TYPE_CHECKING:
    import duckdb

FOLDER = "cold"
WORK = ".work"  # in it: what a run writes before it has a name; emptied by the next run
READ_MEMORY = "256MB"
READERS = 2  # requests that read files at once; the others wait
NAMES = ("node", "datastream", "boot")  # beside the columns of summaries, so that a file can be read by itself
COLUMNS = {
    "id": "BIGINT", "node_id": "BIGINT", "time_ms": "BIGINT", "boot_id": "BIGINT", "seq": "BIGINT",
    "datastream_id": "BIGINT", "kind": "VARCHAR", "mono_ns": "BIGINT", "clock": "VARCHAR", "error_ms": "BIGINT",
    "duration_s": "DOUBLE", "value": "DOUBLE", "unit": "VARCHAR", "quality": "VARCHAR", "n": "BIGINT",
    "forecast": "DOUBLE", "naive": "DOUBLE", "anomaly": "DOUBLE", "model": "VARCHAR", "detail": "VARCHAR",
    "extra": "VARCHAR", "received_ms": "BIGINT", "derived": "BOOLEAN",
}  # fmt: skip
"""Of ``summaries``, in its order, with DuckDB's types."""


class ColdFile(NamedTuple):
    """A row of ``cold_files``."""

    id: int
    kind: str
    first_id: int
    last_id: int
    moved_id: int
    rows: int
    moved_rows: int
    min_ms: int
    max_ms: int
    first_received_ms: int
    last_received_ms: int
    path: str
    bytes: int
    sha256: str
    made_ms: int
    forgotten_ms: int | None


def files(connection: sa.Connection, *where: sa.ColumnElement[bool]) -> list[ColdFile]:
    """Those that are not forgotten, in the order of their rows."""
    query = sa.select(*(cold_files.c[name] for name in ColdFile._fields)).where(cold_files.c.forgotten_ms.is_(None))
    query = query.where(*where).order_by(cold_files.c.first_id, cold_files.c.kind)
    return [ColdFile(*row) for row in connection.execute(query)]


class Cold:
    """The files of one data directory, for readers of any thread."""

    def __init__(self, data: Path) -> None:
        self.folder = data.absolute() / FOLDER
        self._lock = threading.Lock()
        self._turns = threading.BoundedSemaphore(READERS)
        self._base: duckdb.DuckDBPyConnection | None = None
        self._whole: dict[str, tuple[int, int, int]] = {}  # by path, what stat(2) said when it was found whole

    def rows(
        self, file: ColdFile, where: str, values: Sequence[object], *, columns: str = "*", end: str = ""
    ) -> list[dict[str, Any]]:
        """Rows that the database has no more.

        Args:
            where: of SQL, with ``?`` for ``values``.
            end: ``ORDER BY`` and ``LIMIT``.

        Raises:
            StoreUnavailableError: the file is missing or damaged.
        """
        import duckdb

        self.check(file)
        query = f"SELECT {columns} FROM read_parquet(?) WHERE id <= ? AND ({where}) {end}"  # noqa: S608  our own words
        with self._turns:
            cursor = self._connection().cursor()
            try:
                cursor.execute(query, [pattern(self.folder / file.path), file.moved_id, *values])
                names = [column[0] for column in cursor.description or ()]
                return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
            except duckdb.Error as exc:
                raise self._damaged(file, str(exc).partition("\n")[0][:200]) from exc
            finally:
                cursor.close()

    def check(self, file: ColdFile) -> None:
        """A file is read against its SHA-256 once, and again when stat(2) says that it is another.

        Parquet's own pages do not tell when a disk changed a bit of them.

        Raises:
            StoreUnavailableError: it is missing, or not as it was written.
        """
        seen = self.check_size(file)
        if self._whole.get(file.path) == seen:
            return
        try:
            whole = sha256_of(self.folder / file.path) == file.sha256
        except OSError as exc:
            raise self._damaged(file, f"it cannot be read: {exc.strerror}") from exc
        if not whole:
            raise self._damaged(file, "its bytes are not those that were written")
        self._whole[file.path] = seen

    def check_size(self, file: ColdFile) -> tuple[int, int, int]:
        """Whether it is there and as long as it was written; what stat(2) says of it.

        Raises:
            StoreUnavailableError: it is not.
        """
        try:
            stat = (self.folder / file.path).stat()
        except FileNotFoundError as exc:
            raise self._damaged(file, "it is missing") from exc
        except OSError as exc:
            raise self._damaged(file, f"it cannot be read: {exc.strerror}") from exc
        if stat.st_size != file.bytes:
            raise self._damaged(file, f"it has {stat.st_size} bytes, and was written with {file.bytes}")
        return stat.st_ino, stat.st_size, stat.st_mtime_ns

    def _damaged(self, file: ColdFile, why: str) -> StoreUnavailableError:
        rows = f"{file.moved_rows} rows of kind {file.kind} lie in {FOLDER}/{file.path} of the hub's data directory"
        return StoreUnavailableError("cold_file", f"{rows}: {why}; restore that file from a backup")

    def _connection(self) -> duckdb.DuckDBPyConnection:
        with self._lock:
            if self._base is None:
                self._base = connect(self.folder, READ_MEMORY)
            return self._base


def connect(folder: Path, memory: str) -> duckdb.DuckDBPyConnection:
    """DuckDB with one thread and bounded memory, that reads and writes within ``folder`` alone."""
    import duckdb

    connection = duckdb.connect(config={"threads": 1, "memory_limit": memory, "autoinstall_known_extensions": False})
    (folder / WORK).mkdir(parents=True, exist_ok=True, mode=0o700)
    for setting in (
        f"temp_directory = {quoted(folder / WORK)}",
        f"allowed_directories = [{quoted(f'{folder}/')}, {quoted(f'{pattern(folder)}/')}]",
        "enable_external_access = false",
        "preserve_insertion_order = false",
        "lock_configuration = true",
    ):
        connection.execute(f"SET {setting}")
    return connection


def quoted(text: Path | str) -> str:
    return "'{}'".format(str(text).replace("'", "''"))


def pattern(path: Path) -> str:
    """``path`` for ``read_parquet``, to which ``*``, ``?`` and ``[`` are wildcards."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in str(path))


def sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
