"""Stock image in, one node's image out: ``wayside image build`` and ``verify``, without mounting and without root.

Out come ``OUT.img``, its block map ``OUT.img.bmap`` and its manifest ``OUT.json``. The manifest is named last: an image
without it is not finished.

Longer than the house's files: what is built and what is verified are the same places of one image, side by side.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import lzma
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated, Any, Literal, NamedTuple

import msgspec

from wayside.contracts.wire import ContractError, Document, decode, encode, wire_field
from wayside.durable import finish_file, remove, replace_file
from wayside.firmware_bridge.errors import ImageError
from wayside.firmware_bridge.image.base import Base, read_base
from wayside.firmware_bridge.image.bmap import BLOCK, Bmap, first_difference, load_bmap, make_bmap
from wayside.firmware_bridge.image.disk import Disk, Entry, Ext4, read_disk
from wayside.firmware_bridge.image.files import Personality, root_entries
from wayside.firmware_bridge.image.needs import doubts, unfit
from wayside.firmware_bridge.image.seed import NETWORK, cloud_config, pointed_to_seed, seed_files
from wayside.firmware_bridge.image.wheels import Sha256, WheelSet, load_wheels
from wayside.text import read_file

_CHUNK = 1 << 20
_PACKED = {
    b"\xfd7zXZ\0": ".xz", b"\x1f\x8b": ".gz", b"PK\3\4": ".zip", b"\x28\xb5\x2f\xfd": ".zst", b"BZh": ".bz2",
}  # fmt: skip
_FICLONE = 0x40049409  # linux/fs.h
MAX_MANIFEST_BYTES = 4 << 20  # a few hundred files
_SPARE = 4 << 20  # bytes of the root file system left free besides the files
Progress = Callable[[str, int, int], None]  # what is being done, bytes done, bytes in all (0: unknown)


class ImageFile(Document, frozen=True, kw_only=True):
    """One file of the personalization, with what must be read back from the card."""

    where: Literal["boot", "root"]
    path: str
    sha256: Sha256
    mode: Annotated[int, msgspec.Meta(ge=0, le=0o7777)] | None = None


class ImageManifest(Document, frozen=True, kw_only=True):
    """The manifest beside an image: what it is and which node's. It holds no secret."""

    wire: int = wire_field()
    image: Annotated[str, msgspec.Meta(pattern=r"^[^/\x00]+\.img\Z")]
    size: Annotated[int, msgspec.Meta(gt=0, le=2**50)]
    sha256: Sha256
    bmap_sha256: Sha256
    base: str
    base_sha256: Sha256
    node: str
    site: str | None = None
    hub: str
    instance: str
    python: str
    wayside: str
    files: tuple[ImageFile, ...]


class Built(NamedTuple):
    image: Path
    bmap: Path
    manifest_path: Path
    manifest: ImageManifest
    hints: tuple[str, ...] = ()  # what works, perhaps, and should be known


def names_of(image: Path) -> tuple[Path, Path]:
    """The block map and the manifest beside ``image``."""
    return image.with_name(f"{image.name}.bmap"), image.with_suffix(".json")


def _quiet(_what: str, _done: int, _all: int) -> None:
    pass


class PlainBase(NamedTuple):
    """A base that is unpacked and hashed already, for many images."""

    path: Path
    name: str
    sha256: str  # of the base as it came, packed


def build(base: Path | PlainBase, out: Path, who: Personality, wheels: Path, progress: Progress = _quiet) -> Built:
    """Make ``out`` from ``base``; earlier files of these names stay until the new ones are complete.

    Raises:
        ImageError: naming what is wrong with base, room, wheels or disk.
    """
    stock = base.path if isinstance(base, PlainBase) else base
    try:
        _refuse_to_replace(stock, out)
        out.parent.mkdir(parents=True, exist_ok=True)
        with _alone(out.with_name(f".{out.name}.part")) as part:
            if isinstance(base, PlainBase):
                clone(base.path, part, progress)
            else:
                base = PlainBase(part, base.name, copy_base(base, part, progress))
            progress("personalizing", 0, 0)
            try:
                personalized = personalize(part, who, wheels)
            except ImageError as exc:
                raise ImageError(str(exc).replace(str(part), str(stock))) from exc
            size = part.stat().st_size
            done = 0

            def count(more: int) -> None:
                nonlocal done
                done += more
                progress("checksums", done, size)

            bmap, sha256 = make_bmap(read_disk(part), count)
            manifest = ImageManifest(
                image=out.name,
                size=bmap.image_size,
                sha256=sha256,
                bmap_sha256=_sha256(bmap.text().encode()),
                base=base.name,
                base_sha256=base.sha256,
                node=who.config.node,
                site=who.site,
                hub=who.hub,
                instance=personalized.instance,
                python=personalized.wheels.manifest.python,
                wayside=personalized.wheels.manifest.wayside,
                files=personalized.files,
            )
            return _publish(part, out, bmap, manifest)._replace(hints=personalized.hints)
    except OSError as exc:
        raise ImageError(f"{exc.filename or out}: {exc.strerror or exc}; look at the base image and at --out") from exc


