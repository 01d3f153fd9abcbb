"""``wayside demo``: the whole line on this machine."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from wayside.cloud.demo.line import Line
from wayside.cloud.demo.processes import Processes, StageError

demo = typer.Typer(
    add_completion=False, pretty_exceptions_enable=False, help="Run the whole line on this machine, on real data."
)


@demo.command()
def run(
    edge_python: Annotated[Path, typer.Option(help="Python of an environment that holds the edge extra alone.")] = Path(
        sys.executable
    ),
    seconds: Annotated[
        float, typer.Option(min=120, help="About how long it takes, end to end.", envvar="DEMO_SECONDS")
    ] = 300.0,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Of the hub's page.", envvar="DEMO_PORT")] = 8000,
    home: Annotated[Path, typer.Option(help="Everything is written here, and removed at the next start.")] = Path(
        "var/demo"
    ),
    keep: Annotated[bool, typer.Option(help="Leave the hub and its page running at the end, until Ctrl-C.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Train, export, sign and release two models; run three nodes on real data; restart the hub, kill an agent.

    Ends with a table and HOME/report.json. Ctrl-C stops every process.
    """
    console = Console(stderr=as_json)
    # SIGTERM and a closed terminal end like Ctrl-C: through the `with` that stops every process.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
    # The environment's own path, not what it links to: that would be the base interpreter.
    line = Line(home.absolute(), port=port, seconds=seconds, edge_python=Path(os.path.abspath(edge_python)))  # noqa: PTH100
    try:
        line.prepare()
        with Processes(line.home / "logs") as processes:
            report = _show(console, line, processes)
            (line.home / "report.json").write_text(json.dumps(report, indent=2) + "\n")
            if as_json:
                print(json.dumps(report, indent=2))
            console.print(table(report))
            console.print(f"report: {line.home / 'report.json'}   logs: {line.home / 'logs'}")
            if keep:
                console.print(f"the page stays on {line.hub} until Ctrl-C")
                with contextlib.suppress(KeyboardInterrupt):
                    signal.pause()
    except StageError as exc:
        console.print(f"[red]demo:[/] {exc}", markup=True, highlight=False)
        raise typer.Exit(1) from exc
    except KeyboardInterrupt:
        console.print("stopped; nothing is left running")
        raise typer.Exit(130) from None
    broken = promises(report)
    for promise in broken:
        console.print(f"[red]broken promise:[/] {promise}")
    if broken:
        raise typer.Exit(1)


def promises(report: dict[str, Any]) -> list[str]:
    """What the report must show, and does not."""
    broken = []
    for node in report["nodes"]:
        lost = node["readings_sent"] - node["readings_received"]
        if not lost == node["readings_lost"] == node["board_could_not_buffer"] == node["gap_recorded"]:
            broken.append(f"{node['id']}: {lost} readings are missing, the gap says {node['gap_recorded']}")
        broken += [
            f"{node['id']} does not run the released int8 model of {model['bundle']}"
            for model in node["models"]
            if not str(model["variant"]).endswith("int8")
        ]
        if len(node["models"]) > 1 and not node["scores"]:
            broken.append(f"{node['id']} runs a second task, and no score of it is at the hub")
    broken += [
        f"{node['id']}: readings sent and received differ"
        for node in report["nodes"][:-1]
        if node["readings_sent"] != node["readings_received"]
    ]
    broken += [
        f"the rollout of {bundle} is {state}, not completed"
        for bundle, state in report["rollouts"].items()
        if state != "completed"
    ]
    released = {model["bundle"] for node in report["nodes"] for model in node["models"]}
    broken += [f"nobody has rolled out {bundle}" for bundle in sorted(released - report["rollouts"].keys())]
    if report["duplicates"] or report["lost"]:
        broken.append(f"{report['lost']} summaries lost, {report['duplicates']} stored twice")
    if report["forecast_mae"] is None or report["forecast_mae"] >= report["naive_mae"]:
        broken.append("the forecast does not beat the naive floor on the held-out days")
    return broken


def _show(console: Console, line: Line, processes: Processes) -> dict[str, Any]:
    began = time.monotonic()
    with Progress(TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=console) as bars:
        stage = bars.add_task("starting", total=None)
        clock = bars.add_task(f"live on {line.hub}", total=1.0, visible=False, start=False)
        last = began
        current = ""

        def say(text: str) -> None:
            nonlocal last, current
            if current:
                bars.console.print(f"  {current:<60} {time.monotonic() - last:6.1f} s")
            last, current = time.monotonic(), text
            bars.update(stage, description=text)

        def live(done: float, nodes: list[dict[str, Any]]) -> None:
            if not bars.tasks[1].started:
                say(f"live: open {line.hub}")
                bars.start_task(clock)
            state = "  ".join(
                f"{n['node']} {n['reported'].get('version') or '–'} {n['counters'].get('readings_received', 0):,}"
                for n in nodes
            )
            bars.update(clock, completed=done, visible=True, description=state or "the hub is away")

        report = line.run(processes, say, live)
        say("")
    return report


def table(report: dict[str, Any]) -> Table:
    """Nodes side by side, narrow enough for a terminal of 80 columns."""
    nodes = report["nodes"]
    others = sorted({m["bundle"] for n in nodes for m in n["models"]} - {nodes[0]["model"]})
    grid = Table(title=f"wayside demo: {nodes[0]['model']} on {len(nodes)} nodes, {' and '.join(others)} on one")
    grid.add_column("")
    for node in nodes:
        grid.add_column(node["id"], justify="right")
    grid.add_column("all", justify="right")

    def row(label: str, key: str, total: object = "", show: Callable[[Any], str] = str) -> None:
        grid.add_row(label, *(show(n[key]) for n in nodes), total if isinstance(total, str) else show(total))

    row("model version", "model version")
    row("runtime", "runtime")
    row("variant", "variant")
    row("memory of the agent", "agent_rss_bytes", show=lambda v: f"{v / 1e6:.0f} MB" if v else "")
    grid.add_section()
    row("readings sent", "readings_sent", report["readings_sent"], _count)
    row("readings received", "readings_received", report["readings_received"], _count)
    row("gap, recorded", "gap_recorded", report["readings_lost"], _count)
    row("vehicles fed", "vehicles_fed", show=_count)
    row("vehicles at the hub", "vehicles_stored", show=_count)
    grid.add_section()
    row("forecast MAE, veh", "forecast_mae", report["forecast_mae"], _mae)
    row("naive MAE, veh", "naive_mae", report["naive_mae"], _mae)
    row("intervals scored", "scores", show=lambda v: _count(v) if v else "")
    row("highest score", "highest_score", show=_mae)
    grid.add_section()
    row("summaries produced", "summaries_produced", report["summaries_produced"], _count)
    row("summaries at the hub", "summaries_stored", report["summaries_stored"], _count)
    grid.caption = (
        f"proposals: {report['proposals_allowed']} allowed, {report['proposals_refused']} refused by the guard\n"
        f"summaries: {report['lost']} lost, {report['duplicates']} twice; "
        f"{report['bytes_sent']:,} bytes to the hub for {report['raw_bytes']:,} on the lines\n"
        "MAE of 'all': the held-out days (node-2 and node-3), vehicles in 15 minutes"
    )
    return grid


def _count(value: int | str) -> str:
    return f"{value:,}" if isinstance(value, int) else value


def _mae(value: float | str | None) -> str:
    return "–" if value is None else value if isinstance(value, str) else f"{value:.2f}"
