"""States of a rollout and its members (at the hub) and of an update (on a node), with their allowed transitions."""

from __future__ import annotations

import enum
from typing import Any, TypeVar

from wayside.contracts.wire import ContractError


class RolloutState(enum.Enum):
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"  # every member runs the version
    COMPLETED_WITH_EXCEPTIONS = "completed_with_exceptions"  # all phases are over; some members do not run it
    ABORTED = "aborted"


class MemberState(enum.Enum):
    """Of one node in a rollout, by what it reports of the rollout's bundle."""

    WAITING = "waiting"  # its phase has not begun, or nothing has come of it yet
    TRYING = "trying"  # it is at it, or something that may pass is in the way
    ACTIVE = "active"  # it reports that it runs the version
    USELESS = "useless"  # it runs the version, and one of MODEL_CONDITIONS is open there
    FAILED = "failed"  # it refused the version for good, or rolled it back
    LATE = "late"  # heard from, and does not run it at the phase's deadline
    SILENT = "silent"  # not heard from at the phase's deadline
    EXCUSED = "excused"  # it failed, was late or useless, and the operator went on without it


class UpdateState(enum.Enum):
    IDLE = "idle"  # nothing wanted, nothing running
    DOWNLOADING = "downloading"
    VERIFYING = "verifying"  # TUF metadata, hashes, passport
    TESTING = "testing"  # golden vectors on this node's own runtime
    ACTIVE = "active"  # the slot is switched, the model runs
    REFUSED = "refused"  # with a reason; the old model still runs
    ROLLED_BACK = "rolled_back"


ROLLOUT_TRANSITIONS: dict[RolloutState, frozenset[RolloutState]] = {
    RolloutState.RUNNING: frozenset(
        {
            RolloutState.PAUSED,
            RolloutState.COMPLETED,
            RolloutState.COMPLETED_WITH_EXCEPTIONS,
            RolloutState.ABORTED,
        }
    ),
    RolloutState.PAUSED: frozenset({RolloutState.RUNNING, RolloutState.ABORTED}),
    RolloutState.COMPLETED: frozenset(),
    RolloutState.COMPLETED_WITH_EXCEPTIONS: frozenset(),
    RolloutState.ABORTED: frozenset(),
}

_M = MemberState
_RUNS = frozenset({_M.ACTIVE, _M.USELESS})
_OUTCOMES = _RUNS | {_M.FAILED, _M.LATE, _M.SILENT, _M.EXCUSED}
MEMBER_TRANSITIONS: dict[MemberState, frozenset[MemberState]] = {
    _M.WAITING: _OUTCOMES | {_M.TRYING},
    _M.TRYING: _OUTCOMES | {_M.WAITING},
    _M.ACTIVE: frozenset({_M.USELESS, _M.WAITING, _M.TRYING, _M.FAILED}),  # the others: it no longer runs it
    _M.USELESS: frozenset({_M.ACTIVE, _M.WAITING, _M.TRYING, _M.FAILED, _M.EXCUSED}),
    _M.FAILED: _RUNS | {_M.EXCUSED},
    # Back to WAITING: a first phase that nobody runs is waited for once more.
    _M.LATE: _RUNS | {_M.FAILED, _M.EXCUSED, _M.WAITING},
    _M.SILENT: _RUNS | {_M.FAILED, _M.EXCUSED, _M.WAITING},
    _M.EXCUSED: frozenset({_M.ACTIVE}),
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

S = TypeVar("S", RolloutState, MemberState, UpdateState)

_TABLES: dict[type[enum.Enum], dict[Any, frozenset[Any]]] = {
    RolloutState: ROLLOUT_TRANSITIONS,
    MemberState: MEMBER_TRANSITIONS,
    UpdateState: UPDATE_TRANSITIONS,
}


def advance(now: S, to: S) -> S:
    """Return ``to`` if the transition is allowed.

    Raises:
        ContractError: naming both states.
    """
    if to not in _TABLES[type(now)][now]:
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
