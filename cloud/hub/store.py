"""The hub's tables (SQLAlchemy Core).

Times named ``*_ms`` are Unix milliseconds: ``wall_ms`` on the node's clock, the others on the hub's.
"""

from __future__ import annotations

import sqlalchemy as sa

metadata = sa.MetaData()

nodes = sa.Table(
    "nodes",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("public_key", sa.Text, nullable=False),  # Ed25519, hexadecimal
    sa.Column("site", sa.Text),
    sa.Column("hardware", sa.Text),
    sa.Column("enrolled_ms", sa.Integer, nullable=False),  # the name; when its present key came: node_keys
    sa.Column("machine", sa.Text),  # fingerprint of the computer that the present key belongs to
    sa.Column("boot", sa.Text),  # of the last sync, that of a refused copy included
    sa.Column("machine_seen", sa.Text),  # of the same
    sa.Column("clone", sa.Text),  # cloud.hub.instances.Clone as JSON while two computers use the key
    sa.Column("last_seen_ms", sa.Integer),
    sa.Column("gap_ms", sa.Float),  # usual time between two syncs, smoothed
    sa.Column("heartbeat", sa.Text),  # contracts.sync.Heartbeat as JSON, unknown fields included
    sa.Column("offer", sa.Text),  # contracts.task_config.Offer as JSON; null: it never said
    sa.Column("offer_boot", sa.Text),  # the boot that said so
    sa.Column("extra", sa.Text),  # unknown fields of the last sync request, JSON
    sa.Column("stored", sa.Integer, nullable=False, server_default="0"),
    sa.Column("duplicates", sa.Integer, nullable=False, server_default="0"),
    sa.Column("requests", sa.Integer, nullable=False, server_default="0"),
    sa.Column("bytes", sa.Integer, nullable=False, server_default="0"),  # bodies as sent
)

node_keys = sa.Table(
    "node_keys",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("node_id", sa.ForeignKey("nodes.id"), nullable=False, index=True),
    sa.Column("public_key", sa.Text, nullable=False),  # may come again: hardware that is put back
    sa.Column("hardware", sa.Text),
    sa.Column("machine", sa.Text),
    sa.Column("since_ms", sa.Integer, nullable=False),
    sa.Column("revoked_ms", sa.Integer),  # null: the present one
    sa.Column("reason", sa.Text),
)

commissionings = sa.Table(
    "commissionings",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),  # in order of arrival
    sa.Column("node_id", sa.ForeignKey("nodes.id"), nullable=False, index=True),
    sa.Column("record_id", sa.Text, nullable=False, unique=True),
    sa.Column("record", sa.Text, nullable=False),  # to the byte, as it was signed
    sa.Column("public_key", sa.Text, nullable=False),
    sa.Column("signature", sa.Text, nullable=False),  # base64
    sa.Column("received_ms", sa.Integer, nullable=False),
    # Of the record, for lists that do not decode it:
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("finished_ms", sa.Integer),  # null: the node's clock was unknown
    sa.Column("passed", sa.Boolean, nullable=False),
    sa.Column("sensors_passed", sa.Integer, nullable=False),
    sa.Column("sensors", sa.Integer, nullable=False),
)

boots = sa.Table(
    "boots",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("node_id", sa.ForeignKey("nodes.id"), nullable=False),
    sa.Column("boot", sa.Text, nullable=False),
    sa.Column("first_ms", sa.Integer, nullable=False),
    sa.Column("synced_ms", sa.Integer),  # first sync of this boot; null: only rows of it came, or it is forgotten
    sa.Column("machine", sa.Text),
    sa.UniqueConstraint("node_id", "boot"),
)

