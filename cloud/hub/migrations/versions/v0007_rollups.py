"""Rollups, retention and what lies in the cold tier."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

Big = sa.BigInteger().with_variant(sa.Integer, "sqlite")
COUNTS = ("n", "missing", "doubtful", "untimed", "forecasts", "scored")
SUMS = ("total", "weighted", "covered_s", "forecast_total", "forecast_error", "naive_error")


def upgrade() -> None:
    op.create_table(
        "rollups",
        *(
            sa.Column(name, Big, autoincrement=False, nullable=False)
            for name in ("datastream_id", "level_s", "start_ms")
        ),
        sa.Column("unit", sa.Text(), nullable=False),
        *(sa.Column(name, Big, nullable=False) for name in COUNTS),
        *(sa.Column(name, sa.Float(), nullable=False) for name in SUMS),
        sa.Column("low", sa.Float()),
        sa.Column("high", sa.Float()),
        sa.Column("last_ms", Big),
        sa.PrimaryKeyConstraint("datastream_id", "level_s", "start_ms", "unit"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "progress",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("id", Big, nullable=False),
        sa.PrimaryKeyConstraint("name"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "cold_files",
        sa.Column("id", Big, primary_key=True),
        sa.Column("kind", sa.Text(), nullable=False),
        *(sa.Column(name, Big, nullable=False) for name in ("first_id", "last_id", "moved_id", "rows", "moved_rows")),
        *(
            sa.Column(name, Big, nullable=False)
            for name in ("min_ms", "max_ms", "first_received_ms", "last_received_ms")
        ),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("bytes", Big, nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("made_ms", Big, nullable=False),
        sa.Column("forgotten_ms", Big),
    )
    op.create_index("cold_files_by_row", "cold_files", ["kind", "first_id"])


def downgrade() -> None:
    cold = sa.text("SELECT count(*) FROM cold_files WHERE forgotten_ms IS NULL")
    if op.get_bind().execute(cold).scalar():
        raise sa.exc.InvalidRequestError(
            "an earlier release does not read the rows that lie in files: restore a backup"
        )
    op.drop_index("cold_files_by_row", "cold_files")
    for name in ("cold_files", "progress", "rollups"):
        op.drop_table(name)
