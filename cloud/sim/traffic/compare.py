"""Controllers beside each other on one map: the same seeds for each, in sum and against the fixed plan."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from wayside.cloud.sim.traffic.controllers import FIXED
from wayside.cloud.sim.traffic.spec import RunResult
from wayside.contracts.wire import Document


class Line(Document, frozen=True, kw_only=True):
    """One controller on one map; means over its seeds where nothing else is said."""

    net: str
    policy: str
    seeds: tuple[int, ...]
    delay_s: float
    delay_median_s: float
    delay_of: tuple[float, ...]  # by seed
    to_fixed: float | None  # of the means; None: the fixed plan is not among them
    worst_to_fixed: float | None  # of one seed
    stops: float
    queue_mean: float
    queue_max: int  # of all seeds, as are the following two
    longest_red_s: float
    ped_wait_max_s: float
    pedestrians: float
    ped_wait_s: float
    co2_kg: float
    teleports: int  # of all seeds, as are the following three
    locked: int  # runs
    undeparted: int
    violations: int


def lines(results: Sequence[RunResult]) -> list[Line]:
    """In the order in which maps and controllers come."""
    keys = dict.fromkeys((r.net, r.policy) for r in results)
    fixed = {(r.net, r.seed): r.delay_s for r in results if r.policy == FIXED}
    return [
        _line(net, policy, [r for r in results if (r.net, r.policy) == (net, policy)], fixed) for net, policy in keys
    ]


def _line(net: str, policy: str, runs: Sequence[RunResult], fixed: dict[tuple[str, int], float]) -> Line:
    delays = [r.delay_s for r in runs]
    mean = statistics.fmean
    base = [fixed.get((net, r.seed)) for r in runs]
    ratios = [delay / of for delay, of in zip(delays, base, strict=True) if of]
    whole = len(ratios) == len(runs)
    return Line(
        net=net,
        policy=policy,
        seeds=tuple(r.seed for r in runs),
        delay_s=mean(delays),
        delay_median_s=statistics.median(delays),
        delay_of=tuple(delays),
        to_fixed=mean(delays) / mean([of for of in base if of]) if whole else None,
        worst_to_fixed=max(ratios) if whole else None,
        stops=mean([r.stops for r in runs]),
        queue_mean=mean([r.queue_mean for r in runs]),
        queue_max=max(r.queue_max for r in runs),
        longest_red_s=max(r.longest_red_s for r in runs),
        ped_wait_max_s=max(r.ped_wait_max_s for r in runs),
        pedestrians=mean([r.pedestrians for r in runs]),
        ped_wait_s=mean([r.ped_wait_s for r in runs]),
        co2_kg=mean([r.co2_kg for r in runs]),
        teleports=sum(r.teleports for r in runs),
        locked=sum(r.locked for r in runs),
        undeparted=sum(r.undeparted for r in runs),
        violations=sum(r.violation_count for r in runs),
    )
