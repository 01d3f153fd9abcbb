"""Archives whose bytes depend on their contents alone: sorted, one time, two modes, owned by root."""

from __future__ import annotations

import datetime
import gzip
import io
import tarfile
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from wayside.errors import WaysideError


class DistributionError(WaysideError):
    """Something cannot be made here; the message says what to install or to mend."""


def tar(entries: Iterable[tuple[str, Path | bytes, int]], epoch: int, owners: Mapping[str, int] | None = None) -> bytes:
    """A tar of (name, contents, mode); a folder's contents are the folder, a link is kept as a link.

    Args:
        owners: the numbers of those to whom an entry belongs, where that is not root.
    """
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, content, mode in sorted(entries, key=lambda entry: entry[0]):
            info = tarfile.TarInfo(name)
            info.mtime, info.mode = epoch, mode
            info.uid = info.gid = (owners or {}).get(name, 0)
            if isinstance(content, bytes):
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
            elif content.is_symlink():
                info.type, info.linkname, info.mode = tarfile.SYMTYPE, str(content.readlink()), 0o777
                archive.addfile(info)
            elif content.is_dir():
                info.type, info.mode = tarfile.DIRTYPE, 0o755
                archive.addfile(info)
            else:
                data = content.read_bytes()
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def folder_entries(folder: Path, at: str) -> Iterable[tuple[str, Path, int]]:
    """Everything under ``folder``, as entries below ``at``; a file that may be run may be run by all."""
    for path in sorted(folder.rglob("*")):
        runs = path.is_file() and not path.is_symlink() and path.stat().st_mode & 0o100
        yield f"{at}/{path.relative_to(folder)}", path, 0o755 if runs else 0o644


def gzipped(data: bytes) -> bytes:
    return gzip.compress(data, compresslevel=6, mtime=0)


def same_wheel(path: Path, epoch: int) -> None:
    """Write the wheel at ``path`` again, as it would be written anywhere."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    made = datetime.datetime.fromtimestamp(max(epoch, 315532800), datetime.UTC)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        # The record stands last, as the format recommends.
        for name in sorted(files, key=lambda name: (name.endswith(".dist-info/RECORD"), name)):
            entry = zipfile.ZipInfo(name, made.timetuple()[:6])
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o100644 << 16
            archive.writestr(entry, files[name])
    path.write_bytes(out.getvalue())


def same_source(path: Path, epoch: int) -> None:
    """Write the .tar.gz at ``path`` again, as it would be written anywhere."""
    with tarfile.open(path) as archive:
        entries = [
            (member.name, file.read(), 0o755 if member.mode & 0o100 else 0o644)
            for member in archive.getmembers()
            if (file := archive.extractfile(member)) is not None
        ]
    path.write_bytes(gzipped(tar(entries, epoch)))
