"""The one exchange between node and hub, and enrolment (docs/wire.md §2)."""

from __future__ import annotations

from typing import Annotated

import msgspec

from wayside.contracts.condition import MAX_CONDITIONS, Condition
from wayside.contracts.reading import BootId, Name, Stamp
from wayside.contracts.rollout import Refusal, UpdateState
from wayside.contracts.summary import Summary
from wayside.contracts.task_config import Offer
from wayside.contracts.wire import Document, wire_field

MAX_SUMMARIES = 1000
"""Rows of one sync request."""
MAX_BODY_BYTES = 2_000_000
"""Of one request, after decompression."""
BACKLOG_ROWS = MAX_SUMMARIES // 4
"""A node that has at least so many rows left after a sync comes again as soon as the hub lets it."""
FRESH_ROWS = 100
"""Intervals of a request to a hub that was away, or in the first of a boot: the newest, until the hub grants more."""

Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
Label = Annotated[str, msgspec.Meta(max_length=64)]
Key = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]
"""An Ed25519 public key, hexadecimal."""
Machine = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]
"""Fingerprint of the computer, hexadecimal: SHA-256 of node name, LF, serial number. It tells two computers apart."""


class Reported(Document, frozen=True, kw_only=True):
    """What the node really runs, of one bundle."""

    state: UpdateState = UpdateState.IDLE
    bundle: Label | None = None  # of the running model; in ``Heartbeat.models`` also while none of it runs
    version: Label | None = None
    variant: Label | None = None
    runtime: Label | None = None
    attempted: Label | None = None  # version of the last update that was tried
    refusal: Refusal | None = None
    reason: Annotated[str, msgspec.Meta(max_length=512)] | None = None


class Desired(Document, frozen=True, kw_only=True):
    """What the hub wants the node to run: a TUF target path and its version."""

    bundle: Label
    version: Label
    target: Annotated[str, msgspec.Meta(pattern=r"^models/[A-Za-z0-9_.-]{1,96}$")]


class TaskState(Document, frozen=True, kw_only=True):
    """Whether a task of the node runs a model, and if not, why."""

    name: Label
    bundle: Label
    model: Label | None = None  # version that runs
    why: Annotated[str, msgspec.Meta(max_length=512)] | None = None  # it runs none


class Board(Document, frozen=True, kw_only=True):
    connected: bool
    identity: Label | None = None
    firmware: Label | None = None
    fail_safe: bool = False  # the board follows its own fixed-time plan
    lent: bool = False  # to a technician's command: not connected, and nothing is wrong
    signal_fault: bool = False  # its conflict monitor has tripped: the signal flashes until a person resets it
    signal_mode: Label | None = None  # of firmware_bridge's SignalMode, in small letters; null: not known


class Counters(Document, frozen=True, kw_only=True):
    """Totals since the node's state was created; they survive restarts."""

    readings_sent: Count = 0  # by the board, from its sequence numbers
    readings_received: Count = 0
    readings_lost: Count = 0  # gaps in the sequence numbers
    proposals_allowed: Count = 0
    proposals_refused: Count = 0
    summaries_produced: Count = 0
    summaries_acknowledged: Count = 0
    bytes_sent: Count = 0  # to the hub, bodies after compression
    raw_bytes: Count = 0  # over the serial line
    decode_errors: Count = 0


class Trusted(Document, frozen=True, kw_only=True):
    """Versions of the newest signed metadata (TUF roles) that the node has verified; it takes no older ones."""

    root: Count = 0
    targets: Count = 0
    models: Count = 0