datastreams = sa.Table(
    "datastreams",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("node_id", sa.ForeignKey("nodes.id"), nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("unit", sa.Text),  # of its last interval; null: it has none, only alerts, decisions or gaps
    sa.Column("derived", sa.Boolean, nullable=False, server_default="0"),  # its last interval was
    sa.UniqueConstraint("node_id", "name"),
)

summaries = sa.Table(
    "summaries",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),  # in order of arrival: the cursor of readers
    sa.Column("boot_id", sa.ForeignKey("boots.id"), nullable=False),
    sa.Column("seq", sa.Integer, nullable=False),
    sa.Column("datastream_id", sa.ForeignKey("datastreams.id"), nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("wall_ms", sa.Integer),  # end of the interval; null while the node's clock was unknown
    sa.Column("mono_ns", sa.Integer, nullable=False),
    sa.Column("clock", sa.Text, nullable=False),
    sa.Column("error_ms", sa.Integer),
    sa.Column("duration_s", sa.Float, nullable=False),
    sa.Column("value", sa.Float),
    sa.Column("unit", sa.Text, nullable=False),
    sa.Column("quality", sa.Text, nullable=False),
    sa.Column("n", sa.Integer, nullable=False),
    sa.Column("forecast", sa.Float),
    sa.Column("naive", sa.Float),
    sa.Column("anomaly", sa.Float),
    sa.Column("model", sa.Text),
    sa.Column("detail", sa.Text),  # JSON
    sa.Column("extra", sa.Text),  # JSON
    sa.Column("received_ms", sa.Integer, nullable=False),
    sa.Column("derived", sa.Boolean, nullable=False, server_default="0"),  # made of other rows: a sum
    sa.UniqueConstraint("boot_id", "seq"),
    sa.Index("summaries_by_time", "datastream_id", "wall_ms"),
    sa.Index("summaries_by_kind", "kind", sqlite_where=sa.text("kind <> 'interval'")),
)

tokens = sa.Table(
    "tokens",
    metadata,
    sa.Column("hash", sa.Text, primary_key=True),  # SHA-256, hexadecimal: 256 random bits need no salt
    sa.Column("node", sa.Text),  # null: any node
    sa.Column("site", sa.Text),
    sa.Column("created_ms", sa.Integer, nullable=False),
    sa.Column("expires_ms", sa.Integer, nullable=False),
    sa.Column("replaces", sa.Boolean, nullable=False, server_default="0"),  # may take over the node's name
    sa.Column("reason", sa.Text),  # why it is replaced
    sa.Column("used_node", sa.Text),
    sa.Column("used_key", sa.Text),
)

rollouts = sa.Table(
    "rollouts",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("bundle", sa.Text, nullable=False),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("target", sa.Text, nullable=False),
    sa.Column("phases", sa.Text, nullable=False),  # JSON: percent of the members, rising
    sa.Column("deadline_s", sa.Float, nullable=False),
    sa.Column("state", sa.Text, nullable=False),  # contracts.rollout.RolloutState
    sa.Column("phase", sa.Integer, nullable=False),  # from 0
    sa.Column("created_ms", sa.Integer, nullable=False),
    sa.Column("phase_started_ms", sa.Integer, nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("max_failed_percent", sa.Float, nullable=False, server_default="0"),
    sa.Column("max_silent_percent", sa.Float, nullable=False, server_default="20"),
    sa.Column("ended_ms", sa.Integer),
    sa.Column("back_of", sa.Integer),  # the rollout that this one takes back
    sa.Column("recalled", sa.Boolean, nullable=False, server_default="0"),  # its version was withdrawn once
    sa.Column("passport", sa.Text),  # JSON, for nodes that come later; null: begun by a hub that did not read it
    sa.Column("left_out", sa.Text),  # contracts.hub_api.Candidates as JSON: as they were at the start
)

rollout_nodes = sa.Table(
    "rollout_nodes",
    metadata,
    sa.Column("rollout_id", sa.ForeignKey("rollouts.id"), primary_key=True),
    sa.Column("node", sa.Text, primary_key=True),
    sa.Column("phase", sa.Integer, nullable=False),
    sa.Column("state", sa.Text, nullable=False),  # contracts.rollout.MemberState
    sa.Column("reason", sa.Text),
    # As cloud.hub.rollouts.Member describes them:
    sa.Column("ran", sa.Text),
    sa.Column("old_failure", sa.Text),
    sa.Column("unfit", sa.Text),
    sa.Column("joined_later", sa.Boolean, nullable=False, server_default="0"),
    sqlite_with_rowid=False,
)

withdrawals = sa.Table(
    "withdrawals",
    metadata,
    sa.Column("bundle", sa.Text, primary_key=True),
    sa.Column("version", sa.Text, primary_key=True),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("withdrawn_ms", sa.Integer, nullable=False),
    sqlite_with_rowid=False,
)
