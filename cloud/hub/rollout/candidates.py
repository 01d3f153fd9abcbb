"""Which nodes can take a bundle, and why the others cannot, from what each has said that it offers. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from wayside.cloud.hub.reports import bundles_of
from wayside.contracts.fit import misfits
from wayside.contracts.hub_api import Candidates, Excluded
from wayside.contracts.passport import Passport
from wayside.contracts.sync import Heartbeat
from wayside.contracts.task_config import Offer

MAX_REASONS = 4  # that one sentence names


class FleetNode(NamedTuple):
    """A node with what it said last."""

    name: str
    offer: Offer | None = None
    heartbeat: Heartbeat | None = None


def unfit(passport: Passport | None, bundle: str, offer: Offer) -> str | None:
    """Why the node of ``offer`` cannot run the model; None: one of its tasks takes it.

    Without a passport (a rollout that an earlier hub began) a task for the bundle is all that can be asked for.
    """
    tasks = [task for task in offer.tasks if task.bundle == bundle]
    if not tasks:
        return f"no task for {bundle}"
    if passport is None:
        return None
    by_task = [misfits(passport, task, offer) for task in tasks]
    if not all(by_task):
        return None
    return "; ".join(dict.fromkeys(m.message for task in by_task for m in task))[:1024]


def candidates(passport: Passport, fleet: Iterable[FleetNode]) -> Candidates:
    can: list[str] = []
    assumed: list[str] = []
    unknown: list[str] = []
    excluded: dict[str, list[str]] = defaultdict(list)
    for node in sorted(fleet, key=lambda n: n.name):
        if node.offer is None:
            reports = bundles_of(node.heartbeat) if node.heartbeat else ()
            (assumed if passport.bundle in reports else unknown).append(node.name)
        elif (why := unfit(passport, passport.bundle, node.offer)) is None:
            can.append(node.name)
        else:
            excluded[why].append(node.name)
    groups = sorted(excluded.items(), key=lambda group: (-len(group[1]), group[0]))
    return Candidates(
        can=tuple(can),
        assumed=tuple(assumed),
        cannot=tuple(Excluded(why=why, nodes=tuple(names)) for why, names in groups),
        unknown=tuple(unknown),
    )


def sentence(candidates: Candidates, bundle: str, version: str) -> str:
    """How many can take it, and why the others cannot: at most 1000 characters."""
    taken = len(candidates.members)
    text = f"{taken} of {candidates.fleet} nodes can take {bundle} {version}"
    if candidates.assumed:
        text += f" ({len(candidates.assumed)} of them have not said what they offer, and run this bundle)"
    parts = []
    excluded = sum(len(group.nodes) for group in candidates.cannot)
    if excluded:
        reasons = [f"{len(group.nodes)}: {group.why[:160]}" for group in candidates.cannot[:MAX_REASONS]]
        more = len(candidates.cannot) - MAX_REASONS
        parts.append(f"{excluded} cannot ({'; '.join(reasons)}{f'; and {more} more reasons' if more > 0 else ''})")
    if candidates.unknown:
        parts.append(f"{len(candidates.unknown)} have not said what they offer (older agents, or never synced)")
    return "; ".join([text, *parts])[:1000]
