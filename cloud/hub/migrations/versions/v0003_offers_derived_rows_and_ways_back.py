"""What nodes offer, rows that are derived, rollouts with tolerances, ends and ways back, withdrawn versions."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from wayside.cloud.hub.migrations import BIG

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def added() -> dict[str, list[sa.Column[Any]]]:
    """New columns of each table."""
    flag: dict[str, Any] = {"server_default": "0", "nullable": False}
    return {
        "nodes": [sa.Column("offer", sa.Text()), sa.Column("offer_boot", sa.Text())],
        "datastreams": [sa.Column("unit", sa.Text()), sa.Column("derived", sa.Boolean(), **flag)],
        "summaries": [sa.Column("derived", sa.Boolean(), **flag)],
        "rollouts": [
            sa.Column("max_failed_percent", sa.Float(), **flag),
            sa.Column("max_silent_percent", sa.Float(), server_default="20", nullable=False),
            sa.Column("ended_ms", BIG),
            sa.Column("back_of", BIG),
            sa.Column("recalled", sa.Boolean(), **flag),
            sa.Column("passport", sa.Text()),
            sa.Column("left_out", sa.Text()),
        ],
        "rollout_nodes": [
            sa.Column("ran", sa.Text()),
            sa.Column("old_failure", sa.Text()),
            sa.Column("unfit", sa.Text()),
            sa.Column("joined_later", sa.Boolean(), **flag),
        ],
    }


def upgrade() -> None:
    for table, columns in added().items():
        for column in columns:
            op.add_column(table, column)
    op.create_table(
        "withdrawals",
        sa.Column("bundle", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("withdrawn_ms", BIG, nullable=False),
        sa.PrimaryKeyConstraint("bundle", "version"),
        sqlite_with_rowid=False,
    )
    # Until here a node's sums were known by their names alone.
    op.execute(
        "UPDATE summaries SET derived = true WHERE kind = 'interval' AND datastream_id IN "
        "(SELECT id FROM datastreams WHERE name LIKE 'intersection/%')"
    )
    op.execute("UPDATE datastreams SET derived = true WHERE name LIKE 'intersection/%'")
    op.execute(
        "UPDATE datastreams SET unit = (SELECT s.unit FROM summaries s WHERE s.datastream_id = datastreams.id "
        "AND s.kind = 'interval' ORDER BY s.id DESC LIMIT 1)"
    )
    # What a waiting member had refused before the start stood where its reason does.
    op.execute("UPDATE rollout_nodes SET old_failure = reason, reason = NULL WHERE state = 'waiting'")
    # A rollout that was called completed while members were excused, or before they joined.
    op.execute(
        "UPDATE rollout_nodes SET joined_later = true WHERE state = 'waiting' AND rollout_id IN "
        "(SELECT id FROM rollouts WHERE state = 'completed')"
    )
    op.execute(
        "UPDATE rollouts SET state = 'completed_with_exceptions' WHERE state = 'completed' AND id IN "
        "(SELECT rollout_id FROM rollout_nodes WHERE state NOT IN ('active', 'waiting'))"
    )


def downgrade() -> None:
    op.execute("UPDATE rollouts SET state = 'completed' WHERE state = 'completed_with_exceptions'")
    op.execute("UPDATE rollout_nodes SET reason = old_failure WHERE state = 'waiting'")
    op.execute("UPDATE rollout_nodes SET state = 'waiting', reason = NULL WHERE state IN ('trying', 'late', 'silent')")
    op.drop_table("withdrawals")
    for table, columns in reversed(added().items()):
        for column in reversed(columns):
            op.drop_column(table, column.name)
