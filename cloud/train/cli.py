"""``wayside train``: a thin skin over ``cloud.train.run``, ``sweep`` and ``generalize``."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from wayside.command_line import App
from wayside.errors import ExitStatus, Misuse
from wayside.terminal import Bars, Screen

train = App("train", interrupted="the unfinished run left nothing in --out")
console = Screen(stderr=True)  # talk goes to stderr, results to stdout
FLOORS = ("naive", "seasonal")


class Generalization(StrEnum):
    LEAVE_OUT = "leave-out"
    PAIRS = "pairs"


@train.command()
def run(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="Directory of the run; of several, one per task and family inside it.")],
    task: Annotated[
        str, typer.Option(help="Names of tasks, with commas between; or all; or the path of a task's TOML file.")
    ] = "traffic_flow",
    family: Annotated[
        str | None,
        typer.Option(help="Families of models, with commas between; or all: linear, mlp and gru; else the task's own."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the tasks' data, else $WAYSIDE_DATA; or your CSV, for traffic_flow "
            "timestamp,detector,volume,…; else a real sample.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same weights.")] = 0,
    epochs: Annotated[int | None, typer.Option(min=1, help="At most so many; else as many as the task says.")] = None,
    no_refit: Annotated[bool, typer.Option("--no-refit", help="Do not fit again on all days, into OUT/final.")] = False,
    sweep: Annotated[
        Path | None,
        typer.Option(help="Many runs: a TOML file of tasks, seeds and [fit] values; instead of --task and --family."),
    ] = None,
    ray: Annotated[
        str | None, typer.Option(help="Where they run: local, local:2 (processes), or the address of a Ray cluster.")
    ] = None,
    generalize: Annotated[
        Generalization | None,
        typer.Option(help="Train without some sites, or on each alone, and test where it was not trained."),
    ] = None,
    folds: Annotated[int, typer.Option(min=0, help="Sites that are left out, one after the other; 0: every one.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="Print the reports as JSON.")] = False,
) -> None:
    """Train models, and print their errors on held-out days beside the naive and seasonal floors.

    In several processes: `torchrun --standalone --nproc-per-node 2 -m wayside train …`
    """
    from wayside.cloud.train import ranks

    console.quiet = ranks.rank() > 0
    if ray and not sweep:
        raise Misuse("--ray runs a grid; give it as --sweep FILE")
    given = {
        name for name in context.params if getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE"
    }
    if sweep:
        if unheard := sorted(given & {"task", "family", "seed", "generalize", "folds"}):
            raise Misuse(f"--{unheard[0]} does not go with --sweep: tasks, families and seeds stand in {sweep}")
        return _sweep(sweep, data, out, epochs, ray, as_json)
    if generalize:
        return _generalize(generalize, out, task, family, data, seed, epochs, folds, as_json)
    return _several(out, task, family, data, seed, epochs, not no_refit, as_json)


def _several(
    out: Path,
    task: str,
    family: str | None,
    data: Path | None,
    seed: int,
    epochs: int | None,
    refit: bool,
    as_json: bool,
) -> None:
    from wayside.cloud.train import ranks, several

    def left_out(why: str) -> None:
        console.print(f"left out: {why}", highlight=False, soft_wrap=True)

    planned = several.plan(task, family, out, epochs=epochs, refit=refit, on_left_out=left_out)
    reports: list[dict[str, Any]] = []
    failed: list[several.Failed] = []
    stopped = False
    with Bars(*_columns(), screen=console) as bars:
        begun: list[TaskID] = []

        def begin(one: several.Planned) -> Callable[[Any], None]:
            begun.append(bars.add_task(one.name, total=None, status=""))
            return _show(bars, begun[-1])

        results = several.train(planned, data, seed=seed, on_source=_quality, on_run=begin)
        try:
            for one, result in zip(planned, results, strict=True):
                if isinstance(result, several.Failed):
                    if len(planned) == 1:
                        raise result.error
                    failed.append(result)
                else:
                    reports.append(result)
                for bar in begun:  # none, if it failed before its first epoch
                    status = "failed" if isinstance(result, several.Failed) else str(one.folder)
                    bars.update(bar, total=1, completed=1, status=status)
                begun.clear()
        except KeyboardInterrupt:
            stopped = True
    if ranks.rank():
        return
    if as_json and not stopped:
        typer.echo(json.dumps([*reports, *(f.as_dict() for f in failed)], indent=1))
    elif not as_json:
        _tables(reports, alone=len(planned) == 1)
    _failures(f"{each.planned.name}: {each.error}" for each in failed)
    if stopped:
        if len(planned) > 1:
            console.print(f"{len(reports)} of {len(planned)} runs are finished and kept in {out}")
        raise KeyboardInterrupt
    if failed:  # what ran is there, and is no reason to go on as if all were
        raise typer.Exit(ExitStatus.FAILED)


def _failures(sentences: Iterable[str]) -> None:
    for sentence in sentences:
        console.print(f"wayside train: {sentence}", style="red", highlight=False, soft_wrap=True)


def _quality(source: Any) -> None:
    for line in source.quality.lines():
        console.print(line, highlight=False, soft_wrap=True)


def _tables(reports: list[dict[str, Any]], *, alone: bool) -> None:
    """A table a task; of a single run also its errors by the hour."""
    screen = Screen()
    for name in dict.fromkeys(r["task"]["name"] for r in reports):
        screen.print(_table([r for r in reports if r["task"]["name"] == name]))
    if alone and reports and "hours" in reports[0]["holdout"]:
        screen.print(_hours(reports[0]))


def _sweep(grid: Path, data: Path | None, out: Path, epochs: int | None, ray: str | None, as_json: bool) -> None:
    from wayside.cloud.train import sweep

    chosen = sweep.jobs(grid, epochs=epochs)
    outcomes: list[sweep.Outcome] = []
    stopped = False
    with Bars(*_columns(), screen=console) as bars:
        bar = bars.add_task("runs", total=len(chosen), status="")

        def show(outcome: sweep.Outcome) -> None:
            outcomes.append(outcome)
            value = "failed" if outcome.validation is None else f"validation {outcome.metric} {outcome.validation:.4g}"
            status = f"{len(outcomes)} of {len(chosen)}, {outcome.folder}: {value}"
            bars.update(bar, advance=1, status=status)

        try:
            outcomes = sweep.sweep(chosen, data, out, ray=ray, on_done=show)
        except KeyboardInterrupt:
            stopped = True
    failed = [o for o in outcomes if o.error]
    _failures(f"{outcome.folder}: {outcome.error}" for outcome in failed)
    if as_json and not stopped:
        typer.echo(json.dumps([asdict(o) for o in outcomes], indent=1))
    elif not as_json and outcomes:
        Screen().print(_settings(sweep.by_setting(outcomes)))
    if stopped:
        where = f", listed in {out / sweep.RESULT}" if outcomes else ""
        console.print(f"{len(outcomes)} of {len(chosen)} runs are finished and kept{where}", soft_wrap=True)
        raise KeyboardInterrupt
    if failed:
        raise typer.Exit(ExitStatus.FAILED)


def _settings(settings: list[Any]) -> Table:
    table = Table(title="the best of each task, by validation, first", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("task", "settings", "seeds", "", "validation", "held out"):
        table.add_column(name, justify="right" if name in ("seeds", "validation", "held out") else "left")
    for s in settings:
        chosen = ", ".join(f"{k} = {v}" for k, v in s.settings.items())
        spreads = (f"{s.validation:.4g} ± {s.validation_spread:.2g}", f"{s.holdout:.4g} ± {s.holdout_spread:.2g}")
        table.add_row(s.task, chosen, str(s.runs), s.metric, *(spreads if s.runs else ("failed", "")))
    return table


def _generalize(
    how: Generalization,
    out: Path,
    task: str,
    family: str | None,
    data: Path | None,
    seed: int,
    epochs: int | None,
    folds: int,
    as_json: bool,
) -> None:
    from wayside.cloud.train import datasets, generalize, run
    from wayside.cloud.train.taskfile import load_task

    taskfile = load_task(task)
    data = run.folder_of(taskfile, data)
    source, taskfile = datasets.load(taskfile, data)
    taskfile = run.with_fit(taskfile, family=family, epochs=epochs, refit=False)
    groups = generalize.groups(taskfile, source, data)
    with Bars(*_columns(), screen=console) as progress:
        bar = progress.add_task("models", total=None, status="")

        def begin(name: str, number: int, of: int) -> Callable[[Any], None]:
            progress.update(bar, total=of, completed=number - 1, status=name)
            return lambda epoch: progress.update(bar, status=f"{name}, epoch {epoch.number} of {epoch.of}")

        given: dict[str, Any] = {"seed": seed, "on_model": begin}
        if how is Generalization.LEAVE_OUT:
            measured = generalize.leave_out(taskfile, source, groups, folds=folds, **given)
            result = {"folds": [asdict(f) for f in measured], "pooled": generalize.pooled(measured)}
            table = _folds(measured, generalize.pooled(measured), taskfile.task.output_unit)
        else:
            pairs = generalize.pairs(taskfile, source, groups, **given)
            result = {"pairs": [asdict(p) for p in pairs]}
            table = _matrix(pairs, taskfile.task.output_unit)
    result = {"task": taskfile.task.name, "family": taskfile.fit.family, "seed": seed, "way": how.value} | result
    generalize.write(out, result)
    if as_json:
        return typer.echo(json.dumps(result, indent=1))
    return Screen().print(table)


def _columns() -> tuple[Any, ...]:
    return TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[status]}"), TimeElapsedColumn()


def _show(progress: Bars, bar: TaskID) -> Callable[[Any], None]:
    """Moves ``bar`` with each epoch of the first fit, and then of the second."""

    def show(epoch: Any) -> None:
        watched = math.isfinite(epoch.validation)
        loss = f"validation loss {epoch.validation:.4f}" if watched else f"all days, loss {epoch.train:.4f}"
        status = f"epoch {epoch.number} of {epoch.of}, {loss}"
        progress.update(bar, total=epoch.of, completed=epoch.number, status=status)

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


def _folds(folds: list[Any], pooled: dict[str, dict[str, float]], unit: str) -> Table:
    """One row a group of sites that was left out: MAE of both models and of the floors."""
    table = Table(
        title=f"MAE on held-out days of sites that training left out, {unit}", box=box.SIMPLE_HEAD, pad_edge=False
    )
    for name in ("left out", "sites", "n", *pooled, "cost"):
        table.add_column(name, justify="left" if name == "left out" else "right")

    def row(name: str, sites: str, n: int, scores: dict[str, dict[str, float]]) -> None:
        *_, (_, seen), (_, unseen) = scores.items()
        cost = f"{100 * (unseen['mae'] / seen['mae'] - 1):+.1f} %" if seen["mae"] else ""
        table.add_row(name, sites, str(n), *(f"{s['mae']:#.4g}" for s in scores.values()), cost)

    for fold in folds:
        row(fold.group, str(fold.sites), fold.n, fold.scores)
    table.add_section()
    row("all of these", str(sum(f.sites for f in folds)), sum(f.n for f in folds), pooled)
    return table


def _matrix(pairs: list[Any], unit: str) -> Table:
    """Trained in the row, tested in the column."""
    names = list(dict.fromkeys(p.trained_on for p in pairs))
    of = {(p.trained_on, p.tested_on): p.mae for p in pairs}
    table = Table(
        title=f"MAE on held-out days, {unit}: trained on the row alone, tested on the column",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    table.add_column("", no_wrap=True)
    for name in (*names, "others"):
        table.add_column(name, justify="right", overflow="fold")
    for trained in names:
        row = {tested: of[trained, tested] for tested in names}
        others = [mae for tested, mae in row.items() if tested != trained]
        table.add_row(trained, *(f"{mae:#.3g}" for mae in (*row.values(), sum(others) / len(others))))
    return table
