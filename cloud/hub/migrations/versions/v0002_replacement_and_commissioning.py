"""Keys with their history, the computer behind a key, commissioning records."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from wayside.cloud.hub.migrations import BIG

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("machine", "boot", "machine_seen", "clone"):
        op.add_column("nodes", sa.Column(name, sa.Text(), nullable=True))
    op.add_column("boots", sa.Column("synced_ms", BIG, nullable=True))
    op.add_column("boots", sa.Column("machine", sa.Text(), nullable=True))
    op.add_column("tokens", sa.Column("replaces", sa.Boolean(), server_default="0", nullable=False))
    op.add_column("tokens", sa.Column("reason", sa.Text(), nullable=True))
    op.create_table(
        "node_keys",
        sa.Column("id", BIG, nullable=False),
        sa.Column("node_id", BIG, nullable=False),
        sa.Column("public_key", sa.Text(), nullable=False),
        sa.Column("hardware", sa.Text(), nullable=True),
        sa.Column("machine", sa.Text(), nullable=True),
        sa.Column("since_ms", BIG, nullable=False),
        sa.Column("revoked_ms", BIG, nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["node_id"], ["nodes.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_node_keys_node_id", "node_keys", ["node_id"])
    op.create_table(
        "commissionings",
        sa.Column("id", BIG, nullable=False),
        sa.Column("node_id", BIG, nullable=False),
        sa.Column("record_id", sa.Text(), nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.Column("public_key", sa.Text(), nullable=False),
        sa.Column("signature", sa.Text(), nullable=False),
        sa.Column("received_ms", BIG, nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("finished_ms", BIG, nullable=True),
        sa.Column("passed", sa.Boolean(), nullable=False),
        sa.Column("sensors_passed", BIG, nullable=False),
        sa.Column("sensors", BIG, nullable=False),
        sa.ForeignKeyConstraint(["node_id"], ["nodes.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("record_id"),
    )
    op.create_index("ix_commissionings_node_id", "commissionings", ["node_id"])
    # Every node of before has one key, since it enrolled.
    op.execute(
        "INSERT INTO node_keys (node_id, public_key, hardware, since_ms) "
        "SELECT id, public_key, hardware, enrolled_ms FROM nodes"
    )


def downgrade() -> None:
    op.drop_table("commissionings")
    op.drop_table("node_keys")
    for table, names in (
        ("tokens", ("reason", "replaces")),
        ("boots", ("machine", "synced_ms")),
        ("nodes", ("clone", "machine_seen", "boot", "machine")),
    ):
        for name in names:
            op.drop_column(table, name)
