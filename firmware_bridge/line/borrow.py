"""Borrow a serial port from the agent that reads it: to flash, to commission, to look with another tool.

The borrower holds flock(2) on a file named after the port. The agent checks it with every heartbeat, closes its line,
and opens it again when the lock is gone. The kernel releases the lock with the last process that holds it, so a killed
command leaves nothing behind but an empty file in memory (tmpfs).

Agent and technician may be different users: a file is readable by all, which is all that flock needs, and it is never
opened with ``O_CREAT`` alone (in a sticky folder that fails on another user's file, ``fs.protected_regular``). The
price: every account of a node can take the board from its agent. A node has no accounts but its own.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from wayside.firmware_bridge.errors import LineUnavailable

NOTICE_S = 1.0  # within which an agent notices the lock
LOOK_S = 0.05
_RUNTIME = Path("/run/lock")  # Debian's, for every user
_LOCKS = Path("/proc/locks")


class Loan(NamedTuple):
    """A port on loan. A child process that inherits ``fds`` keeps it on loan should this process be killed."""

    port: str
    fds: tuple[int, ...]


@contextlib.contextmanager
def borrowed(port: str, wait_s: float = 10.0) -> Iterator[Loan]:
    """Take ``port`` (a path or an address of pyserial) away from a running agent for as long as the block runs.

    Raises:
        LineUnavailable: another command has borrowed it, or a program that does not lend keeps it open.
    """
    deadline = time.monotonic() + wait_s
    with contextlib.ExitStack() as held:
        fds = []
        for path in _lock_files(port):
            fds.append(_lock(path, port, deadline))
            held.callback(_give_back, path, fds[-1])
        _wait_until_closed(port, deadline)
        yield Loan(port, tuple(fds))


def is_lent(port: str) -> bool:
    """Whether somebody has borrowed ``port``; asked by the agent several times a second."""
    for path in _lock_files(port):
        try:
            fd = _open(path)
        except OSError:
            continue  # never borrowed, or a file that is not a lock
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(fd)
    return False


def _lock_files(port: str) -> list[Path]:
    # One for the name and one for the device behind it: an adapter may change its number while it is on loan, and the
    # agent may use another name. Sorted, so that two borrowers cannot hold one each.
    names = {port} if "://" in port else {os.path.abspath(port), os.path.realpath(port)}  # noqa: PTH100
    folder = _RUNTIME if _RUNTIME.is_dir() else Path(tempfile.gettempdir())
    return [folder / f"wayside{re.sub(r'[^A-Za-z0-9_-]', '.', name)[-200:]}.lent" for name in sorted(names)]


def _open(path: Path) -> int:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(f"{path} is no file")
    return fd


def _open_or_make(path: Path) -> int:
    try:
        while True:  # other processes create and remove it meanwhile
            with contextlib.suppress(FileNotFoundError):
                return _open(path)
            with contextlib.suppress(FileExistsError):
                fd = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
                os.fchmod(fd, 0o644)  # whatever the umask: the agent must see the lock
                return fd
    except OSError as exc:
        raise LineUnavailable(f"cannot mark the port as borrowed in {path}: {exc.strerror or exc}; remove it") from exc


def _lock(path: Path, port: str, deadline: float) -> int:
    while True:
        fd = _open_or_make(path)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(fd), os.lstat(path)):
                return fd
        except FileNotFoundError:
            pass  # the former holder removed it after it was opened here
        except BlockingIOError as exc:  # also while an agent looks, for an instant
            if time.monotonic() > deadline:
                os.close(fd)
                raise LineUnavailable(f"{port} is borrowed by another command; let it finish or end it") from exc
            time.sleep(LOOK_S)
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)


def _give_back(path: Path, fd: int) -> None:
    with contextlib.suppress(OSError):  # another user's file in a sticky folder: it stays, empty
        path.unlink()
    os.close(fd)


def _wait_until_closed(port: str, deadline: float) -> None:
    """Opening the port to see whether it is free would reset most boards, so the kernel's table of locks is asked:
    every program here locks the port that it opens (pyserial's ``exclusive``).
    """
    if "://" in port:
        time.sleep(NOTICE_S)  # an address has nothing that could be looked at
        return
    while holder := _holder(port):
        if time.monotonic() > deadline:
            raise LineUnavailable(f"{port} stays open in {_named(holder)}; end it and run this again")
        time.sleep(LOOK_S)


def _holder(port: str) -> int | None:
    """The process that holds flock on the port itself."""
    try:
        node, rows = os.stat(port), _LOCKS.read_text().splitlines()  # noqa: PTH116
    except OSError:
        return None  # not plugged in, which opening it reports; or not Linux, and then there is no agent
    where = f"{os.major(node.st_dev):02x}:{os.minor(node.st_dev):02x}:{node.st_ino}"
    for row in rows:  # proc(5): "1: FLOCK  ADVISORY  WRITE 6353 00:1a:3 0 EOF"
        words = row.split()
        if len(words) >= 6 and words[1] == "FLOCK" and words[5] == where:
            return int(words[4])
    return None


def _named(pid: int) -> str:
    try:
        name = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        name = ""
    return f"process {pid} ({name[:80]})" if name else f"process {pid}"
