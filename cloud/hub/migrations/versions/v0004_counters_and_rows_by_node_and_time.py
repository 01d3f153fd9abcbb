"""Counts beside nodes and boots, a bitmap of what a boot has sent, rows that carry their node and time."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from wayside.cloud.hub.migrations import BIG

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

PAGE = 4096  # as wayside.cloud.hub.received had it at this revision
COUNTS = ("intervals", "alerts", "decisions", "gaps", "missing", "scored")
SUMS = ("forecast_error", "naive_error")
SAME = (
    "boot_id, seq, datastream_id, kind, mono_ns, clock, error_ms, duration_s, value, unit, quality, n, forecast, "
    "naive, anomaly, model, detail, extra, received_ms, derived"
)
TABLE = """
CREATE TABLE summaries_ (
  id {number} NOT NULL, {key} boot_id {big} NOT NULL, seq {big} NOT NULL, datastream_id {big} NOT NULL,
  kind TEXT NOT NULL, {wall} mono_ns {big} NOT NULL, clock TEXT NOT NULL, error_ms {big},
  duration_s FLOAT NOT NULL, value FLOAT, unit TEXT NOT NULL, quality TEXT NOT NULL, n {big} NOT NULL,
  forecast FLOAT, naive FLOAT, anomaly FLOAT, model TEXT, detail TEXT, extra TEXT, received_ms {big} NOT NULL,
  derived BOOLEAN DEFAULT '0' NOT NULL, PRIMARY KEY (id){rules}
)
"""


def upgrade() -> None:
    for name in COUNTS:
        op.add_column("nodes", sa.Column(name, BIG, server_default="0", nullable=False))
    for name in SUMS:
        op.add_column("nodes", sa.Column(name, sa.Float(), server_default="0", nullable=False))
    op.add_column("boots", sa.Column("rows", BIG, server_default="0", nullable=False))
    op.add_column("boots", sa.Column("last_seq", BIG, nullable=True))
    op.create_table(
        "received",
        sa.Column("boot_id", BIG, sa.ForeignKey("boots.id"), nullable=False),
        sa.Column("page", BIG, nullable=False),
        sa.Column("bits", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("boot_id", "page"),
        sqlite_with_rowid=False,
    )
    _note_received()
    op.execute(
        "UPDATE boots SET (rows, last_seq) = (SELECT count(*), max(seq) FROM summaries s WHERE s.boot_id = boots.id)"
    )
    op.execute("UPDATE boots SET last_seq = NULL WHERE rows = 0")
    for column, kind in (("intervals", "interval"), ("alerts", "alert"), ("decisions", "decision"), ("gaps", "gap")):
        _count(column, "count(*)", f"s.kind = '{kind}'")
    scored = (
        "s.kind = 'interval' AND s.value IS NOT NULL AND s.forecast IS NOT NULL AND s.naive IS NOT NULL "
        "AND NOT s.derived"
    )
    _count("scored", "count(*)", scored)
    _count("forecast_error", "coalesce(sum(abs(s.value - s.forecast)), 0)", scored)
    _count("naive_error", "coalesce(sum(abs(s.value - s.naive)), 0)", scored)
    op.execute(
        "UPDATE nodes SET missing = coalesce((SELECT sum(last_seq + 1 - rows) FROM boots b "
        "WHERE b.node_id = nodes.id AND b.rows > 0), 0)"
    )
    _create(key="node_id {big} NOT NULL, time_ms {big} NOT NULL,")
    op.execute(
        f"INSERT INTO summaries_ (id, node_id, time_ms, {SAME}) "  # noqa: S608  only constants
        f"SELECT s.id, b.node_id, coalesce(s.wall_ms, s.received_ms), {SAME.replace('boot_id', 's.boot_id', 1)} "
        "FROM summaries s JOIN boots b ON b.id = s.boot_id ORDER BY s.id"
    )
    _replace("summaries_by_time", "time_ms")


def downgrade() -> None:
    _create(
        wall="wall_ms {big},",
        rules=", FOREIGN KEY(boot_id) REFERENCES boots (id), "
        "FOREIGN KEY(datastream_id) REFERENCES datastreams (id), UNIQUE (boot_id, seq)",
    )
    op.execute(
        f"INSERT INTO summaries_ (id, wall_ms, {SAME}) "  # noqa: S608
        f"SELECT id, CASE WHEN clock = 'unknown' THEN NULL ELSE time_ms END, {SAME} FROM summaries ORDER BY id"
    )
    _replace("summaries_by_time", "wall_ms")
    op.drop_table("received")
    for table, names in (("boots", ("last_seq", "rows")), ("nodes", (*SUMS[::-1], *COUNTS[::-1]))):
        for name in names:
            op.drop_column(table, name)


def _count(column: str, what: str, where: str) -> None:
    op.execute(
        f"UPDATE nodes SET {column} = (SELECT {what} FROM summaries s JOIN boots b ON b.id = s.boot_id "  # noqa: S608
        f"WHERE b.node_id = nodes.id AND {where})"
    )


def _note_received() -> None:
    connection = op.get_bind()
    boots = [row.id for row in connection.execute(sa.text("SELECT id FROM boots"))]
    seqs = sa.text("SELECT seq FROM summaries WHERE boot_id = :boot ORDER BY seq")
    save = sa.text("INSERT INTO received (boot_id, page, bits) VALUES (:boot, :page, :bits)")
    for boot in boots:
        pages: dict[int, int] = {}
        for (seq,) in connection.execute(seqs, {"boot": boot}):
            pages[seq // PAGE] = pages.get(seq // PAGE, 0) | 1 << seq % PAGE
        for page, bits in pages.items():
            packed = bits.to_bytes((bits.bit_length() + 7) // 8, "little")
            connection.execute(save, {"boot": boot, "page": page, "bits": packed})


def _create(*, key: str = "", wall: str = "", rules: str = "") -> None:
    big, number = ("BIGINT", "BIGSERIAL") if _is_postgres() else ("INTEGER", "INTEGER")
    text = TABLE.replace("{key}", key).replace("{wall}", wall).replace("{rules}", rules)
    op.execute(text.format(big=big, number=number))


def _replace(index: str, by: str) -> None:
    op.execute("DROP TABLE summaries")
    op.execute("ALTER TABLE summaries_ RENAME TO summaries")
    if _is_postgres():
        op.execute("ALTER INDEX summaries__pkey RENAME TO summaries_pkey")
        op.execute("ALTER SEQUENCE summaries__id_seq RENAME TO summaries_id_seq")
        op.execute("SELECT setval('summaries_id_seq', (SELECT coalesce(max(id), 0) + 1 FROM summaries), false)")
    op.execute(f"CREATE INDEX {index} ON summaries (datastream_id, {by})")
    op.execute("CREATE INDEX summaries_by_kind ON summaries (kind) WHERE kind <> 'interval'")


def _is_postgres() -> bool:
    return op.get_bind().dialect.name == "postgresql"