class Heartbeat(Document, frozen=True, kw_only=True):
    agent: Label  # version
    at: Stamp
    uptime_s: Annotated[float, msgspec.Meta(ge=0)]
    healthy: bool  # readings flow, and no severe condition is open
    reported: Reported  # of the first task's bundle, for readers that know only one model
    models: Annotated[tuple[Reported, ...], msgspec.Meta(max_length=64)] = ()  # of each task's bundle
    tasks: Annotated[tuple[TaskState, ...], msgspec.Meta(max_length=64)] = ()
    conditions: Annotated[
        tuple[Condition, ...], msgspec.Meta(max_length=MAX_CONDITIONS)
    ] = ()  # that are open, severe ones first
    counters: Counters = Counters()
    board: Board | None = None
    rss_bytes: Count | None = None
    backlog: Count = 0  # summaries still in the outbox
    timezone: Label | None = None  # IANA name, where the node stands: for showing its times
    sync_s: Annotated[float, msgspec.Meta(gt=0, le=86400)] | None = None  # hub.sync_s of its file; null: it did not say
    trusted: Trusted | None = None  # null: it has not fetched any, or did not say


class SyncRequest(Document, frozen=True, kw_only=True):
    wire: int = wire_field()
    node: Name
    boot: BootId
    machine: Machine | None = None  # null: this computer has no serial number that its agent may read
    heartbeat: Heartbeat
    offer: Offer | None = None  # in the first request of a boot, and when the hub asks for it
    summaries: Annotated[list[Summary], msgspec.Meta(max_length=MAX_SUMMARIES)] = []

    def __post_init__(self) -> None:
        for i, row in enumerate(self.summaries):
            if row.node != self.node:
                raise ValueError(f"summaries[{i}].node is the node that signs the request")


class Notice(Document, frozen=True, kw_only=True):
    """What the people around this node should know; it stands until the hub no longer sends it."""

    code: Label  # stable: clone, other_hardware
    message: Annotated[str, msgspec.Meta(max_length=512)]


class Restored(Document, frozen=True, kw_only=True):
    """The hub was restored from a backup: rows that it acknowledged in between are not there."""

    at_ms: Count  # when; another value is another restore
    since_ms: Count  # rows of replies whose ``hub_unix_ms`` is not before this one may be missing: send them again


class SyncReply(Document, frozen=True, kw_only=True):
    """A 200 means: every summary of the request is on disk at the hub; the node may delete them."""

    wire: int = wire_field()
    stored: Count
    duplicates: Count
    hub_unix_ms: Count
    not_before_s: Annotated[float, msgspec.Meta(ge=0, le=86400)] = 0.0  # ask again no sooner
    grant: Annotated[int, msgspec.Meta(ge=0, le=MAX_SUMMARIES)] | None = None
    """rows of kind interval that the next request may carry; null: as many as fit. Other kinds always may"""
    desired: Desired | None = None  # the first of ``wanted``, for nodes that know only one model
    wanted: Annotated[tuple[Desired, ...], msgspec.Meta(max_length=64)] = ()  # at most one of each bundle
    offer_wanted: bool = False  # the hub does not know what this node offers
    notices: Annotated[tuple[Notice, ...], msgspec.Meta(max_length=16)] = ()
    restored: Restored | None = None  # the newest restore; null: there was none


class EnrolRequest(Document, frozen=True, kw_only=True):
    wire: int = wire_field()
    node: Name
    token: Annotated[str, msgspec.Meta(min_length=16, max_length=128)]
    public_key: Key
    site: Label | None = None
    hardware: Label | None = None
    machine: Machine | None = None


class EnrolReply(Document, frozen=True, kw_only=True):
    wire: int = wire_field()
    node: Name
    hub_unix_ms: Count


class NonceReply(Document, frozen=True, kw_only=True):
    wire: int = wire_field()
    nonce: Label


class ErrorReply(Document, frozen=True, kw_only=True):
    """The one shape of every error of the hub: what happened, and what to do next."""

    wire: int = wire_field()
    error: Label  # a stable code
    message: Annotated[str, msgspec.Meta(max_length=1024)]
    field: Annotated[str, msgspec.Meta(max_length=256)] | None = None
    datastreams: Annotated[tuple[Label, ...], msgspec.Meta(max_length=MAX_SUMMARIES)] = ()
    """of which the hub takes no rows for now"""
