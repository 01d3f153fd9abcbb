"""What a node must offer to run a model, before there is a node to compare it with (:mod:`contracts.fit`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from wayside.contracts.fit import UNKNOWN_SITE, named, yes_or_no
from wayside.contracts.passport import Passport
from wayside.contracts.quantities import aggregate, quantity
from wayside.contracts.task import Input
from wayside.contracts.task_config import CALENDAR, SITE


class Need(NamedTuple):
    """One thing: ``("runtime, int8", "onnxruntime")``."""

    what: str
    needed: str


def needs(passport: Passport) -> list[Need]:
    """What a node must offer to run this model, in the words of its configuration."""
    return list(_needs(passport))


def _needs(passport: Passport) -> Iterator[Need]:
    spec = passport.task
    if spec.image is not None:
        height, width, channels = spec.image
        yield Need("task", f'kind = "{spec.kind}", bundle = "{passport.bundle}"')
        yield Need("source", f"pictures of {height} × {width} × {channels}")
    else:
        ahead = f", lead = {spec.lead}, horizon up to {spec.horizon}" if spec.kind == "forecast" else ""
        yield Need(
            "task", f'kind = "{spec.kind}", bundle = "{passport.bundle}", interval_s = {spec.interval_s:g}{ahead}'
        )
        yield Need("output", f"a datastream of {spec.output}, {_unit(spec.output_unit)}")
        for column in spec.inputs:
            if column.name not in (*CALENDAR, SITE, spec.output):
                yield Need(f"input {column.name}", _sources(column))
        clock = [c.name for c in spec.inputs if c.name in CALENDAR]
        if clock:
            yield Need("clock", f"{', '.join(clock)} in the local time of [clock] timezone")
        if SITE in (c.name for c in spec.inputs):
            yield Need("site", _sites(passport))
        by = {"graph": "the model, which is given them as missing", "last": "the node, with the last value before"}
        yield Need("gaps", f"filled by {by[spec.missing]}")
    for variant in passport.variants:
        yield Need(f"runtime, {variant.precision}", " or ".join(variant.runtimes))
    yield Need("agent", f"{passport.min_agent} or newer")


def _unit(unit: str) -> str:
    of = quantity(unit)
    named = unit if of in (unit, "a plain number") else f"{unit} ({of})"
    how = {"sum": ", added up over each interval", "mean": ", averaged over each interval", None: ""}
    return f"in {named}{how[aggregate(unit)]}"


def _sources(column: Input) -> str:
    table = ["a [calendar] table of dates"] if yes_or_no(column) else []
    stream = [] if column.ahead else [f"a datastream {_unit(column.unit)}"]
    return " or ".join([*stream, *table, f"a constant from {column.low:g} to {column.high:g}"])


def _sites(passport: Passport) -> str:
    measured = next((a for a in passport.accuracy if a.slice == UNKNOWN_SITE), None)
    by_name = f"one of {named(passport.task.sites)}"
    if measured is None:
        return f"{by_name}; no other: how good it is there was not measured"
    mae = ", ".join(f"{name} {value:.4g}" for name, value in measured.mae.items())
    return f"{by_name}; or any other" + (f", where the mean absolute errors are {mae}" if mae else "")
