"""``wayside sim run|compare|measures``: what the control of a signal is worth, in SUMO."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn

from wayside.cloud.sim.errors import ControllerError, SimulateError
from wayside.command_line import App
from wayside.errors import ExitStatus
from wayside.terminal import Bars, Screen

if TYPE_CHECKING:
    from wayside.cloud.sim.traffic.spec import Fault, RunResult, RunSpec

sim = App(
    "sim",
    help="Drive the signals of a road network in SUMO, with the board's own core, and measure what it is worth.",
    interrupted="no run is left",
)
console = Screen(stderr=True)  # talk goes to stderr, results to stdout

Net = Annotated[str, typer.Argument(help="A map's name, or the path of a .net.xml or .net.xml.gz.")]
Data = Annotated[Path | None, typer.Option(envvar="WAYSIDE_DATA", help="Data folder, with the maps of docs/data.md.")]
Routes = Annotated[Path | None, typer.Option(help="Traffic of a network that is a path; else the .rou.xml beside it.")]
Begin = Annotated[float | None, typer.Option(min=0, help="Second of the routes at which it begins.")]
Seconds = Annotated[float | None, typer.Option(min=1, max=86_400, help="How long; else the map's own time, an hour.")]
Settings = Annotated[str, typer.Option(help="Of the node's policy, as a JSON object.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Plot = Annotated[Path | None, typer.Option(help="Also draw delay, queue and greens, as .png, .svg or .pdf.")]
Jobs = Annotated[int | None, typer.Option(min=1, help="Runs at once; else one a core.")]
Dead = Annotated[
    list[str] | None,
    typer.Option(help="Detectors that die: phase:2, lane:1, an approach's edge or channels 3,4; @600 after so many s."),
]
Stuck = Annotated[list[str] | None, typer.Option(help="Detectors that are occupied and stay so; as --dead.")]
Silent = Annotated[float | None, typer.Option(min=0, help="The node falls silent after so many seconds.")]
Lying = Annotated[bool, typer.Option(help="The node's policy asks for anything at random, each second.")]
Harmful = Annotated[bool, typer.Option(help="It asks for what does most harm, within what its guard allows.")]
Wild = Annotated[bool, typer.Option(help="So it does, and no guard is between it and the board.")]
LetGo = Annotated[
    bool, typer.Option("--let-go", help="The node compares its policy with the board alone, as on a street: it rests.")
]


@sim.command("run")
def run_once(
    net: Net,
    policy: Annotated[str, typer.Option(help="Controller: fixed, board, node:POLICY, or a comparator.")] = "board",
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same traffic.")] = 1,
    data: Data = None,
    routes: Routes = None,
    begin: Begin = None,
    seconds: Seconds = None,
    settings: Settings = "{}",
    dead: Dead = None,
    stuck: Stuck = None,
    silent: Silent = None,
    lying: Lying = False,
    harmful: Harmful = False,
    wild: Wild = False,
    let_go: LetGo = False,
    events: Annotated[Path | None, typer.Option(help="Keep the boards' events there, as .csv.")] = None,
    as_json: AsJson = False,
    plot: Plot = None,
) -> None:
    """One run of one controller."""
    from wayside.cloud.sim.traffic import plots, tables
    from wayside.cloud.sim.traffic.spec import RunSpec

    spec = RunSpec(
        net=net, policy=policy, seed=seed, data=_text(data), routes=_text(routes), begin_s=begin, seconds=seconds,
        settings=_settings(settings), events=_text(events),
        faults=_broken(dead, stuck, silent, lying=lying, harmful=harmful, wild=wild),
        compare=let_go,
    )  # fmt: skip
    if plot is not None:
        plots.check(plot)
    results = _run([spec], 1)
    if plot is not None:
        plots.plot(plot, results)
    if as_json:
        _print_json(results[0])
    else:
        print_table(tables.run(results[0]))
        _tell_broken(results)


@sim.command()
def compare(
    net: Net,
    policy: Annotated[
        list[str] | None, typer.Option(help="Controllers, each once or with commas; else fixed and board.")
    ] = None,
    seeds: Annotated[str, typer.Option(help="Seeds of the traffic: 1-5 or 1,3,7.")] = "1-3",
    data: Data = None,
    routes: Routes = None,
    begin: Begin = None,
    seconds: Seconds = None,
    settings: Settings = "{}",
    dead: Dead = None,
    stuck: Stuck = None,
    silent: Silent = None,
    lying: Lying = False,
    harmful: Harmful = False,
    wild: Wild = False,
    let_go: LetGo = False,
    jobs: Jobs = None,
    as_json: AsJson = False,
    plot: Plot = None,
) -> None:
    """Several controllers with the same seeds, beside each other and against the fixed plan."""
    from wayside.cloud.sim.traffic import plots, tables
    from wayside.cloud.sim.traffic.compare import lines
    from wayside.cloud.sim.traffic.controllers import BOARD, FIXED
    from wayside.cloud.sim.traffic.spec import RunSpec

    broken = _broken(dead, stuck, silent, lying=lying, harmful=harmful, wild=wild)
    specs = [
        RunSpec(
            net=net, policy=each, seed=seed, data=_text(data), routes=_text(routes), begin_s=begin,
            seconds=seconds, settings=_settings(settings), faults=broken, compare=let_go,
        )
        for each in dict.fromkeys(name.strip() for text in policy or [FIXED, BOARD] for name in text.split(","))
        for seed in _seeds(seeds)
    ]  # fmt: skip
    if plot is not None:
        plots.check(plot)
    results = _run(specs, jobs)
    if plot is not None:
        plots.plot(plot, results)
    if as_json:
        document = {"lines": [msgspec.to_builtins(line) for line in lines(results)], "runs": results}
        _print_json(document)
    else:
        print_table(tables.comparison(lines(results), f"{net}, seeds {seeds}"))
        _tell_broken(results)


@sim.command()
def measures(
    net: Net,
    events: Annotated[Path, typer.Argument(help="What --events of a run of this network kept.")],
    light: Annotated[str | None, typer.Option(help="Of which traffic light; else the first.")] = None,
    data: Data = None,
    routes: Routes = None,
    as_json: AsJson = False,
    plot: Annotated[Path | None, typer.Option(help="Also draw arrivals and greens, as .png, .svg or .pdf.")] = None,
) -> None:
    """Performance measures (ATSPM) of a run, as a node would have them: docs/measures.md."""
    from wayside.cloud.sim.traffic import maps, measures_plot, plots
    from wayside.cloud.sim.traffic.measures import measured, read_events, table
    from wayside.cloud.sim.traffic.plant import intersections_of
    from wayside.edge.measures.layout import Layout

    if plot is not None:
        plots.check(plot)
    kept = read_events(events)
    intersections = {i.light: i for i in intersections_of(maps.find_map(net, data, routes))}
    name = light or next(iter(kept), "")
    if name not in kept or name not in intersections:
        told = ", ".join(kept) or "no events"
        raise SimulateError(f"{events} and {net} have no light {name!r} in common: the file has {told}")
    layout = Layout.of(placed.loop for placed in intersections[name].loops)
    phases = measured(kept[name], layout)
    if plot is not None:
        measures_plot.plot(plot, kept[name], layout, f"{net}, {name}")
    if as_json:
        _print_json({"light": name, "phases": {str(phase): numbers for phase, numbers in phases.items()}})
    else:
        print_table(table(phases, f"{net}, {name}"))


@sim.command()
def configure(
    net: Net,
    tls: Annotated[str | None, typer.Option(help="Id of the traffic light; not needed where there is one.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for node.toml, plan.toml and map.json.")] = Path("intersection"),
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """What the node and the board of an intersection are told, from its network; and what is wrong with it."""
    from wayside.cloud.sim.traffic import maps
    from wayside.cloud.sim.traffic.configure_verb import configure_files

    path = Path(net) if Path(net).exists() else maps.find_map(net, data).net
    written, findings = configure_files(path, tls, out)
    if as_json:
        _print_json({"files": [str(file) for file in written], "findings": [f._asdict() for f in findings]})
    else:
        for finding in findings:
            print(finding)
        print(f"wrote {', '.join(map(str, written))}; next: wayside node check {written[0]}")
    if any(finding.severity == "error" for finding in findings):
        raise typer.Exit(ExitStatus.FAILED)


@sim.command()
def offsets(net: Net, data: Data = None, as_json: AsJson = False) -> None:
    """The widest green bands along a street, and the settings of the policy `coordinated` that give them."""
    from wayside.cloud.sim.traffic import coordination, maps
    from wayside.cloud.sim.traffic.configure import configure as configured
    from wayside.cloud.sim.traffic.nets import read_net

    read = read_net(Path(net) if Path(net).exists() else maps.find_map(net, data).net)
    street = coordination.street_of(read, [configured(read, light) for light in read.lights])
    best = coordination.best_bands(street)
    lights = coordination.settings(street, best)
    if as_json:
        _print_json({"lights": lights})
        return
    for light, its in lights.items():
        print(f"{light}: phase {its['phases'][0]}, {its['green_s']:g} s green at {its['offset_s']:g} s")
    print(
        f"bands of {best.there_s:.1f} s there and {best.back_s:.1f} s back in a cycle of {best.cycle_s:g} s, "
        f"{best.efficiency:.0%} of it"
    )


def _run(specs: Sequence[RunSpec], jobs: int | None) -> list[RunResult]:
    from wayside.cloud.sim.traffic import controllers, maps
    from wayside.cloud.sim.traffic.process import run_all

    for spec in specs:  # what is wrong is said at once, and not by a process
        controllers.check(spec.policy, spec.settings)
    first = specs[0]
    maps.find_map(first.net, first.data and Path(first.data), first.routes and Path(first.routes))
    with _bars(specs) as tell:
        return run_all(specs, jobs, tell)


@contextlib.contextmanager
def _bars(specs: Sequence[RunSpec]) -> Iterator[Any]:
    """One bar for all runs, and one for each that is under way."""
    columns = (TextColumn("{task.description:<40}"), BarColumn(30), TimeElapsedColumn())
    with Bars(*columns, screen=console, transient=True) as progress:
        every = progress.add_task(f"{len(specs)} runs", total=float(len(specs)))
        shares = [0.0] * len(specs)
        bars: dict[int, Any] = {}

        def tell(number: int, share: float) -> None:
            shares[number] = share
            done = sum(each >= 1.0 for each in shares)
            progress.update(every, completed=sum(shares), description=f"{done} of {len(specs)} runs")
            if share >= 1.0:
                if number in bars:
                    progress.remove_task(bars.pop(number))
                return
            if number not in bars:
                name = f"  {specs[number].policy}, seed {specs[number].seed}"
                bars[number] = progress.add_task(name, total=1.0)
            progress.update(bars[number], completed=share)

        yield tell


def _seeds(text: str) -> list[int]:
    """Raises: ControllerError: it is neither 1-5 nor 1,3,7."""
    seeds: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,9})(?:\s*-\s*(\d{1,9}))?\s*", part)
        if match is None:
            raise ControllerError(f"--seeds {text!r}: say 1-5 or 1,3,7")
        first, last = int(match[1]), int(match[2] or match[1])
        if not first <= last < first + 1000:
            raise ControllerError(f"--seeds {text!r}: {part.strip()} is not a range of at most 1,000 seeds")
        seeds += range(first, last + 1)
    return list(dict.fromkeys(seeds))


def _settings(text: str) -> dict[str, object]:
    try:
        return msgspec.json.decode(text, type=dict[str, object])
    except msgspec.MsgspecError as exc:
        raise ControllerError(f"--settings {text!r} is no JSON object: {exc}") from exc


def _broken(
    dead: Sequence[str] | None,
    stuck: Sequence[str] | None,
    silent: float | None,
    *,
    lying: bool,
    harmful: bool,
    wild: bool,
) -> tuple[Fault, ...]:
    from wayside.cloud.sim.traffic.spec import Fault

    faults = [_of_detectors("dead", text) for text in dead or ()]
    faults += [_of_detectors("stuck", text) for text in stuck or ()]
    if silent is not None:
        faults.append(Fault(kind="silent", from_s=silent))
    if lying:
        faults.append(Fault(kind="lying"))
    if harmful:
        faults.append(Fault(kind="harmful"))
    if wild:
        faults.append(Fault(kind="wild"))
    return tuple(faults)


def _of_detectors(kind: Any, text: str) -> Fault:
    from wayside.cloud.sim.traffic.spec import Fault

    where, _, since = text.partition("@")
    try:
        return Fault(kind=kind, where=where, from_s=float(since or 0))
    except ValueError as exc:
        raise ControllerError(f"--{kind} {text!r}: after @ comes a number of seconds, such as phase:2@600") from exc


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _print_json(document: object) -> None:
    print(msgspec.json.format(msgspec.json.encode(document), indent=1).decode())


def print_table(table: Any) -> None:
    Screen().print(table)


def _tell_broken(results: Sequence[RunResult]) -> None:
    for result in results:
        for line in result.violations[:3]:
            console.print(f"{result.policy}, seed {result.seed}: {line}", style="red", highlight=False, soft_wrap=True)
        if result.locked:
            console.print(
                f"{result.policy}, seed {result.seed}: {result.teleports} vehicles stood for 300 s and were taken away",
                style="yellow", highlight=False,
            )  # fmt: skip
