"""What a node may send, and when it is to come."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

Big = sa.BigInteger().with_variant(sa.Integer, "sqlite")
COUNTERS = ("day", "day_rows", "day_bytes", "day_boots")

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in COUNTERS:
        op.add_column("nodes", sa.Column(name, Big, server_default="0", nullable=False))
    op.add_column("nodes", sa.Column("over_quota", sa.Text))


def downgrade() -> None:
    op.drop_column("nodes", "over_quota")
    for name in reversed(COUNTERS):
        op.drop_column("nodes", name)
