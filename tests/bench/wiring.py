"""``make bench-wiring``: how often the wiring check is right, on simulated intersections that it was not designed with.

Half an hour of a board's events from each run, after five minutes to fill the roads; then wires are moved at random and
the check is asked again. ``docs/wiring.json`` keeps the numbers, ``docs/commissioning.md`` shows them between marks.
``python -m tests.bench.wiring --seeds 1,2 crossing`` tries others, and writes nothing.
"""

from __future__ import annotations

import argparse
import csv
import random
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.progress import track

from tests.real_data import DATA
from wayside.cloud.sim.traffic.controllers import BOARD, FIXED
from wayside.cloud.sim.traffic.intersection import Intersection
from wayside.cloud.sim.traffic.maps import RESCO, find_map
from wayside.cloud.sim.traffic.plant import intersections_of
from wayside.cloud.sim.traffic.process import run_all
from wayside.cloud.sim.traffic.spec import Fault, RunSpec
from wayside.contracts.actuator_config import LoopConfig, SignalConfig
from wayside.edge.commission.wiring.estimate import estimate
from wayside.edge.commission.wiring.observed import Observed, Observer
from wayside.edge.commission.wiring.verdict import check_wiring
from wayside.firmware_bridge.line.messages import EventKind

DOCS = Path(__file__).parents[2] / "docs"
NUMBERS, PAGE = DOCS / "wiring.json", DOCS / "commissioning.md"
BEGIN, END = "<!-- wiring: make bench-wiring -->\n", "<!-- end of wiring -->\n"
MAPS = ("cologne1", "cologne3", "ingolstadt1", "crossing", "dual_ring", "arterial")
SEEDS = (11, 12, 13)  # nothing was designed with them
FILLS_MS, HALF_HOUR_MS = 300_000, 1_800_000
WIRINGS = ("two swapped", "phases of a pair swapped", "stop line and advance swapped", "all one terminal on")

Recorded = Sequence[tuple[int, int, int, int]]


class Tally(msgspec.Struct):
    """Counts of channels."""

    channels: int = 0
    few: int = 0  # too few vehicles
    ambiguous: int = 0  # phases that are green together
    decided: int = 0
    phase_right: int = 0
    functions: int = 0
    function_right: int = 0
    alarms: int = 0  # of right wiring
    moved: int = 0  # wires that were moved to where it matters, and were decided before
    moved_found: int = 0
    accused: int = 0  # others, while wires were moved
    beside: int = 0  # of so many
    driven: int = 0  # wires that were swapped while the board drove the lights by them
    driven_found: int = 0
    driven_undecided: int = 0
    driven_accused: int = 0
    driven_beside: int = 0


def measure(maps: Sequence[str], seeds: Sequence[int]) -> dict[str, Tally]:
    tallies: dict[str, Tally] = {}
    runs = [
        (name, policy, seed, swapped)
        for name in maps
        for seed in seeds
        for policy, swapped in dict.fromkeys(((FIXED, None), (BOARD, None), (BOARD, _swap(name, seed))))
    ]
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{i}.csv" for i in range(len(runs))]
        specs = [_spec(*run, file) for run, file in zip(runs, files, strict=True)]
        ended = iter(track(range(len(specs)), "simulating", console=Console(stderr=True)))
        run_all(specs, tell=lambda number, share: next(ended, None) if share >= 1.0 else None)  # type: ignore[func-returns-value]
        for (name, policy, seed, swapped), file in zip(runs, files, strict=True):
            tally = tallies.setdefault(f"{name}, {policy}", Tally())
            for intersection in _intersections(name, seed):
                recorded = _recorded(file, intersection.light)
                if swapped is None:
                    _judge(tally, intersection.signal, recorded, random.Random(seed))
                elif intersection.light == _intersections(name, seed)[0].light:
                    _judge_driven(tally, intersection.signal, recorded, swapped)
    return tallies


def _intersections(name: str, seed: int) -> list[Intersection]:
    return intersections_of(find_map(name, DATA, seed=seed))


def _swap(name: str, seed: int) -> tuple[int, int] | None:
    """Two channels of the map's first intersection that have one function and no phase in common."""
    loops = _intersections(name, seed)[0].signal.loops
    pairs = [
        (a.channel, b.channel)
        for a in loops
        for b in loops
        if a.channel < b.channel and a.function == b.function and not {a.phase, *a.also} & {b.phase, *b.also}
    ]
    return random.Random(seed).choice(pairs) if pairs else None


def _judge_driven(tally: Tally, signal: SignalConfig, recorded: Recorded, swapped: tuple[int, int]) -> None:
    verdicts = {c.channel: c.verdict for c in check_wiring(signal, observed(recorded)).channels}
    suspects = {c for c, verdict in verdicts.items() if verdict == "suspect"}
    tally.driven += 2
    tally.driven_found += len(suspects & set(swapped))
    tally.driven_undecided += sum(verdicts[c] == "undecided" for c in swapped)
    tally.driven_accused += len(suspects - set(swapped))
    tally.driven_beside += len(verdicts) - 2


