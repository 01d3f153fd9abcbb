"""Rows of measures → one small table of numbers for each phase and bin: what leaves the node."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from wayside.edge.measures.arrivals import SLOTS
from wayside.edge.measures.layout import Row

RED_RUN_S = 5.0  # actuations later in red are turns on red and the queue that forms
Detail = dict[str, str | float | int | bool | None]


class PhaseSummary(NamedTuple):
    """``numbers``: docs/measures.md has each by name."""

    start_ms: int
    phase: int
    numbers: Detail


def summaries(rows: Iterable[Row]) -> list[PhaseSummary]:
    """Of all rows of the same bins at once; preemptions are left out, they are no phase's."""
    tables: dict[tuple[int, int], Detail] = {}
    for row in rows:
        if row.measure in _SHORT:
            table = tables.setdefault((row.start_ms, row.phase), {})
            _SHORT[row.measure](table, row.values)
    return [PhaseSummary(*key, tables[key]) for key in sorted(tables)]


Values = dict[str, float | int]


def _greens(table: Detail, values: Values) -> None:
    table |= {
        "greens": values["greens"],
        "green_s": round(values["mean_s"], 1),
        "longest_s": round(values["longest_s"], 1),
    }


def _terminations(table: Detail, values: Values) -> None:
    table |= values


def _split_failures(table: Detail, values: Values) -> None:
    table |= {
        "judged": values["cycles"],
        "split_failures": values["failures"],
        "gor": round(values["green_occupancy"], 2),
        "ror": round(values["red_occupancy"], 2),
    }


def _delay(table: Detail, values: Values) -> None:
    table["arrivals"] = values["arrivals"]
    table["delay_s"] = round(values["delay_s"] / values["arrivals"], 1)


def _on_green(table: Detail, values: Values) -> None:
    table["on_green"] = round(values["share"] * values["total"])


def _platoon(table: Detail, values: Values) -> None:
    table["platoon_ratio"] = round(values["platoon_ratio"], 2)


def _coordination(table: Detail, values: Values) -> None:
    if values["cycles"]:
        for name in ("cycle_s", "green_begins_s", "yellow_begins_s"):
            table[name] = round(values[name], 1)
    slots = [values[f"slot_{i}"] for i in range(SLOTS)]
    if any(slots):
        table["profile"] = " ".join(str(n) if n else "" for n in slots).rstrip()


def _change(table: Detail, values: Values) -> None:
    if values["state"] == 8:
        table["yellow"] = int(table.get("yellow") or 0) + int(values["count"])
    elif values["state"] == 10 and values["red_offset_s"] <= RED_RUN_S:
        table["red"] = int(table.get("red") or 0) + int(values["count"])


def _pedestrians(table: Detail, values: Values) -> None:
    table |= {"peds": values["samples"], "ped_delay_s": round(values["mean_s"], 1)}


_SHORT = {
    "greens": _greens,
    "terminations": _terminations,
    "split_failures": _split_failures,
    "approach_delay": _delay,
    "arrival_on_green": _on_green,
    "platoon_ratio": _platoon,
    "coordination": _coordination,
    "yellow_red": _change,
    "ped_delay": _pedestrians,
}
