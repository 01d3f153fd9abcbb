"""``wayside simulate energy|air``: what a policy is worth on months that its model has not seen."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn

from wayside.cloud.sim.kept import Kept
from wayside.command_line import App
from wayside.terminal import Bars, Screen

if TYPE_CHECKING:
    from wayside.cloud.sim.comparison import Comparison
    from wayside.cloud.sim.model import Model, Tell
    from wayside.cloud.sim.replay import Replay

simulate = App(
    "simulate",
    help="Replay held-out months through a node's own policy and guard, beside no policy, a schedule and the best.",
    interrupted="a finished run is kept, an unfinished one left nothing",
)
console = Screen(stderr=True)  # talk goes to stderr, results to stdout

DataDir = Annotated[
    Path | None,
    typer.Option(envvar="WAYSIDE_DATA", help="Data directory (docs/data.md). Without it: made-up data of --seed."),
]
Bundle = Annotated[Path | None, typer.Option(help="A bundle of the model; otherwise it is trained and exported here.")]
Config = Annotated[
    str | None,
    typer.Option(help="TOML with tasks and actuators, such as a node's file, and [plant]; or one that comes along."),
]
Month = Annotated[str, typer.Option(help="Whole months that were held out: last, all, or 2013-11,2013-12.")]
Runs = Annotated[Path, typer.Option(help="Run directories, one a task: kept, and used again.")]
Seed = Annotated[int, typer.Option(help="Of training, and of made-up data.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Plot = Annotated[Path | None, typer.Option(help="Also draw the week with the highest values, as .png or .svg.")]
ModelTask = Annotated[str | None, typer.Option("--model", help="Training task, or its .toml; else [plant] model.")]
RUNS = Path("var/simulate")
GENERATED_DAYS = {"energy": {"load_days": 730}, "air": {"air_days": 1096}}


@simulate.command()
def energy(
    data: DataDir = None,
    bundle: Bundle = None,
    config: Config = None,
    tariff: Annotated[
        str | None, typer.Option(help="Prices: time_of_use, dynamic, or the path of a .toml file; else [plant] tariff.")
    ] = None,
    month: Month = "last",
    model: ModelTask = None,
    runs: Runs = RUNS,
    seed: Seed = 0,
    as_json: AsJson = False,
    plot: Plot = None,
) -> None:
    """A load that has to run some hours a day: peak, bill, missed deadlines, starts."""
    with _progress() as tell:
        from wayside.cloud.sim import controls, report
        from wayside.cloud.sim.scenario import load_energy
        from wayside.cloud.sim.tariff import load_tariff

        scenario = load_energy(config)
        prices = load_tariff(tariff or scenario.plant.tariff)
        kept = Kept(data, runs, bundle, seed)
        opened, generated = _model(model or scenario.plant.model, "energy", month, kept, tell)
        site = scenario.tasks[0].sites[0].site
        replays = _replays(opened, [site], tell)
        compared, months, courses = controls.energy_comparison(
            scenario, prices, opened, replays, tell, generated=generated
        )
        if plot is not None:
            report.plot(plot, compared, replays[0], {n: c[0] for n, c in courses.items()}, months[0])
    _print([compared], as_json)


@simulate.command()
def air(
    data: DataDir = None,
    bundle: Bundle = None,
    config: Config = None,
    month: Month = "last",
    site: Annotated[
        str | None, typer.Option(help="Station, several by comma, or all; else the one of the file's tasks.")
    ] = None,
    model: ModelTask = None,
    runs: Runs = RUNS,
    seed: Seed = 0,
    as_json: AsJson = False,
    plot: Plot = None,
) -> None:
    """Warnings and equipment: hours of warning, false alarms, equipment hours, exposure avoided."""
    with _progress() as tell:
        from wayside.cloud.sim import controls, report
        from wayside.cloud.sim.scenario import load_air

        scenario = load_air(config)
        kept = Kept(data, runs, bundle, seed)
        opened, generated = _model(model or scenario.plant.model, "air", month, kept, tell)
        own = scenario.tasks[0].sites[0].site
        if site is not None:
            wanted = list(opened.grid.sites) if site == "all" else [each.strip() for each in site.split(",")]
        else:  # made-up stations have names of their own
            wanted = [opened.grid.sites[0] if generated and own not in opened.grid.sites else own]
        replays = _replays(opened, wanted, tell)
        found = controls.air_comparisons(scenario, opened, replays, tell, generated=generated)
        if plot is not None:
            report.plot(plot, found[0][0], replays[0], {n: c[0] for n, c in found[0][1].items()})
    _print([compared for compared, _ in found], as_json)


def _model(name: str, kind: str, month: str, kept: Kept, tell: Tell) -> tuple[Model, bool]:
    """The model, and whether its data are made up."""
    from wayside.cloud.sim.model import open_model

    generated = kept.data is None
    if generated:
        from wayside.cloud.train import generated as made

        data = kept.runs / f"generated-{kind}-{kept.seed}"
        console.print(
            f"no --data and no WAYSIDE_DATA: made-up data of seed {kept.seed} in {data}; they show how it works, not "
            "what it is worth",
            style="yellow",
            highlight=False,
            soft_wrap=True,
        )
        tell("making data up", 0.0)
        if not data.exists():
            made.write(data, kept.seed, **GENERATED_DAYS[kind])
        kept = kept._replace(data=data, runs=kept.runs / f"run-{kind}-{kept.seed}")
    return open_model(name, month, kept, tell), generated


def _replays(model: Model, sites: Sequence[str | None], tell: Tell) -> list[Replay]:
    replays: list[Replay] = []
    for n, site in enumerate(sites):
        replays += model.replays(site, lambda share, n=n: tell("the model, hour by hour", (n + share) / len(sites)))
    return replays


def _print(compared: Sequence[Comparison], as_json: bool) -> None:
    from wayside.cloud.sim import report

    if as_json:
        document = {"simulations": [msgspec.to_builtins(each) for each in compared]}
        print(msgspec.json.format(msgspec.json.encode(document), indent=1).decode())
        return
    screen = Screen()
    for each in compared:
        for number, line in enumerate(report.heading(each)):
            screen.print(line, style="bold" if number == 0 else None, highlight=False, soft_wrap=True)
        screen.print(report.table(each))


@contextlib.contextmanager
def _progress() -> Iterator[Any]:
    columns = (TextColumn("{task.description:<60}"), BarColumn(20))
    with Bars(*columns, TimeElapsedColumn(), screen=console) as progress:
        bar = progress.add_task("begins", total=1.0)

        def tell(what: str, share: float) -> None:
            progress.update(bar, completed=share, description=what)

        yield tell
