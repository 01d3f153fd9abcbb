"""What every verb of a node takes: its file, read with all mistakes printed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wayside.contracts.node_config import NODE_FILE, Loaded, NodeConfig, read_node_config
from wayside.contracts.wire import ContractError
from wayside.edge.errors import EdgeError
from wayside.text import read_toml

DEFAULT = Path(NODE_FILE)


def default_file() -> Path:
    """The node's file where a card has it. Raises: BadParameter: this computer has none there."""
    if not DEFAULT.exists():
        raise typer.BadParameter(f"name the node's TOML file; there is no {DEFAULT} here", param_hint="CONFIG")
    return DEFAULT


Config = Annotated[
    Path,
    typer.Argument(
        default_factory=default_file,
        help="The node's TOML file (docs/node.md).",
        metavar="CONFIG",
        show_default=NODE_FILE,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


class CommandFailed(EdgeError):  # noqa: N818  (what happened)
    """A verb cannot do what it was asked for."""


def failed(message: str) -> CommandFailed:
    """To be raised."""
    return CommandFailed(message)


def unreadable(path: Path, exc: OSError) -> CommandFailed:
    fix = "; run this with sudo, or as the agent's user" if isinstance(exc, PermissionError) else ""
    return failed(f"{path}: {exc.strerror or exc}{fix}")


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
