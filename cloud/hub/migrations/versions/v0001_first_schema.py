"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from wayside.cloud.hub.migrations import BIG

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "nodes",
        sa.Column("id", BIG, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("public_key", sa.Text(), nullable=False),
        sa.Column("site", sa.Text(), nullable=True),
        sa.Column("hardware", sa.Text(), nullable=True),
        sa.Column("enrolled_ms", BIG, nullable=False),
        sa.Column("last_seen_ms", BIG, nullable=True),
        sa.Column("gap_ms", sa.Float(), nullable=True),
        sa.Column("heartbeat", sa.Text(), nullable=True),
        sa.Column("extra", sa.Text(), nullable=True),
        sa.Column("stored", BIG, server_default="0", nullable=False),
        sa.Column("duplicates", BIG, server_default="0", nullable=False),
        sa.Column("requests", BIG, server_default="0", nullable=False),
        sa.Column("bytes", BIG, server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name"),
    )
    op.create_table(
        "rollouts",
        sa.Column("id", BIG, nullable=False),
        sa.Column("bundle", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("phases", sa.Text(), nullable=False),
        sa.Column("deadline_s", sa.Float(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("phase", BIG, nullable=False),
        sa.Column("created_ms", BIG, nullable=False),
        sa.Column("phase_started_ms", BIG, nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "tokens",
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("node", sa.Text(), nullable=True),
        sa.Column("site", sa.Text(), nullable=True),
        sa.Column("created_ms", BIG, nullable=False),
        sa.Column("expires_ms", BIG, nullable=False),
        sa.Column("used_node", sa.Text(), nullable=True),
        sa.Column("used_key", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("hash"),
    )
    op.create_table(
        "boots",
        sa.Column("id", BIG, nullable=False),
        sa.Column("node_id", BIG, nullable=False),
        sa.Column("boot", sa.Text(), nullable=False),
        sa.Column("first_ms", BIG, nullable=False),
        sa.ForeignKeyConstraint(
            ["node_id"],
            ["nodes.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("node_id", "boot"),
    )
    op.create_table(
        "datastreams",
        sa.Column("id", BIG, nullable=False),
        sa.Column("node_id", BIG, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["node_id"],
            ["nodes.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("node_id", "name"),
    )
    op.create_table(
        "rollout_nodes",
        sa.Column("rollout_id", BIG, nullable=False),
        sa.Column("node", sa.Text(), nullable=False),
        sa.Column("phase", BIG, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["rollout_id"],
            ["rollouts.id"],
        ),
        sa.PrimaryKeyConstraint("rollout_id", "node"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "summaries",
        sa.Column("id", BIG, nullable=False),
        sa.Column("boot_id", BIG, nullable=False),
        sa.Column("seq", BIG, nullable=False),
        sa.Column("datastream_id", BIG, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("wall_ms", BIG, nullable=True),
        sa.Column("mono_ns", BIG, nullable=False),
        sa.Column("clock", sa.Text(), nullable=False),
        sa.Column("error_ms", BIG, nullable=True),
        sa.Column("duration_s", sa.Float(), nullable=False),
        sa.Column("value", sa.Float(), nullable=True),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("quality", sa.Text(), nullable=False),
        sa.Column("n", BIG, nullable=False),
        sa.Column("forecast", sa.Float(), nullable=True),
        sa.Column("naive", sa.Float(), nullable=True),
        sa.Column("anomaly", sa.Float(), nullable=True),
        sa.Column("model", sa.Text(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("extra", sa.Text(), nullable=True),
        sa.Column("received_ms", BIG, nullable=False),
        sa.ForeignKeyConstraint(
            ["boot_id"],
            ["boots.id"],
        ),
        sa.ForeignKeyConstraint(
            ["datastream_id"],
            ["datastreams.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("boot_id", "seq"),
    )
    with op.batch_alter_table("summaries", schema=None) as batch_op:
        only = sa.text("kind <> 'interval'")
        batch_op.create_index("summaries_by_kind", ["kind"], unique=False, sqlite_where=only, postgresql_where=only)
        batch_op.create_index("summaries_by_time", ["datastream_id", "wall_ms"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("summaries", schema=None) as batch_op:
        batch_op.drop_index("summaries_by_time")
        batch_op.drop_index("summaries_by_kind", sqlite_where=sa.text("kind <> 'interval'"))

    op.drop_table("summaries")
    op.drop_table("rollout_nodes")
    op.drop_table("datastreams")
    op.drop_table("boots")
    op.drop_table("tokens")
    op.drop_table("rollouts")
    op.drop_table("nodes")
