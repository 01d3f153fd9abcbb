"""The migrations make the tables that the code describes, and take them away again."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from cloud.hub.store import DATABASE, metadata, migrate, open_engine


def tables(data: Path) -> set[str]:
    with sqlite3.connect(data / DATABASE) as database:
        return {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def test_the_migrated_schema_is_the_described_one(tmp_path: Path) -> None:
    migrate(tmp_path)
    engine = open_engine(tmp_path)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_down_and_up_again(tmp_path: Path) -> None:
    migrate(tmp_path)
    there = tables(tmp_path)
    migrate(tmp_path, "base")
    assert tables(tmp_path) == {"alembic_version"}
    migrate(tmp_path)
    migrate(tmp_path)  # nothing to do
    assert tables(tmp_path) == there
