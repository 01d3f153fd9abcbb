"""The file of a backup: a ZIP archive of a hub's data as they were at one moment, and a manifest that accounts for it.

``manifest.json`` is the last entry: every other one with its length and SHA-256. It finds what a disk or a copy has
damaged; it is no signature, and the archive holds the hub's secrets (docs/operating.md).
"""

from __future__ import annotations

import hashlib
import os
import re
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO

import msgspec

from wayside.cloud.hub.errors import BackupError
from wayside.durable import sync_folder
from wayside.text import open_file

MANIFEST = "manifest.json"
FORMAT = 1
MAX_MANIFEST_BYTES = 64 << 20  # half a million files
_CHUNK = 1 << 20
_PATH = re.compile(r"(?!.*(?:^|/)\.{1,2}(?:/|$))[^/\\\x00][^\\\x00]*(?<!/)")
Told = Callable[[str, int, int], None]
"""What is done, and how many bytes of how many."""


class File(msgspec.Struct, frozen=True, kw_only=True):
    path: Annotated[str, msgspec.Meta(min_length=1, max_length=1024)]  # below the data folder, with /
    bytes: Annotated[int, msgspec.Meta(ge=0, le=2**53)]
    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    format: int = FORMAT
    made_ms: Annotated[int, msgspec.Meta(ge=0, le=2**53)]  # by the hub's clock, before the first byte was read
    release: Annotated[str, msgspec.Meta(max_length=64)]  # of wayside, that made it
    revision: Annotated[str, msgspec.Meta(max_length=32)]  # of the store's schema
    store: Annotated[str, msgspec.Meta(max_length=32)]  # sqlite or postgresql
    nodes: Annotated[int, msgspec.Meta(ge=0)]
    rows: Annotated[int, msgspec.Meta(ge=0)]  # summaries that the hub has stored since it was made
    files: tuple[File, ...]

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files)


class Writing:
    """An archive while it is made; of no use before :meth:`finish`."""

    def __init__(self, file: BinaryIO) -> None:
        self._zip = zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1)
        self._files: list[File] = []

    def add(self, path: str, content: Iterable[bytes], told: Callable[[int], None]) -> None:
        """Raises: OSError: ``content`` cannot be read, or there is no room."""
        digest, size = hashlib.sha256(), 0
        with self._zip.open(path, "w", force_zip64=True) as entry:
            for chunk in content:
                digest.update(chunk)
                entry.write(chunk)
                size += len(chunk)
                told(len(chunk))
        self._files.append(File(path=path, bytes=size, sha256=digest.hexdigest()))

    def finish(self, **about: object) -> Manifest:
        manifest = msgspec.convert({**about, "files": tuple(self._files)}, Manifest)
        self._zip.writestr(MANIFEST, msgspec.json.format(msgspec.json.encode(manifest)))
        return manifest

    def __enter__(self) -> Writing:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()


def chunks(file: BinaryIO) -> Iterator[bytes]:
    while chunk := file.read(_CHUNK):
        yield chunk


@contextmanager
def opened(path: Path) -> Iterator[tuple[zipfile.ZipFile, Manifest]]:
    """A backup's archive and its manifest; the other entries are not read yet.

    Raises:
        BackupError: there is none, or it is no backup, or a newer release's.
    """
    with ExitStack() as stack:
        with _reading(path):
            archive = stack.enter_context(zipfile.ZipFile(stack.enter_context(open_file(path))))
            manifest = _manifest(archive, path)
        yield archive, manifest


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise BackupError("backup", f"cannot read {path}: {exc.strerror or exc}") from exc
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as exc:
        what = f"{path} is no backup of a hub, or is damaged ({exc or type(exc).__name__})"
        raise BackupError("backup", f"{what}: take another one") from exc


def _manifest(archive: zipfile.ZipFile, path: Path) -> Manifest:
    if MANIFEST not in archive.namelist():
        raise BackupError("backup", f"{path} is an archive of something else: it has no {MANIFEST}")
    if archive.getinfo(MANIFEST).file_size > MAX_MANIFEST_BYTES:
        raise BackupError("backup", f"{path} is no backup of a hub: its {MANIFEST} is endless")
    text = archive.read(MANIFEST)
    try:
        told = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
        if (version := msgspec.json.decode(told.get("format", b"null"))) != FORMAT:
            raise BackupError("backup", f"{path} is of format {version!r}: a newer release of wayside reads it")
        manifest = msgspec.json.decode(text, type=Manifest)
    except msgspec.MsgspecError as exc:
        raise BackupError("backup", f"the {MANIFEST} of {path} is none ({exc}): take another backup") from exc
    named = [file.path for file in manifest.files]
    bad = next((name for name in named if not _PATH.fullmatch(name)), None)
    if bad is not None or sorted([*named, MANIFEST]) != sorted(archive.namelist()):
        which = f"has {bad!r}" if bad is not None else f"and its {MANIFEST} name different files"
        raise BackupError("backup", f"{path} {which}: it is damaged, or was changed; take another backup")
    return manifest


def verify(path: Path, told: Told) -> Manifest:
    """Read all of it. Raises: BackupError: an entry is not what the manifest says."""
    with opened(path) as (archive, manifest):
        done = 0
        for file in manifest.files:
            for chunk in _checked(archive, file, path):
                done += len(chunk)
                told("checking", done, manifest.bytes)
        return manifest


def unpack(path: Path, folder: Path, told: Told) -> Manifest:
    """Write every file below ``folder``, durably and for its owner alone.

    Raises:
        BackupError: an entry is not what the manifest says; what is in ``folder`` is of no use.
        OSError: no room, or the disk failed.
    """
    with opened(path) as (archive, manifest):
        done = 0
        folders = {folder}
        for file in manifest.files:
            place = folder / file.path
            place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            folders |= {above for above in place.parents if folder in above.parents}
            with os.fdopen(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
                for chunk in _checked(archive, file, path):
                    out.write(chunk)
                    done += len(chunk)
                    told("unpacking", done, manifest.bytes)
                out.flush()
                os.fsync(out.fileno())
        for each in sorted(folders, reverse=True):
            sync_folder(each)
        return manifest


def _checked(archive: zipfile.ZipFile, file: File, path: Path) -> Iterator[bytes]:
    digest, left = hashlib.sha256(), file.bytes
    with _reading(path), archive.open(file.path) as entry:
        while left >= 0 and (chunk := entry.read(min(_CHUNK, left + 1))):
            left -= len(chunk)
            digest.update(chunk)
            yield chunk
    if left or digest.hexdigest() != file.sha256:
        raise BackupError("backup", f"{file.path} in {path} is not what was put in: it is damaged; take another backup")
