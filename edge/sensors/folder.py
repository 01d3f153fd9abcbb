"""A folder that somebody puts pictures into: the oldest that is complete is read, then deleted or left.

What is no plain file is refused: links above all, which would let whoever writes into the folder have any file of the
node read, or deleted. So is what does not begin as a picture; it is never deleted. A picture that turns out damaged or
too large is the camera's, and is dealt with as one that was looked at.

A picture is complete when it stayed as it is between two looks, or since :data:`SETTLED_S`. Names that begin with a dot
or end in .part or .tmp are somebody's unfinished work. Its time is that of its last change, in the file system.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import structlog

from wayside.contracts.picture import MAX_BYTES, UInt8, decoded, is_picture
from wayside.contracts.wire import ContractError
from wayside.edge.errors import EdgeError

SETTLED_S = 2.0
GIVE_UP_S = 30.0  # what is damaged after so long without a change stays so
MAX_ENTRIES = 20_000  # that are listed at a time
UNFINISHED = (".part", ".tmp")
log = structlog.get_logger(__name__)


class CameraError(EdgeError):
    """A camera gives no pictures."""


class CameraMissing(CameraError):  # noqa: N818
    """It cannot give any on this node: no folder, no such device, or nothing installed that reads it."""


class Taken(NamedTuple):
    picture: UInt8  # (H, W, 3)
    age_s: float  # real seconds since it was taken


class _Entry(NamedTuple):
    mtime_ns: int
    name: str
    size: int
    inode: int


class Folder:
    """See the module."""

    def __init__(self, path: Path, *, delete: bool, late_s: float, after: tuple[int, str] = (0, "")) -> None:
        """
        Args:
            late_s: a picture older than that is not looked at any more.
            after: time and name of the last picture that was dealt with before the restart.
        """
        self._path, self._delete, self._late_s = path, delete, late_s
        self.done = after
        self.late = 0  # pictures since they were taken from here (:meth:`take_late`)
        self._before: dict[str, _Entry] = {}  # at the last look
        self._refused: dict[str, tuple[_Entry, str]] = {}
        self._stays: set[_Entry] = set()  # that could not be deleted
        self._reading: _Entry | None = None
        self._incomplete = False  # the picture that was looked at last

    def read(self) -> Taken | None:
        """The oldest picture that is complete and was not looked at; None: there is none now.

        Raises:
            CameraMissing: the folder cannot be read.
        """
        now_ns = time.time_ns()
        entries = {e.name: e for e in self._list()}
        before, self._before = self._before, entries
        self._refused = {name: old for name, old in self._refused.items() if entries.get(name) == old[0]}
        self._stays &= set(entries.values())
        for entry in sorted(entries.values()):
            if entry.name in self._refused or entry in self._stays:
                continue
            if not self._delete and (entry.mtime_ns, entry.name) <= self.done:
                self.late += bool(before) and entry.name not in before  # it was put in the order too late
                continue
            age_s = (now_ns - entry.mtime_ns) / 1e9
            if before.get(entry.name) != entry and age_s < SETTLED_S:
                continue
            picture = self._look(entry, age_s)
            if picture is not None:
                self._reading = entry
                return Taken(picture, max(0.0, age_s))
            if self._incomplete and not self._delete:
                return None  # those behind it would hide it for ever
        return None

    def looked(self) -> None:
        """The picture that :meth:`read` gave was looked at."""
        if self._reading is not None:
            self._deal_with(self._reading)
            self._reading = None

    @property
    def refused(self) -> str | None:
        """What in the folder is not read, and why; None: nothing."""
        if not self._refused:
            return None
        name, (_, why) = next(iter(self._refused.items()))
        more = f" (and {len(self._refused) - 1} more)" if len(self._refused) > 1 else ""
        return f"{name[:64]!r}{more} in the camera's folder {why}: it is left there"

    def take_late(self) -> int:
        late, self.late = self.late, 0
        return late

    def close(self) -> None:
        pass

    def _list(self) -> Iterator[_Entry]:
        try:
            with os.scandir(self._path) as entries:
                for number, entry in enumerate(entries):
                    if number >= MAX_ENTRIES:
                        return
                    if entry.name.startswith(".") or entry.name.endswith(UNFINISHED):
                        continue
                    with contextlib.suppress(OSError):  # it is gone
                        seen = entry.stat(follow_symlinks=False)
                        made = _Entry(seen.st_mtime_ns, entry.name, seen.st_size, seen.st_ino)
                        if not stat.S_ISREG(seen.st_mode):
                            what = "is a link" if stat.S_ISLNK(seen.st_mode) else "is no file"
                            self._refused[entry.name] = made, what
                        yield made
        except OSError as exc:
            raise CameraMissing(f"{self._path}: {exc.strerror}; make the folder, or correct cameras.folder") from exc

    def _look(self, entry: _Entry, age_s: float) -> UInt8 | None:
        """None: it is not to be looked at, and that is dealt with, or it is incomplete."""
        self._incomplete = False
        try:
            content = self._content(entry)
        except OSError as exc:
            self._refused[entry.name] = entry, f"cannot be read ({exc.strerror})"
            return None
        if content is None:  # it is being changed
            return None
        if not is_picture(content[:8]):
            if content or age_s > GIVE_UP_S:
                self._refused[entry.name] = entry, "is no picture"
            return None
        if age_s > self._late_s:
            self.late += 1
            self._deal_with(entry)
            return None
        try:
            return decoded(content)
        except ContractError as exc:
            if age_s > GIVE_UP_S or len(content) > MAX_BYTES or "pixels" in exc.rule:
                log.warning("a picture is refused", camera_folder=str(self._path), why=exc.rule)
                self.late += 1
                self._deal_with(entry)
            else:
                self._incomplete = True
            return None

    def _content(self, entry: _Entry) -> bytes | None:
        """None: it is another file by now, or grows."""
        fd = os.open(self._path / entry.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(fd, "rb") as file:
            seen = os.fstat(file.fileno())
            if not stat.S_ISREG(seen.st_mode) or (seen.st_ino, seen.st_mtime_ns) != (entry.inode, entry.mtime_ns):
                return None
            content = file.read(MAX_BYTES + 1)
            after = os.fstat(file.fileno())
            return content if (after.st_mtime_ns, after.st_size) == (entry.mtime_ns, entry.size) else None

    def _deal_with(self, entry: _Entry) -> None:
        self.done = max(self.done, (entry.mtime_ns, entry.name))
        if not self._delete:
            return
        try:
            path = self._path / entry.name
            now = path.lstat()
            if (now.st_ino, now.st_mtime_ns) == (entry.inode, entry.mtime_ns):
                path.unlink()
        except FileNotFoundError:
            pass
        except OSError as exc:
            self._stays.add(entry)
            self._refused[entry.name] = entry, f"was looked at and cannot be deleted ({exc.strerror})"
