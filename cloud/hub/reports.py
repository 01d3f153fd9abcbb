"""What a node's heartbeat says of one bundle. Pure."""

from __future__ import annotations

from wayside.contracts.condition import MODEL_CONDITIONS
from wayside.contracts.rollout import FINAL, UpdateState
from wayside.contracts.sync import Heartbeat, Reported

_AT_WORK = frozenset({UpdateState.DOWNLOADING, UpdateState.VERIFYING, UpdateState.TESTING})


def reported_of(heartbeat: Heartbeat, bundle: str) -> Reported:
    """What a node reports of ``bundle``. An agent that knows only one model reports it without a list."""
    if heartbeat.models:
        return next((r for r in heartbeat.models if r.bundle == bundle), Reported(bundle=bundle))
    single = heartbeat.reported
    return single if single.bundle in (bundle, None) else Reported(bundle=bundle)


def bundles_of(heartbeat: Heartbeat) -> dict[str, str | None]:
    """Every bundle that a node reports, with the version that runs."""
    reports = heartbeat.models or (heartbeat.reported,)
    return {r.bundle: r.version for r in reports if r.bundle is not None}


def useless_of(heartbeat: Heartbeat, bundle: str, version: str) -> str | None:
    """What the node says that is wrong with the answers of ``version`` of ``bundle``, where it runs that."""
    tasks = {t.name: t for t in heartbeat.tasks if t.bundle == bundle and t.model == version}
    wrong = [c for c in heartbeat.conditions if c.code in MODEL_CONDITIONS and c.subject in tasks]
    return "; ".join(f"{c.code} in {c.subject}: {c.message}" for c in wrong)[:512] or None


def failure_of(reported: Reported, version: str) -> str | None:
    """Why a node will not run ``version`` of the bundle that ``reported`` is about: only what is final counts."""
    if reported.attempted != version or reported.state in _AT_WORK:
        return None
    if reported.state is UpdateState.ROLLED_BACK or reported.refusal in FINAL:
        kind = reported.refusal.value if reported.refusal else reported.state.value.replace("_", " ")
        return f"{kind}: {reported.reason or 'no reason given'}"
    return None


def progress_of(reported: Reported, version: str) -> str | None:
    """What a node that is to run ``version`` is doing about it, or what is in its way for now."""
    if reported.attempted not in (version, None):
        return None
    if reported.state in _AT_WORK:
        return reported.state.value
    if reported.attempted == version and reported.refusal is not None and reported.refusal not in FINAL:
        return f"{reported.refusal.value}: {reported.reason or 'no reason given'}"
    return None
