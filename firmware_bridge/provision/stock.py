"""The stock image of a folder of cards: read and hashed once, looked into once, unpacked only while that is needed."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from wayside.contracts.wire import ContractError, Document, decode, encode, wire_field
from wayside.durable import finish_file, replace_file
from wayside.firmware_bridge.errors import ProvisionError
from wayside.firmware_bridge.image.base import Base, read_base
from wayside.firmware_bridge.image.build import PlainBase, Progress, copy_base, refuse_another_kind
from wayside.firmware_bridge.image.disk import Disk, read_disk
from wayside.firmware_bridge.image.wheels import Sha256
from wayside.text import read_file

_UNREAD = "0" * 64


class BaseJournal(Document, frozen=True, kw_only=True):
    wire: int = wire_field()
    name: str
    size: int
    modified_ns: int
    sha256: Sha256 = _UNREAD
    facts: Base | None = None


class StockBase:
    """The stock image: read and hashed once per folder, unpacked only while it is looked into or made a card of."""

    def __init__(self, base: Path, out: Path, progress: Progress) -> None:
        self._base, self._out, self._progress = base, out, progress
        self._journal = out / "journal" / "base.json"
        self._unpacked = out / ".base.img"
        self.sha256 = ""  # of the file as it came; once it was read
        self._facts: Base | None = None

    @property
    def packed(self) -> bool:
        return self._base.suffix == ".xz"

    def look(self) -> tuple[Base, Disk | None]:
        """What a card depends on, and the image where it had to be opened for that.

        Raises:
            ProvisionError, ImageError: it cannot be read, or no card can be made of it.
        """
        known = self._known()
        if known.facts is not None:
            self._facts = known.facts
            return known.facts, None
        disk = read_disk(self.plain().path)
        self._facts = read_base(disk.ext4)
        if self.packed:
            self._note()
        return self._facts, disk

    def read(self) -> None:
        """Hash it, unless the folder's journal knows it. Raises: ProvisionError, ImageError: it cannot be read."""
        self.sha256 = self._known().sha256
        if self.sha256 == _UNREAD:
            self._journal.unlink(missing_ok=True)
            self._unpacked.unlink(missing_ok=True)
            self.sha256 = self._read()
        self._note()

    def _known(self) -> BaseJournal:
        """What the folder's journal says of this very file; else with nothing in it but what the file system says."""
        try:
            refuse_another_kind(self._base)
            facts = self._base.stat()
        except OSError as exc:
            raise ProvisionError(f"the base image {self._base}: {exc.strerror}; name the stock image") from exc
        about = BaseJournal(name=self._base.name, size=facts.st_size, modified_ns=facts.st_mtime_ns)
        try:
            known = decode(read_file(self._journal), BaseJournal)
        except (OSError, ContractError):
            return about
        same = (known.name, known.size, known.modified_ns) == (about.name, about.size, about.modified_ns)
        return known if same else about

    def _note(self) -> None:
        self._journal.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
        known = msgspec.structs.replace(self._known(), sha256=self.sha256, facts=self._facts)
        replace_file(self._journal, encode(known))

    def plain(self) -> PlainBase:
        """Unpacked. Raises: ProvisionError, ImageError: it cannot be."""
        if not self.packed:
            return PlainBase(self._base, self._base.name, self.sha256)
        if not self.sha256:
            self.read()
        if not self._unpacked.exists() and self._read() != self.sha256:
            raise ProvisionError(f"{self._base} changed while it was read: run the command again")
        return PlainBase(self._unpacked, self._base.name, self.sha256)

    def _read(self) -> str:
        if not self.packed:
            self._progress("reading the base", 0, 0)
            with self._base.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        self._out.mkdir(parents=True, exist_ok=True)
        part = self._unpacked.with_name(f"{self._unpacked.name}.part")
        part.write_bytes(b"")
        sha256 = copy_base(self._base, part, self._progress)
        finish_file(part, self._unpacked)
        return sha256

    def put_away(self) -> None:
        self._unpacked.unlink(missing_ok=True)
