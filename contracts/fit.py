"""May this node run this model? One pure function, asked at every desk: when a configuration is checked, a release
published, a rollout begun, and on the node before the slot is switched.

A misfit names both sides, so that whoever reads it knows which one to change.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, NamedTuple

from wayside.contracts.passport import Passport
from wayside.contracts.quantities import aggregate, quantity
from wayside.contracts.task import Input
from wayside.contracts.task_config import CALENDAR, FRAMES, NO_RUNTIME, SITE, Datastream, Offer, SiteConfig, TaskOffer

MAX_STEPS = 65_536
"""Steps of history that a window may reach back over: 512 kB a column."""
CHANCE = 0.5
"""Area under the ROC curve of scores that know nothing."""
UNKNOWN_SITE = "unknown site"
"""The passport's slice that says how good a model is at a site it has not seen."""

Misses = Literal[
    "bundle", "kind", "interval", "lead", "horizon", "window", "output", "quantity", "unit", "input", "calendar",
    "site", "runtime", "agent",
]  # fmt: skip


class Misfit(NamedTuple):
    misses: Misses
    message: str


class Feed(NamedTuple):
    """Where a task gets an input that is neither its output nor made from the clock."""

    kind: Literal["constant", "calendar", "datastream"]
    name: str  # of the constant, of the table of dates, or of the datastream


def feed(column: Input, task: TaskOffer, site: SiteConfig, days: Iterable[str]) -> Feed:
    """What feeds ``column`` at ``site``: a constant there, else a table of dates of that name, else a datastream.

    The datastream is the one that the site names for the input, else the task, else the one of the input's own name.
    Whether it exists is for :func:`misfits` to say.
    """
    if column.name in site.constants:
        return Feed("constant", column.name)
    if column.name in days:
        return Feed("calendar", column.name)
    return Feed("datastream", site.inputs.get(column.name) or task.inputs.get(column.name) or column.name)


def misfits(passport: Passport, task: TaskOffer, offer: Offer) -> list[Misfit]:
    """Everything that keeps the node of ``offer`` from running ``passport``'s model in ``task``; empty: it fits."""
    return list(dict.fromkeys(_misfits(passport, task, offer)))


def _misfits(passport: Passport, task: TaskOffer, offer: Offer) -> Iterator[Misfit]:
    spec = passport.task
    if passport.bundle != task.bundle:
        yield Misfit("bundle", f"this is {passport.bundle}; the task {task.name} takes {task.bundle} and no other")
    yield from _runs(passport, offer)
    if spec.kind != task.kind:
        outputs = ", ".join(s.output for s in task.sites)
        yield Misfit(
            "kind",
            f"this model {_does(spec.kind, spec.output)}; the task {task.name} {_does(task.kind, _short(outputs, 80))}",
        )
        return  # what else would be compared has no meaning
    if spec.image is not None:
        yield from _looks(passport, task, offer)
        return
    if abs(spec.interval_s - task.interval_s) > 1e-6:
        yield Misfit("interval", f"the model's interval is {spec.interval_s:g} s, the task's {task.interval_s:g} s")
    if spec.kind == "forecast" and spec.lead != task.lead:
        yield Misfit("lead", f"the model forecasts {spec.lead} intervals ahead, the task wants {task.lead}")
    if spec.kind == "forecast" and spec.horizon < task.horizon:
        yield Misfit("horizon", f"the model answers for {spec.horizon} intervals, the task needs {task.horizon}")
    base_s = functools.reduce(math.gcd, (round(t.every_s) for t in (task, *offer.tasks)))  # all tasks share one history
    span = (spec.window - 1) * round(task.interval_s / base_s) + 1
    if span > MAX_STEPS:
        yield Misfit("window", f"the model's window spans {span} steps of {base_s} s; a node keeps {MAX_STEPS}")
    streams = {d.name: d for d in offer.datastreams}
    for site in task.sites:
        yield from _at(passport, task, site, offer, streams)


def _looks(passport: Passport, task: TaskOffer, offer: Offer) -> Iterator[Misfit]:
    """A model of pictures: each of the task's sites is a camera."""
    image = passport.task.image
    if image is not None and image[2] not in (1, 3):
        yield Misfit("input", f"this model looks at pictures of {image[2]} channels; a camera gives 3, or 1 of grey")
    cameras = {d.name for d in offer.datastreams if d.unit == FRAMES}
    for site in task.sites:
        if not cameras:
            yield Misfit("input", "this model looks at pictures; this node has no source of pictures")
        elif site.output not in cameras:
            have = _short(", ".join(sorted(cameras)), 80)
            yield Misfit(
                "output", f"the task {task.name} looks at {site.output}, which is no camera here; there is {have}"
            )


def _does(kind: str, what: str) -> str:
    return {
        "forecast": f"forecasts {what}",
        "score": f"scores how unusual {what} is",
        "classify": f"classifies pictures ({what})",
        "count": f"counts things in pictures ({what})",
    }[kind]


