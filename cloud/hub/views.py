"""What the hub answers to people and programs: the shapes of its read API (nodes use ``contracts.sync``).

``*_ms`` are Unix milliseconds. Fields are only ever added. One file, though a long one: the API's shapes side by
side, and no logic between them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from wayside.cloud.hub.health import Health
from wayside.contracts.commissioning import SignedCommissioning
from wayside.contracts.hub_api import Excluded
from wayside.contracts.reading import Stamp
from wayside.contracts.sync import Desired, Label
from wayside.contracts.wire import Document, wire_field


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
    desired: Desired | None  # the first of ``wanted``
    wanted: list[Desired] = []  # what it should run, at most one version of each bundle
    trouble: list[str] = []  # why it is not healthy, the worst first
    offer: dict[str, Any] | None = None  # contracts.task_config.Offer; only where one node is asked for
    machine: str | None = None  # fingerprint of the computer that is this node
    machine_seen: str | None = None  # of the last sync
    key_since_ms: int | None = None  # its hardware took the name over, or enrolled
    clone: CloneView | None = None
    outline: bool = False  # its datastreams alone are seen: what it says of itself is left out
    commissioned: CommissioningBrief | None = None  # the last record
    label: str | None = None  # what people call it
    revoked_ms: int | None = None  # its key is refused
    retired_ms: int | None = None  # it has left the fleet
    out_reason: str | None = None  # why it was revoked or retired


class NodeList(View, frozen=True, kw_only=True):
    hub_unix_ms: int
    nodes: list[NodeView]
    next: str | None = None  # pass as ``after`` for the following page


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
    derived: bool = False  # made of other rows of the node: a sum
    sentence: str | None = None  # of a decision: what was done and why (contracts.why)


class SummaryPage(View, frozen=True, kw_only=True):
    summaries: list[SummaryView]
    next: int | None  # pass as ``cursor`` for the following page


class DatastreamView(msgspec.Struct, frozen=True, kw_only=True):
    node: str
    datastream: str
    unit: str | None = None  # of its last interval; null: it has no intervals, only alerts, decisions or gaps
    derived: bool = False


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """A condition from its beginning to its end, from the node's alerts of both."""

    node: str
    code: str
    subject: str
    message: str
    begin_ms: int | None  # null: the beginning is not among the rows that were read, or its time was unknown
    end_ms: int | None  # null while it is open, or its time was unknown
    state: Literal["open", "over", "unknown"]  # unknown: no end was told, and the node no longer says that it is open
    times: int = 1  # it began so often while it flapped
    lasted_s: float | None = None


class SpanList(View, frozen=True, kw_only=True):
    """Newest first."""

    conditions: list[Span]


