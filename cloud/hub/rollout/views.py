"""Rollouts as people and programs see them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Literal

import sqlalchemy as sa

from wayside.cloud.hub import views
from wayside.cloud.hub.reports import bundles_of, useless_of
from wayside.cloud.hub.rollout.rollouts import OPEN, Member, Rollout, summary
from wayside.cloud.hub.rollout.store import left_out, list_withdrawals, load_all
from wayside.cloud.hub.store import nodes, open_conditions
from wayside.contracts.condition import MODEL_CONDITIONS
from wayside.contracts.hub_api import Candidates, Excluded
from wayside.contracts.rollout import MemberState, RolloutState
from wayside.contracts.sync import Heartbeat
from wayside.contracts.wire import decode

MAX_NAMED = 5
MAX_LISTED = 100
PhaseState = Literal["waiting", "running", "complete", "paused", "aborted", "over"]
Beats = Mapping[str, Heartbeat]
"""What each node said last."""


def list_views(connection: sa.Connection) -> list[views.RolloutView]:
    """Every rollout, newest first; of each phase at most :data:`MAX_LISTED` nodes, those that need a look first.

    Heartbeats are read of the nodes that are shown, and of those that say that a model of theirs is of no use.
    """
    excluded, stopped, all_ = left_out(connection), _withdrawn(connection), load_all(connection)
    shown = [_by_phase(r, MAX_LISTED) for r in all_]
    suspects = set(connection.execute(_SUSPECTS).scalars())
    beats = _beats(connection, suspects | {m.node for phases in shown for some in phases.values() for m in some})
    for rollout in all_:
        if any(_says_useless(beats, node, rollout) for node in suspects & rollout.members.keys()):
            beats = _beats(connection)  # how many run it to some use is said, too
            break
    return [_view(r, beats, excluded.get(r.id), stopped, some) for r, some in zip(all_, shown, strict=True)]


def view(connection: sa.Connection, rollout: Rollout) -> views.RolloutView:
    excluded, everybody = left_out(connection, rollout.id), _by_phase(rollout, len(rollout.members))
    return _view(rollout, _beats(connection), excluded.get(rollout.id), _withdrawn(connection), everybody)


_LATER = -1
_SUSPECTS = (
    sa.select(nodes.c.name)
    .join_from(open_conditions, nodes)
    .where(open_conditions.c.code.in_(MODEL_CONDITIONS))
    .distinct()
)


def _by_phase(rollout: Rollout, most: int) -> dict[int, list[Member]]:
    """The members of each phase that are shown, by their names; those that came later under :data:`_LATER`."""
    sorted_out: dict[int, list[Member]] = defaultdict(list)
    for member in rollout.members.values():
        sorted_out[_LATER if member.joined_later else member.phase].append(member)
    for phase, members in sorted_out.items():
        ill_first = sorted(members, key=lambda m: (m.state is MemberState.ACTIVE, m.node))
        sorted_out[phase] = sorted(ill_first[:most], key=lambda m: m.node)
    return sorted_out


def _says_useless(beats: Beats, node: str, rollout: Rollout) -> bool:
    beat = beats.get(node)
    return beat is not None and useless_of(beat, rollout.bundle, rollout.version) is not None


def _beats(connection: sa.Connection, of: Collection[str] | None = None) -> Beats:
    query = sa.select(nodes.c.name, nodes.c.heartbeat).where(nodes.c.heartbeat.is_not(None))
    if of is not None:
        query = query.where(nodes.c.name.in_(of))
    return {name: decode(heartbeat.encode(), Heartbeat) for name, heartbeat in connection.execute(query)}


def _withdrawn(connection: sa.Connection) -> dict[tuple[str, str], str]:
    return {(w.bundle, w.version): w.reason for w in list_withdrawals(connection)}


def _view(
    rollout: Rollout,
    beats: Beats,
    at_start: Candidates | None,
    stopped: Mapping[tuple[str, str], str],
    shown: Mapping[int, list[Member]],
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
            nodes=[member_view(m) for m in shown.get(i, ())],
            members=len(by_phase[i]),
        )
        for i, percent in enumerate(rollout.phases)
    ]
    joined_later = [member_view(m) for m in shown.get(_LATER, ())]
    return views.RolloutView(
        **{name: getattr(rollout, name) for name in same.split()},
        state=rollout.state.value,
        summary=summary(rollout),
        phase=rollout.phase + 1,
        useless=_useless(rollout, beats),
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


def _useless(rollout: Rollout, beats: Beats) -> str | None:
    said = {name: beats[name] for name in sorted(rollout.members.keys() & beats.keys())}
    running = {n: beat for n, beat in said.items() if bundles_of(beat).get(rollout.bundle) == rollout.version}
    what = {n: useless_of(beat, rollout.bundle, rollout.version) for n, beat in running.items()}
    ill = [f"{name} ({useless})" for name, useless in what.items() if useless is not None]
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
