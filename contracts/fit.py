"""May this node run this model? One pure function, asked at every desk: when a configuration is checked, a release
published, a rollout begun, and on the node before the slot is switched.

A misfit names both sides, so that whoever reads it knows which one to change.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal, NamedTuple

from wayside.contracts.passport import Passport
from wayside.contracts.quantities import quantity
from wayside.contracts.task import Input, TaskSpec
from wayside.contracts.task_config import CALENDAR, SITE, Datastream, Offer, SiteConfig, TaskOffer

MAX_STEPS = 65_536
"""Steps of history that a window may reach back over: 512 kB a column."""
UNKNOWN_SITE = "unknown site"
"""The passport's slice that says how good a model is at a site it has not seen."""

Misses = Literal[
    "bundle", "kind", "interval", "lead", "horizon", "window", "output", "quantity", "unit", "input", "calendar",
    "site", "runtime", "agent",
]  # fmt: skip
_DOES = {
    "forecast": "forecasts",
    "score": "scores",
    "classify": "classifies pictures of",
    "count": "counts in pictures",
}


class Misfit(NamedTuple):
    misses: Misses
    message: str


def misfits(passport: Passport, task: TaskOffer, offer: Offer) -> list[Misfit]:
    """Everything that keeps the node of ``offer`` from running ``passport``'s model in ``task``; empty: it fits."""
    spec = passport.task
    found: list[Misfit] = []
    if passport.bundle != task.bundle:
        found.append(
            Misfit("bundle", f"this is {passport.bundle}; the task {task.name} takes {task.bundle} and no other")
        )
    if spec.kind != task.kind:
        found.append(
            Misfit(
                "kind",
                f"this model {_DOES[spec.kind]} {spec.output}; the task {task.name} {_DOES[task.kind]} "
                f"{', '.join(s.output for s in task.sites)[:80]}",
            )
        )
    found += _runs(passport, offer)
    if spec.kind != task.kind or spec.image is not None:
        if spec.image is not None and spec.kind == task.kind:
            found.append(Misfit("input", "this model looks at pictures; this node has no source of pictures"))
        return found  # what else would be compared has no meaning
    if abs(spec.interval_s - task.interval_s) > 1e-6:
        found.append(
            Misfit("interval", f"the model's interval is {spec.interval_s:g} s, the task's {task.interval_s:g} s")
        )
    if spec.kind == "forecast" and spec.lead != task.lead:
        found.append(Misfit("lead", f"the model forecasts {spec.lead} intervals ahead, the task wants {task.lead}"))
    if spec.kind == "forecast" and spec.horizon < task.horizon:
        found.append(
            Misfit("horizon", f"the model answers for {spec.horizon} intervals, the task needs {task.horizon}")
        )
    span = (spec.window - 1) * task.steps + 1
    if span > MAX_STEPS:
        found.append(Misfit("window", f"the model's window spans {span} steps; a node keeps {MAX_STEPS}"))
    streams = {d.name: d for d in offer.datastreams}
    for site in task.sites:
        found += _at(passport, task, site, streams, offer.days)
    return list(dict.fromkeys(found))


def _runs(passport: Passport, offer: Offer) -> Iterable[Misfit]:
    if not any(v.precision == offer.precision and offer.runtime in v.runtimes for v in passport.variants):
        has = "; ".join(f"{v.name} for {', '.join(v.runtimes)}" for v in passport.variants)
        yield Misfit("runtime", f"this node runs {offer.precision} on {offer.runtime}; the bundle has {has}")
    if numbers(offer.agent) < numbers(passport.min_agent):
        yield Misfit("agent", f"this agent is {offer.agent}; the model needs {passport.min_agent} or newer")


def _at(
    passport: Passport, task: TaskOffer, site: SiteConfig, streams: dict[str, Datastream], days: Iterable[str]
) -> Iterable[Misfit]:
    spec = passport.task
    stream = streams.get(site.output)
    if stream is None:
        yield Misfit("output", f"the task {task.name} is about {site.output}, which no source of this node gives")
    else:
        yield from _measures(spec.output, spec.output_unit, stream)
    for column in spec.inputs:
        if column.name in CALENDAR or column.name == spec.output:
            continue
        if column.name == SITE:
            yield from _known(spec, passport, site)
        else:
            yield from _fed(column, task, site, streams, days)


def _fed(
    column: Input, task: TaskOffer, site: SiteConfig, streams: dict[str, Datastream], days: Iterable[str]
) -> Iterable[Misfit]:
    """An input that is neither the output nor the calendar: a constant, a table of dates, or a datastream."""
    if column.name in site.constants:
        value = site.constants[column.name]
        if not column.low <= value <= column.high:
            yield Misfit(
                "input",
                f"{column.name} = {value:g} at {site.output}; the model knows {column.low:g} to {column.high:g}",
            )
        return
    if column.name in days:
        return
    if column.ahead:
        yield Misfit(
            "calendar",
            f"the model wants {column.name!r} of the days ahead; this node's [calendar] has no table of that name",
        )
        return
    name = site.inputs.get(column.name) or task.inputs.get(column.name) or column.name
    stream = streams.get(name)
    if stream is None:
        yield Misfit("input", f"the model wants {column.name!r} ({column.unit}), which no source of this node gives")
    else:
        yield from _measures(column.name, column.unit, stream)


def _measures(name: str, unit: str, stream: Datastream) -> Iterable[Misfit]:
    if stream.observes is not None and stream.observes != name:
        yield Misfit("quantity", f"the model wants {name}; {stream.name} observes {stream.observes}")
    elif quantity(stream.unit) != quantity(unit):
        yield Misfit(
            "quantity",
            f"the model wants {name} in {unit} ({quantity(unit)}); {stream.name} is {quantity(stream.unit)}, "
            f"{stream.unit}",
        )
    elif stream.unit != unit:
        yield Misfit("unit", f"the model wants {name} in {unit}; {stream.name} is in {stream.unit}")


def _known(spec: TaskSpec, passport: Passport, site: SiteConfig) -> Iterable[Misfit]:
    if site.site is not None and site.site in spec.sites:
        return
    if site.site is None and any(a.slice == UNKNOWN_SITE for a in passport.accuracy):
        return
    some = ", ".join(spec.sites[:5]) + (f" and {len(spec.sites) - 5} more" if len(spec.sites) > 5 else "")
    if site.site is not None:
        yield Misfit("site", f"the model does not know the site {site.site!r} of {site.output}; it knows {some}")
    else:
        yield Misfit(
            "site",
            f"{site.output} names no site, and the model's passport does not say how good it is at an unknown one; "
            f"it knows {some}",
        )


def numbers(version: str) -> tuple[int, ...]:
    """``"1.12.0"`` → ``(1, 12, 0)``."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])
