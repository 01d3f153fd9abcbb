"""Two slots for the model's bundle, switched by one rename.

``a.bundle`` + ``a.json`` and ``b.bundle`` + ``b.json``; a record names its bundle's SHA-256 and carries a
sequence number. The active slot is the one with the highest number whose bundle still has that hash: there is no
pointer that could be torn, and a slot that rotted falls back to the other by itself.

Writing takes the slot that is not running: drop its record, write the bundle, then the record; each step is
synced before the next. Power may fail between or within any two steps; until the last rename the old slot wins.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec
import structlog

from wayside.contracts.passport import MAX_BUNDLE_BYTES, Sha256
from wayside.contracts.wire import ContractError, Document, decode, encode, wire_field
from wayside.durable import remove, replace_file

NAMES = ("a", "b")
log = structlog.get_logger(__name__)


class Record(Document, frozen=True, kw_only=True):
    wire: int = wire_field()
    sequence: Annotated[int, msgspec.Meta(ge=1, le=2**53)]
    sha256: Sha256


class Slot(NamedTuple):
    name: str
    content: bytes  # the bundle, with the hash that was recorded when it was written


class Slots:
    """The pair of slots in ``folder``, which may be absent until the first write."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.damaged: dict[str, str] = {}  # slots that should have been readable and were not → why

    def sound(self) -> Iterator[Slot]:
        """Slots whose bundle has its recorded hash, the active one first; the others go to the log and ``damaged``."""
        records = self._records()
        for name in sorted(records, key=lambda n: records[n].sequence, reverse=True):
            try:
                with (self._folder / f"{name}.bundle").open("rb") as file:
                    content = file.read(MAX_BUNDLE_BYTES + 1)
            except OSError as exc:
                self._damage(name, str(exc))
                continue
            if hashlib.sha256(content).hexdigest() != records[name].sha256:
                self._damage(name, f"the bundle of {len(content)} bytes does not have the recorded hash")
                continue
            yield Slot(name, content)

    def write(self, content: bytes, *, keep: str | None) -> str:
        """Make ``content`` the active bundle, durably; return its slot's name.

        Args:
            keep: the slot that is running and must survive.

        Raises:
            OSError: no room, or the disk failed. ``keep`` is still whole.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        name = next(n for n in NAMES if n != keep)
        sequence = max((r.sequence for r in self._records().values()), default=0) + 1
        record = self._folder / f"{name}.json"
        remove(record)
        replace_file(self._folder / f"{name}.bundle", content)
        replace_file(record, encode(Record(sequence=sequence, sha256=hashlib.sha256(content).hexdigest())))
        return name

    def _records(self) -> dict[str, Record]:
        records = {}
        for name in NAMES:
            try:
                records[name] = decode((self._folder / f"{name}.json").read_bytes(), Record)
            except FileNotFoundError:
                continue
            except (OSError, ContractError) as exc:
                self._damage(name, f"the record is unreadable: {exc}")
        return records

    def _damage(self, name: str, what: str) -> None:
        log.error("slot damaged", slot=name, what=what)
        self.damaged[name] = what
