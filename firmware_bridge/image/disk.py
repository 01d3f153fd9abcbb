"""A disk image or a card seen from outside: its partitions, its FAT through mtools, its ext4 through debugfs.

Nothing is mounted and no loop device is made, so that an ordinary user can do it: mtools takes ``image@@offset``,
e2fsprogs ``image?offset=offset``.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, NamedTuple

from wayside.firmware_bridge.errors import ImageError

EPOCH = 1_600_000_000  # the time that files and inodes get: the same inputs give the same image
PACKAGES = {
    "sfdisk": "fdisk",
    "debugfs": "e2fsprogs",
    "dumpe2fs": "e2fsprogs",
    "e2fsck": "e2fsprogs",
    "resize2fs": "e2fsprogs",
    "mcopy": "mtools",
    "mtype": "mtools",
    "mlabel": "mtools",
    "bmaptool": "bmap-tools",
    "lsblk": "util-linux",
    "xz": "xz-utils",
}
_SAFE = re.compile(r"/[A-Za-z0-9_./@+=-]*")


def tool_environment() -> dict[str, str]:
    """Plain messages, the administrator's folders on the path, and a clock that stands still."""
    return os.environ | {
        "PATH": os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin",
        "LC_ALL": "C",
        "TZ": "UTC",
        "MTOOLSRC": os.devnull,
        "MTOOLS_SKIP_CHECK": "1",
        "E2FSPROGS_FAKE_TIME": str(EPOCH),
        "SOURCE_DATE_EPOCH": str(EPOCH),
    }


def run_tool(
    command: Sequence[str | Path], stdin: bytes | None = None, *, fine: Iterable[int] = (0,), fds: Sequence[int] = ()
) -> subprocess.CompletedProcess[bytes]:
    """Run a Debian tool, which also gets the open files ``fds``.

    Raises:
        ImageError: it is not installed, or its exit status is not one of ``fine``.
    """
    name = str(command[0])
    environment = tool_environment()
    if shutil.which(name, path=environment["PATH"]) is None:
        raise ImageError(f"{name} is not installed here: sudo apt-get install {PACKAGES.get(name, name)}")
    words = [str(word) for word in command]
    done = subprocess.run(words, input=stdin or b"", capture_output=True, env=environment, pass_fds=fds, check=False)
    if done.returncode not in fine:
        output = (done.stderr or done.stdout).decode(errors="replace").strip()
        raise ImageError(f"{name} failed ({done.returncode}): {output[-800:]}")
    return done


class Entry(NamedTuple):
    """What is to stand in a root file system; a folder has neither content, source nor link."""

    path: str
    content: bytes | None = None
    source: Path | None = None  # a large file is taken from here
    link: str | None = None
    mode: int = 0o644
    uid: int = 0
    gid: int = 0


class Inode(NamedTuple):
    kind: str  # regular, directory, symlink
    mode: int  # permissions alone
    uid: int
    gid: int
    size: int
    link: str | None


class Partition(NamedTuple):
    offset: int  # bytes
    size: int
    kind: str  # fat, ext4, other


class Fat:
    """A FAT file system at an offset of ``path``."""

    def __init__(self, path: Path, offset: int) -> None:
        self._at = f"{path}@@{offset}"

    def read(self, name: str) -> bytes | None:
        done = run_tool(["mtype", "-i", self._at, f"::{name}"], fine=(0, 1))
        return done.stdout if done.returncode == 0 else None

    def write(self, files: dict[str, bytes]) -> None:
        with tempfile.TemporaryDirectory(prefix="wayside-") as folder:
            for name, content in files.items():
                path = Path(folder) / name
                path.write_bytes(content)
                os.utime(path, (EPOCH, EPOCH))
                run_tool(["mcopy", "-o", "-m", "-i", self._at, path, f"::{name}"])
        for name, content in files.items():
            if self.read(name) != content:
                raise ImageError(f"{name} does not read back from the boot partition as it was written")

    @property
    def label(self) -> str:
        output = run_tool(["mlabel", "-s", "-i", self._at, "::"]).stdout.decode(errors="replace")
        match = re.search(r"Volume label is (.*?)(?: \(abbr=.*)?$", output.strip())
        return match[1].strip() if match else ""

    @label.setter
    def label(self, name: str) -> None:
        run_tool(["mlabel", "-i", self._at, f"::{name}"])


