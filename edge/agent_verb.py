"""``wayside agent``: the agent in a process that holds nothing but the agent.

The libraries that read a command line and draw tables stay in memory as long as the process, and an agent runs for a
year. So the plain ``wayside agent run [FILE]`` goes past them; everything else, and everything that is wrong with the
file, is the command line's to say.
"""

from __future__ import annotations

import sys
from pathlib import Path

from wayside.contracts.node_config import NODE_FILE, Loaded, read_node_config
from wayside.contracts.wire import ContractError
from wayside.edge.start import run
from wayside.text import read_toml


def agent(args: list[str], prog_name: str) -> None:
    """The verb."""
    loaded = _plain(args)
    if loaded is None:
        from wayside.edge.cli import agent as command_line

        command_line(args=args, prog_name=prog_name)
        return
    _lighten()
    run(loaded, _file(args).resolve().parent)  # the front door tells what goes wrong


agent.command_line = "wayside.edge.cli"  # type: ignore[attr-defined]  # where help and completion find the same verb


def _plain(args: list[str]) -> Loaded | None:
    """The file of ``run`` or ``run FILE``, if that is all that was typed, it is in order, and nobody watches."""
    if args[:1] != ["run"] or len(args) > 2 or args[-1].startswith("-") or sys.stderr.isatty():
        return None
    try:
        return read_node_config(read_toml(_file(args)))
    except (ContractError, OSError):
        return None


def _file(args: list[str]) -> Path:
    return Path(args[1] if len(args) > 1 else NODE_FILE)


def _lighten() -> None:
    """Before anything large is imported."""
    # structlog draws tracebacks with rich where it finds it, httpx has a command line where it finds click: no library
    # of the agent's needs either. None says to Python that there is none.
    for unused in ("rich", "click"):
        sys.modules.setdefault(unused, None)  # type: ignore[arg-type]
