"""The hub's tables (SQLAlchemy Core).

Times named ``*_ms`` are Unix milliseconds: ``wall_ms`` on the node's clock, the others on the hub's. One file,
though a long one: migrations are held against the whole of it.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

metadata = sa.MetaData()
Big = sa.BigInteger().with_variant(sa.Integer, "sqlite")  # SQLite's INTEGER has 64 bits, and only it numbers rows

_NO_INTERVAL = sa.text("kind <> 'interval'")

nodes = sa.Table(
    "nodes",
    metadata,
    sa.Column("id", Big, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("public_key", sa.Text, nullable=False),  # Ed25519, hexadecimal
    sa.Column("site", sa.Text),
    sa.Column("hardware", sa.Text),
    sa.Column("enrolled_ms", Big, nullable=False),  # the name; when its present key came: node_keys
    sa.Column("machine", sa.Text),  # fingerprint of the computer that the present key belongs to
    sa.Column("boot", sa.Text),  # of the last sync, that of a refused copy included
    sa.Column("machine_seen", sa.Text),  # of the same
    sa.Column("clone", sa.Text),  # cloud.hub.instances.Clone as JSON while two computers use the key
    sa.Column("serial", Big, nullable=False, server_default="0"),  # cloud.hub.serials: counts what changes this row
    sa.Column("last_seen_ms", Big),
    sa.Column("gap_ms", sa.Float),  # usual time between two syncs, smoothed
    sa.Column("heartbeat", sa.Text),  # contracts.sync.Heartbeat as JSON, unknown fields included
    sa.Column("offer", sa.Text),  # contracts.task_config.Offer as JSON; null: it never said
    sa.Column("offer_boot", sa.Text),  # the boot that said so
    sa.Column("extra", sa.Text),  # unknown fields of the last sync request, JSON
    sa.Column("stored", Big, nullable=False, server_default="0"),
    sa.Column("duplicates", Big, nullable=False, server_default="0"),
    sa.Column("requests", Big, nullable=False, server_default="0"),
    sa.Column("bytes", Big, nullable=False, server_default="0"),  # bodies as sent
    # Counted as rows come, so that no page reads them all; cloud.hub.recount says what the rows themselves say:
    sa.Column("intervals", Big, nullable=False, server_default="0"),
    sa.Column("alerts", Big, nullable=False, server_default="0"),
    sa.Column("decisions", Big, nullable=False, server_default="0"),
    sa.Column("gaps", Big, nullable=False, server_default="0"),
    sa.Column("missing", Big, nullable=False, server_default="0"),  # over its boots: last_seq + 1 - rows
    sa.Column("scored", Big, nullable=False, server_default="0"),  # intervals with value, forecast and naive, no sums
    sa.Column("forecast_error", sa.Float, nullable=False, server_default="0"),  # sum of absolute errors over them
    sa.Column("naive_error", sa.Float, nullable=False, server_default="0"),
    sa.Column("label", sa.Text),  # what people call it; its name is what it signs with
    sa.Column("revoked_ms", Big),  # its key is refused until other hardware, or this one anew, takes its place
    sa.Column("retired_ms", Big),  # it has left the fleet; its history stays
    sa.Column("out_reason", sa.Text),  # why it was revoked or retired
    # Of the last heartbeat, for lists and sums that do not decode them all (cloud.hub.heartbeats):
    sa.Column("said", sa.Text, nullable=False, server_default="fresh"),  # cloud.hub.health.Said
    sa.Column("sync_ms", Big),  # how often it syncs
    sa.Column("backlog", Big, nullable=False, server_default="0"),
    sa.Column("allowed", Big, nullable=False, server_default="0"),  # proposals
    sa.Column("refused", Big, nullable=False, server_default="0"),
    sa.Column("signal_fault", sa.Boolean, nullable=False, server_default="0"),
    # Of one day of the hub, in days since 1970 (cloud.hub.quotas):
    sa.Column("day", Big, nullable=False, server_default="0"),
    sa.Column("day_rows", Big, nullable=False, server_default="0"),
    sa.Column("day_bytes", Big, nullable=False, server_default="0"),
    sa.Column("day_boots", Big, nullable=False, server_default="0"),
    sa.Column("over_quota", sa.Text),  # of what its last request was refused; null: it was not
)

open_conditions = sa.Table(
    "open_conditions",  # of each node's last heartbeat
    metadata,
    sa.Column("node_id", sa.ForeignKey("nodes.id"), primary_key=True),
    sa.Column("code", sa.Text, primary_key=True),
    sa.Column("subject", sa.Text, primary_key=True),
    sa.Column("severe", sa.Boolean, nullable=False),
    sa.Column("since_ms", Big),  # null: the node's clock was unknown
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("times", Big, nullable=False),
    sqlite_with_rowid=False,
)

node_keys = sa.Table(
    "node_keys",
    metadata,
    sa.Column("id", Big, primary_key=True),
    sa.Column("node_id", sa.ForeignKey("nodes.id"), nullable=False, index=True),
    sa.Column("public_key", sa.Text, nullable=False),  # may come again: hardware that is put back
    sa.Column("hardware", sa.Text),
    sa.Column("machine", sa.Text),
    sa.Column("since_ms", Big, nullable=False),
    sa.Column("revoked_ms", Big),  # null: the present one
    sa.Column("reason", sa.Text),
)

commissionings = sa.Table(
    "commissionings",
    metadata,
    sa.Column("id", Big, primary_key=True),  # in order of arrival
    sa.Column("node_id", sa.ForeignKey("nodes.id"), nullable=False, index=True),
    sa.Column("record_id", sa.Text, nullable=False, unique=True),
    sa.Column("record", sa.Text, nullable=False),  # to the byte, as it was signed
    sa.Column("public_key", sa.Text, nullable=False),
    sa.Column("signature", sa.Text, nullable=False),  # base64
    sa.Column("received_ms", Big, nullable=False),
    # Of the record, for lists that do not decode it:
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("finished_ms", Big),  # null: the node's clock was unknown
    sa.Column("passed", sa.Boolean, nullable=False),
    sa.Column("sensors_passed", Big, nullable=False),
    sa.Column("sensors", Big, nullable=False),
)

boots = sa.Table(
    "boots",
    metadata,
    sa.Column("id", Big, primary_key=True),
    sa.Column("node_id", sa.ForeignKey("nodes.id"), nullable=False),
    sa.Column("boot", sa.Text, nullable=False),
    sa.Column("first_ms", Big, nullable=False),
    sa.Column("synced_ms", Big),  # first sync of this boot; null: only rows of it came, or it is forgotten
    sa.Column("machine", sa.Text),
    sa.Column("rows", Big, nullable=False, server_default="0"),
    sa.Column("last_seq", Big),  # null: no row of it came
    sa.UniqueConstraint("node_id", "boot"),
)

received = sa.Table(
    "received",
    metadata,
    sa.Column("boot_id", sa.ForeignKey("boots.id"), primary_key=True),
    sa.Column("page", Big, primary_key=True),  # of cloud.hub.received.PAGE sequence numbers
    sa.Column("bits", sa.LargeBinary, nullable=False),  # little-endian; bit i: the row i of the page is stored
    sqlite_with_rowid=False,
)

datastreams = sa.Table(
    "datastreams",
    metadata,
    sa.Column("id", Big, primary_key=True),
    sa.Column("node_id", sa.ForeignKey("nodes.id"), nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("unit", sa.Text),  # of its last interval; null: it has none, only alerts, decisions or gaps
    sa.Column("derived", sa.Boolean, nullable=False, server_default="0"),  # its last interval was
    sa.UniqueConstraint("node_id", "name"),
)

summaries = sa.Table(
    "summaries",
    metadata,
    # No key but the order of arrival: once each is cloud.hub.received's. By node and time it can be cut (scaling.md).
    sa.Column("id", Big, primary_key=True),  # in order of arrival: the cursor of readers
    sa.Column("node_id", Big, nullable=False),
    sa.Column("time_ms", Big, nullable=False),  # end of the interval; where the node's clock was unknown: received_ms
    sa.Column("boot_id", Big, nullable=False),
    sa.Column("seq", Big, nullable=False),
    sa.Column("datastream_id", Big, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("mono_ns", Big, nullable=False),
    sa.Column("clock", sa.Text, nullable=False),
    sa.Column("error_ms", Big),
    sa.Column("duration_s", sa.Float, nullable=False),
    sa.Column("value", sa.Float),
    sa.Column("unit", sa.Text, nullable=False),
    sa.Column("quality", sa.Text, nullable=False),
    sa.Column("n", Big, nullable=False),
    sa.Column("forecast", sa.Float),
    sa.Column("naive", sa.Float),
    sa.Column("anomaly", sa.Float),
    sa.Column("model", sa.Text),
    sa.Column("detail", sa.Text),  # JSON
    sa.Column("extra", sa.Text),  # JSON
    sa.Column("received_ms", Big, nullable=False),
    sa.Column("derived", sa.Boolean, nullable=False, server_default="0"),  # made of other rows: a sum
    sa.Index("summaries_by_time", "datastream_id", "time_ms"),
    sa.Index("summaries_by_kind", "kind", sqlite_where=_NO_INTERVAL, postgresql_where=_NO_INTERVAL),
    sa.Index("summaries_of_node", "node_id", "kind", sqlite_where=_NO_INTERVAL, postgresql_where=_NO_INTERVAL),
)

WALL_MS = sa.case((summaries.c.clock != "unknown", summaries.c.time_ms))
"""Of a row the time that its node gave; null: it knew none."""

rollups = sa.Table(
    "rollups",
    metadata,
    # Intervals by the bucket in which their middle lies, each datastream and unit for itself. A row stands in the
    # bucket of an hour and of a day, and of a quarter of an hour if it is shorter: cloud.hub.rollups.
    sa.Column("datastream_id", Big, primary_key=True, autoincrement=False),
    sa.Column("level_s", Big, primary_key=True, autoincrement=False),
    sa.Column("start_ms", Big, primary_key=True, autoincrement=False),
    sa.Column("unit", sa.Text, primary_key=True),
    sa.Column("n", Big, nullable=False),  # intervals that have a value
    sa.Column("missing", Big, nullable=False),  # that have none
    sa.Column("doubtful", Big, nullable=False),  # that have one, and its quality is not good
    sa.Column("untimed", Big, nullable=False),  # whose time cannot be believed: in the bucket of arrival, and only here
    sa.Column("total", sa.Float, nullable=False),  # sum of the values
    sa.Column("weighted", sa.Float, nullable=False),  # sum of value × seconds
    sa.Column("covered_s", sa.Float, nullable=False),  # seconds of the intervals that have a value
    sa.Column("low", sa.Float),
    sa.Column("high", sa.Float),
    sa.Column("forecasts", Big, nullable=False),  # intervals that were forecast
    sa.Column("forecast_total", sa.Float, nullable=False),  # sum of the forecasts
    sa.Column("scored", Big, nullable=False),  # intervals with value, forecast and naive
    sa.Column("forecast_error", sa.Float, nullable=False),  # sum of absolute errors over them
    sa.Column("naive_error", sa.Float, nullable=False),
    sa.Column("last_ms", Big),  # end of the last interval whose time is believed
    sqlite_with_rowid=False,
)

progress = sa.Table(
    "progress",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),  # "rollups"
    sa.Column("id", Big, nullable=False),  # of the last row of summaries that is told of
    sqlite_with_rowid=False,
)

cold_files = sa.Table(
    "cold_files",
    metadata,
    # A file holds all rows of its kind from first_id to last_id; files of a kind do not overlap.
    sa.Column("id", Big, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("first_id", Big, nullable=False),
    sa.Column("last_id", Big, nullable=False),
    sa.Column("moved_id", Big, nullable=False),  # up to this one the file has them, and the database no more
    sa.Column("rows", Big, nullable=False),
    sa.Column("moved_rows", Big, nullable=False),
    sa.Column("min_ms", Big, nullable=False),  # of summaries.time_ms
    sa.Column("max_ms", Big, nullable=False),
    sa.Column("first_received_ms", Big, nullable=False),
    sa.Column("last_received_ms", Big, nullable=False),
    sa.Column("path", sa.Text, nullable=False),  # in the folder of files
    sa.Column("bytes", Big, nullable=False),
    sa.Column("sha256", sa.Text, nullable=False),
    sa.Column("made_ms", Big, nullable=False),
    sa.Column("forgotten_ms", Big),  # it was deleted then, as retention.toml says
    sa.Index("cold_files_by_row", "kind", "first_id"),
)

tokens = sa.Table(
    "tokens",
    metadata,
    sa.Column("hash", sa.Text, primary_key=True),  # SHA-256, hexadecimal: 256 random bits need no salt
    sa.Column("node", sa.Text),  # null: any node
    sa.Column("site", sa.Text),
    sa.Column("created_ms", Big, nullable=False),
    sa.Column("expires_ms", Big, nullable=False),
    sa.Column("replaces", sa.Boolean, nullable=False, server_default="0"),  # may take over the node's name
    sa.Column("reason", sa.Text),  # why it is replaced
    sa.Column("used_node", sa.Text),
    sa.Column("used_key", sa.Text),
    sa.Column("withdrawn_ms", Big),
)

rollouts = sa.Table(
    "rollouts",
    metadata,
    sa.Column("id", Big, primary_key=True),
    sa.Column("bundle", sa.Text, nullable=False),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("target", sa.Text, nullable=False),
    sa.Column("phases", sa.Text, nullable=False),  # JSON: percent of the members, rising
    sa.Column("deadline_s", sa.Float, nullable=False),
    sa.Column("state", sa.Text, nullable=False),  # contracts.rollout.RolloutState
    sa.Column("phase", Big, nullable=False),  # from 0
    sa.Column("created_ms", Big, nullable=False),
    sa.Column("phase_started_ms", Big, nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("max_failed_percent", sa.Float, nullable=False, server_default="0"),
    sa.Column("max_silent_percent", sa.Float, nullable=False, server_default="20"),
    sa.Column("ended_ms", Big),
    sa.Column("back_of", Big),  # the rollout that this one takes back
    sa.Column("recalled", sa.Boolean, nullable=False, server_default="0"),  # its version was withdrawn once
    sa.Column("passport", sa.Text),  # JSON, for nodes that come later; null: begun by a hub that did not read it
    sa.Column("left_out", sa.Text),  # contracts.hub_api.Candidates as JSON: as they were at the start
    sa.Column("changed", Big, nullable=False, server_default="0"),  # number of the change that wrote this row
)

rollout_nodes = sa.Table(
    "rollout_nodes",
    metadata,
    sa.Column("rollout_id", sa.ForeignKey("rollouts.id"), primary_key=True),
    sa.Column("node", sa.Text, primary_key=True),
    sa.Column("phase", Big, nullable=False),
    sa.Column("state", sa.Text, nullable=False),  # contracts.rollout.MemberState
    sa.Column("reason", sa.Text),
    # As cloud.hub.rollouts.Member describes them:
    sa.Column("ran", sa.Text),
    sa.Column("old_failure", sa.Text),
    sa.Column("unfit", sa.Text),
    sa.Column("joined_later", sa.Boolean, nullable=False, server_default="0"),
    sa.Column("changed", Big, nullable=False, server_default="0", index=True),  # as in rollouts
    sqlite_with_rowid=False,
)

changes = sa.Table(  # what several processes remember: cloud.hub.rollout_store
    "changes",
    metadata,
    sa.Column("what", sa.Text, primary_key=True),
    sa.Column("number", Big, nullable=False, server_default="0"),  # of the last change
    sqlite_with_rowid=False,
)

withdrawals = sa.Table(
    "withdrawals",
    metadata,
    sa.Column("bundle", sa.Text, primary_key=True),
    sa.Column("version", sa.Text, primary_key=True),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("withdrawn_ms", Big, nullable=False),
    sqlite_with_rowid=False,
)

restores = sa.Table(
    "restores",
    metadata,
    sa.Column("id", Big, primary_key=True),
    sa.Column("restored_ms", Big, nullable=False),
    sa.Column("backup_ms", Big, nullable=False),  # when the backup was made, by the clock of the hub that made it
    sa.Column("released_ms", Big),  # null: the rollouts wait until an operator says that they go on
)

audit = sa.Table(  # triggers refuse to change or delete a row: cloud.hub.audit
    "audit",
    metadata,
    sa.Column("id", Big, primary_key=True, autoincrement=False),  # 1, 2, 3 …, without gaps
    sa.Column("at_ms", Big, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("role", sa.Text),
    sa.Column("address", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("target", sa.Text, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),  # canonical JSON, as it was hashed
    sa.Column("previous", sa.Text, nullable=False),  # SHA-256, hexadecimal
    sa.Column("hash", sa.Text, nullable=False),
)

audit_head = sa.Table(  # one row, held by whoever appends
    "audit_head",
    metadata,
    sa.Column("id", Big, nullable=False),
    sa.Column("hash", sa.Text, nullable=False),
)

users = sa.Table(
    "users",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("role", sa.Text, nullable=False),  # cloud.hub.actor.Role
    sa.Column("department", sa.Text),  # of the role department
    sa.Column("password", sa.Text),  # argon2id; null: logs in elsewhere, or by a link
    sa.Column("issuer", sa.Text),  # who vouches for them (OpenID Connect), and under which subject
    sa.Column("subject", sa.Text),
    sa.Column("disabled", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("created_ms", Big, nullable=False),
    sa.UniqueConstraint("issuer", "subject"),
)

sessions = sa.Table(
    "sessions",
    metadata,
    sa.Column("hash", sa.Text, primary_key=True),  # SHA-256 of the identifier, as those of all tokens
    sa.Column("user_name", sa.ForeignKey("users.name"), nullable=False, index=True),
    sa.Column("link", sa.Boolean, nullable=False, server_default=sa.false()),  # a login that is still to be taken up
    sa.Column("created_ms", Big, nullable=False),
    sa.Column("seen_ms", Big, nullable=False),  # to the minute
    sa.Column("expires_ms", Big, nullable=False),
)

api_tokens = sa.Table(
    "api_tokens",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("hash", sa.Text, nullable=False, unique=True),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("department", sa.Text),
    sa.Column("created_ms", Big, nullable=False),
    sa.Column("expires_ms", Big, nullable=False),
    sa.Column("used_ms", Big),  # to the day
    sa.Column("withdrawn_ms", Big),
)

department_scopes = sa.Table(
    "department_scopes",
    metadata,
    sa.Column("id", Big, primary_key=True),
    sa.Column("department", sa.Text, nullable=False, index=True),
    sa.Column("site", sa.Text),  # all nodes of a site, or
    sa.Column("node_id", sa.ForeignKey("nodes.id")),  # one node; of it
    sa.Column("datastream", sa.Text),  # one datastream; null: all that it has
)

open_datastreams = sa.Table(
    "open_datastreams",  # released as open data
    metadata,
    sa.Column("node_id", sa.ForeignKey("nodes.id"), primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("released_ms", Big, nullable=False),
    sqlite_with_rowid=False,
)


def total(column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """The sum, 0 of nothing, in the column's own type: PostgreSQL's sums of BIGINT are NUMERIC, text in our JSON."""
    return sa.cast(sa.func.coalesce(sa.func.sum(column), 0), column.type)
