"""``wayside evaluate``: every task, trained, exported and judged; tasks side by side in processes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn

from wayside.cloud.evaluate.errors import EvaluateError, NothingToJudge
from wayside.command_line import App
from wayside.contracts.wire import ContractError
from wayside.durable import replace_file
from wayside.errors import ExitStatus
from wayside.terminal import Bars, Screen
from wayside.text import read_file

if TYPE_CHECKING:
    from wayside.cloud.evaluate.job import Job
    from wayside.cloud.evaluate.row import Row

evaluate = App("evaluate", interrupted="finished runs are kept, unfinished ones left nothing")
console = Screen(stderr=True)  # talk goes to stderr, results to stdout


@evaluate.command()
def run(
    data: Annotated[
        Path | None, typer.Option(envvar="WAYSIDE_DATA", help="Data directory, laid out as docs/data.md says.")
    ] = None,
    task: Annotated[
        str, typer.Option(help="Comma-separated names or .toml paths, or all that DIR has data for.")
    ] = "all",
    runs: Annotated[Path, typer.Option(help="Run directories, one a task: kept, and used again.")] = Path(
        "var/evaluate"
    ),
    test: Annotated[
        Path | None,
        typer.Option(help="A later, unseen period: a file in the task's format, or a directory laid out like DIR."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same weights.")] = 0,
    epochs: Annotated[int | None, typer.Option(min=1, help="At most so many, to try things out.")] = None,
    retrain: Annotated[bool, typer.Option("--retrain", help="Train even where a run is there.")] = False,
    no_refit: Annotated[
        bool, typer.Option("--no-refit", help="Do not fit again on all days: quicker, if no later period is judged.")
    ] = False,
    jobs: Annotated[int, typer.Option(min=1, help="Tasks at a time.", show_default="one a core")] = os.cpu_count() or 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    results: Annotated[Path | None, typer.Option("--from", help="Show an earlier run's JSON instead.")] = None,
    page: Annotated[Path | None, typer.Option(help="Also write a Markdown page, with its picture beside it.")] = None,
) -> None:
    """Compare the models of all tasks with floors, published numbers, and themselves in int8.

    Trains what has no run yet, exports it past the parity gate, and runs the bundle's own files as a node would, one
    window at a time. Judged are the held-out days, or, without any training where a run is there, the later period of
    --test.
    """
    if results is not None:
        rows, failed = _read(results)
    else:
        from wayside.cloud.evaluate.job import Job, names

        wanted = [
            Job(
                task=name,
                data=data,
                runs=runs,
                unseen=test,
                seed=seed,
                epochs=epochs,
                retrain=retrain,
                refit=not no_refit,
            )
            for name in names(task, data if test is None else test)
        ]
        rows, failed = _all(wanted, jobs)
    from wayside.cloud.evaluate import table

    if page is not None and rows:
        picture = page.with_suffix(".svg")
        _write(picture, table.svg(rows))
        _write(page, table.markdown(rows, picture.name))
    if as_json:
        document = {"tasks": [msgspec.to_builtins(row) for row in rows], "failed": failed}
        print(msgspec.json.format(msgspec.json.encode(document), indent=1).decode())
    elif rows:
        screen = Screen()
        screen.print(table.terminal(rows, screen.width))
        alarms = table.alarms(rows)
        if alarms is not None:
            screen.print(alarms)
    for name, why in failed.items():
        console.print(f"wayside evaluate: {name}: {why}", style="red", highlight=False, soft_wrap=True)
    if failed:
        raise typer.Exit(ExitStatus.FAILED)


def _all(wanted: list[Job], jobs: int) -> tuple[list[Row], dict[str, str]]:
    """The rows in the order of ``wanted``, and why some are not there."""
    from wayside.cloud.evaluate.side_by_side import JobProgress, side_by_side

    columns = (TextColumn("{task.description:<16}"), BarColumn(20), TextColumn("{task.fields[status]}"))
    with Bars(*columns, TimeElapsedColumn(), screen=console) as progress:
        bars = {job.name: progress.add_task(job.name, total=1.0, status="waits", start=False) for job in wanted}

        def on_progress(news: JobProgress) -> None:
            progress.start_task(bars[news.task])
            progress.update(bars[news.task], completed=news.share, status=news.what)
            if news.done:
                progress.stop_task(bars[news.task])
                if not console.is_terminal:  # a log wants a line a task, not a picture
                    console.print(f"{news.task}: {news.what}", highlight=False, soft_wrap=True)

        return side_by_side(wanted, jobs, on_progress)


def _read(path: Path) -> tuple[list[Row], dict[str, str]]:
    from wayside.cloud.evaluate.row import decode_rows

    try:
        return decode_rows(read_file(path)), {}
    except OSError as exc:
        raise NothingToJudge(f"{path} cannot be read: {exc}") from exc
    except ContractError as exc:
        raise NothingToJudge(f"{path} is not what `wayside evaluate --json` prints: {exc}") from exc


def _write(path: Path, text: str) -> None:
    try:
        replace_file(path, text.encode())
    except OSError as exc:
        raise EvaluateError(f"{path} cannot be written: {exc}; choose another --page") from exc
