"""Files that matter are written whole: after a power cut at any instant there is the old one or the new one.

Every room may use this module; it stands on the standard library alone.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def replace_file(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Write ``content`` beside ``path``, fsync(2), rename(2), and make the rename durable.

    Raises:
        OSError: no room, or the disk failed; the old file is still there.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        part.unlink(missing_ok=True)  # of a write that was cut off, perhaps with another mode
        fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        try:
            view = memoryview(content)
            while view:
                view = view[os.write(fd, view) :]
            os.fsync(fd)
        finally:
            os.close(fd)
        rename(part, path)
    except OSError:
        with contextlib.suppress(OSError):
            part.unlink()  # gives the room back
        raise


def finish_file(part: Path, path: Path) -> None:
    """``part``, which was written piece by piece, becomes ``path``: durable, then named.

    Raises:
        OSError: the disk failed; ``part`` is still there, or ``path`` is the new file.
    """
    fd = os.open(part, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
    rename(part, path)


def rename(old: Path, new: Path) -> None:
    """Rename within a file system, durably. What ``new`` was is gone.

    Raises:
        OSError: as rename(2).
    """
    old.replace(new)
    sync_folder(new.parent)
    if old.parent != new.parent:
        sync_folder(old.parent)


def remove(path: Path) -> None:
    """Unlink, durably; nothing happens if there is no such file.

    Raises:
        OSError: as unlink(2), but for an absent file.
    """
    try:
        path.unlink()
    except FileNotFoundError:
        return
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """A rename or unlink is durable once its directory is (fsync(2))."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