class OpenCondition(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong at a node now, by its last heartbeat."""

    node: str
    code: str
    subject: str
    severe: bool
    since_ms: int | None  # null: the node's clock was unknown
    message: str
    times: int


class OpenConditionList(View, frozen=True, kw_only=True):
    """Severe ones first, then the oldest."""

    conditions: list[OpenCondition]


class DatastreamList(View, frozen=True, kw_only=True):
    datastreams: list[DatastreamView]
    next: str | None = None  # pass as ``after`` for the following page


class Series(View, frozen=True, kw_only=True):
    """Columns of one datastream's intervals in phenomenon time; ``end_ms`` rises.

    With ``low`` and ``high`` a point is a span of several intervals: ``value`` and ``forecast`` are their means,
    ``value`` weighted by time where the unit is no amount. With ``level_s`` the spans are rollups of so many seconds,
    or several of them.
    """

    node: str
    datastream: str
    unit: str | None
    end_ms: list[int]
    duration_s: list[float]
    value: list[float | None]
    forecast: list[float | None]
    quality: list[str]
    intervals: int  # that the columns tell of
    untimed: int  # of the newest 5000, that came within ``hours`` without a time to believe: not in these columns
    ahead: int  # dated later than the hub's own day, since a clock is wrong: not in these columns; at most 1000 counted
    low: list[float | None] | None = None
    high: list[float | None] | None = None
    total: list[float | None] | None = None  # of an amount such as vehicles: the sum over the span
    covered: list[float] | None = None  # share of the span that intervals with a value cover, 0 to 1
    missing: list[int] | None = None  # intervals of the span that came without a value
    doubtful: list[int] | None = None  # that have a value, and its quality is not good
    level_s: int | None = None  # 900, 3600 or 86400; null: made of the rows themselves
    other_units: int = 0  # intervals in a unit that the datastream had before: not in these columns
    not_rolled: int = 0  # rows of the whole hub, at most, that the rollups do not tell of yet


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


def forecast_error(n: int, forecast: float, naive: float) -> ForecastError:
    """From sums over ``n`` intervals."""
    return ForecastError(n=n, mae=forecast / n if n else None, naive_mae=naive / n if n else None)


class NodeStats(msgspec.Struct, frozen=True, kw_only=True):
    node: str
    stored: int  # rows
    kinds: dict[str, int]
    duplicates_refused: int
    missing: int
    boots: list[BootStats]  # where one node is asked for
    forecast: ForecastError


class Stats(View, frozen=True, kw_only=True):
    """A page of nodes; the sums are over all of them, or over the one that was asked for."""

    nodes: list[NodeStats]
    stored: int
    duplicates_refused: int
    missing: int
    forecast: ForecastError
    next: str | None = None  # pass as ``after`` for the following page


class FleetView(View, frozen=True, kw_only=True):
    """The fleet in numbers, without nodes that were retired."""

    hub_unix_ms: int
    nodes: int
    health: dict[Health, int]  # the worst first; none that nobody is in
    stored: int  # rows
    duplicates_refused: int
    missing: int
    backlog: int  # rows that are still on the nodes, by their last heartbeats
    proposals_allowed: int
    proposals_refused: int
    cloned: int  # nodes whose key two computers use
    signal_faults: int
    open_conditions: dict[str, int]  # by code
    severe: int  # of them
    forecast: ForecastError


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


class OutRequest(Document, frozen=True, kw_only=True):
    """``reason`` is told to whoever holds the node's hardware, and kept with its key."""

    wire: int = wire_field()
    reason: Label | None = None


class NodeChange(Document, frozen=True, kw_only=True):
    """What is left out stays; null takes it away."""

    wire: int = wire_field()
    label: Label | msgspec.UnsetType | None = msgspec.UNSET  # what people call the node
    site: Label | msgspec.UnsetType | None = msgspec.UNSET


TokenState = Literal["open", "used", "expired", "withdrawn"]


class TokenView(msgspec.Struct, frozen=True, kw_only=True):
    """An enrolment token without itself: ``id`` begins its SHA-256."""

    id: str
    state: TokenState
    node: str | None  # null: any
    site: str | None
    created_ms: int
    expires_ms: int
    replaces: bool  # other hardware may take the node's name with it
    reason: str | None
    used_node: str | None
    withdrawn_ms: int | None


class TokenList(View, frozen=True, kw_only=True):
    tokens: list[TokenView]


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One change. ``hash`` is the SHA-256 of the fields before it, in this order, as a JSON array without spaces;
    ``detail`` in it is a string: its JSON with sorted keys."""

    id: int
    at_ms: int
    actor: str
    role: str | None
    address: str
    action: str
    target: str
    detail: dict[str, Any]
    previous: str
    hash: str


class AuditPage(View, frozen=True, kw_only=True):
    entries: list[AuditEntry]  # the newest first
    next: int | None  # pass as ``cursor`` for the following page


class MemberView(msgspec.Struct, frozen=True, kw_only=True):
    """Of an ended rollout: as it was at the end."""

    node: str
    state: str  # contracts.rollout.MemberState
    reason: str | None
    runs: str | None = None  # the version of this bundle that the node reports now
    useless: str | None = None  # what it says now that is wrong with the answers of the rollout's version


class PhaseView(msgspec.Struct, frozen=True, kw_only=True):
    percent: int
    state: Literal["waiting", "running", "complete", "paused", "aborted", "over"]  # over: with exceptions
    nodes: list[MemberView]  # in the list of rollouts at most a hundred, those that need a look first
    members: int  # all of them


class RolloutView(View, frozen=True, kw_only=True):
    id: int
    bundle: str
    version: str
    target: str
    state: str  # contracts.rollout.RolloutState
    summary: str  # the same for people, with the exceptions by name
    useless: str | None  # where the version runs now and is of no use, with what the nodes say
    reason: str | None
    deadline_s: float
    max_failed_percent: float
    max_silent_percent: float
    created_ms: int
    ended_ms: int | None
    phase: int  # the current one, from 1
    phase_started_ms: int
    phases: list[PhaseView]
    joined_later: list[MemberView]  # nodes that came after the end
    back_of: int | None  # the rollout that this one takes back
    withdrawn: str | None  # why nobody gets the version any more
    fleet: int | None  # nodes that were enrolled at the start; null: begun by an earlier hub
    cannot: list[Excluded]  # why the others could not take it then
    unknown: list[str]  # had not said then what they offer


class RolloutList(View, frozen=True, kw_only=True):
    rollouts: list[RolloutView]
    held: bool = False  # the hub was restored: no node is ordered anything until the hold is released


class WithdrawalView(msgspec.Struct, frozen=True, kw_only=True):
    bundle: str
    version: str
    reason: str
    withdrawn_ms: int


class WithdrawalList(View, frozen=True, kw_only=True):
    withdrawals: list[WithdrawalView]


class WithdrawalReply(View, frozen=True, kw_only=True):
    bundle: str
    version: str
    withdrawn: bool
    summary: str
    aborted: list[int] = []  # rollouts that it stopped
    returning: dict[str, str] = {}  # node → version that it is wanted back on
    stranded: list[str] = []  # nodes that run it, and there is no other version to go to


HealthStatus = Literal["ok", "warning", "failing"]
"""``failing``: the hub cannot take rows now."""


class HealthReply(View, frozen=True, kw_only=True):
    """For anybody. ``wrong``: codes of what is, which say nothing of paths, people or the fleet."""

    status: HealthStatus
    nodes: int
    wrong: list[str]


class HealthFinding(msgspec.Struct, frozen=True, kw_only=True):
    code: str
    message: str
    failing: bool


class HealthDetail(View, frozen=True, kw_only=True):
    status: HealthStatus
    nodes: int
    findings: list[HealthFinding]
    waiting: int  # jobs for the writer
    last_commit_age_s: float | None  # null: nothing was written since the hub began
    looked_age_s: float
    disk_free_bytes: int


class RestoredView(View, frozen=True, kw_only=True):
    restored_ms: int | None  # null: it never was
    backup_ms: int | None  # when the backup was made
    held: bool  # no node is ordered anything until the hold is released
    missing: list[str] = []  # what nodes have of the signed metadata, and this hub has not


class MoveView(msgspec.Struct, frozen=True, kw_only=True):
    bundle: str
    runs: str | None
    to: str
    nodes: list[str]


class MoveList(View, frozen=True, kw_only=True):
    moves: list[MoveView]