class Ext4:
    """An ext2/3/4 file system at an offset of ``path``."""

    def __init__(self, path: Path, offset: int = 0) -> None:
        self._at, self._offset = f"{path}?offset={offset}" if offset else str(path), offset
        if "?" in str(path):
            raise ImageError(f"{path}: a name with '?' cannot be given to e2fsprogs; rename it")

    def facts(self) -> dict[str, str]:
        output = run_tool(["dumpe2fs", "-h", self._at]).stdout.decode(errors="replace")
        return {k.strip(): v.strip() for k, _, v in (line.partition(":") for line in output.splitlines())}

    def free_ranges(self) -> list[tuple[int, int]]:
        """Byte ranges, relative to the file system's start, that hold nothing: [begin, end)."""
        output = run_tool(["dumpe2fs", self._at]).stdout.decode(errors="replace")
        size = int(re.search(r"^Block size: +(\d+)", output, re.MULTILINE)[1])  # type: ignore[index]
        ranges = []
        for line in re.findall(r"^  Free blocks: (.+)$", output, re.MULTILINE):
            for first, last in re.findall(r"(\d+)(?:-(\d+))?", line):
                ranges.append((int(first) * size, (int(last or first) + 1) * size))
        return ranges

    def check(self) -> None:
        """Raises ImageError if e2fsck finds anything to mend."""
        run_tool(["e2fsck", "-fn", self._at])

    def recover(self) -> None:
        """Replay the journal of a file system that was not unmounted."""
        if "needs_recovery" in self.facts().get("Filesystem features", ""):
            run_tool(["e2fsck", "-fp", self._at], fine=(0, 1))

    def inode(self, path: str) -> Inode | None:
        """What stands at ``path``; the last link is not followed."""
        return self.inodes([path])[0]

    def inodes(self, paths: Sequence[str]) -> list[Inode | None]:
        output, _ = self._ask([f"stat {_quoted(path)}" for path in paths])
        return [_inode(part) for part in re.split(r"^debugfs: stat .*$", output, flags=re.MULTILINE)[1:]]

    def read(self, path: str) -> bytes | None:
        """The content of a regular file, links followed as the node would."""
        seen = 0
        while (inode := self.inode(path)) is not None and inode.kind == "symlink" and inode.link and seen < 8:
            path = inode.link if inode.link.startswith("/") else f"{path.rpartition('/')[0]}/{inode.link}"
            seen += 1
        if inode is None or inode.kind != "regular":
            return None
        return run_tool(["debugfs", "-R", f"cat {_quoted(path)}", self._at]).stdout

    def names(self, folder: str) -> list[str]:
        output, _ = self._ask([f"ls -p {_quoted(folder)}"])
        return [
            part[5] for part in (line.split("/") for line in output.splitlines()) if len(part) > 6 and part[1] != "0"
        ]

    def write(self, entries: Sequence[Entry]) -> None:
        """Put ``entries`` there, replacing what has their names, with folders above them as needed.

        Raises:
            ImageError: no room, or debugfs complained, or a folder stands where a file should.
        """
        wanted = {entry.path: entry for entry in _with_folders(entries)}
        present = dict(zip(wanted, self.inodes(list(wanted)), strict=True))
        with ExitStack() as stack:
            commands, fds = [], []
            for entry in wanted.values():
                path, there = _quoted(entry.path), present[entry.path]
                if entry.content is None and entry.source is None and entry.link is None:
                    if there is not None:
                        continue  # a folder of the base keeps what it has
                    commands.append(f"mkdir {path}")
                    kind = 0o040000
                else:
                    if there is not None and there.kind == "directory":
                        raise ImageError(f"{entry.path} is a folder in the base image")
                    if there is not None:
                        commands.append(f"rm {path}")
                    if entry.link is not None:
                        commands.append(f"symlink {path} {_quoted(entry.link, absolute=False)}")
                        continue
                    fds.append(stack.enter_context(_opened(entry)).fileno())
                    commands.append(f"write /proc/self/fd/{fds[-1]} {path}")
                    kind = 0o100000
                commands += [f"sif {path} mode 0{kind | entry.mode:o}", f"sif {path} uid {entry.uid}"]
                commands += [f"sif {path} gid {entry.gid}"]
            _, complaints = self._ask(commands, write=True, fds=fds)
        if complaints:
            raise ImageError(f"the root file system took not everything: {complaints[0]}")

    def room_for(self, entries: Sequence[Entry]) -> tuple[int, int]:
        """Bytes that ``entries`` will take in blocks, inodes' folders included, and bytes that are free."""
        facts = self.facts()
        block = int(facts["Block size"])
        sizes = [
            len(e.content) if e.content is not None else e.source.stat().st_size if e.source else 0 for e in entries
        ]
        need = sum(-(-size // block) * block for size in sizes) + block * (len(entries) + 64)
        return need, int(facts["Free blocks"]) * block

    def _ask(self, commands: Sequence[str], *, write: bool = False, fds: Sequence[int] = ()) -> tuple[str, list[str]]:
        """Its answers, and its complaints: debugfs ends with 0 whatever happened."""
        script = "".join(f"{command}\n" for command in commands).encode()
        done = run_tool(["debugfs", *(["-w"] if write else []), "-f", "-", self._at], script, fds=fds)
        complaints = [line for line in done.stderr.decode(errors="replace").splitlines() if line.strip()]
        complaints = [c for c in complaints if not c.startswith("debugfs 1.")]
        if why := next((c for c in complaints if "while trying to open" in c), None):
            raise ImageError(
                f"the file system at byte {self._offset} cannot be read with the e2fsprogs of this machine, "
                f"a newer one may know it: {why}"
            )
        return done.stdout.decode(errors="replace"), complaints


def _opened(entry: Entry) -> IO[bytes]:
    """What is to be written. Ours stays in memory: a killed process leaves no file with a token behind."""
    if entry.source is not None:
        return entry.source.open("rb")
    file = os.fdopen(os.memfd_create("wayside"), "w+b")
    file.write(entry.content or b"")
    file.flush()
    return file


def _quoted(path: str, *, absolute: bool = True) -> str:
    if not _SAFE.fullmatch(path if absolute else f"/{path}"):
        raise ImageError(f"{path!r} is not a path that debugfs can be given")
    return path


def _with_folders(entries: Sequence[Entry]) -> list[Entry]:
    named = {entry.path for entry in entries}
    above: dict[str, Entry] = {}
    for entry in entries:
        parts = entry.path.split("/")
        for depth in range(2, len(parts)):
            path = "/".join(parts[:depth])
            if path not in named:
                above.setdefault(path, Entry(path, mode=0o755))
    return sorted([*above.values(), *entries], key=lambda e: (e.path.count("/"), e.path))


def _inode(output: str) -> Inode | None:
    head = re.search(r"Type: (\S+)\s+Mode:\s+(\d+)", output)
    owner = re.search(r"User:\s+(\d+)\s+Group:\s+(\d+).*?Size:\s+(\d+)", output, re.DOTALL)
    if head is None or owner is None:
        return None
    link = re.search(r'Fast link dest: "(.*)"', output)
    mode = int(head[2], 8) & 0o7777
    return Inode(head[1], mode, int(owner[1]), int(owner[2]), int(owner[3]), link[1] if link else None)


class Disk(NamedTuple):
    """Where a node's two file systems are. A root file system without a partition table has no boot partition."""

    path: Path
    size: int
    partitions: tuple[Partition, ...]
    boot: Partition | None
    root: Partition

    @property
    def fat(self) -> Fat | None:
        return Fat(self.path, self.boot.offset) if self.boot else None

    @property
    def ext4(self) -> Ext4:
        return Ext4(self.path, self.root.offset)


def read_disk(path: Path) -> Disk:
    """Find boot and root in an image, a block device, or a bare ext4 file system.

    Raises:
        ImageError: there is no such file, no partition table, or no root file system in it.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            bare = _kind(file.fileno(), 0) == "ext4"
    except OSError as exc:
        raise ImageError(f"{path}: {exc.strerror}") from exc
    if bare:
        if Ext4(path).inode("/etc") is None:
            raise ImageError(f"{path} is an ext4 file system without an /etc: is it a root file system?")
        whole = Partition(0, size, "ext4")
        return Disk(path, size, (whole,), None, whole)
    try:
        table = json.loads(run_tool(["sfdisk", "--json", path]).stdout)["partitiontable"]
        sector = int(table.get("sectorsize", 512))
        places = [(int(p["start"]) * sector, int(p["size"]) * sector) for p in table.get("partitions", [])]
    except (ImageError, ValueError, KeyError, TypeError) as exc:
        if isinstance(exc, ImageError) and "not installed" in str(exc):
            raise
        raise ImageError(f"{path} has no partition table and is no ext4 file system: is it a disk image?") from exc
    if any(offset + length > size for offset, length in places):
        raise ImageError(f"{path} is shorter than its partition table says: the download or copy is incomplete")
    with path.open("rb") as file:
        partitions = tuple(Partition(o, s, _kind(file.fileno(), o)) for o, s in sorted(places))
    roots = [p for p in partitions if p.kind == "ext4" and Ext4(path, p.offset).inode("/etc")]
    if not roots:
        raise ImageError(f"{path} has no ext4 partition with an /etc: is it an image of Raspberry Pi OS or Debian?")
    fats = [p for p in partitions if p.kind == "fat"]
    starting = [p for p in fats if Fat(path, p.offset).read("cmdline.txt") is not None]
    return Disk(path, size, partitions, next(iter([*starting, *fats]), None), roots[0])


def _kind(fd: int, offset: int) -> str:
    head = os.pread(fd, 2048, offset)
    if head[1080:1082] == b"\x53\xef":
        return "ext4"
    if head[510:512] == b"\x55\xaa" and (head[54:57] == b"FAT" or head[82:85] == b"FAT"):
        return "fat"
    return "other"
