"""What is hot, what is cold, what is due, and doing it: ``wayside hub retention`` and the hub's daily run.

Rows are old by the day on which they came to the hub: so old rows are those with low numbers, a file holds a span of
numbers, and a row of last year that comes today stays in the database as long as any other of today.
"""

from __future__ import annotations

import fcntl
import functools
import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa

from wayside.cloud.hub import audit
from wayside.cloud.hub.engine import reclaim, settled_id, size_of
from wayside.cloud.hub.errors import ConfigurationError, ConflictError, HubError
from wayside.cloud.hub.retention.cold import FOLDER, Cold, ColdFile, files
from wayside.cloud.hub.retention.compaction import MAX_MERGED, MAX_ROWS, Compactor, Unit, Write, day_of, named, of_kind
from wayside.cloud.hub.retention.rollups import DAY_S, HOUR_S, QUARTER_S, roll, rolled_id
from wayside.cloud.hub.store import cold_files, datastreams, nodes, rollups, summaries
from wayside.contracts.retention import Retention, decode_retention
from wayside.contracts.summary import Kind
from wayside.contracts.wire import ContractError
from wayside.text import read_toml

FILE = "retention.toml"
LOCK = "retention.lock"
DAY_MS = 86_400_000
KINDS = tuple(kind.value for kind in Kind)
_REST = 2.0  # pauses between transactions, in times of what they took: syncs come in between
_PAGES = 500  # that one transaction gives back to the disk
_STREAMS = 100  # datastreams whose rollups one transaction prunes


class Due(NamedTuple):
    """What a run would do."""

    unfinished: list[ColdFile]
    units: list[Unit]
    merges: list[tuple[str, str, list[ColdFile]]]  # kind, month, files
    forgotten: list[ColdFile]


