"""``wayside agent``: the agent in a process that holds nothing but the agent.

The libraries that read a command line and draw tables stay in memory as long as the process, and an agent runs for a
year. So the plain ``wayside agent run FILE`` goes past them; everything else, and everything that is wrong with the
file, is the command line's to say.
"""

from __future__ import annotations

import sys
from pathlib import Path

from wayside.contracts.node_config import Loaded, read_node_config
from wayside.contracts.wire import ContractError
from wayside.edge.errors import EdgeError
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
    try:
        run(loaded, Path(args[1]).resolve().parent)
    except EdgeError as exc:
        print(f"wayside: {exc}", file=sys.stderr)  # noqa: T201
        sys.exit(1)


def _plain(args: list[str]) -> Loaded | None:
    """The file of ``run FILE``, if that is all that was typed, it is in order, and nobody watches."""
    if len(args) != 2 or args[0] != "run" or args[1].startswith("-") or sys.stderr.isatty():
        return None
    try:
        return read_node_config(read_toml(Path(args[1])))
    except (ContractError, OSError):
        return None


def _lighten() -> None:
    """Before anything large is imported."""
    # structlog draws tracebacks with rich where it finds it, httpx has a command line where it finds click: no library
    # of the agent's needs either. None says to Python that there is none.
    for unused in ("rich", "click"):
        sys.modules.setdefault(unused, None)  # type: ignore[arg-type]
