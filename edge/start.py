"""An agent from a file that is in order, until it is told to stop."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from pathlib import Path
from typing import Any

from wayside.contracts.node_config import Loaded


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
    from wayside.paths import homeless

    log = structlog.get_logger(__name__)
    for hint in loaded.hints:
        log.warning("old configuration", hint=hint)

    async def life() -> None:
        agent = Agent(loaded.config, folder)
        for obstacle in obstacles(loaded.config):  # the rest of the node works: it starts
            log.error("will not work", field=spelled(loaded.as_written(obstacle.place)), rule=obstacle.rule)
        for place, path in loaded.config.paths():
            if (said := homeless(path)) is not None:
                log.error("no home", field=spelled(loaded.as_written(place)), path=said)
        if loaded.config.hub is not None and loaded.config.hub.proxy is None:
            from wayside.hub_http.proxy import mistakes

            for mistake in mistakes():
                log.error("a proxy that cannot be used", variable=mistake)
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
