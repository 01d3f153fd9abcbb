"""States of a rollout (at the hub) and of an update (on a node), with their allowed transitions."""

from __future__ import annotations

import enum
from typing import TypeVar

from wayside.contracts.wire import ContractError


class RolloutState(enum.Enum):
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    ABORTED = "aborted"


class UpdateState(enum.Enum):
    IDLE = "idle"  # nothing wanted, nothing running
    DOWNLOADING = "downloading"
    VERIFYING = "verifying"  # TUF metadata, hashes, passport
    TESTING = "testing"  # golden vectors on this node's own runtime
    ACTIVE = "active"  # the slot is switched, the model runs
    REFUSED = "refused"  # with a reason; the old model still runs
    ROLLED_BACK = "rolled_back"


ROLLOUT_TRANSITIONS: dict[RolloutState, frozenset[RolloutState]] = {
    RolloutState.RUNNING: frozenset({RolloutState.PAUSED, RolloutState.COMPLETED, RolloutState.ABORTED}),
    RolloutState.PAUSED: frozenset({RolloutState.RUNNING, RolloutState.ABORTED}),
    RolloutState.COMPLETED: frozenset(),
    RolloutState.ABORTED: frozenset(),
}

UPDATE_TRANSITIONS: dict[UpdateState, frozenset[UpdateState]] = {
    UpdateState.IDLE: frozenset({UpdateState.DOWNLOADING}),
    # A crash anywhere returns to DOWNLOADING: each step before the switch can be repeated.
    UpdateState.DOWNLOADING: frozenset({UpdateState.VERIFYING, UpdateState.REFUSED, UpdateState.DOWNLOADING}),
    UpdateState.VERIFYING: frozenset({UpdateState.TESTING, UpdateState.REFUSED, UpdateState.DOWNLOADING}),
    UpdateState.TESTING: frozenset({UpdateState.ACTIVE, UpdateState.REFUSED, UpdateState.DOWNLOADING}),
    UpdateState.ACTIVE: frozenset({UpdateState.DOWNLOADING, UpdateState.ROLLED_BACK}),
    UpdateState.REFUSED: frozenset({UpdateState.DOWNLOADING}),
    UpdateState.ROLLED_BACK: frozenset({UpdateState.DOWNLOADING}),
}

S = TypeVar("S", RolloutState, UpdateState)


def advance(now: S, to: S) -> S:
    """Return ``to`` if the transition is allowed.

    Raises:
        ContractError: naming both states.
    """
    table: dict[S, frozenset[S]] = ROLLOUT_TRANSITIONS if isinstance(now, RolloutState) else UPDATE_TRANSITIONS  # type: ignore[assignment]
    if to not in table[now]:
        raise ContractError("state", f"may not go from {now.value!r} to {to.value!r}")
    return to


class Refusal(enum.Enum):
    """Why a node refused a bundle; the name reaches the hub."""

    DOWNLOAD = "download"  # could not be fetched (network, not the bundle's fault)
    METADATA = "metadata"  # TUF: signature, version, expiry, rollback, mix-and-match
    HASH = "hash"  # TUF: length or hash of the target does not match
    ARCHIVE = "archive"  # not a bundle
    PASSPORT = "passport"  # passport breaks its contract or does not fit this bundle
    UNSUPPORTED = "unsupported"  # it does not fit this node (contracts.fit)
    LOAD = "load"  # the runtime cannot load the variant
    GOLDEN = "golden"  # the golden vectors come out different
    STORAGE = "storage"  # no room, or the disk failed


FINAL = frozenset({Refusal.PASSPORT, Refusal.UNSUPPORTED, Refusal.LOAD, Refusal.GOLDEN})
"""Refusals that the same bundle gets again. All others may pass by themselves (a cut line, a portal's page, an expired
timestamp, a full disk): the node tries again, more and more rarely, until the hub no longer wants the version."""
