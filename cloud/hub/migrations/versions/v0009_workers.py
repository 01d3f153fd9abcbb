"""What several processes share."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from wayside.cloud.hub.migrations import BIG

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("nodes", sa.Column("serial", BIG, server_default="0", nullable=False))
    op.add_column("rollouts", sa.Column("changed", BIG, server_default="0", nullable=False))
    op.add_column("rollout_nodes", sa.Column("changed", BIG, server_default="0", nullable=False))
    op.create_index("ix_rollout_nodes_changed", "rollout_nodes", ["changed"])
    op.create_table(
        "changes",
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("number", BIG, server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("what"),
        sqlite_with_rowid=False,
    )
    op.execute("INSERT INTO changes (what) VALUES ('rollouts')")


def downgrade() -> None:
    op.drop_table("changes")
    op.drop_index("ix_rollout_nodes_changed", "rollout_nodes")
    for table, column in (("rollout_nodes", "changed"), ("rollouts", "changed"), ("nodes", "serial")):
        op.drop_column(table, column)