def _runs(passport: Passport, offer: Offer) -> Iterator[Misfit]:
    if not _variants(passport, offer):
        has = "; ".join(f"{v.name} for {', '.join(v.runtimes)}" for v in passport.variants)
        runtimes = " or ".join(offer.runtimes or (offer.runtime,))
        if offer.runtime == NO_RUNTIME:
            runtimes = "no runtime, for none is installed"
        yield Misfit("runtime", f"this node runs {offer.precision} on {runtimes}; the bundle has {has}")
    if numbers(offer.agent) < numbers(passport.min_agent):
        yield Misfit("agent", f"this agent is {offer.agent}; the model needs {passport.min_agent} or newer")


def _variants(passport: Passport, offer: Offer) -> list[str]:
    """The names of those that the node can run."""
    runtimes = offer.runtimes or (offer.runtime,)
    return [
        v.name
        for v in passport.variants
        if v.precision == offer.precision and any(name in v.runtimes for name in runtimes)
    ]


def _at(
    passport: Passport, task: TaskOffer, site: SiteConfig, offer: Offer, streams: Mapping[str, Datastream]
) -> Iterator[Misfit]:
    spec = passport.task
    stream = streams.get(site.output)
    if stream is None:
        yield Misfit("output", f"the task {task.name} is about {site.output}, which no source of this node gives")
    else:
        yield from _measures(spec.output, spec.output_unit, stream)
    for column in spec.inputs:
        if column.name == spec.output:
            if stream is not None:
                yield from _measures(column.name, column.unit, stream)
        elif column.name == SITE:
            yield from _known(passport, site, offer)
        elif column.name not in CALENDAR:
            yield from _fed(column, feed(column, task, site, offer.days), site, streams)


def _fed(column: Input, by: Feed, site: SiteConfig, streams: Mapping[str, Datastream]) -> Iterator[Misfit]:
    if by.kind == "constant":
        value = site.constants[by.name]
        if not column.low <= value <= column.high:
            yield Misfit(
                "input",
                f"{column.name} = {value:g} at {site.output}; the model knows {column.low:g} to {column.high:g}",
            )
    elif by.kind == "calendar":
        if not yes_or_no(column):
            yield Misfit(
                "calendar",
                f"the model's {column.name} is a number from {column.low:g} to {column.high:g} in {column.unit}; "
                f"calendar.{column.name} says only whether a day is one of them, 0 or 1",
            )
    elif column.ahead:
        yield Misfit(
            "calendar",
            f"the model wants {column.name!r} of the days ahead; this node's [calendar] has no table of that name",
        )
    elif (stream := streams.get(by.name)) is None:
        where = "which no source of this node gives"
        if by.name != column.name:
            where = f"from {by.name}, {where}"
        yield Misfit("input", f"the model wants {column.name!r} ({column.unit}), {where}")
    else:
        yield from _measures(column.name, column.unit, stream)


def yes_or_no(column: Input) -> bool:
    """Whether a table of dates can feed ``column``: it gives 1 on its days, 0 on all others."""
    return column.unit == "1" and (column.low, column.high) == (0, 1)


def _measures(name: str, unit: str, stream: Datastream) -> Iterator[Misfit]:
    wanted = aggregate(unit)
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
    elif wanted is not None and stream.aggregate != wanted:
        means = {"sum": "added up over an interval", "mean": "averaged over an interval"}
        yield Misfit(
            "quantity",
            f"the model wants {name} in {unit}, {means[wanted]}; {stream.name} is {means[stream.aggregate]}",
        )


def _known(passport: Passport, site: SiteConfig, offer: Offer) -> Iterator[Misfit]:
    """A site that the model knows by name, or any other if its passport shows it to be better there than nothing."""
    sites = passport.task.sites
    some = f"it knows {named(sites)}" if sites else "it knows none by name"
    if site.site is not None:
        if site.site not in sites:
            yield Misfit("site", f"the model does not know the site {site.site!r} of {site.output}; {some}")
        return
    measured = next((a for a in passport.accuracy if a.slice == UNKNOWN_SITE), None)
    if measured is None:
        yield Misfit(
            "site",
            f"{site.output} names no site, and the model's passport does not say how good it is at an unknown one; "
            f"{some}",
        )
        return
    ran = _variants(passport, offer)
    naive = measured.mae.get("naive")
    errors = [measured.mae[name] for name in ran if name in measured.mae]
    if naive is not None and errors and not max(errors) < naive:
        yield Misfit(
            "site",
            f"{site.output} names no site, and at an unknown one the model's mean absolute error is {max(errors):.4g} "
            f"{passport.task.output_unit}, no better than {naive:.4g} of a naive forecast; {some}",
        )
    areas = [a for name, a in measured.scores.get("auc", {}).items() if name in ran]
    if areas and not min(areas) > CHANCE:
        yield Misfit(
            "site",
            f"{site.output} names no site, and at an unknown one the model's scores rank no better than chance "
            f"(area under the curve {min(areas):.4g}); {some}",
        )


def named(sites: tuple[str, ...]) -> str:
    """The first of many names, for a sentence."""
    names = ", ".join(_short(s, 32) for s in sites[:5])
    return names + (f" and {len(sites) - 5} more" if len(sites) > 5 else "")


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def numbers(version: str) -> tuple[int, int, int]:
    """``"1.12.0"`` → ``(1, 12, 0)``; what is absent is 0."""
    parts = [int(part[:18]) for part in re.findall(r"[0-9]+", version)[:3]]  # int() refuses thousands of digits
    major, minor, patch = [*parts, 0, 0, 0][:3]
    return major, minor, patch
