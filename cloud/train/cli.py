"""``wayside train``: a thin skin over ``cloud.train.run.train``."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from cloud.train.errors import TrainError
from models.errors import ModelError

train = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")
console = Console(stderr=True)  # talk goes to stderr, results to stdout


@train.command()
def run(
    out: Annotated[Path, typer.Option(help="Directory of the run; with `--family all` one per family inside it.")],
    task: Annotated[str, typer.Option(help="Name of a task, or path of its TOML file.")] = "traffic_flow",
    family: Annotated[
        str | None, typer.Option(help="linear, mlp, gru, or all of them. [dim](default: the task's own)[/dim]")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Your CSV: timestamp,detector,volume,… [dim](default: a real sample)[/dim]")
    ] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same weights.")] = 0,
    epochs: Annotated[int | None, typer.Option(min=1, help="At most so many [dim](default: by family)[/dim]")] = None,
    no_refit: Annotated[bool, typer.Option("--no-refit", help="Do not fit again on all days, into OUT/final.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the reports as JSON.")] = False,
) -> None:
    """Train forecasters, and print their errors on held-out days beside the naive and seasonal floors."""
    try:
        reports = _run(out, task, family, data, seed, epochs, not no_refit)
    except (TrainError, ModelError) as exc:
        console.print(f"wayside train: {escape(str(exc))}", style="red", highlight=False, soft_wrap=True)
        raise typer.Exit(1) from exc
    except KeyboardInterrupt as exc:
        console.print(f"wayside train: stopped; the unfinished run left nothing in {escape(str(out))}", soft_wrap=True)
        raise typer.Exit(130) from exc
    if as_json:
        typer.echo(json.dumps(reports, indent=1))
        return
    results = Console()
    results.print(_table(reports))
    if len(reports) == 1:
        results.print(_hours(reports[0]))


def _run(
    out: Path, task: str, family: str | None, data: Path | None, seed: int, epochs: int | None, refit: bool
) -> list[dict[str, Any]]:
    from cloud.train import datasets, run
    from cloud.train.fit import RECIPES, Epoch
    from cloud.train.taskfile import load_task

    taskfile = load_task(task)
    counts, spec = datasets.load(taskfile.task, data)
    taskfile = msgspec.structs.replace(taskfile, task=spec)
    for line in counts.quality.lines():
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    reports = []
    columns = (TextColumn("{task.description:<8}"), BarColumn(), TextColumn("{task.fields[said]}"), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        for name in list(RECIPES) if family == "all" else [family]:
            one = run.with_fit(taskfile, family=name, epochs=epochs, refit=refit)
            bar = progress.add_task(one.fit.family, total=None, said="")

            def show(epoch: Epoch, bar: Any = bar) -> None:
                watched = math.isfinite(epoch.validation)
                loss = f"validation loss {epoch.validation:.4f}" if watched else f"all days, loss {epoch.train:.4f}"
                progress.update(
                    bar, total=epoch.of, completed=epoch.number, said=f"epoch {epoch.number} of {epoch.of}, {loss}"
                )

            folder = out / one.fit.family if family == "all" else out
            reports.append(run.train(one, counts, folder, seed=seed, on_epoch=show))
            progress.update(bar, total=1, completed=1, said=escape(str(folder)))
    return reports


def _table(reports: list[dict[str, Any]]) -> Table:
    """Every model and both floors: errors on the held-out and validation days, size, time to train."""
    held, unit = reports[0]["splits"]["holdout"], reports[0]["task"]["output_unit"]
    table = Table(
        title=f"held out: {held['first']} to {held['last']}, {held['windows']} windows, {unit}",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    table.add_column("model", no_wrap=True)
    for name in ("MAE", "RMSE", "vs naive", "val. MAE", "params", "s"):
        table.add_column(name, justify="right", no_wrap=True)
    shown = set[str]()
    for report in reports:
        scores = report["holdout"]["scores"]
        for name, of in scores.items():
            if name in shown:
                continue
            shown.add(name)
            own = name not in ("naive", "seasonal")
            table.add_row(
                name,
                f"{of['mae']:#.4g}",
                f"{of['rmse']:#.4g}",
                f"{100 * (of['mae'] / scores['naive']['mae'] - 1):+.1f} %" if scores["naive"]["mae"] else "",
                f"{report['validation']['scores'][name]['mae']:#.4g}",
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
