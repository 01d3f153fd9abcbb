"""What the hub and its clients (command line, releases, provisioning, the demonstration) say to each other beside
:mod:`contracts.sync`. ``*_ms`` are Unix milliseconds. Fields are only ever added.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from wayside.contracts.reading import Name
from wayside.contracts.sync import Count, Label
from wayside.contracts.wire import Document, wire_field

Version = Annotated[str, msgspec.Meta(pattern=r"^[0-9]+\.[0-9]+\.[0-9]+$", max_length=64)]
Target = Annotated[str, msgspec.Meta(pattern=r"^models/[A-Za-z0-9_.-]{1,96}$")]
TokenText = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{16,128}$")]
Sentence = Annotated[str, msgspec.Meta(max_length=1024)]
Percent = Annotated[float, msgspec.Meta(ge=0, le=100)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=31_536_000)]


class TokenRequest(Document, frozen=True, kw_only=True):
    """``POST /api/v1/tokens``"""

    wire: int = wire_field()
    node: Name | None = None  # null: for any node
    site: Label | None = None
    ttl_s: Seconds = 604_800.0


class TokenReply(Document, frozen=True, kw_only=True):
    wire: int = wire_field()
    token: TokenText
    node: Name | None = None
    expires_ms: Count


class OnlineKey(Document, frozen=True, kw_only=True):
    """The hub's own TUF key: the root delegates snapshot and timestamp to it."""

    wire: int = wire_field()
    keyid: Annotated[str, msgspec.Meta(max_length=128)]
    keytype: Label
    scheme: Label
    public: Annotated[str, msgspec.Meta(max_length=4096)]


class StagedFile(Document, frozen=True, kw_only=True):
    wire: int = wire_field()
    sha256: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]
    bytes: Count


class RolloutRequest(Document, frozen=True, kw_only=True):
    """``POST /api/v1/rollouts``. ``phases``: percent of the nodes that can take it, rising; ``deadline_s`` of each."""

    wire: int = wire_field()
    bundle: Name
    version: Version
    target: Target
    phases: Annotated[tuple[Annotated[int, msgspec.Meta(ge=1, le=100)], ...], msgspec.Meta(min_length=1, max_length=16)]
    deadline_s: Annotated[float, msgspec.Meta(gt=0, le=2_592_000)] = 3600.0
    max_failed_percent: Percent = 0.0  # of the nodes reached; more failed or late ones pause it
    max_silent_percent: Percent = 20.0  # of a phase's nodes at its deadline; more pause it. One node always may be

    def __post_init__(self) -> None:
        if any(a >= b for a, b in zip(self.phases, self.phases[1:], strict=False)):
            raise ValueError("phases rise")


class BackRequest(Document, frozen=True, kw_only=True):
    """``POST /api/v1/rollouts/{rollout}/back``. ``now``: all nodes at once; else in the rollout's own phases."""

    wire: int = wire_field()
    now: bool = False


class WithdrawalRequest(Document, frozen=True, kw_only=True):
    """``POST /api/v1/withdrawals``"""

    wire: int = wire_field()
    bundle: Name
    version: Version
    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]


class Excluded(Document, frozen=True, kw_only=True):
    """Nodes that cannot take a bundle, all for one reason (:func:`contracts.fit.misfits`)."""

    why: Sentence
    nodes: tuple[Name, ...]


class Candidates(Document, frozen=True, kw_only=True):
    """Which enrolled nodes a bundle can go to, from what each has reported that it offers.

    A node that has not said what it offers (an older agent) takes part only if it reports this bundle already.
    """

    can: tuple[Name, ...] = ()  # a task of theirs fits
    assumed: tuple[Name, ...] = ()  # they have not said what they offer, and report this bundle
    cannot: tuple[Excluded, ...] = ()  # the largest group first
    unknown: tuple[Name, ...] = ()  # they have not said what they offer, nor report this bundle: left out

    @property
    def members(self) -> tuple[str, ...]:
        return (*self.can, *self.assumed)

    @property
    def fleet(self) -> int:
        return len(self.members) + len(self.unknown) + sum(len(e.nodes) for e in self.cannot)


class RolloutPreview(Document, frozen=True, kw_only=True):
    """``GET /api/v1/rollouts/preview?target=…``: what a rollout of a published target would do. It starts nothing."""

    wire: int = wire_field()
    bundle: Name
    version: Version
    target: Target
    candidates: Candidates
    summary: Sentence
    withdrawn: Annotated[str, msgspec.Meta(max_length=256)] | None = None  # why nobody gets it
    live: Count | None = None  # number of the rollout of this bundle that runs or is paused, and comes first