def _refuse_to_replace(base: Path, out: Path) -> None:
    """Raises ImageError if making ``out`` would take a file away that is none of an earlier image."""
    if out.suffix != ".img":
        raise ImageError(f"{out}: the image's name ends in .img")
    if out.exists() and out.samefile(base):
        raise ImageError(f"{out} is the base itself: give the image another name")
    manifest = names_of(out)[1]
    try:
        decode(read_file(manifest, MAX_MANIFEST_BYTES), ImageManifest)
    except FileNotFoundError:
        return
    except ContractError as exc:
        raise ImageError(
            f"{manifest} would be replaced, and is no manifest of an image: name the image otherwise"
        ) from exc


class Personalized(NamedTuple):
    instance: str
    wheels: WheelSet
    files: tuple[ImageFile, ...]
    hints: tuple[str, ...]


def personalize(image: Path, who: Personality, wheels_folder: Path) -> Personalized:
    """Write seed and files into ``image`` in place, and read them back."""
    disk = read_disk(image)
    root, fat = disk.ext4, disk.fat
    root.recover()
    base = read_base(root)
    wheels = load_wheels(wheels_folder, base.python)
    if wrong := list(unfit(who, wheels, base)):
        raise ImageError("; ".join(wrong))
    instance = _instance(who, wheels)
    has_cloud_init = base.cloud_init
    entries = root_entries(who, wheels, root, base, instance)
    seed = seed_files(who.config.node, instance, _network(who, base))
    boot: dict[str, bytes] = {}
    if fat is not None:
        boot = dict(seed)
        if (cmdline := fat.read("cmdline.txt")) is not None:
            boot["cmdline.txt"] = pointed_to_seed(cmdline, instance)
        if has_cloud_init and not _knows_its_seed(root):
            if not fat.label:
                fat.label = "CIDATA"  # cloud-init's own name for it
            entries.append(Entry("/etc/cloud/cloud.cfg.d/99-wayside.cfg", cloud_config(fat.label)))
    elif has_cloud_init:
        entries += [Entry(f"/var/lib/cloud/seed/nocloud/{name}", data) for name, data in seed.items()]
        entries.append(Entry("/etc/cloud/cloud.cfg.d/99-wayside.cfg", cloud_config(None)))
    check_room(root, entries)
    root.write(entries)
    if fat is not None:
        fat.write(boot)
    root.check()
    files = _described(entries, boot)
    if wrong := differences(disk, files):
        raise ImageError(f"the image does not read back as it was written: {wrong[0]}")
    return Personalized(instance, wheels, files, tuple(doubts(who.network, base)))


