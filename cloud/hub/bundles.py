"""The passport out of a published bundle: a bounded read of one entry of a zip archive that is not trusted.

The hub asks nothing else of a bundle; nodes open all of it and check more (``edge/trusted_bundle.py``). Before
``zipfile`` sees the file, its last record is checked, so that no directory of a million entries is ever read.
"""

from __future__ import annotations

import errno
import struct
import zipfile
import zlib
from pathlib import Path

from wayside.cloud.hub.errors import ConflictError
from wayside.contracts.passport import MAX_BUNDLE_BYTES, MAX_ENTRIES, MAX_PASSPORT_BYTES, PASSPORT_FILE, Passport
from wayside.contracts.wire import ContractError, decode

_END = struct.Struct("<4s4H2LH")  # end of central directory (APPNOTE.TXT 4.3.16), without a comment
_LOCATOR_BYTES = 20  # of ZIP64, before it
_MAX_DIRECTORY_BYTES = MAX_ENTRIES * 1024


def read_passport(file: Path) -> Passport:
    """The passport of the bundle in ``file``.

    Raises:
        ConflictError: not a bundle.
    """
    try:
        _check_directory(file)
        with zipfile.ZipFile(file) as archive:
            return decode(_entry(archive), Passport)
    except ContractError as exc:
        raise _not_a_bundle(file, f"its passport breaks the contract: {exc}") from exc
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError) as exc:
        raise _not_a_bundle(file, str(exc)) from exc
    except OSError as exc:
        if exc.errno != errno.EINVAL:  # an offset before the beginning; all else is the hub's own disk
            raise
        raise _not_a_bundle(file, "it is not a sound zip archive") from exc


def _check_directory(file: Path) -> None:
    size = file.stat().st_size
    if not _END.size <= size <= MAX_BUNDLE_BYTES:
        raise ValueError(f"it has {size} bytes")
    with file.open("rb") as source:
        source.seek(max(0, size - _END.size - _LOCATOR_BYTES))
        tail = source.read()
    signature, _, _, _, entries, length, _, comment = _END.unpack(tail[-_END.size :])
    if signature != b"PK\x05\x06" or comment:
        raise ValueError("it is not a zip archive without a comment")
    if tail[: -_END.size].startswith(b"PK\x06\x07"):
        raise ValueError("it is a ZIP64 archive")
    if entries > MAX_ENTRIES or length > _MAX_DIRECTORY_BYTES:
        raise ValueError(f"it has {entries} entries and a directory of {length} bytes")


def _entry(archive: zipfile.ZipFile) -> bytes:
    entries = [entry for entry in archive.infolist() if entry.filename == PASSPORT_FILE]
    if len(entries) != 1:
        raise ValueError(f"it has {len(entries)} entries named {PASSPORT_FILE}")
    (entry,) = entries
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or entry.flag_bits & 0x1:
        raise ValueError(f"{PASSPORT_FILE} is encrypted, or neither stored nor deflated")
    if entry.file_size > MAX_PASSPORT_BYTES:
        raise ValueError(f"{PASSPORT_FILE} has {entry.file_size} bytes")
    with archive.open(entry) as source:  # reads no more than the size that the entry declares, then checks the CRC
        return source.read(MAX_PASSPORT_BYTES)


def _not_a_bundle(file: Path, why: str) -> ConflictError:
    return ConflictError(
        "not_a_bundle", f"{file.name[65:]} is published, but is no bundle that a node takes: {why[:300]}"
    )
