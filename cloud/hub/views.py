"""What the hub answers to people and programs: the shapes of its read API (nodes use ``contracts.sync``).

``*_ms`` are Unix milliseconds. Fields are only ever added.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from wayside.contracts.commissioning import SignedCommissioning
from wayside.contracts.reading import Name, Stamp
from wayside.contracts.sync import Desired, Label
from wayside.contracts.wire import Document, wire_field

Health = Literal["never", "fresh", "late", "silent", "unhealthy"]
"""By the age of the last sync against the node's usual gap; ``unhealthy``: fresh, but its readings do not flow."""


class View(msgspec.Struct, frozen=True, kw_only=True):
    wire: int = 1


class InstanceView(msgspec.Struct, frozen=True, kw_only=True):
    """One of several agents that use one key; ``machine`` null: it has no fingerprint."""

    boot: str
    machine: str | None
    seen_ms: int


class CloneView(msgspec.Struct, frozen=True, kw_only=True):
    """Two computers use the node's key. ``settled``: the enrolled one works on, the other is refused."""

    since_ms: int
    settled: bool
    instances: list[InstanceView]


class KeyView(msgspec.Struct, frozen=True, kw_only=True):
    public_key: str
    hardware: str | None
    machine: str | None
    since_ms: int
    revoked_ms: int | None  # null: the present one
    reason: str | None


class KeyList(View, frozen=True, kw_only=True):
    """The hardware that was, and is, this node; the newest first."""

    node: str
    keys: list[KeyView]


class CommissioningBrief(msgspec.Struct, frozen=True, kw_only=True):
    record_id: str
    by: str
    finished_ms: int | None  # null: the node's clock was unknown
    received_ms: int
    passed: bool
    sensors_passed: int
    sensors: int


class CommissioningView(CommissioningBrief, frozen=True, kw_only=True):
    signed: SignedCommissioning  # to the byte, so that anybody can verify it


class CommissioningPage(View, frozen=True, kw_only=True):
    node: str
    records: list[CommissioningView]
    next: int | None  # pass as ``cursor`` for the following page


class NodeView(View, frozen=True, kw_only=True):
    node: str
    site: str | None
    hardware: str | None
    health: Health
    enrolled_ms: int
    last_seen_ms: int | None
    age_s: float | None
    usual_gap_s: float | None
    stored: int  # rows
    duplicates: int  # rows that came again
    requests: int
    bytes: int
    reported: dict[str, Any]  # contracts.sync.Reported; empty before the first sync
    counters: dict[str, Any]  # contracts.sync.Counters
    heartbeat: dict[str, Any] | None  # contracts.sync.Heartbeat, as it came: also holds the two above
    desired: Desired | None
    machine: str | None = None  # fingerprint of the computer that is this node
    machine_seen: str | None = None  # of the last sync
    key_since_ms: int | None = None  # its hardware took the name over, or enrolled
    clone: CloneView | None = None
    commissioned: CommissioningBrief | None = None  # the last record


class NodeList(View, frozen=True, kw_only=True):
    hub_unix_ms: int
    nodes: list[NodeView]


class SummaryView(msgspec.Struct, frozen=True, kw_only=True):
    """A stored ``contracts.summary.Summary`` with its arrival: ``id`` rises in order of arrival."""

    id: int
    received_ms: int
    node: str
    boot: str
    seq: int
    kind: str
    datastream: str
    at: Stamp
    duration_s: float
    value: float | None
    unit: str
    quality: str
    n: int
    forecast: float | None
    naive: float | None
    anomaly: float | None
    model: str | None
    detail: dict[str, Any]
    extra: dict[str, Any]


class SummaryPage(View, frozen=True, kw_only=True):
    summaries: list[SummaryView]
    next: int | None  # pass as ``cursor`` for the following page


class DatastreamView(msgspec.Struct, frozen=True, kw_only=True):
    node: str
    datastream: str


class DatastreamList(View, frozen=True, kw_only=True):
    datastreams: list[DatastreamView]


