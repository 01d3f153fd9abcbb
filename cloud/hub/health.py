"""Whether a node is in touch and what is wrong with it, by what it said last. Pure."""

from __future__ import annotations

from typing import Any, Literal

Health = Literal["never", "fresh", "lent", "late", "silent", "unhealthy"]
"""By the age of the last sync against how often the node syncs; ``unhealthy``: fresh, but :func:`trouble` is not empty;
``lent``: fresh, and a technician's command has the board, so that nothing is measured and nothing is wrong."""

Said = Literal["fresh", "lent", "unhealthy"]
"""What a heartbeat says of its node; it counts while the node is in touch."""

DEFAULT_GAP_S = 300.0  # of a node of an earlier release that has synced once; NodeConfig's default
SHORTEST_GAP_S = 5.0
LATE_AFTER, SILENT_AFTER = 3, 10  # usual gaps
MAX_TROUBLE = 16


def health(age_s: float | None, gap_s: float | None, heartbeat: dict[str, Any] | None) -> Health:
    """Args:
    gap_s: the gap between syncs as the hub saw it, for nodes whose heartbeat does not say ``sync_s``.
    """
    if age_s is None or heartbeat is None:
        return "never"
    # What it measured of itself is no guide: while a backlog drains, syncs follow one another without a pause.
    usual = max(SHORTEST_GAP_S, heartbeat.get("sync_s") or gap_s or DEFAULT_GAP_S)
    if age_s > SILENT_AFTER * usual:
        return "silent"
    return "late" if age_s > LATE_AFTER * usual else said(heartbeat)


def said(heartbeat: dict[str, Any]) -> Said:
    if trouble(heartbeat):
        return "unhealthy"
    return "lent" if _is_lent(heartbeat) else "fresh"


def is_alive(last_seen_ms: int | None, gap_ms: float | None, heartbeat: dict[str, Any] | None, now_ms: int) -> bool:
    """Neither silent nor never heard from."""
    age_s = None if last_seen_ms is None else max(0.0, (now_ms - last_seen_ms) / 1000)
    gap_s = None if gap_ms is None else gap_ms / 1000
    told = {"healthy": True, "sync_s": (heartbeat or {}).get("sync_s")}
    return health(age_s, gap_s, told) in ("fresh", "late")


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
