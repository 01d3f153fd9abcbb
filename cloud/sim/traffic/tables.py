"""Runs as tables for people."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich import box
from rich.table import Table

from wayside.cloud.sim.traffic.compare import Line
from wayside.cloud.sim.traffic.spec import RunResult

COLUMNS: Sequence[tuple[str, Callable[[Line], str]]] = (
    ("delay s", lambda line: f"{line.delay_s:.1f}"),
    ("median", lambda line: f"{line.delay_median_s:.1f}"),
    ("of fixed", lambda line: "–" if line.to_fixed is None else f"{line.to_fixed:.2f}"),
    ("worst", lambda line: "–" if line.worst_to_fixed is None else f"{line.worst_to_fixed:.2f}"),
    ("stops", lambda line: f"{line.stops:.2f}"),
    ("queue", lambda line: f"{line.queue_mean:.1f}"),
    ("longest red s", lambda line: f"{line.longest_red_s:.0f}"),
    ("on foot s", lambda line: f"{line.ped_wait_s:.1f}" if line.pedestrians else "–"),
    ("CO2 kg", lambda line: f"{line.co2_kg:.0f}"),
    ("locked", lambda line: f"{line.locked} of {len(line.seeds)}" if line.locked else "–"),
    ("rules broken", lambda line: str(line.violations)),
)


def comparison(lines: Sequence[Line], title: str = "") -> Table:
    """One line a controller."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=title or None, title_justify="left")
    several = len({line.net for line in lines}) > 1
    if several:
        made.add_column("map", no_wrap=True)
    made.add_column("controller", no_wrap=True)
    for name, _ in COLUMNS:
        made.add_column(name, justify="right", no_wrap=True)
    for line in lines:
        cells = [line.policy, *(cell(line) for _, cell in COLUMNS)]
        made.add_row(*([line.net, *cells] if several else cells))
    return made


def run(result: RunResult) -> Table:
    """One run, a line each measure."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_header=False)
    rows = [
        ("delay of a vehicle", f"{result.delay_s:.1f} s"),
        ("vehicles", f"{result.vehicles}, {result.arrived} arrived, {result.undeparted} never entered"),
        ("stops of a vehicle", f"{result.stops:.2f}"),
        ("queue", f"{result.queue_mean:.1f} vehicles, at most {result.queue_max}"),
        ("longest red for somebody", f"{result.longest_red_s:.0f} s, {result.longest_red_phase or 'nobody waited'}"),
        ("CO2, NOx, fuel", f"{result.co2_kg:.1f} kg, {result.nox_g:.0f} g, {result.fuel_kg:.1f} kg"),
        ("teleports, collisions", f"{result.teleports}, {result.collisions}"),
        ("signal rules broken", str(result.violation_count)),
    ]
    if result.pedestrians:
        lost = f"lost {result.ped_wait_s:.1f} s each, at most {result.ped_wait_max_s:.0f} s"
        rows.insert(5, ("on foot", f"{result.pedestrians}, {lost}"))
    if result.requests:
        rows.append(("requests", ", ".join(f"{name} {count}" for name, count in sorted(result.requests.items()))))
    for row in rows:
        made.add_row(*row)
    return made
