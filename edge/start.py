"""``wayside agent``: the agent in a process that holds nothing but the agent.

The libraries that read a command line and draw tables stay in memory as long as the process, and an agent runs for a
year. So the plain ``wayside agent run FILE`` goes past them; everything else, and everything that is wrong with the
file, is the command line's to say.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from pathlib import Path
from typing import Any

from wayside.contracts.node_config import Loaded, read_node_config
from wayside.contracts.wire import ContractError
from wayside.edge.errors import EdgeError


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
        return read_node_config(Path(args[1]).read_bytes())
    except (ContractError, OSError):
        return None


def _lighten() -> None:
    """Before anything large is imported."""
    # structlog draws tracebacks with rich where it finds it, httpx has a command line where it finds click: no library
    # of the agent's needs either. None says to Python that there is none.
    for unused in ("rich", "click"):
        sys.modules.setdefault(unused, None)  # type: ignore[arg-type]


def run(loaded: Loaded, folder: Path) -> None:
    """Until SIGTERM or Ctrl-C; both store what is open.

    Raises:
        EdgeError: naming what is wrong and what to do.
    """
    _log_for(sys.stderr.isatty())
    import structlog

    from wayside.contracts.mistakes import spelled
    from wayside.contracts.node_check import obstacles
    from wayside.edge.agent import Agent

    log = structlog.get_logger(__name__)
    for hint in loaded.hints:
        log.warning("old configuration", hint=hint)

    async def life() -> None:
        agent = Agent(loaded.config, folder)
        for obstacle in obstacles(loaded.config):  # the rest of the node works: it starts
            log.error("will not work", field=spelled(loaded.as_written(obstacle.place)), rule=obstacle.rule)
        await agent.run()

    with asyncio.Runner() as runner:
        runner.run(life())
        _leave_threads()


def _leave_threads() -> None:
    """End here where a thread would hold the end up: it waits for a name server, or is inside a model's native code.

    All that matters is on disk, and systemd would kill the agent anyway, a little later.
    """
    if any(t is not threading.main_thread() for t in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def _log_for(people: bool) -> None:
    import structlog

    render: Any = structlog.dev.ConsoleRenderer() if people else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            render,
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
