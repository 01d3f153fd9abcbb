"""Write an image to a card, and nothing but a card.

Order: refuse what is in use, blank the first block, let bmaptool copy and verify the rest, read that back from the
card, write the first block, read the personalization through the card's own file systems. Whenever power or patience
ends before that, the card has no partition table and boots nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import stat
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from wayside.firmware_bridge.errors import CardError, ImageError
from wayside.firmware_bridge.image.bmap import BLOCK, Bmap, first_difference
from wayside.firmware_bridge.image.build import ImageManifest, Progress, differences
from wayside.firmware_bridge.image.disk import read_disk, run_tool, tool_environment

_BLKRRPART, _BLKFLSBUF = 0x125F, 0x1261  # linux/fs.h


class Machine(NamedTuple):
    """The kernel's files that say what is in use; tests give another root."""

    root: Path = Path("/")

    def lines(self, path: str) -> list[str]:
        try:
            return (self.root / path).read_text(errors="replace").splitlines()
        except OSError:
            return []


class Target(NamedTuple):
    path: Path
    size: int
    device: bool  # else a plain file, which stands for a card
    description: str  # what will be erased, for a person


def look_at(path: Path, machine: Machine = Machine()) -> Target:  # noqa: B008 -- immutable
    """Identify ``path``, if it may be written.

    Raises:
        CardError: it is no whole disk, is in use, holds the running system, or is write-protected.
    """
    try:
        path = path.resolve(strict=True)
        facts = path.stat()
    except FileNotFoundError as exc:
        raise CardError(f"{path} does not exist; `lsblk` lists the cards that are plugged in") from exc
    except OSError as exc:
        raise CardError(f"{path}: {exc.strerror}") from exc
    if stat.S_ISREG(facts.st_mode):
        return Target(path, facts.st_size, False, f"{path}: a file of {facts.st_size / 1e6:,.0f} MB")
    if not stat.S_ISBLK(facts.st_mode):
        raise CardError(f"{path} is neither a disk nor a file")
    refuse_if_used(path, facts.st_rdev, machine)
    number = f"{os.major(facts.st_rdev)}:{os.minor(facts.st_rdev)}"
    if machine.lines(f"sys/dev/block/{number}/size") == ["0"]:
        raise CardError(f"there is no card in {path}: put it in; `lsblk` lists the cards that are there")
    columns = "NAME,PATH,SIZE,MODEL,TYPE,FSTYPE,LABEL,RO,RM,TRAN"
    tree = json.loads(run_tool(["lsblk", "--json", "--bytes", "--output", columns, path]).stdout)["blockdevices"][0]
    if tree["type"] not in ("disk", "loop"):
        raise CardError(f"{path} is a {tree['type']}, not a whole disk: give the card itself, as `lsblk` names it")
    if tree["ro"]:
        raise CardError(f"{path} is write-protected: look at the slider on the card")
    try:
        # O_EXCL: the kernel refuses while anything mounts or maps it.
        os.close(os.open(path, os.O_RDWR | os.O_EXCL | os.O_CLOEXEC))
    except PermissionError as exc:
        raise CardError(f"{path} may be written by root alone: run this command with sudo") from exc
    except OSError as exc:
        raise CardError(
            f"{path}: {exc.strerror}: something uses it; unmount it and take care that it is the card"
        ) from exc
    return Target(path, int(tree["size"]), True, _describe(tree))


def refuse_if_used(path: Path, number: int, machine: Machine) -> None:
    """Raises CardError if the disk, a part of it, or what is built on it is mounted, swapped to or mapped."""
    disk = _disk_of(f"{os.major(number)}:{os.minor(number)}", machine)
    for used, where in _used(machine):
        if disk in _under(used, machine):
            if where.startswith(("/media/", "/run/media/", "/mnt/")):
                raise CardError(f"{path} is mounted on {where}: unmount it first (umount {where})")
            raise CardError(f"{path} holds the running system ({where}): it is never written")


def _used(machine: Machine) -> list[tuple[str, str]]:
    """Every block device in use, as major:minor, with what it is used for."""
    uses = []
    for line in machine.lines("proc/self/mountinfo"):
        left, _, right = line.partition(" - ")
        fields, source = left.split(), right.split()
        if len(fields) > 4:
            where = fields[4].replace("\\040", " ")
            uses.append((fields[2], where))
            if len(source) > 1 and source[1].startswith("/dev/"):  # btrfs and others show a number of their own
                uses.append((_number(machine, source[1]), where))
    swaps = [line.split()[0] for line in machine.lines("proc/swaps") if line.startswith("/dev/")]
    uses += [(_number(machine, device), "swap") for device in swaps]
    return [(number, where) for number, where in uses if number]


def _number(machine: Machine, device: str) -> str:
    name = os.path.realpath(machine.root / device.lstrip("/")).rpartition("/")[2]
    return next(iter(machine.lines(f"sys/class/block/{name}/dev")), "")


def _disk_of(number: str, machine: Machine) -> str:
    place = (machine.root / "sys/dev/block" / number).resolve()
    if (place / "partition").exists():
        return next(iter(machine.lines(str((place.parent / "dev").relative_to(machine.root.resolve())))), number)
    return number