def check_room(root: Ext4, entries: list[Entry]) -> None:
    """Raises: ImageError: they do not fit into the base."""
    need, free = root.room_for(entries)
    if need + _SPARE > free:
        short = -(-(need + _SPARE - free) // 1_000_000)
        raise ImageError(
            f"the root file system of the base lacks {short} MB for the agent ({free // 1_000_000} MB are free): "
            "take a base with more room, or enlarge it first (truncate, sfdisk, resize2fs)"
        )


def _network(who: Personality, base: Base) -> str | None:
    if who.network is not None:
        return who.network.text
    # Of cloud-init's ways to set up a network netplan alone takes name patterns; ifupdown, networkd and NetworkManager
    # would wait for an interface named "wired". Without it, cloud-init's default: DHCP on the first wired interface.
    return NETWORK if base.netplan else None


def _knows_its_seed(root: Ext4) -> bool:
    """Whether the base says itself where its seed is, as Raspberry Pi OS does."""
    folder = "/etc/cloud/cloud.cfg.d"
    names = [name for name in root.names(folder) if re.fullmatch(r"[A-Za-z0-9_.-]+\.cfg", name)]
    texts = [root.read(f"{folder}/{name}") or b"" for name in names]
    return any(re.search(rb"^\s*(seedfrom|fs_label)\s*:", text, re.MULTILINE) for text in texts)


def _instance(who: Personality, wheels: WheelSet) -> str:
    """An id that changes with the configuration, so that cloud-init runs again."""
    network = who.network.text.encode() if who.network else b""
    parts = (who.config_text.encode(), who.root, who.hub_ca or b"", network, wheels.id.encode())
    return f"wayside-{hashlib.sha256(b''.join(hashlib.sha256(p).digest() for p in parts)).hexdigest()[:16]}"


def _described(entries: list[Entry], boot: dict[str, bytes]) -> tuple[ImageFile, ...]:
    files = [ImageFile(where="boot", path=name, sha256=_sha256(data)) for name, data in boot.items()]
    for entry in entries:
        if entry.content is not None or entry.source is not None:
            data = entry.content if entry.content is not None else entry.source.read_bytes()  # type: ignore[union-attr]
            files.append(ImageFile(where="root", path=entry.path, sha256=_sha256(data), mode=entry.mode))
        elif entry.link is not None:
            files.append(ImageFile(where="root", path=entry.path, sha256=_sha256(entry.link.encode())))
    return tuple(files)


def differences(disk: Disk, files: tuple[ImageFile, ...]) -> list[str]:
    """What of the personalization does not stand on ``disk`` as ``files`` says, a sentence each."""
    wrong = []
    paths = [f.path for f in files if f.where == "root"]
    inodes = dict(zip(paths, disk.ext4.inodes(paths), strict=True))
    for file in files:
        if file.where == "boot":
            data = disk.fat.read(file.path) if disk.fat else None
        else:
            inode = inodes[file.path]
            if inode is not None and inode.kind == "symlink":
                data = (inode.link or "").encode()
            else:
                data = disk.ext4.read(file.path) if inode else None
            if inode is not None and file.mode is not None and (inode.mode, inode.uid, inode.gid) != (file.mode, 0, 0):
                wrong.append(
                    f"{file.path} has mode {inode.mode:o} of {inode.uid}:{inode.gid}, not {file.mode:o} of 0:0"
                )
        place = f"{file.path} on the {file.where} partition"
        if data is None:
            wrong.append(f"{place} is missing")
        elif _sha256(data) != file.sha256:
            wrong.append(f"{place} is not the one of this node's image")
    return wrong


def _publish(part: Path, out: Path, bmap: Bmap, manifest: ImageManifest) -> Built:
    bmap_path, manifest_path = names_of(out)
    remove(manifest_path)  # the old image is none any more
    finish_file(part, out)
    replace_file(bmap_path, bmap.text().encode())
    replace_file(manifest_path, msgspec.json.format(encode(manifest), indent=1) + b"\n")
    return Built(out, bmap_path, manifest_path, manifest)


def load_built(image: Path, manifest_path: Path | None = None) -> tuple[ImageManifest, Bmap]:
    """Manifest and map of an image.

    Raises:
        ImageError: the image is not finished, or they do not belong together.
    """
    if not image.exists():
        raise ImageError(f"{image} does not exist: `wayside image build` makes one")
    if image.is_dir():
        raise ImageError(f"{image} is a folder: name the image in it")
    if not (image.is_file() or image.is_block_device()):
        raise ImageError(f"{image} is a pipe or a device without blocks: name the image, or the card")
    path = manifest_path or names_of(image)[1]
    try:
        manifest = decode(read_file(path, MAX_MANIFEST_BYTES), ImageManifest)
    except FileNotFoundError as exc:
        if manifest_path is not None:
            why = "does not exist: --manifest takes the OUT.json that lies beside the image"
        elif image.suffix != ".img":
            why = f"does not exist: if {image} is a card, name its image's with --manifest OUT.json"
        else:
            why = "is missing: the image is not finished; run `wayside image build` again"
        raise ImageError(f"{path} {why}") from exc
    except OSError as exc:
        raise ImageError(f"cannot read the manifest {path}: {exc.strerror}; name it with --manifest") from exc
    except ContractError as exc:
        raise ImageError(f"{path} is no manifest of an image: {exc}; name it with --manifest") from exc
    bmap_path = names_of(path.with_name(Path(manifest.image).name))[0]
    bmap = load_bmap(bmap_path)
    if _sha256(bmap.text().encode()) != manifest.bmap_sha256 or bmap.image_size != manifest.size:
        raise ImageError(f"{bmap_path} and {path} are not of the same image: build it again")
    return manifest, bmap


def verify(target: Path, manifest: ImageManifest, bmap: Bmap, progress: Progress = _quiet) -> None:
    """Read an image or a card: every mapped range, and the personalization through its file systems.

    Raises:
        ImageError: naming the first range, or every file, that differs.
    """
    done = 0

    def count(more: int) -> None:
        nonlocal done
        done += more
        progress("reading back", done, bmap.mapped_bytes)

    try:
        span = first_difference(target, bmap, count)
    except OSError as exc:
        raise ImageError(f"{target}: {exc.strerror}") from exc
    if span is not None:
        raise ImageError(
            f"{target} differs from the image of {manifest.node} in blocks {span.first}-{span.last} "
            f"(bytes {span.first * BLOCK} to {(span.last + 1) * BLOCK - 1})"
        )
    progress("checking the personalization", 0, 0)
    if wrong := differences(read_disk(target), manifest.files):
        raise ImageError(f"{target} is not the card of {manifest.node}: {'; '.join(wrong[:5])}")


def copy_base(base: Path, out: Path, progress: Progress) -> str:
    """Copy or decompress ``base`` into ``out``, holes kept; the SHA-256 of ``base`` as it lies there."""
    digest = hashlib.sha256()
    try:
        refuse_another_kind(base)
        total = base.stat().st_size
        with base.open("rb") as raw:
            read = 0

            class Counted:
                def read(self, size: int = -1) -> bytes:
                    nonlocal read
                    data = raw.read(size)
                    digest.update(data)
                    read += len(data)
                    progress("copying the base", read, total)
                    return data

            source: Any = Counted()
            if base.suffix == ".xz":
                source = _Unpacked(source)
            with out.open("r+b") as file:
                file.truncate(0)
                _copy_sparse(source, file)
    except (lzma.LZMAError, EOFError) as exc:
        raise ImageError(f"{base} is damaged or incomplete ({exc}): download it again") from exc
    except OSError as exc:
        if exc.errno == errno.ENOSPC:
            raise ImageError(f"{out.parent}: {exc.strerror}; make room, or build elsewhere with --out") from exc
        raise ImageError(f"cannot copy the base image {base}: {exc.strerror}; name the stock image") from exc
    return digest.hexdigest()


def refuse_another_kind(base: Path) -> None:
    """Look at the first bytes, so that no long file is read in vain.

    Raises:
        OSError: it cannot be read.
        ImageError: it is packed otherwise than its name says, or no file.
    """
    if not (base.is_file() or base.is_block_device() or base.is_dir()):
        base.stat()
        raise ImageError(f"the base image {base} is a pipe or a device, not a file: name the stock image")
    with base.open("rb") as file:
        head = file.read(8)
    packed = next((kind for magic, kind in _PACKED.items() if head.startswith(magic)), None)
    if base.suffix == ".xz" and packed != ".xz":
        raise ImageError(f"{base} is no xz file: download it again, or name it .img if it is unpacked")
    if base.suffix != ".xz" and packed == ".xz":
        raise ImageError(f"{base} is packed: name it {base.name}.xz, or unpack it with `unxz`")
    if packed not in (None, ".xz") or base.suffix in (".gz", ".zip", ".zst", ".bz2"):
        raise ImageError(f"{base}: unpack it first; .img and .img.xz are taken as they are")


def clone(source: Path, out: Path, progress: Progress) -> None:
    """Copy a plain image, sharing its blocks where the file system can, and its holes anyway."""
    with source.open("rb") as read, out.open("r+b") as write:
        size = read.seek(0, os.SEEK_END)
        write.truncate(0)
        try:
            fcntl.ioctl(write, _FICLONE, read.fileno())
        except OSError:
            write.truncate(size)
            at = 0
            while at < size:
                try:
                    begin = os.lseek(read.fileno(), at, os.SEEK_DATA)
                except OSError:
                    break  # a hole to the end
                at = os.lseek(read.fileno(), begin, os.SEEK_HOLE)
                while begin < at:
                    done = os.copy_file_range(read.fileno(), write.fileno(), min(at - begin, 64 << 20), begin, begin)
                    if not done:
                        raise ImageError(f"{source} became shorter while it was copied") from None
                    begin += done
                    progress("copying the base", begin, size)


class _Unpacked:
    """The unpacked bytes of an xz stream; a truncated one raises EOFError."""

    def __init__(self, source: Any) -> None:
        self._file = lzma.LZMAFile(source)  # noqa: SIM115 -- closed with its source

    def read(self, size: int) -> bytes:
        return self._file.read(size)


def _copy_sparse(source: Any, file: IO[bytes]) -> None:
    zeros, at = bytes(_CHUNK), 0
    while data := source.read(_CHUNK):
        if data != zeros[: len(data)]:
            # The finer grain keeps the copy as small as the base.
            for begin in range(0, len(data), 65_536):
                piece = data[begin : begin + 65_536]
                if piece != zeros[: len(piece)]:
                    os.pwrite(file.fileno(), piece, at + begin)
        at += len(data)
    file.truncate(at)


@contextmanager
def _alone(part: Path) -> Iterator[Path]:
    """The part file, held by one process; a dead one's leftover is taken over."""
    fd = os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ImageError(f"another process is making {part.name[1:-5]} in this folder; wait for it") from None
        try:
            yield part
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    finally:
        os.close(fd)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