class Series(View, frozen=True, kw_only=True):
    """Columns of one datastream's intervals in phenomenon time; ``end_ms`` rises."""

    node: str
    datastream: str
    unit: str | None
    end_ms: list[int]
    duration_s: list[float]
    value: list[float | None]
    forecast: list[float | None]
    quality: list[str]
    untimed: int  # rows without a wall time: in the store, not in these columns


class BootStats(msgspec.Struct, frozen=True, kw_only=True):
    boot: str
    rows: int
    last_seq: int
    missing: int  # sequence numbers up to ``last_seq`` that are not stored


class ForecastError(msgspec.Struct, frozen=True, kw_only=True):
    """Mean absolute errors over the intervals that have value, forecast and naive; null when ``n`` is 0."""

    n: int
    mae: float | None
    naive_mae: float | None


class NodeStats(msgspec.Struct, frozen=True, kw_only=True):
    node: str
    stored: int  # rows
    distinct: int  # (boot, seq) among them
    kinds: dict[str, int]
    duplicates_refused: int
    missing: int
    boots: list[BootStats]
    forecast: ForecastError


class Stats(View, frozen=True, kw_only=True):
    nodes: list[NodeStats]
    stored: int
    duplicates_refused: int
    missing: int
    forecast: ForecastError


class TokenRequest(Document, frozen=True, kw_only=True):
    wire: int = wire_field()
    node: Name | None = None  # null: for any node
    site: Label | None = None
    ttl_s: Annotated[float, msgspec.Meta(gt=0, le=31_536_000)] = 604_800.0


class TokenReply(View, frozen=True, kw_only=True):
    token: str
    node: str | None
    expires_ms: int


class ReplacementRequest(Document, frozen=True, kw_only=True):
    """``reason`` is told to the old hardware, and kept with its key."""

    wire: int = wire_field()
    reason: Label | None = None
    ttl_s: Annotated[float, msgspec.Meta(gt=0, le=31_536_000)] = 604_800.0


class HardwareRequest(Document, frozen=True, kw_only=True):
    """The computer that is the node: at least the first digits of its fingerprint, or of its boot."""

    wire: int = wire_field()
    hardware: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-fA-F]{6,64}$")]


class HardwareReply(View, frozen=True, kw_only=True):
    node: str
    machine: str | None


class RolloutRequest(Document, frozen=True, kw_only=True):
    """``phases``: percent of the fleet, rising; ``deadline_s`` of each phase."""

    wire: int = wire_field()
    bundle: Name
    version: Annotated[str, msgspec.Meta(pattern=r"^[0-9]+\.[0-9]+\.[0-9]+$", max_length=64)]
    target: Annotated[str, msgspec.Meta(pattern=r"^models/[A-Za-z0-9_.-]{1,96}$")]
    phases: Annotated[tuple[Annotated[int, msgspec.Meta(ge=1, le=100)], ...], msgspec.Meta(min_length=1, max_length=16)]
    deadline_s: Annotated[float, msgspec.Meta(gt=0, le=2_592_000)] = 3600.0

    def __post_init__(self) -> None:
        if any(a >= b for a, b in zip(self.phases, self.phases[1:], strict=False)):
            raise ValueError("phases rise")


class MemberView(msgspec.Struct, frozen=True, kw_only=True):
    node: str
    state: str
    reason: str | None


class PhaseView(msgspec.Struct, frozen=True, kw_only=True):
    percent: int
    state: Literal["waiting", "running", "complete", "paused", "aborted"]
    nodes: list[MemberView]


class RolloutView(View, frozen=True, kw_only=True):
    id: int
    bundle: str
    version: str
    target: str
    state: str
    reason: str | None
    deadline_s: float
    created_ms: int
    phase: int  # the current one, from 1
    phase_started_ms: int
    phases: list[PhaseView]


class RolloutList(View, frozen=True, kw_only=True):
    rollouts: list[RolloutView]


class OnlineKey(View, frozen=True, kw_only=True):
    """The hub's own TUF key: the root delegates snapshot and timestamp to it."""

    keyid: str
    keytype: str
    scheme: str
    public: str


class StagedFile(View, frozen=True, kw_only=True):
    sha256: str
    bytes: int


class HealthReply(View, frozen=True, kw_only=True):
    status: Literal["ok"]
    nodes: int