def _under(number: str, machine: Machine, depth: int = 0) -> set[str]:
    """The disks that ``number`` stands on: its own, and those below a mapping or an array."""
    disk = _disk_of(number, machine)
    below = {disk}
    with contextlib.suppress(OSError):
        for slave in (machine.root / "sys/dev/block" / disk / "slaves").iterdir():
            for line in machine.lines(str((slave / "dev").resolve().relative_to(machine.root.resolve()))):
                below |= _under(line, machine, depth + 1) if depth < 8 else set()
    return below


def _describe(tree: dict[str, Any]) -> str:
    model = " ".join(str(tree.get("model") or "unnamed").split())
    bus = f", {tree['tran']}" if tree.get("tran") else ""
    removable = "removable" if tree.get("rm") else "NOT removable"
    lines = [f"{tree['path']}: {model}, {int(tree['size']) / 1e9:.1f} GB, {removable}{bus}"]
    for part in tree.get("children") or []:
        label = f' "{part["label"]}"' if part.get("label") else ""
        lines.append(f"  {part['path']}: {int(part['size']) / 1e9:.1f} GB {part.get('fstype') or 'unknown'}{label}")
    return "\n".join(lines) if len(lines) > 1 else f"{lines[0]}\n  no partitions"


def write(image: Path, target: Target, manifest: ImageManifest, bmap: Bmap, progress: Progress) -> None:
    """Write ``image``, read it back, and only then make it bootable.

    Raises:
        CardError: too small, the writing failed, or the card does not hold what was written.
    """
    if image.samefile(target.path):
        raise CardError(f"{target.path} is the image itself; nothing was written")
    if target.size < bmap.image_size and (target.device or target.size):
        raise CardError(
            f"{target.path} is too small: it has {target.size:,} bytes, the image needs {bmap.image_size:,}; "
            "nothing was written"
        )
    first = Bmap(bmap.image_size, bmap.ranges[:1])
    if first_difference(image, first) is not None:
        raise CardError(f"{image} is damaged in its first block: build it again; nothing was written")
    run_tool(["bmaptool", "--version"])
    with image.open("rb") as file:
        head = file.read(BLOCK)
    try:
        _put(target.path, bytes(len(head)))
        _copy(image, target, bmap.without_first_block(), progress)
        if not target.device:
            os.truncate(target.path, max(target.size, bmap.image_size))  # bmaptool cut it to the image's size
        done, rest = 0, bmap.without_first_block()

        def count(more: int) -> None:
            nonlocal done
            done += more
            progress("reading back", done, rest.mapped_bytes)

        _forget_cache(target.path)
        if (span := first_difference(target.path, rest, count)) is not None:
            raise CardError(
                f"{target.path} does not hold what was written in blocks {span.first}-{span.last} "
                f"(bytes {span.first * BLOCK} to {(span.last + 1) * BLOCK - 1}): the card or its reader is bad; "
                "it was left unbootable"
            )
        _put(target.path, head)
        _forget_cache(target.path)
        progress("checking the personalization", 0, 0)
        wrong = _wrong(target.path, first, manifest)
        if wrong:
            _put(target.path, bytes(len(head)))
            raise CardError(f"{target.path} is not the card of {manifest.node}, it was left unbootable: {wrong}")
    except OSError as exc:
        if isinstance(exc, PermissionError):
            raise CardError(f"{target.path} may be written by root alone: run this command with sudo") from exc
        raise CardError(f"{target.path}: {exc.strerror}; the card does not boot: run the command again") from exc


def _wrong(path: Path, first: Bmap, manifest: ImageManifest) -> str:
    if first_difference(path, first) is not None:
        return "its first block does not read back"
    try:
        return "; ".join(differences(read_disk(path), manifest.files)[:5])
    except ImageError as exc:
        return str(exc)


def _put(path: Path, head: bytes) -> None:
    """Write the first block, on the medium when this returns."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        if os.pwrite(fd, head, 0) != len(head):
            raise CardError(f"{path} took only a part of its first block: the card is bad")
        os.fsync(fd)
        with contextlib.suppress(OSError):
            fcntl.ioctl(fd, _BLKRRPART)
    finally:
        os.close(fd)


def _forget_cache(path: Path) -> None:
    """Have the next reading come from the card, not from memory."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):
            fcntl.ioctl(fd, _BLKFLSBUF)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(fd)


def _copy(image: Path, target: Target, bmap: Bmap, progress: Progress) -> None:
    """bmaptool compares each range's checksum while it reads the image, and syncs the card."""
    environment = tool_environment()
    with tempfile.TemporaryDirectory(prefix="wayside-") as folder:
        path = Path(folder) / "rest.bmap"
        path.write_text(bmap.text())
        log = Path(folder) / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["bmaptool", "copy", "--bmap", str(path), str(image.resolve()), str(target.path)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
            )
            try:
                while process.poll() is None:
                    progress("writing", min(_written(process.pid), bmap.mapped_bytes), bmap.mapped_bytes)
                    time.sleep(0.1)
            finally:
                if process.poll() is None:
                    process.terminate()
                    process.wait()
        if process.returncode != 0:
            lines = log.read_text(errors="replace").strip().splitlines()
            why = next((line for line in reversed(lines) if "ERROR" in line), lines[-1] if lines else "")
            raise CardError(f"{target.path} was not written, it does not boot: {why.removeprefix('bmaptool: ')}")
        progress("writing", bmap.mapped_bytes, bmap.mapped_bytes)


def _written(pid: int) -> int:
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = Path(f"/proc/{pid}/io").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("wchar:")).split()[1])
    return 0
