"""When the hub was restored from a backup, and whether its rollouts wait for an operator since."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "restores",
        sa.Column("id", _BIG, primary_key=True),
        sa.Column("restored_ms", _BIG, nullable=False),
        sa.Column("backup_ms", _BIG, nullable=False),
        sa.Column("released_ms", _BIG),
    )


def downgrade() -> None:
    op.drop_table("restores")