def _spec(name: str, policy: str, seed: int, swapped: tuple[int, int] | None, file: Path) -> RunSpec:
    faults = () if swapped is None else (Fault(kind="swapped", where=f"{swapped[0]},{swapped[1]}"),)
    return RunSpec(net=name, policy=policy, seed=seed, data=str(DATA), seconds=2100.0, events=str(file), faults=faults)


def _recorded(file: Path, light: str) -> Recorded:
    with file.open(newline="") as text:
        rows = [(int(ms), int(kind), int(c), int(v)) for of, ms, kind, c, v in csv.reader(text) if of == light]
    return [r for r in rows if FILLS_MS <= r[0] < FILLS_MS + HALF_HOUR_MS]


def observed(recorded: Recorded, wires: Mapping[int, int] = {}) -> Observed:
    observer = Observer()
    for ms, kind, channel, value in recorded:
        observer.take(ms, kind, wires.get(channel, channel) if kind == EventKind.DETECTOR else channel, value)
    return observer.observed()


def _judge(tally: Tally, signal: SignalConfig, recorded: Recorded, chance: random.Random) -> None:
    loops = {loop.channel: loop for loop in signal.loops}
    movements = sorted({frozenset((loop.phase, *loop.also)) for loop in loops.values()}, key=sorted)
    seen = observed(recorded)
    estimates = estimate(seen, list(loops), movements)
    for channel, of in estimates.items():
        truth = {loops[channel].phase, *loops[channel].also}
        tally.channels += 1
        tally.few += not of.movements
        tally.ambiguous += bool(of.movements) and not of.phases
        tally.decided += bool(of.phases)
        tally.phase_right += bool(of.phases & truth)
        tally.functions += of.function is not None
        tally.function_right += of.function == loops[channel].function
    tally.alarms += len(check_wiring(signal, seen).suspects)
    for wires in _wirings(loops, chance):
        suspects = {c.channel for c in check_wiring(signal, observed(recorded, wires)).suspects}
        moved = {to for of, to in wires.items() if of != to}
        matters = {to for of, to in wires.items() if estimates[of].phases and _differ(loops[of], loops[to])}
        tally.moved += len(matters)
        tally.moved_found += len(matters & suspects)
        tally.beside += len(loops) - len(moved)
        tally.accused += len(suspects - moved)


def _differ(a: LoopConfig, b: LoopConfig) -> bool:
    """Whether a loop at the other's terminal does harm that can be seen."""
    apart = not {a.phase, *a.also} & {b.phase, *b.also}
    return apart or {a.function, b.function} == {"stop_line", "advance"}


def _wirings(loops: Mapping[int, LoopConfig], chance: random.Random) -> Iterator[dict[int, int]]:
    """One of each of :data:`WIRINGS`: at which terminal the loop of a channel ends."""
    channels = list(loops)
    for kind in WIRINGS:
        if kind == "all one terminal on":
            yield dict(zip(channels, [*channels[1:], channels[0]], strict=True))
            continue
        pairs = [
            (a, b)
            for a in channels
            for b in channels
            if a < b
            and (kind != WIRINGS[1] or (loops[a].function == loops[b].function and loops[a].phase != loops[b].phase))
            and (kind != WIRINGS[2] or (loops[a].lane == loops[b].lane and _differ(loops[a], loops[b])))
        ]
        if pairs:
            a, b = chance.choice(pairs)
            yield {a: b, b: a}


# --- the page -------------------------------------------------------------------------------------------------------


def table(tallies: Mapping[str, Tally]) -> str:
    """As Markdown; the last row is of all."""
    rows = [
        "| map, control | channels | phase right of decided | undecided: few vehicles, phases together "
        "| function right | false alarms | moved wires found | accused beside them | found, driving the board |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    whole = Tally(*(sum(column) for column in zip(*map(msgspec.structs.astuple, tallies.values()), strict=True)))
    for name, of in {**tallies, "**all**": whole}.items():
        cells = [
            str(of.channels),
            _share(of.phase_right, of.decided),
            f"{_share(of.few, of.channels)}, {_share(of.ambiguous, of.channels)}",
            _share(of.function_right, of.functions),
            _share(of.alarms, of.channels),
            _share(of.moved_found, of.moved),
            _share(of.accused, of.beside),
            _driven(of),
        ]
        rows.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def _driven(of: Tally) -> str:
    if not of.driven:
        return "–"
    return f"{of.driven_found} of {of.driven}, {of.driven_undecided} undecided, {of.driven_accused} others accused"


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} % of {whole}" if whole else "–"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("maps", nargs="*", default=[])
    options.add_argument("--seeds", default=",".join(map(str, SEEDS)))
    chosen = options.parse_args()
    seeds = [int(s) for s in chosen.seeds.split(",")]
    maps = chosen.maps or [m for m in MAPS if m not in RESCO or DATA.is_dir()]
    tallies = measure(maps, seeds)
    print(table(tallies))
    if not chosen.maps and tuple(seeds) == SEEDS:
        NUMBERS.write_bytes(msgspec.json.format(msgspec.json.encode(tallies)) + b"\n")
        head, _, rest = PAGE.read_text().partition(BEGIN)
        PAGE.write_text(head + BEGIN + table(tallies) + END + rest.partition(END)[2])


if __name__ == "__main__":
    main()