class KindView(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of one kind: those in the database, in files, and no more."""

    kind: str
    hot_days: int | None
    cold_days: int | None
    hot_rows: int
    cold_rows: int
    forgotten_rows: int
    cold_files: int
    cold_bytes: int
    cold_bytes_a_row: float | None
    oldest_cold: str | None  # day of arrival
    oldest_hot: str | None


class FileFault(msgspec.Struct, frozen=True, kw_only=True):
    path: str
    kind: str
    rows: int
    why: str


class RetentionView(msgspec.Struct, frozen=True, kw_only=True):
    wire: int = 1
    kinds: list[KindView]
    rollups: int  # buckets
    not_rolled: int  # rows, at most, that the rollups do not tell of yet
    database_bytes: int
    database_free_bytes: int
    database_shrinks: bool
    hot_bytes_a_row: float | None  # of the whole database, indices, rollups and received rows included
    due_files: int
    faults: list[FileFault]


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """What a run did, or with ``dry_run`` would do."""

    wire: int = 1
    dry_run: bool = False
    files: list[str]
    rows: int
    merged: int  # files that became fewer
    forgotten: list[str]
    rollups: int  # buckets deleted
    bytes: int  # of the new files
    seconds: float


def load_retention(data: Path) -> Retention:
    """``retention.toml`` of the data directory, or the defaults where there is none.

    Raises:
        ConfigurationError: it cannot be read, or breaks rules; all of them are named.
    """
    path = data / FILE
    try:
        return decode_retention(read_toml(path))
    except FileNotFoundError:
        return Retention()
    except OSError as exc:
        raise ConfigurationError("retention", f"cannot read {path}: {exc.strerror}") from exc
    except ContractError as exc:
        said = "; ".join(f"{field.removeprefix('$.')} {rule}" for field, rule in exc.mistakes)
        raise ConfigurationError("retention", f"{path}: {said}") from exc


@contextmanager
def alone(data: Path, *, wait: bool = False) -> Iterator[None]:
    """No rows move meanwhile.

    Args:
        wait: until a run that is at work is done.

    Raises:
        ConflictError: another run is at work on this data directory.
    """
    with (data / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as exc:
            raise ConflictError("retention", "another run is at work here already; wait until it is done") from exc
        yield


def due(connection: sa.Connection, retention: Retention, now_ms: int) -> Due:
    there = files(connection)
    top = connection.execute(sa.select(sa.func.max(summaries.c.id))).scalar() or 0
    # Never the last row of all: SQLite would give its number again.
    bound = min(rolled_id(connection), top - 1)
    units: list[Unit] = []
    merges, forgotten = [], []
    for kind in KINDS:
        kept = retention.of(kind)
        of_it = [each for each in there if each.kind == kind]
        if kept.hot_days is not None:
            cutoff = (now_ms // DAY_MS - kept.hot_days) * DAY_MS
            units += _units(connection, kind, cutoff, bound)
        if kept.cold_days is not None:
            gone_ms = (now_ms // DAY_MS - kept.cold_days) * DAY_MS
            forgotten += [each for each in of_it if each.last_received_ms < gone_ms]
        whole = [each for each in of_it if each.moved_id == each.last_id and each not in forgotten]
        merges += [(kind, month, some) for month, some in _merges(whole, now_ms, kept.hot_days)]
    return Due([each for each in there if each.moved_id < each.last_id], units, merges, forgotten)


def _units(connection: sa.Connection, kind: str, cutoff_ms: int, bound: int) -> Iterator[Unit]:
    """Whole days of arrival before ``cutoff_ms``, in files of at most :data:`MAX_ROWS`."""
    row, of_it = summaries.c, of_kind(kind)
    last = connection.execute(sa.select(sa.func.max(cold_files.c.last_id)).where(cold_files.c.kind == kind)).scalar()
    after, end = last or 0, min(bound, _first_since(connection, cutoff_ms) - 1)
    while True:
        following = sa.select(row.id, row.received_ms).where(*of_it, row.id > after, row.id <= end).order_by(row.id)
        first = connection.execute(following.limit(1)).one_or_none()
        if first is None:
            return
        midnight = (first.received_ms // DAY_MS + 1) * DAY_MS
        upto = max(first.id, min(end, _first_since(connection, midnight) - 1))
        full = sa.select(row.id).where(*of_it, row.id > after, row.id <= upto).order_by(row.id)
        upto = connection.execute(full.limit(1).offset(MAX_ROWS - 1)).scalar() or upto
        yield Unit(kind, after + 1, upto, day_of(first.received_ms))
        after = upto


def _first_since(connection: sa.Connection, ms: int) -> int:
    """The number of the first row that came at ``ms`` or later, by halving: rows have no index by arrival.

    Where the hub's clock was put back it is one of several such places: a row more or less is old.
    """
    row = summaries.c
    low, high = (connection.execute(sa.select(f(row.id))).scalar() or 0 for f in (sa.func.min, sa.func.max))
    high += 1
    while low < high:
        middle = (low + high) // 2
        probe = sa.select(row.id, row.received_ms).where(row.id >= middle).order_by(row.id).limit(1)
        found = connection.execute(probe).one_or_none()
        if found is None or found.received_ms >= ms:
            high = middle
        else:
            low = found.id + 1
    return low


def _merges(whole: list[ColdFile], now_ms: int, hot_days: int | None) -> Iterator[tuple[str, list[ColdFile]]]:
    """Files of one month that is over, as many as together are not too large."""
    for month, each in itertools.groupby(whole, key=lambda file: day_of(file.first_received_ms)[:7]):
        if month >= day_of(now_ms - DAY_MS * (hot_days or 0))[:7]:
            continue  # more of this month is still to come
        some: list[ColdFile] = []
        rows = 0
        for file in each:
            if some and rows + file.rows > MAX_MERGED:
                if len(some) > 1:
                    yield month, some
                some, rows = [], 0
            some.append(file)
            rows += file.rows
        if len(some) > 1:
            yield month, some


def run(
    data: Path,
    engine: sa.Engine,
    write: Write,
    now_ms: int,
    *,
    step: Callable[[str], None] = lambda _name: None,
    pause: Callable[[float], None] = time.sleep,
) -> Done:
    """Everything that is due. Syncs go on: each transaction is short, and pauses follow it.

    Raises:
        ConfigurationError: the configuration.
        ConflictError: another run is at work.
        HubError, OSError: the store or the disk failed; what was done stays done, the next run goes on.
    """
    retention, started = load_retention(data), time.monotonic()

    def gently(job: Callable[[sa.Connection], Any]) -> Any:
        began = time.monotonic()
        value = write(job)
        pause(_REST * (time.monotonic() - began))
        return value

    def note(connection: sa.Connection) -> None:
        settings, default = (msgspec.to_builtins(each) for each in (retention, Retention()))
        audit.record_settings(connection, "retention", settings, default)

    with alone(data), closing(Compactor(engine, Cold(data), gently, now_ms, step)) as compactor:
        gently(note)
        upto = gently(settled_id)
        while gently(functools.partial(roll, upto=upto)):
            pass
        compactor.sweep()
        with engine.connect() as connection:
            work = due(connection, retention, now_ms)
        made = [compactor.move(file) for file in work.unfinished]
        made += [new for unit in work.units if (new := compactor.compact(unit)) is not None]
        with engine.connect() as connection:
            work = due(connection, retention, now_ms)
        for kind, month, some in work.merges:
            compactor.merge(kind, some, month)
        for file in work.forgotten:
            compactor.forget(file)
        if work.forgotten:
            about = {"files": [file.path for file in work.forgotten]}
            gently(lambda c: audit.record(c, audit.hub(), "rows.forgotten", "retention", now_ms, **about))
        pruned = _prune(engine, gently, retention, now_ms)
        _shrink(engine, gently)
    return Done(
        files=[file.path for file in made],
        rows=sum(file.rows for file in made),
        merged=sum(len(some) for _, _, some in work.merges),
        forgotten=[file.path for file in work.forgotten],
        rollups=pruned,
        bytes=sum(file.bytes for file in made),
        seconds=round(time.monotonic() - started, 3),
    )


def would(connection: sa.Connection, data: Path, now_ms: int) -> Done:
    """What :func:`run` would do; rollups that it would delete are not counted."""
    work = due(connection, load_retention(data), now_ms)
    row = summaries.c
    rows = 0
    for unit in work.units:
        query = sa.select(sa.func.count()).where(*of_kind(unit.kind), row.id >= unit.first_id, row.id <= unit.last_id)
        rows += connection.execute(query.select_from(summaries)).scalar_one()
    return Done(
        dry_run=True,
        files=[named(unit) for unit in work.units] + [file.path for file in work.unfinished],
        rows=rows + sum(file.rows - file.moved_rows for file in work.unfinished),
        merged=sum(len(some) for _, _, some in work.merges),
        forgotten=[file.path for file in work.forgotten],
        rollups=0,
        bytes=0,
        seconds=0.0,
    )


def _prune(engine: sa.Engine, write: Write, retention: Retention, now_ms: int) -> int:
    """Delete rollups that are older than their length is kept; how many."""
    kept, column, count = retention.rollup, rollups.c, 0
    for level_s, days in ((QUARTER_S, kept.quarter_hour_days), (HOUR_S, kept.hour_days), (DAY_S, kept.day_days)):
        if days is None:
            continue
        with engine.connect() as connection:
            streams = list(connection.execute(sa.select(datastreams.c.id)).scalars())
        for at in range(0, len(streams), _STREAMS):
            old = sa.delete(rollups).where(
                column.datastream_id.in_(streams[at : at + _STREAMS]),
                column.level_s == level_s,
                column.start_ms < (now_ms // DAY_MS - days) * DAY_MS,
            )
            count += write(functools.partial(_deleted, query=old))
    return count


def _deleted(connection: sa.Connection, query: sa.Delete) -> int:
    return connection.execute(query).rowcount


def _shrink(engine: sa.Engine, write: Write) -> None:
    """Give free pages back but for a tenth, into which the next days' rows go."""
    with engine.connect() as connection:
        size = size_of(connection)
    free = size.free
    while size.shrinks and free * 10 > size.bytes:
        write(functools.partial(reclaim, pages=_PAGES))
        with engine.connect() as connection:
            left = size_of(connection).free
        if left >= free:
            return
        free = left


def view(connection: sa.Connection, data: Path, now_ms: int, *, verify: bool) -> RetentionView:
    """
    Args:
        verify: read every file against its SHA-256, not its size alone.
    """
    retention, cold = load_retention(data), Cold(data)
    there = files(connection)
    counted = connection.execute(
        sa.select(*(sa.func.coalesce(sa.func.sum(nodes.c[f"{kind}s"]), 0) for kind in KINDS))
    ).one()
    gone_query = sa.select(cold_files.c.kind, sa.func.sum(cold_files.c.rows))
    gone_query = gone_query.where(cold_files.c.forgotten_ms.is_not(None)).group_by(cold_files.c.kind)
    gone = {kind: int(rows) for kind, rows in connection.execute(gone_query)}
    kinds = []
    for kind, came in zip(KINDS, counted, strict=True):
        of_it = [file for file in there if file.kind == kind]
        moved, size = sum(file.moved_rows for file in of_it), sum(file.bytes for file in of_it)
        kinds.append(
            KindView(
                kind=kind,
                hot_days=retention.of(kind).hot_days,
                cold_days=retention.of(kind).cold_days,
                hot_rows=int(came) - moved - gone.get(kind, 0),
                cold_rows=moved,
                forgotten_rows=gone.get(kind, 0),
                cold_files=len(of_it),
                cold_bytes=size,
                cold_bytes_a_row=size / rows if (rows := sum(file.rows for file in of_it)) else None,
                oldest_cold=day_of(min(file.first_received_ms for file in of_it)) if of_it else None,
                oldest_hot=_oldest(connection, kind),
            )
        )
    size_, hot = size_of(connection), sum(kind.hot_rows for kind in kinds)
    work = due(connection, retention, now_ms)
    top = connection.execute(sa.select(sa.func.max(summaries.c.id))).scalar() or 0
    return RetentionView(
        kinds=kinds,
        rollups=connection.execute(sa.select(sa.func.count()).select_from(rollups)).scalar_one(),
        not_rolled=max(0, top - rolled_id(connection)),
        database_bytes=size_.bytes,
        database_free_bytes=size_.free,
        database_shrinks=size_.shrinks,
        hot_bytes_a_row=(size_.bytes - size_.free) / hot if hot else None,
        due_files=len(work.units) + len(work.unfinished),
        faults=[fault for file in there if (fault := _fault(cold, file, verify)) is not None],
    )


def _oldest(connection: sa.Connection, kind: str) -> str | None:
    query = sa.select(summaries.c.received_ms).where(*of_kind(kind)).order_by(summaries.c.id).limit(1)
    found = connection.execute(query).scalar()
    return None if found is None else day_of(found)


def _fault(cold: Cold, file: ColdFile, verify: bool) -> FileFault | None:
    try:
        if verify:
            cold.check(file)
        else:
            cold.check_size(file)
    except HubError as exc:
        why = exc.message.partition(": ")[2]
        return FileFault(path=f"{FOLDER}/{file.path}", kind=file.kind, rows=file.moved_rows, why=why)
    return None
