"""Of each node's last heartbeat, beside it: what lists sort and sum by. And its alerts by an index."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

COUNTS = ("backlog", "allowed", "refused")


def upgrade() -> None:
    op.add_column("nodes", sa.Column("said", sa.Text(), server_default="fresh", nullable=False))
    op.add_column("nodes", sa.Column("sync_ms", sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=True))
    for name in COUNTS:
        big = sa.BigInteger().with_variant(sa.Integer, "sqlite")
        op.add_column("nodes", sa.Column(name, big, server_default="0", nullable=False))
    op.add_column("nodes", sa.Column("signal_fault", sa.Boolean(), server_default=sa.false(), nullable=False))
    big = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "open_conditions",
        sa.Column("node_id", big, sa.ForeignKey("nodes.id"), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("severe", sa.Boolean(), nullable=False),
        sa.Column("since_ms", big, nullable=True),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("times", big, nullable=False),
        sa.PrimaryKeyConstraint("node_id", "code", "subject"),
        sqlite_with_rowid=False,
    )
    events = sa.text("kind <> 'interval'")
    op.create_index("summaries_of_node", "summaries", ["node_id", "kind"], sqlite_where=events, postgresql_where=events)
    _fill()


def downgrade() -> None:
    op.drop_index("summaries_of_node", "summaries")
    op.drop_table("open_conditions")
    for name in ("signal_fault", *COUNTS[::-1], "sync_ms", "said"):
        op.drop_column("nodes", name)


def _fill() -> None:
    """As far as a heartbeat tells it plainly; each node's next one says the rest."""
    connection = op.get_bind()
    rows = connection.execute(sa.text("SELECT id, heartbeat FROM nodes WHERE heartbeat IS NOT NULL")).all()
    note = sa.text(
        "UPDATE nodes SET said = :said, sync_ms = :sync_ms, backlog = :backlog, allowed = :allowed, "
        "refused = :refused, signal_fault = :fault WHERE id = :node"
    )
    begin = sa.text(
        "INSERT INTO open_conditions (node_id, code, subject, severe, since_ms, message, times) "
        "VALUES (:node, :code, :subject, :severe, :since, :message, :times) ON CONFLICT DO NOTHING"
    )
    for node, text in rows:
        beat: dict[str, Any] = json.loads(text)
        conditions: list[dict[str, Any]] = beat.get("conditions") or []
        board, counters = beat.get("board") or {}, beat.get("counters") or {}
        fault = bool(board.get("signal_fault"))
        ill = fault or any(c.get("severe", True) for c in conditions) or not (beat.get("healthy") or board.get("lent"))
        sync_s = beat.get("sync_s")
        about = {
            "said": "unhealthy" if ill else "lent" if board.get("lent") and not board.get("connected") else "fresh",
            "sync_ms": None if sync_s is None else int(sync_s * 1000),
            "backlog": beat.get("backlog", 0),
            "allowed": counters.get("proposals_allowed", 0),
            "refused": counters.get("proposals_refused", 0),
            "fault": fault,
            "node": node,
        }
        connection.execute(note, about)
        for c in conditions:
            told = {"code": c["code"], "subject": c["subject"], "message": c["message"], "times": c.get("times", 1)}
            since = (c.get("since") or {}).get("wall_ms")
            connection.execute(begin, {"node": node, "severe": c.get("severe", True), "since": since, **told})
