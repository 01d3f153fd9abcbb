"""systemd's side of the agent: ready, status, and a watchdog that is petted only by progress (sd_notify(3))."""

from __future__ import annotations

import os
import socket


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
