"""Rollouts as people and programs see them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Literal

import sqlalchemy as sa

from wayside.cloud.hub import views
from wayside.cloud.hub.reports import bundles_of, useless_of
from wayside.cloud.hub.rollout_store import left_out, list_withdrawals, load_all
from wayside.cloud.hub.rollouts import OPEN, Member, Rollout, summary
from wayside.cloud.hub.store import nodes
from wayside.contracts.hub_api import Candidates, Excluded
from wayside.contracts.rollout import MemberState, RolloutState
from wayside.contracts.sync import Heartbeat
from wayside.contracts.wire import decode

MAX_NAMED = 5
PhaseState = Literal["waiting", "running", "complete", "paused", "aborted", "over"]
Beats = Mapping[str, Heartbeat]
"""What each node said last."""


def list_views(connection: sa.Connection) -> list[views.RolloutView]:
    """Every rollout, newest first."""
    beats, excluded, stopped = _beats(connection), left_out(connection), _withdrawn(connection)
    return [_view(r, beats, excluded.get(r.id), stopped) for r in load_all(connection)]


def view(connection: sa.Connection, rollout: Rollout) -> views.RolloutView:
    excluded = left_out(connection, rollout.id)
    return _view(rollout, _beats(connection), excluded.get(rollout.id), _withdrawn(connection))


def _beats(connection: sa.Connection) -> Beats:
    rows = connection.execute(sa.select(nodes.c.name, nodes.c.heartbeat).where(nodes.c.heartbeat.is_not(None)))
    return {name: decode(heartbeat.encode(), Heartbeat) for name, heartbeat in rows}


def _withdrawn(connection: sa.Connection) -> dict[tuple[str, str], str]:
    return {(w.bundle, w.version): w.reason for w in list_withdrawals(connection)}


def _view(
    rollout: Rollout, beats: Beats, at_start: Candidates | None, stopped: Mapping[tuple[str, str], str]
) -> views.RolloutView:
    def member_view(m: Member) -> views.MemberView:
        beat = beats.get(m.node)
        now = bundles_of(beat).get(rollout.bundle) if beat is not None else None
        useless = useless_of(beat, rollout.bundle, rollout.version) if beat is not None else None
        reason = m.reason or (f"said before: {m.old_failure}" if m.state in OPEN and m.old_failure else None)
        return views.MemberView(node=m.node, state=m.state.value, reason=reason, runs=now, useless=useless)

    by_phase: dict[int, list[Member]] = defaultdict(list)
    for member in rollout.history:
        by_phase[member.phase].append(member)
    same = (
        "id bundle version target reason deadline_s max_failed_percent max_silent_percent created_ms ended_ms "
        "phase_started_ms back_of"
    )
    others = at_start or Candidates()
    phases = [
        views.PhaseView(
            percent=percent,
            state=_phase_state(rollout, i, by_phase[i]),
            nodes=[member_view(m) for m in by_phase[i]],
        )
        for i, percent in enumerate(rollout.phases)
    ]
    joined_later = [member_view(m) for m in rollout.members.values() if m.joined_later]
    return views.RolloutView(
        **{name: getattr(rollout, name) for name in same.split()},
        state=rollout.state.value,
        summary=summary(rollout),
        phase=rollout.phase + 1,
        useless=_useless(rollout.version, [m for some in (*(p.nodes for p in phases), joined_later) for m in some]),
        phases=phases,
        joined_later=joined_later,
        withdrawn=stopped.get((rollout.bundle, rollout.version)),
        fleet=at_start.fleet if at_start else None,
        cannot=[
            Excluded(why=group.why, nodes=still)
            for group in others.cannot
            if (still := tuple(n for n in group.nodes if n not in rollout.members))
        ],
        unknown=[n for n in others.unknown if n not in rollout.members],
    )


def _useless(version: str, members: list[views.MemberView]) -> str | None:
    running = [m for m in members if m.runs == version]
    ill = [f"{m.node} ({m.useless})" for m in running if m.useless is not None]
    if not ill:
        return None
    more = f" and {len(ill) - MAX_NAMED} more" if len(ill) > MAX_NAMED else ""
    return f"of no use at {len(ill)} of the {len(running)} nodes that run it now: {', '.join(ill[:MAX_NAMED])}{more}"


def _phase_state(rollout: Rollout, phase: int, members: list[Member]) -> PhaseState:
    if phase > rollout.phase:
        return "waiting"
    if all(m.state is MemberState.ACTIVE for m in members):
        return "complete"
    stopped: dict[RolloutState, PhaseState] = {RolloutState.PAUSED: "paused", RolloutState.ABORTED: "aborted"}
    if rollout.state in (RolloutState.COMPLETED, RolloutState.COMPLETED_WITH_EXCEPTIONS) or phase < rollout.phase:
        return "over"
    return stopped.get(rollout.state, "running")
