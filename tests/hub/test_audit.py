"""Every change leaves one entry, and whatever is done to the log afterwards is found out."""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.hub.conftest import initialise
from wayside.cloud.hub import audit
from wayside.cloud.hub.audit import HEAD_FILE, Entry, Head, record, verify
from wayside.cloud.hub.engine import DATABASE, open_engine
from wayside.cloud.hub.errors import StoreUnavailableError
from wayside.cloud.hub.people.actor import Actor, Role
from wayside.cloud.hub.writer import Writer

ENTRIES = 12
WHO = Actor("user:ada", Role.OPERATOR, "192.0.2.7")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with a dozen entries."""
    data = initialise(tmp_path_factory.mktemp("audit") / "hub")
    engine = open_engine(data)
    with engine.connect().execution_options(writes=True) as connection:
        for i in range(ENTRIES):
            with connection.begin():
                record(connection, WHO, "node.labelled", f"node-{i}", 1_700_000_000_000 + i, label=f"Straße {i}")
            audit.committed(data, connection)
    engine.dispose()
    return data


@pytest.fixture(scope="module")
def engine(written: Path) -> Iterator[sa.Engine]:
    made = open_engine(written)
    yield made
    made.dispose()


def wrong(data: Path, known: Head | None = None) -> list[str]:
    engine = open_engine(data)
    with engine.connect() as connection:
        found = verify(connection, data, known).wrong
    engine.dispose()
    return found


def test_a_log_that_nobody_touched_is_whole_and_its_head_stands_beside_it(written: Path) -> None:
    assert wrong(written) == []
    head = audit.noted(written)
    assert head is not None
    assert head.id == ENTRIES
    assert (written / HEAD_FILE).stat().st_mode & 0o777 == 0o600
    assert wrong(written, head) == []


def test_the_database_refuses_to_change_or_delete_an_entry(written: Path) -> None:
    with sqlite3.connect(written / DATABASE) as database:
        for statement in ("UPDATE audit SET actor = 'nobody' WHERE id = 3", "DELETE FROM audit WHERE id = 3"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                database.execute(statement)
    assert wrong(written) == []


FIELDS = [field for field in Entry._fields if field not in ("id", "previous", "hash")]


def rechained(rows: list[Entry], start: int) -> list[Entry]:
    """What a forger makes of a chain from ``start`` on, knowing how it is hashed."""
    made = rows[:start]
    for row in rows[start:]:
        previous = made[-1].hash if made else audit.START.hash
        new = row._replace(id=len(made) + 1, previous=previous)
        made.append(new._replace(hash=new.hashed()))
    return made


def changed(rows: list[Entry], at: int, field: str) -> list[Entry]:
    value = getattr(rows[at], field)
    other = value + 1 if isinstance(value, int) else f"{value or ''}x"
    return [*rows[:at], rows[at]._replace(**{field: other}), *rows[at + 1 :]]


places = st.integers(0, ENTRIES - 1)
damages = st.one_of(
    st.builds(lambda at, field: functools.partial(changed, at=at, field=field), places, st.sampled_from(FIELDS)),
    st.builds(lambda at: lambda rows: rows[:at] + rows[at + 1 :], places),
    st.builds(lambda n: lambda rows: rows[:-n], st.integers(1, ENTRIES)),
    st.builds(
        lambda a, b: lambda rows: [r._replace(id=rows[{a: b, b: a}.get(i, i)].id) for i, r in enumerate(rows)],
        st.integers(0, 5),
        st.integers(6, ENTRIES - 1),
    ),
    st.builds(lambda at, field: lambda rows: rechained(changed(rows, at, field), at), places, st.sampled_from(FIELDS)),
    st.builds(lambda at: lambda rows: rechained(rows[:at] + rows[at + 1 :], at), places),
    st.builds(lambda: lambda rows: [*rows, rows[-1]._replace(id=ENTRIES + 1)]),
)


@given(damage=damages, heads_too=st.booleans())
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_changed_cut_swapped_or_forged_is_found(
    written: Path, engine: sa.Engine, damage: object, heads_too: bool
) -> None:
    """``heads_too``: the forger makes the database's head fit, too; the data directory's is out of reach."""
    assert callable(damage)
    with engine.connect() as connection, connection.begin() as transaction:
        for trigger in ("audit_keeps_update", "audit_keeps_delete"):
            connection.exec_driver_sql(f"DROP TRIGGER {trigger}")
        rows = list(audit._all(connection))
        connection.execute(sa.delete(audit.audit))
        after = damage(rows)
        connection.execute(audit.audit.insert(), [row._asdict() for row in sorted(after)]) if after else None
        if heads_too:
            last = max(after, default=Entry(0, 0, "", None, "", "", "", "", "", audit.START.hash))
            connection.execute(audit.audit_head.update().values(id=last.id, hash=last.hash))
        assert verify(connection, written).wrong != []
        transaction.rollback()


def test_a_head_that_was_noted_finds_out_who_can_change_everything_else(tmp_path: Path) -> None:
    data = initialise(tmp_path / "hub")
    engine = open_engine(data)
    with engine.connect().execution_options(writes=True) as connection:
        for i in range(2):
            with connection.begin():
                record(connection, WHO, "node.labelled", f"node-{i}")
            audit.committed(data, connection)
        noted = audit.noted(data)
        with connection.begin():
            connection.exec_driver_sql("DROP TRIGGER audit_keeps_delete")
            connection.exec_driver_sql("DELETE FROM audit")
            connection.execute(audit.audit_head.update().values(audit.START._asdict()))
            for _ in range(2):
                record(connection, WHO, "node.labelled", "somewhere else")
        audit.committed(data, connection)
    engine.dispose()
    assert wrong(data) == []
    (found,) = wrong(data, noted)
    assert "the log was written anew" in found


def test_a_change_that_fails_leaves_no_entry_and_an_entry_that_fails_no_change(tmp_path: Path) -> None:
    data = initialise(tmp_path / "hub")
    engine = open_engine(data)
    writer = Writer(engine, on_commit=functools.partial(audit.committed, data))
    writer.start()

    def fails(connection: sa.Connection) -> None:
        record(connection, WHO, "node.labelled", "node-1")
        raise StoreUnavailableError("store_unavailable", "on purpose")

    with pytest.raises(StoreUnavailableError):
        writer.submit(fails).result()
    assert audit.noted(data) is None
    writer.submit(lambda c: record(c, WHO, "node.labelled", "node-2")).result()
    assert (audit.noted(data) or audit.START).id == 1, "on disk when the caller is told"
    writer.stop()
    with engine.connect() as connection:
        assert [e.target for e in audit.entries(connection)] == ["node-2"]
    engine.dispose()
    assert wrong(data) == []


@pytest.mark.both_stores
def test_several_writers_make_one_chain_and_the_store_refuses_to_change_it(
    tmp_path: Path, database: str | None
) -> None:
    data = initialise(tmp_path / "hub", database)
    engines = [open_engine(data, database) for _ in range(4)]
    writers = [Writer(engine, on_commit=functools.partial(audit.committed, data)) for engine in engines]
    for writer in writers:
        writer.start()
    done = [
        writer.submit(lambda c, target=f"{n}/{i}": record(c, WHO, "node.described", target))
        for i in range(25)
        for n, writer in enumerate(writers)
    ]
    for one in done:
        one.result(60)
    for writer in writers:
        writer.stop()
    with engines[0].connect() as connection:
        found = verify(connection, data)
        assert found.wrong == []
        assert found.head.id == 100
    with engines[0].connect().execution_options(writes=True) as connection:
        for statement in ("UPDATE audit SET actor = 'nobody'", "DELETE FROM audit WHERE id = 3"):
            with pytest.raises(sa.exc.DBAPIError, match="append-only"):
                connection.exec_driver_sql(statement)
            connection.rollback()
    for engine in engines:
        engine.dispose()


def test_a_long_detail_is_cut_and_says_so(tmp_path: Path) -> None:
    data = initialise(tmp_path / "hub")
    engine = open_engine(data)
    with engine.connect().execution_options(writes=True) as connection:
        with connection.begin():
            record(connection, WHO, "node.labelled", "node-1", reason="ä" * 9000, label="Elm St")
        (entry,) = audit.entries(connection)
    engine.dispose()
    assert len(entry.detail) <= audit.MAX_DETAIL
    assert '"cut":true' in entry.detail
    assert "Elm St" in entry.detail
