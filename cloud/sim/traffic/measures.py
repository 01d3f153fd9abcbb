"""Performance measures of a run's events: what a node there would have sent, and a table of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich import box
from rich.table import Table

from wayside import csv_dialect
from wayside.cloud.sim.errors import SimulateError
from wayside.cloud.sim.traffic.events import HEAD
from wayside.edge.measures.codes import codes_of
from wayside.edge.measures.layout import Layout, Settings
from wayside.edge.measures.signal import SignalMeasures
from wayside.edge.measures.summary import Detail, summaries
from wayside.text import TextError, read_file

Event = tuple[int, int, int]  # ms after the begin, code, parameter


def read_events(path: Path) -> dict[str, list[Event]]:
    """Codes of each light, in order of time; what a board told before the begin counts as told then.

    Raises:
        SimulateError: it cannot be read, or is no file of events.
    """
    lights: dict[str, list[Event]] = {}
    try:
        rows = csv_dialect.read(read_file(path), names=HEAD).rows()
        if tuple(next(rows, csv_dialect.Row(1, [])).cells) != HEAD:
            raise SimulateError(f"{path} has not the columns {', '.join(HEAD)}: make it with --events of a run")
        for line, cells in rows:
            try:
                light, *numbers = cells
                ms, kind, channel, value = map(int, numbers)
            except ValueError as exc:
                raise SimulateError(f"{path}, line {line}: is no event: {exc}") from exc
            lights.setdefault(light, []).extend((max(0, ms), c, channel) for c in codes_of(kind, value))
    except OSError as exc:
        raise SimulateError(f"{path} cannot be read: {exc.strerror or exc}") from exc
    except TextError as exc:
        raise SimulateError(f"{path} is no file of events: {exc}") from exc
    return {light: sorted(events) for light, events in lights.items()}


def measured(events: Sequence[Event], layout: Layout) -> Mapping[int, Detail]:
    """The numbers of each phase over the whole run, as one interval."""
    last_ms = events[-1][0] if events else 0
    bin_ms = (last_ms // 300_000 + 1) * 300_000
    measures = SignalMeasures(layout, Settings(bin_ms=bin_ms))
    for event in events:
        measures.take(*event)
    return {each.phase: each.numbers for each in summaries(measures.end())}


def table(phases: Mapping[int, Detail], title: str) -> Table:
    """The split monitor."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=title, title_justify="left")
    heads = ("greens", "mean s", "gap", "max", "force", "failures", "on green", "platoon", "delay s", "on foot s")
    for name in ("phase", *heads):
        made.add_column(name, justify="right", no_wrap=True)
    for phase, numbers in phases.items():
        arrivals, judged = numbers.get("arrivals"), numbers.get("judged")
        share = f"{float(numbers.get('on_green') or 0) / float(arrivals):.0%}" if arrivals else "–"
        failures = f"{numbers.get('split_failures')} of {judged}" if judged else "–"
        shown = [str(numbers.get(name, "–")) for name in ("greens", "green_s")]
        shown += [str(numbers.get(name, 0)) for name in ("gap_out", "max_out", "force_off")]
        shown += [
            failures,
            share,
            *(str(numbers.get(name, "–")) for name in ("platoon_ratio", "delay_s", "ped_delay_s")),
        ]
        made.add_row(str(phase), *shown)
    return made
