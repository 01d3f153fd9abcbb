"""Users, sessions, API tokens; what a department sees; what is open data."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "users",
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("department", sa.Text()),
        sa.Column("password", sa.Text()),
        sa.Column("issuer", sa.Text()),
        sa.Column("subject", sa.Text()),
        sa.Column("disabled", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("created_ms", _BIG, nullable=False),
        sa.UniqueConstraint("issuer", "subject"),
    )
    op.create_table(
        "sessions",
        sa.Column("hash", sa.Text(), primary_key=True),
        sa.Column("user_name", sa.Text(), sa.ForeignKey("users.name"), nullable=False, index=True),
        sa.Column("link", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("created_ms", _BIG, nullable=False),
        sa.Column("seen_ms", _BIG, nullable=False),
        sa.Column("expires_ms", _BIG, nullable=False),
    )
    op.create_table(
        "api_tokens",
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("hash", sa.Text(), nullable=False, unique=True),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("department", sa.Text()),
        sa.Column("created_ms", _BIG, nullable=False),
        sa.Column("expires_ms", _BIG, nullable=False),
        sa.Column("used_ms", _BIG),
        sa.Column("withdrawn_ms", _BIG),
    )
    op.create_table(
        "department_scopes",
        sa.Column("id", _BIG, primary_key=True),
        sa.Column("department", sa.Text(), nullable=False, index=True),
        sa.Column("site", sa.Text()),
        sa.Column("node_id", _BIG, sa.ForeignKey("nodes.id")),
        sa.Column("datastream", sa.Text()),
    )
    op.create_table(
        "open_datastreams",
        sa.Column("node_id", _BIG, sa.ForeignKey("nodes.id"), primary_key=True),
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("released_ms", _BIG, nullable=False),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    for table in ("open_datastreams", "department_scopes", "api_tokens", "sessions", "users"):
        op.drop_table(table)
