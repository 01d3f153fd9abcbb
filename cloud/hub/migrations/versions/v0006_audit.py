"""The audit log; nodes that are revoked, retired or labelled; enrolment tokens that are withdrawn."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_NODE = (("label", sa.Text()), ("revoked_ms", _BIG), ("retired_ms", _BIG), ("out_reason", sa.Text()))
_SAYS = "the audit log is append-only"
APPEND_ONLY = {
    "sqlite": [
        f"CREATE TRIGGER audit_keeps_{what.lower()} BEFORE {what} ON audit BEGIN SELECT RAISE(ABORT, '{_SAYS}'); END"
        for what in ("UPDATE", "DELETE")
    ],
    "postgresql": [
        "CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{_SAYS}'; END $$",
        "CREATE TRIGGER audit_keeps BEFORE UPDATE OR DELETE OR TRUNCATE ON audit "
        "FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only()",
    ],
}


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("id", _BIG, autoincrement=False, nullable=False),
        sa.Column("at_ms", _BIG, nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("role", sa.Text()),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("previous", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table("audit_head", sa.Column("id", _BIG, nullable=False), sa.Column("hash", sa.Text(), nullable=False))
    op.execute(sa.text("INSERT INTO audit_head (id, hash) VALUES (0, :start)").bindparams(start="0" * 64))
    for statement in APPEND_ONLY[op.get_bind().dialect.name]:
        op.execute(statement)
    for name, kind in _NODE:
        op.add_column("nodes", sa.Column(name, kind, nullable=True))
    op.add_column("tokens", sa.Column("withdrawn_ms", _BIG, nullable=True))


def downgrade() -> None:
    op.drop_column("tokens", "withdrawn_ms")
    for name, _ in reversed(_NODE):
        op.drop_column("nodes", name)
    op.drop_table("audit_head")
    op.drop_table("audit")  # and its triggers
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION audit_is_append_only()")
