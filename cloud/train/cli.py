"""``wayside train``: a thin skin over ``cloud.train.run``, ``sweep`` and ``generalize``."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from cloud.train.errors import TaskError, TrainError
from models.errors import ModelError

train = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")
console = Console(stderr=True)  # talk goes to stderr, results to stdout
FLOORS = ("naive", "seasonal")


@train.command()
def run(
    out: Annotated[Path, typer.Option(help="Directory of the run; of several, one per task and family inside it.")],
    task: Annotated[
        str, typer.Option(help="Names of tasks, with commas between; or all; or the path of a task's TOML file.")
    ] = "traffic_flow",
    family: Annotated[
        str | None, typer.Option(help="linear, mlp, gru, or all of them. [dim](default: the task's own)[/dim]")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            envvar="WAYSIDE_DATA",
            help="Folder of the tasks' data, or your CSV: timestamp,detector,volume,… [dim](default: a sample)[/dim]",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same weights.")] = 0,
    epochs: Annotated[int | None, typer.Option(min=1, help="At most so many [dim](default: the task's)[/dim]")] = None,
    no_refit: Annotated[bool, typer.Option("--no-refit", help="Do not fit again on all days, into OUT/final.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the reports as JSON.")] = False,
) -> None:
    """Train models, and print their errors on held-out days beside the naive and seasonal floors.

    In several processes: [bold]torchrun --standalone --nproc-per-node 2 -m wayside train …[/bold]
    """
    from cloud.train import ranks

    console.quiet = ranks.rank() > 0
    try:
        reports = _run(out, task, family, data, seed, epochs, not no_refit)
    except (TrainError, ModelError) as exc:
        console.print(f"wayside train: {escape(str(exc))}", style="red", highlight=False, soft_wrap=True)
        raise typer.Exit(1) from exc
    except KeyboardInterrupt as exc:
        console.print(f"wayside train: stopped; the unfinished run left nothing in {escape(str(out))}", soft_wrap=True)
        raise typer.Exit(130) from exc
    if ranks.rank():
        return
    if as_json:
        typer.echo(json.dumps(reports, indent=1))
        return
    results = Console()
    for name in dict.fromkeys(r["task"]["name"] for r in reports):
        results.print(_table([r for r in reports if r["task"]["name"] == name]))
    if len(reports) == 1 and "hours" in reports[0]["holdout"]:
        results.print(_hours(reports[0]))


def _run(
    out: Path, task: str, family: str | None, data: Path | None, seed: int, epochs: int | None, refit: bool
) -> list[dict[str, Any]]:
    from cloud.train import datasets, run
    from cloud.train.fit import RECIPES
    from cloud.train.taskfile import load_task, task_names

    tasks = task_names() if task == "all" else [t.strip() for t in task.split(",")]
    if len(set(tasks)) < len(tasks):
        raise TaskError(f"--task {task}: a task is named twice")
    reports = []
    with Progress(*_columns(), console=console) as progress:
        for name in tasks:
            taskfile = load_task(name)
            source, taskfile = datasets.load(taskfile, data)
            for line in source.quality.lines():
                console.print(line, markup=False, highlight=False, soft_wrap=True)
            folder = out / taskfile.task.name if len(tasks) > 1 else out
            for each in list(RECIPES) if family == "all" else [family]:
                one = run.with_fit(taskfile, family=each, epochs=epochs, refit=refit)
                inside = folder / one.fit.family if family == "all" else folder
                bar = progress.add_task(f"{one.task.name} {one.fit.family}", total=None, said="")
                reports.append(run.train(one, source, inside, seed=seed, on_epoch=_show(progress, bar)))
                progress.update(bar, total=1, completed=1, said=escape(str(inside)))
    return reports


def _columns() -> tuple[Any, ...]:
    return TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[said]}"), TimeElapsedColumn()


def _show(progress: Progress, bar: TaskID) -> Callable[[Any], None]:
    """Moves ``bar`` with each epoch of the first fit, and then of the second."""

    def show(epoch: Any) -> None:
        watched = math.isfinite(epoch.validation)
        loss = f"validation loss {epoch.validation:.4f}" if watched else f"all days, loss {epoch.train:.4f}"
        said = f"epoch {epoch.number} of {epoch.of}, {loss}"
        progress.update(bar, total=epoch.of, completed=epoch.number, said=said)

    return show


def _table(reports: list[dict[str, Any]]) -> Table:
    """Every model of one task and both floors: scores on held-out and validation days, size, time to train."""
    task, held = reports[0]["task"], reports[0]["splits"]["holdout"]
    when = f"{held['first']} to {held['last']}, " if "first" in held else ""
    table = Table(
        title=f"{task['name']}, held out: {when}{held['windows']} windows, {task['output_unit']}",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    measures = list(next(iter(reports[0]["holdout"]["scores"].values())))
    table.add_column("model", no_wrap=True)
    for name in (*measures, f"{measures[0]} vs naive", f"val. {measures[0]}", "params", "s"):
        table.add_column(name.replace("mae", "MAE").replace("rmse", "RMSE"), justify="right", no_wrap=True)
    shown = set[str]()
    for report in reports:
        scores = report["holdout"]["scores"]
        naive = scores.get("naive", {}).get(measures[0])
        for name, of in scores.items():
            if name in shown:
                continue
            shown.add(name)
            own = name not in FLOORS
            table.add_row(
                name,
                *(f"{of[m]:#.4g}" for m in measures),
                f"{100 * (of[measures[0]] / naive - 1):+.1f} %" if naive else "",
                f"{report['validation']['scores'][name][measures[0]]:#.4g}",
                str(report["parameters"]) if own else "",
                f"{report['seconds']:.1f}" if own else "",
            )
    return table


def _hours(report: dict[str, Any]) -> Table:
    """MAE per hour of day of one family, beside the floors."""
    table = Table(
        title="held-out MAE by the hour in which the forecast interval ends", box=box.SIMPLE_HEAD, pad_edge=False
    )
    for name in ("hour", "n", *report["holdout"]["scores"]):
        table.add_column(name, justify="right")
    for hour, part in report["holdout"]["hours"].items():
        table.add_row(hour, str(part["n"]), *(f"{s['mae']:#.3g}" for s in part["scores"].values()))
    return table
