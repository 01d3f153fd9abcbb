"""A node as a virtual machine: QEMU runs the kernel that lies on the card, and its hardware can be touched from here.

The board's serial line is a USB device that can be unplugged (QMP), the pins of its GPIO chip are driven and watched
from outside (QEMU's qtest socket), the power can be cut without warning, and a root shell on a second console looks
around. The network is QEMU's own and leads nowhere but to one port, the hub's: what the node has, it has from its card.
"""

from __future__ import annotations

import json
import re
import shlex
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

HUB, HUB_PORT = "10.0.2.100", 8443  # as the guest sees it
BOOT_OFFSET = "1M"  # of the card's FAT
POWER_KEY = 3  # the line of the GPIO chip that the machine itself uses


class GuestError(AssertionError):
    """The node did not do what it was asked, with the end of what it said."""


class _Wire:
    """A unix socket of QEMU's, read up to a pattern."""

    def __init__(self, path: Path, timeout_s: float = 30.0) -> None:
        self._buffer = b""
        deadline = time.monotonic() + timeout_s
        while True:
            self._socket = socket.socket(socket.AF_UNIX)
            try:
                self._socket.connect(str(path))
                return
            except OSError:
                self._socket.close()
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def send(self, text: str) -> None:
        self._socket.sendall(text.encode())

    def until(self, pattern: str, timeout_s: float) -> re.Match[bytes]:
        """Forget everything up to the first match and return it."""
        compiled = re.compile(pattern.encode(), re.DOTALL)
        deadline = time.monotonic() + timeout_s
        while True:
            if found := compiled.search(self._buffer):
                self._buffer = self._buffer[found.end() :]
                return found
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(self._buffer[-3000:].decode(errors="replace"))
            self._socket.settimeout(min(1.0, left))
            try:
                data = self._socket.recv(65_536)
            except TimeoutError:
                continue
            if not data:
                raise EOFError(self._buffer[-3000:].decode(errors="replace"))
            self._buffer += data

    def close(self) -> None:
        self._socket.close()


