"""What is wrong with a running node as its agent knows it: the open conditions of its status."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Literal

from wayside.contracts.condition import Condition
from wayside.contracts.wire import ContractError, from_builtins
from wayside.edge.doctor.finding import Finding

FIXES = {
    "line_lost": "check the cable, the port and the board's supply",
    "signal_fault": "the conflict monitor has tripped: follow the signal's own procedure, then reset the board",
    "no_model": "see the task's line below",
    "model_worse": "start a rollout of a better version, or of the one before: `wayside rollout back`",
    "model_nan": "start a rollout of a better version, or of the one before: `wayside rollout back`",
    "model_constant": "start a rollout of a better version, or of the one before: `wayside rollout back`",
    "routine_fails": "sensing goes on; report it with the agent's log, `journalctl -u wayside-agent`",
    "storage_fails": "free room; if the card became read-only, replace it",
}
DEFAULT_FIX = "mend what it names; the condition ends by itself when that is over"


def open_conditions(status: dict[str, Any]) -> list[Condition]:
    """Of an agent's status, severe ones first; what makes no sense is left out."""
    conditions = []
    listed = status.get("conditions")
    for raw in listed if isinstance(listed, list) else ():
        try:
            conditions.append(from_builtins(raw, Condition))
        except ContractError:
            continue
    return sorted(conditions, key=lambda c: not c.severe)


def check_conditions(agent: dict[str, Any] | None) -> Iterator[Finding]:
    """One for each condition that is open; a severe one fails."""
    for condition in open_conditions(agent or {}):
        state: Literal["fail", "warn"] = "fail" if condition.severe else "warn"
        fix = FIXES.get(condition.code, DEFAULT_FIX)
        yield Finding("condition", state, f"{sentence(condition)}, since {since(condition)}", fix)


def sentence(condition: Condition) -> str:
    times = f", {condition.times} times" if condition.times > 1 else ""
    return f"{condition.subject}: {condition.message} ({condition.code}{times})"


def since(condition: Condition) -> str:
    if condition.since.wall_ms is None:
        return "before the clock was known"
    return f"{datetime.fromtimestamp(condition.since.wall_ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"
