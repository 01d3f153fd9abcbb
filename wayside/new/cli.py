"""``wayside new``: files to begin with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from wayside.command_line import App
from wayside.new import files

new = App("new", help="Write a commented file to begin with: a task, a domain, a node. Nothing is overwritten.")

Name = Annotated[str, typer.Argument(help="Letters, digits, - and _; it becomes the name of the file, too.")]
Folder = Annotated[Path, typer.Option("--out", help="Folder that the files go into.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the files and the next commands as JSON.")]


@new.command()
def task(name: Name, out: Folder = Path(), as_json: AsJson = False) -> None:
    """Write NAME.toml, what a model learns and from what, and a made-up sample NAME.csv on which it trains as it is."""
    written = files.write(out, files.task(name))
    toml, csv = written
    _tell(written, [f"wayside train --task {toml} --data {csv} --out {out / 'run'}"], as_json)


@new.command()
def domain(name: Name, out: Folder = Path(), as_json: AsJson = False) -> None:
    """Write a folder NAME with all that a domain is: a task and its sample, a node's file, a policy of its own.

    A domain is data and at most one policy (docs/domains.md): nothing of wayside is changed for it.
    """
    written = files.write(out, files.domain(name))
    folder = out / name
    next_commands = [
        f"wayside train --task {folder / name}.toml --data {folder / name}.csv --out {folder / 'run'}",
        f"pip install {folder.absolute() / 'policy'}",
        f"wayside node check {folder / 'node.toml'}",
    ]
    _tell(written, next_commands, as_json)


@new.command()
def node(name: Name, out: Folder = Path(), as_json: AsJson = False) -> None:
    """Write NAME.toml, the file of a node with one detector at a board; `wayside node check` finds it in order."""
    written = files.write(out, files.node(name))
    _tell(written, [f"wayside node check {written[0]}"], as_json)


def _tell(written: list[Path], next_commands: list[str], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"files": [str(path) for path in written], "next": next_commands}))
        return
    for path in written:
        typer.echo(path)
    typer.echo("next: " + "\n      ".join(next_commands))
