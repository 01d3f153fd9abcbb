"""``make bench-signals``: every controller on every map with the seeds that nobody designs with; into docs/signals.*.

``docs/signals.json`` keeps the numbers, ``docs/signals.md`` shows them between its marks, a picture each map is beside
them. ``python -m tests.bench.signals page`` writes the page anew from the numbers.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.progress import track

from tests.real_data import DATA
from wayside.cloud.sim.traffic import controllers, plots, tables
from wayside.cloud.sim.traffic.compare import Line, lines
from wayside.cloud.sim.traffic.controllers import BOARD, FIXED, NODE
from wayside.cloud.sim.traffic.process import run_all
from wayside.cloud.sim.traffic.spec import Fault, RunResult, RunSpec

DOCS = Path(__file__).parents[2] / "docs"
NUMBERS, PAGE = DOCS / "signals.json", DOCS / "signals.md"
MAPS = ("cologne1", "ingolstadt1", "cologne3", "crossing")
POLICY = "node:horizon"
STREET_ONLY = "fixed_bands"  # offsets need signals that follow each other
SEEDS = (21, 22, 23, 24, 25)  # nothing was designed with them: that is done with 1 to 15
FAULT_MAPS, FAULT_SEEDS = ("cologne1", "crossing"), SEEDS[:3]
FAULTS = {
    "the detectors of phase 1 are dead from the begin": (Fault(kind="dead", where="phase:1"),),
    "they die after ten minutes": (Fault(kind="dead", where="phase:1", from_s=600.0),),
    "they stick after ten minutes": (Fault(kind="stuck", where="phase:1", from_s=600.0),),
    "the node falls silent after ten minutes": (Fault(kind="silent", from_s=600.0),),
    "the policy asks for anything": (Fault(kind="lying"),),
    "the policy asks for what does most harm": (Fault(kind="harmful"),),
    "the policy asks for anything, and no guard is between it and the board": (Fault(kind="wild"),),
}
BEGIN, END = "<!-- {}: make bench-signals -->\n", "<!-- end of {} -->\n"


class Numbers(msgspec.Struct, frozen=True):
    seeds: tuple[int, ...]
    lines: list[Line]
    fault_seeds: tuple[int, ...]
    faults: dict[str, list[Line]]  # what fails → fixed without it, and board and node with it, by map


def measure(data: Path = DATA) -> Numbers:
    results: list[RunResult] = []
    for name in MAPS:
        policies = [FIXED, BOARD, POLICY, *(c for c in controllers.COMPARATORS if c != STREET_ONLY)]
        found = _run([_spec(name, policy, seed, data) for policy in policies for seed in SEEDS], name)
        plots.plot(DOCS / f"signals-{name}.svg", [r for r in found if r.policy in (FIXED, BOARD, POLICY)])
        results += found
    whole = [r for r in results if r.policy == FIXED and r.net in FAULT_MAPS and r.seed in FAULT_SEEDS]
    faults = {what: lines(whole + _run(_broken(broken, data), what)) for what, broken in FAULTS.items()}
    return Numbers(SEEDS, lines(results), FAULT_SEEDS, faults)


def _broken(broken: tuple[Fault, ...], data: Path) -> list[RunSpec]:
    at_node = not broken[0].of_loops  # the board alone does not notice what its node does
    return [
        msgspec.structs.replace(_spec(name, policy, seed, data), faults=broken, compare=policy == POLICY)
        for name in FAULT_MAPS
        for policy in ((POLICY,) if at_node else (BOARD, POLICY))
        for seed in FAULT_SEEDS
    ]


def _spec(name: str, policy: str, seed: int, data: Path) -> RunSpec:
    return RunSpec(net=name, policy=policy, seed=seed, data=str(data))


def _run(specs: Sequence[RunSpec], what: str) -> list[RunResult]:
    ended = iter(track(range(len(specs)), what, console=Console(stderr=True)))
    return run_all(specs, tell=lambda number, share: next(ended, None) if share >= 1.0 else None)  # type: ignore[func-returns-value]


# --- the page ---------------------------------------------------------------------------------------


def worth(numbers: Numbers) -> str:
    """The table of what each controller is worth, as Markdown."""
    rows = ["| map | fixed | board alone | node above it | best of others |", "|---|---|---|---|---|"]
    for name in dict.fromkeys(line.net for line in numbers.lines):
        of = {line.policy: line for line in numbers.lines if line.net == name}
        others = [line for policy, line in of.items() if policy not in (FIXED, BOARD) and not policy.startswith(NODE)]
        best = min(others, key=lambda line: line.delay_s, default=None)
        cells = [_cell(of.get(policy)) for policy in (FIXED, BOARD, POLICY)]
        rows.append(f"| {name} | {' | '.join(cells)} | {_cell(best)}{f' ({best.policy})' if best else ''} |")
    return "\n".join(rows) + "\n"


def every(numbers: Numbers) -> str:
    """The table of all measures, as Markdown."""
    head = ["map", "controller", *(name for name, _ in tables.COLUMNS)]
    rows = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    rows += [
        f"| {' | '.join([line.net, line.policy, *(cell(line) for _, cell in tables.COLUMNS)])} |"
        for line in numbers.lines
    ]
    return "\n".join(rows) + "\n"


def failing(numbers: Numbers) -> str:
    """The table of what fails, against the fixed plan without the fault, as Markdown."""
    rows = [
        "| what fails | map | board alone, of fixed | node above it, of fixed | locked | rules broken |",
        "|---|---|---|---|---|---|",
    ]
    for what, told in numbers.faults.items():
        for name in dict.fromkeys(line.net for line in told):
            of = {line.policy: line for line in told if line.net == name}
            board, node = of.get(BOARD), of[POLICY]
            cells = [
                _ratio(board),
                _ratio(node),
                str(node.locked),
                str(node.violations + (board.violations if board else 0)),
            ]
            rows.append(f"| {what} | {name} | {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def _cell(line: Line | None) -> str:
    if line is None:
        return "–"
    told = f"{line.delay_s:.1f}" + (f", {line.to_fixed:.2f} ×" if line.to_fixed not in (None, 1.0) else "")
    return f"{told}, {line.locked} locked" if line.locked else told


def _ratio(line: Line | None) -> str:
    return "–" if line is None or line.to_fixed is None else f"{line.to_fixed:.2f}"


PARTS = {"worth": worth, "every": every, "failing": failing}


def page(text: str, numbers: Numbers) -> str:
    """The page with the tables of ``numbers`` between its marks."""
    for name, made in PARTS.items():
        begin, end = BEGIN.format(name), END.format(name)
        before, marked, rest = text.partition(begin)
        if marked:
            text = before + begin + made(numbers) + end + rest.partition(end)[2]
    return text


def main() -> None:
    if sys.argv[1:] != ["page"]:
        numbers = measure()
        NUMBERS.write_bytes(msgspec.json.format(msgspec.json.encode(numbers), indent=1) + b"\n")
    numbers = msgspec.json.decode(NUMBERS.read_bytes(), type=Numbers)
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), numbers), encoding="utf-8")
    print(worth(numbers))


if __name__ == "__main__":
    main()
