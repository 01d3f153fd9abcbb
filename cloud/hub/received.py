"""Which rows of a boot are stored: a bit for each sequence number, in pages. By it each row is stored once.

An index over the rows themselves would say the same, and cost more than the row's numbers do; and it would forbid to
cut the table by time (docs/adr/0041-rows-are-known-by-bitmaps.md). The pages change in the transaction of the rows.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence

import sqlalchemy as sa

from wayside.cloud.hub.store import received

PAGE = 4096  # rows of a page: half a KiB when it is full of holes
REMEMBERED = 20_000  # pages: the present one of each node of a large fleet, some 15 MB

_LOAD = sa.select(received.c.page, received.c.bits).where(
    received.c.boot_id == sa.bindparam("boot"), received.c.page.in_(sa.bindparam("pages", expanding=True))
)
_SAVE = sa.text(
    "INSERT INTO received (boot_id, page, bits) VALUES (:boot, :page, :bits) "
    "ON CONFLICT (boot_id, page) DO UPDATE SET bits = excluded.bits"
)


class Received:
    """The writer's memory of pages. :meth:`forget` after a rollback."""

    def __init__(self) -> None:
        self._pages: OrderedDict[tuple[int, int], int] = OrderedDict()
        self._of_boot: dict[int, set[int]] = {}  # the pages above, by boot
        self._unsaved: dict[tuple[int, int], int] = {}

    def forget(self, boots: frozenset[int] | None = None) -> None:
        """All pages and what is not saved, or only the pages of these ``boots``."""
        if boots is None:
            self._pages.clear()
            self._of_boot.clear()
            self._unsaved.clear()
            return
        for boot in boots:
            for page in self._of_boot.pop(boot, ()):
                del self._pages[boot, page]

    def take(self, connection: sa.Connection, boot: int, seqs: Sequence[int]) -> list[bool]:
        """Note ``seqs`` of ``boot`` (its row id) as stored; for each whether it is new. :meth:`save` is to follow."""
        if (page := _run(seqs)) is not None:  # as a node sends them: as dear as one row
            self._load(connection, boot, (page,))
            bits, run = self._pages[boot, page], (1 << len(seqs)) - 1 << seqs[0] % PAGE
            if not bits & run:
                self._pages[boot, page] = self._unsaved[boot, page] = bits | run
                return [True] * len(seqs)
        self._load(connection, boot, {seq // PAGE for seq in seqs})
        new = []
        for seq in seqs:
            page, place = divmod(seq, PAGE)
            bits, bit = self._pages[boot, page], 1 << place
            new.append(not bits & bit)
            if not bits & bit:
                self._pages[boot, page] = self._unsaved[boot, page] = bits | bit
        return new

    def save(self, connection: sa.Connection) -> None:
        """In the order of their keys: no two processes wait for each other."""
        if self._unsaved:
            pages = sorted(self._unsaved.items())
            self._unsaved = {}
            connection.execute(_SAVE, [{"boot": b, "page": p, "bits": as_bytes(bits)} for (b, p), bits in pages])
        while len(self._pages) > REMEMBERED:
            (boot, page), _ = self._pages.popitem(last=False)
            self._of_boot[boot].discard(page)

    def _load(self, connection: sa.Connection, boot: int, pages: Iterable[int]) -> None:
        missing = []
        for page in pages:
            if (boot, page) in self._pages:
                self._pages.move_to_end((boot, page))
            else:
                missing.append(page)
                self._pages[boot, page] = 0
        if missing:
            self._of_boot.setdefault(boot, set()).update(missing)
            self.save(connection)  # what was forgotten and is not saved yet would be read as it was
            for page, bits in connection.execute(_LOAD, {"boot": boot, "pages": missing}):
                self._pages[boot, page] = int.from_bytes(bits, "little")


def _run(seqs: Sequence[int]) -> int | None:
    """The page that ``seqs`` lie in one after the other; None: they do not."""
    first, count = seqs[0], len(seqs)
    if first % PAGE + count <= PAGE and seqs == list(range(first, first + count)):
        return first // PAGE
    return None


def as_bytes(bits: int) -> bytes:
    return bits.to_bytes((bits.bit_length() + 7) // 8, "little")
