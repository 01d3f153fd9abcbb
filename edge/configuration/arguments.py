"""What every verb of a node takes: its file, read with all mistakes printed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wayside.contracts.node_config import Loaded, NodeConfig, read_node_config
from wayside.contracts.wire import ContractError
from wayside.text import read_toml

Config = Annotated[Path, typer.Argument(help="the node's TOML file (docs/node.md)", metavar="CONFIG")]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON")]


def failed(message: str) -> typer.Exit:
    """To be raised: says ``message`` and ends the program with status 1."""
    typer.echo(f"wayside: {message}", err=True)
    return typer.Exit(1)


def unreadable(path: Path, exc: OSError) -> typer.Exit:
    return failed(f"{path}: {exc.strerror or exc}")


def read(path: Path) -> Loaded:
    """The node's file; a mistake ends the program, after all of them are printed."""
    try:
        return read_node_config(read_toml(path))
    except ContractError as exc:
        raise failed(listed(path, exc.mistakes)) from exc
    except OSError as exc:
        raise unreadable(path, exc) from exc


def load(path: Path) -> NodeConfig:
    return read(path).config


def listed(path: Path, mistakes: tuple[tuple[str, str], ...]) -> str:
    """One mistake in a line, several in a list."""
    lines = [f"{field}: {rule}" if field != "$" else rule for field, rule in mistakes]  # ``$``: the file as a whole
    if len(lines) == 1:
        return f"{path}: {lines[0]}"
    return "\n  ".join([f"{path} has {len(lines)} mistakes", *lines])
