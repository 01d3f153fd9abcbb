"""What keeps the agent alive: routines that may fail without ending it, and systemd's side of it (sd_notify(3)).

The watchdog is petted only by progress.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
from collections.abc import Awaitable, Callable

import structlog

from wayside.edge.backoff import full_jitter

RESTART_BASE_S, RESTART_CAP_S = 5.0, 900.0
STEADY_S = 300.0
log = structlog.get_logger(__name__)


async def outlive(
    name: str, work: Callable[[], Awaitable[None]], began: Callable[[str], None], over: Callable[[], None]
) -> None:
    """Run ``work`` again and again, whatever it raises: a fault of what sensing does not need must not end sensing.

    Args:
        began: is given each fault in words.
        over: is called when ``work`` has run for :data:`STEADY_S` without one.
    """
    failures = 0

    def steady() -> None:
        nonlocal failures
        failures = 0
        over()

    while True:
        watch = asyncio.get_running_loop().call_later(STEADY_S, steady)
        try:
            await work()
            return
        except asyncio.CancelledError as exc:
            if (task := asyncio.current_task()) is None or task.cancelling():
                raise
            fault: BaseException = exc  # nobody has asked this routine to end
        except Exception as exc:  # a bug of ours or of a library's, told with its traceback
            fault = exc
        finally:
            watch.cancel()
        pause_s = full_jitter(failures, RESTART_BASE_S, RESTART_CAP_S, random.Random())  # noqa: S311
        failures += 1
        log.error("routine failed, it begins anew", routine=name, pause_s=round(pause_s, 1), exc_info=fault)
        began(f"a fault of the agent's own in {name}: {type(fault).__name__}: {fault}"[:512])
        await asyncio.sleep(pause_s)


class Notifier:
    """Talks to ``$NOTIFY_SOCKET``; without one, every call does nothing."""

    def __init__(self, address: str | None = None) -> None:
        address = os.environ.get("NOTIFY_SOCKET") if address is None else address
        self._address = ("\0" + address[1:]) if address and address[0] == "@" else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) if self._address else None

    def ready(self) -> None:
        self._send("READY=1")

    def status(self, text: str) -> None:
        self._send(f"STATUS={text}")

    def pet(self) -> None:
        """Only while readings flow from the board to the disk: a live but deaf agent must be restarted."""
        self._send("WATCHDOG=1")

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def _send(self, message: str) -> None:
        if self._socket is None or self._address is None:
            return
        try:
            self._socket.sendto(message.encode(), self._address)
        except OSError:
            # systemd is restarting or gone; the agent's work does not depend on it
            return
