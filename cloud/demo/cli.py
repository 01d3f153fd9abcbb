"""``wayside demo``: the whole line on this machine."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from wayside.command_line import App
from wayside.errors import ExitStatus
from wayside.terminal import Bars, Screen

if TYPE_CHECKING:
    from wayside.cloud.demo.line import Line
    from wayside.cloud.demo.processes import Processes

demo = App("demo", interrupted="nothing is left running")


@demo.command()
def run(
    edge_python: Annotated[
        Path, typer.Option(help="Python of an environment that holds the edge extra alone.", show_default="this one")
    ] = Path(sys.executable),
    seconds: Annotated[
        float, typer.Option(min=120, help="About how long it takes, end to end.", envvar="DEMO_SECONDS")
    ] = 300.0,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Of the hub's page.", envvar="DEMO_PORT")] = 8000,
    home: Annotated[Path, typer.Option(help="Everything is written here, and removed at the next start.")] = Path(
        "var/demo"
    ),
    keep: Annotated[bool, typer.Option(help="Leave the hub and its page running at the end, until Ctrl-C.")] = False,
    screenshots: Annotated[
        Path | None, typer.Option(help="Folder for a picture of the page of each node (needs playwright and chromium).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Train, export, sign and release six models; run five nodes, one a domain; restart the hub, kill an agent.

    The intersection replays a real controller log. With WAYSIDE_DATA the others see held-out days of real data, else
    data that are generated from a seed (docs/data.md).

    Ends with a table and HOME/report.json. Ctrl-C stops every process.
    """
    from wayside.cloud.demo.line import Line  # pandas and httpx: a second
    from wayside.cloud.demo.processes import Processes

    console = Screen(stderr=as_json)
    # SIGTERM and a closed terminal end like Ctrl-C: through the `with` that stops every process.
    stopped = _stoppable()
    # The environment's own path, not what it links to: that would be the base interpreter.
    line = Line(home.absolute(), port=port, seconds=seconds, edge_python=Path(os.path.abspath(edge_python)))  # noqa: PTH100
    line.prepare()
    with Processes(line.home / "logs", stopped) as processes:
        report = _show(console, line, processes, screenshots)
        (line.home / "report.json").write_text(json.dumps(report, indent=2) + "\n")
        if as_json:
            print(json.dumps(report, indent=2))
        console.print(table(report))
        for sentence in sentences(report):
            console.print(sentence, highlight=False)
        console.print(f"report: {line.home / 'report.json'}   logs: {line.home / 'logs'}")
        if keep:
            console.print(f"the page stays on {line.hub} until Ctrl-C; another link, which works once:")
            console.print(line.link(), soft_wrap=True)
            with contextlib.suppress(KeyboardInterrupt):
                signal.pause()
    broken = promises(report)
    for promise in broken:
        console.print(f"broken promise: {promise}", style="red", soft_wrap=True)
    if broken:
        raise typer.Exit(ExitStatus.FAILED)


def _stoppable() -> threading.Event:
    """Ctrl-C, SIGTERM and SIGHUP interrupt, and are remembered.

    An exception that a signal raises inside a hook of ``fork`` or a finalizer is printed and lost.
    """
    stopped = threading.Event()

    def stop(*_: object) -> None:
        stopped.set()
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, stop)
    return stopped


def promises(report: dict[str, Any]) -> list[str]:
    """What the report must show, and does not."""
    broken = []
    for node in report["nodes"]:
        name = node["id"]
        broken += [
            f"{name} does not run the released int8 model of {model['bundle']}"
            for model in node["models"]
            if not str(model["variant"]).endswith("int8")
        ]
        if not node["allowed"]:
            broken.append(f"{name}: the guard allowed nothing")
        beat = node.get("beat")
        if beat is not None:  # it asks for what is within the limits: nothing has to be refused
            if beat["in_force_s"] < beat["seconds"] / 2 or beat["board_refused"]:
                broken.append(f"{name}: the beat was in force for {beat['in_force_s']} of {beat['seconds']} s")
        elif not (node["refused"] or node["softened"]):
            broken.append(f"{name}: the guard refused and softened nothing")
        if len(node["models"]) > 1 and not node["scores"]:
            broken.append(f"{name} runs a second task, and no score of it is at the hub")
        broken += [
            f"{model['bundle']} is no better than the newest value on the days that were held out"
            for model in node["models"]
            if model["held_out_mae"] is not None and model["held_out_mae"] >= model["held_out_naive"]
        ]
        if "readings_sent" in node:
            lost = node["readings_sent"] - node["readings_received"]
            if not lost == node["readings_lost"] == node["board_could_not_buffer"] == node["gap_recorded"]:
                broken.append(f"{name}: {lost} readings are missing, the gap says {node['gap_recorded']}")
        elif abs(node["stored"] - node["fed"]) > node["tolerance"] * node["fed"]:
            broken.append(f"{name} was fed {node['fed']:.1f}, and the hub has {node['stored']:.1f}")
    broken += [
        f"the rollout of {bundle} is {state}, not completed"
        for bundle, state in report["rollouts"].items()
        if state != "completed"
    ]
    released = {model["bundle"] for node in report["nodes"] for model in node["models"]}
    broken += [f"nobody has rolled out {bundle}" for bundle in sorted(released - report["rollouts"].keys())]
    live = [n["forecast_mae"] / n["naive_mae"] for n in report["nodes"] if n["held_out"] and n["forecasts"]]
    if live and sum(live) >= len(live):
        broken.append("the nodes' forecasts of held-out days were no better than the newest value")
    if report["duplicates"] or report["lost"]:
        broken.append(f"{report['lost']} summaries lost, {report['duplicates']} stored twice")
    return broken


