"""Whether a node is in touch and what is wrong with it, by what it said last. Pure."""

from __future__ import annotations

from typing import Any, Literal

Health = Literal["never", "fresh", "lent", "late", "silent", "unhealthy"]
"""By the age of the last sync against the node's usual gap; ``unhealthy``: fresh, but :func:`trouble` is not empty;
``lent``: fresh, and a technician's command has the board, so that nothing is measured and nothing is wrong."""

DEFAULT_GAP_S = 300.0  # of a node that has synced once; NodeConfig's default
MAX_TROUBLE = 16


def health(age_s: float | None, gap_s: float | None, heartbeat: dict[str, Any] | None) -> Health:
    if age_s is None or heartbeat is None:
        return "never"
    usual = DEFAULT_GAP_S if gap_s is None else max(5.0, gap_s)
    if age_s > 10 * usual:
        return "silent"
    if age_s > 3 * usual:
        return "late"
    if trouble(heartbeat):
        return "unhealthy"
    return "lent" if _is_lent(heartbeat) else "fresh"


def is_alive(last_seen_ms: int | None, gap_ms: float | None, now_ms: int) -> bool:
    """Neither silent nor never heard from."""
    age_s = None if last_seen_ms is None else max(0.0, (now_ms - last_seen_ms) / 1000)
    gap_s = None if gap_ms is None else gap_ms / 1000
    return health(age_s, gap_s, {"healthy": True}) in ("fresh", "late")


def trouble(heartbeat: dict[str, Any]) -> list[str]:
    """Why a node is not healthy, in its own words, the worst first; empty: it says nothing of the kind.

    A signal that flashes and a task without a model count also where the node itself calls that healthy; not so a task
    that waits for the first rollout of its bundle, which the node says by a ``no_model`` that is not severe.
    """
    board = heartbeat.get("board") or {}
    conditions = [c for c in heartbeat.get("conditions", ()) if c.get("severe", True)]
    wrong = [f"{c['subject']}: {c['message']}" for c in conditions]
    if board.get("signal_fault") and not any(c["code"] == "signal_fault" for c in conditions):
        wrong.insert(0, "the signal is in fault: its conflict monitor has tripped")
    waits = {
        c["subject"] for c in heartbeat.get("conditions", ()) if c["code"] == "no_model" and not c.get("severe", True)
    }
    wrong += [
        f"task {t['name']} runs no model: {t.get('why') or 'no reason given'}"
        for t in heartbeat.get("tasks", ())
        if t.get("model") is None and t["name"] not in waits
    ]
    if not wrong and not heartbeat.get("healthy") and not _is_lent(heartbeat):
        away = board.get("connected") is False
        wrong.append("its board is not connected" if away else "it says that it is not healthy, and names no condition")
    return list(dict.fromkeys(wrong))[:MAX_TROUBLE]


def _is_lent(heartbeat: dict[str, Any]) -> bool:
    board = heartbeat.get("board") or {}
    return bool(board.get("lent")) and not board.get("connected")