class Guest:
    """``with Guest(folder, card, machine, dtb, board) as guest:`` powers a node on; leaving cuts its power.

    Args:
        card: disk image whose FAT holds ``vmlinuz``, ``initrd.gz`` and ``cmdline.txt``; the guest writes into it.
        machine: QEMU's options for the machine that ``dtb`` describes.
        board: the serial device or pty behind the USB serial adapter; plug it with :meth:`plug`.
        hub_port: on this machine's loopback; the guest has it at ``HUB:HUB_PORT``, and nothing else.
    """

    def __init__(self, folder: Path, card: Path, machine: Sequence[str], dtb: Path, board: Path, hub_port: int) -> None:
        self.folder, self.card = folder, card
        self.console = folder / "console.log"
        for name in ("vmlinuz", "initrd.gz", "cmdline.txt"):
            self._from_card(name)
        cmdline = (folder / "cmdline.txt").read_text().strip()
        hub = f"socat - TCP:127.0.0.1:{hub_port}"  # a process for each connection
        self.command = [
            "qemu-system-aarch64", *machine, "-dtb", str(dtb), "-display", "none", "-no-user-config",
            "-kernel", str(folder / "vmlinuz"), "-initrd", str(folder / "initrd.gz"), "-append", cmdline,
            "-drive", f"file={card},if=none,format=raw,id=card,cache=unsafe", "-device", "virtio-blk-pci,drive=card",
            "-netdev", f"user,id=net,restrict=on,guestfwd=tcp:{HUB}:{HUB_PORT}-cmd:{hub}",
            "-device", "virtio-net-pci,netdev=net,romfile=",
            "-device", "virtio-rng-pci", "-device", "qemu-xhci,id=usb",
            "-serial", f"file:{self.console}",
            "-chardev", f"socket,id=shell,path={folder}/shell,server=on,wait=off",
            "-device", "virtio-serial-pci", "-device", "virtconsole,chardev=shell",
            "-qmp", f"unix:{folder}/qmp,server=on,wait=off",
            "-qtest", f"unix:{folder}/qtest,server=on,wait=off", "-qtest-log", "none",
            "-chardev", f"serial,id=board,path={board.resolve()}",
        ]  # fmt: skip
        self.process: subprocess.Popen[bytes] | None = None

    def _from_card(self, name: str) -> None:
        target = self.folder / name
        subprocess.run(
            ["mcopy", "-n", "-o", "-i", f"{self.card}@@{BOOT_OFFSET}", f"::{name}", str(target)],
            check=True,
            capture_output=True,
        )

    def start(self) -> Guest:
        with (self.folder / "qemu.log").open("ab") as log:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            self._qmp = _Wire(self.folder / "qmp")
            self._qmp.until("\n", 30)
            self.qmp("qmp_capabilities")
            self._qtest = _Wire(self.folder / "qtest")
            self._shell = _Wire(self.folder / "shell")
        except OSError as exc:
            raise GuestError(f"QEMU did not start: {(self.folder / 'qemu.log').read_text()[-2000:]}") from exc
        tree = str(self.qmp("human-monitor-command", **{"command-line": "info qom-tree /machine/unattached"}))
        found = re.search(r"/(device\[\d+\]) \(pl061\)", tree)
        assert found, tree
        self._gpio = f"/machine/unattached/{found[1]}"
        return self

    # --- the machine --------------------------------------------------------------------------------------------

    def qmp(self, command: str, **arguments: Any) -> Any:
        """Raises GuestError: QEMU refuses."""
        self._qmp.send(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        while True:
            answer = json.loads(self._qmp.until(r"([^\n]*)\n", 30)[1])
            if "error" in answer:
                raise GuestError(f"{command}: {answer['error']}")
            if "return" in answer:
                return answer["return"]

    def plug(self, serial: str) -> None:
        """Plug the board's USB adapter in; ``serial`` becomes part of its name under /dev/serial/by-id."""
        self.qmp("device_add", driver="usb-serial", chardev="board", id="adapter", serial=serial)

    def unplug(self) -> None:
        self.qmp("device_del", id="adapter")

    def reset(self) -> None:
        """The reset button: nothing is written, nobody is asked."""
        self.qmp("system_reset")

    def drive(self, line: int, level: int) -> None:
        """Put ``level`` on a line of the GPIO chip."""
        assert line != POWER_KEY
        self._qtest.send(f"set_irq_in {self._gpio} unnamed-gpio-in {line} {level}\n")
        self._qtest.until(r"OK[^\n]*\n", 30)

    # --- inside -------------------------------------------------------------------------------------------------

    def shell(self, command: str, timeout_s: float = 120.0, *, check: bool = True) -> str:
        """What a command in the node's root shell prints.

        Raises:
            GuestError: it failed, or did not end in time.
        """
        mark = f"{time.monotonic_ns():x}"
        self._shell.send(
            f"printf '\\n%s%s\\n' B {mark}; {{ {command}\n}} 2>&1 </dev/null; printf '\\n%s%s %s\\n' E {mark} $?\n"
        )
        try:
            self._shell.until(rf"\nB{mark}\r?\n", timeout_s)
            found = self._shell.until(rf"(.*)\nE{mark} (\d+)\r?\n", timeout_s)
        except (TimeoutError, EOFError) as exc:
            raise GuestError(f"{command}: no end; {exc}; console: {self.tail()}") from exc
        said = found[1].decode(errors="replace").replace("\r", "").strip("\n")
        if check and int(found[2]):
            raise GuestError(f"{command}: exit status {int(found[2])}: {said[-3000:]}")
        return said

    def answers(self, timeout_s: float) -> None:
        """Wait for a root shell, also after a reset.

        Raises:
            GuestError: none in time.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                self.shell("true", 10)
                return
            except GuestError:
                assert self.process is not None
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise

    def wait(self, command: str, timeout_s: float, pause_s: float = 2.0) -> str:
        """Repeat a command until it succeeds; what it printed then.

        Raises:
            GuestError: it never did in time.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                return self.shell(command)
            except GuestError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(pause_s)

    def read(self, path: str) -> str:
        return self.shell(f"cat {shlex.quote(path)}")

    def tail(self) -> str:
        return self.console.read_text(errors="replace")[-2000:] if self.console.exists() else ""

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(30)
        for wire in ("_qmp", "_qtest", "_shell"):
            if hasattr(self, wire):
                getattr(self, wire).close()

    def __enter__(self) -> Guest:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None) -> None:
        self.close()