def _show(console: Screen, line: Line, processes: Processes, screenshots: Path | None) -> dict[str, Any]:
    from wayside.cloud.demo import pages

    began = time.monotonic()
    with Bars(TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), screen=console) as bars:
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
                say("live")
                bars.console.print(
                    f"  the page needs no password by this link, once: a viewer's session\n  {line.link()}"
                )
                bars.start_task(clock)
            state = "  ".join(f"{n['node']} {n['counters'].get('summaries_produced', 0):,}" for n in nodes)
            bars.update(clock, completed=done, visible=True, description=state or "the hub is away")

        def watched() -> None:
            if screenshots is not None:
                pages.take(line.link(), [(node.name, node.domain, node.watched) for node in line.nodes], screenshots)

        report = line.run(processes, say, live, watched)
        say("")
    return report


def table(report: dict[str, Any]) -> Table:
    """Nodes side by side, narrow enough for a terminal of 80 columns."""
    nodes = report["nodes"]
    title = f"wayside demo: {len(nodes)} nodes, {len(report['rollouts'])} models"
    grid = Table(title=title, box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    grid.add_column("")
    for node in nodes:
        grid.add_column(node["id"], justify="right")

    def row(label: str, key: str, show: Callable[[Any], str] = str) -> None:
        grid.add_row(label, *("" if n.get(key) is None else show(n[key]) for n in nodes))

    row("domain", "domain")
    row("models", "models", lambda models: "\n".join(f"{m['bundle'].partition('-')[2]}" for m in models))
    row("variant", "models", lambda models: "\n".join(str(m["variant"]) for m in models))
    row("agent's memory", "agent_rss_bytes", lambda v: f"{v / 1e6:.0f} MB" if v else "")
    grid.add_section()
    row("fed", "fed", _number)
    row("at the hub", "stored", _number)
    row("board dropped", "board_could_not_buffer", _count)
    row("known as gap", "gap_recorded", _count)
    grid.add_section()
    row("MAE, live", "forecast_mae", _number)
    row("newest value", "naive_mae", _number)
    row("MAE, held out", "models", lambda models: _held_out(models, "held_out_mae"))
    row("newest value", "models", lambda models: _held_out(models, "held_out_naive"))
    row("scores", "scores", lambda v: _count(v) if v else "")
    grid.add_section()
    row("allowed", "allowed", _count)
    row("refused", "refused", _count)
    row("softened", "softened", _count)
    row("summaries", "summaries_stored", _count)
    grid.caption = (
        f"summaries: {report['lost']} lost, {report['duplicates']} twice; "
        f"{report['bytes_sent']:,} bytes to the hub\n"
        "fed: vehicles, kW (mean), µg/m³ (mean), pictures with a vehicle, patients; on held-out days and pictures"
    )
    return grid


def sentences(report: dict[str, Any]) -> list[str]:
    """One for each node, as ``wayside node why`` tells it."""
    chosen = [(n, n["why"]["beat"] or n["why"]["refused"] or n["why"]["allowed"]) for n in report["nodes"]]
    return [f"{node['id']}: {sentence or 'nothing decided'}" for node, sentence in chosen]


def _held_out(models: list[dict[str, Any]], key: str) -> str:
    return "\n".join(_number(m[key]) for m in models if m[key] is not None)


def _count(value: int | str) -> str:
    return f"{value:,}" if isinstance(value, int) else value


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"
