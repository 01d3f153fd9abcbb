"""What the rows themselves say, against what was counted as they came: for tests, and for whoever doubts a disk."""

from __future__ import annotations

from collections import defaultdict

import sqlalchemy as sa

from wayside.cloud.hub.received import PAGE
from wayside.cloud.hub.retention.cold import Cold, files

_BOOTS = sa.text("""
SELECT b.id, n.name, b.boot, b.rows AS counted, b.last_seq FROM boots b JOIN nodes n ON n.id = b.node_id ORDER BY b.id
""")
_BITS = sa.text("SELECT boot_id, page, bits FROM received")
_SEQS = sa.text("SELECT boot_id, seq FROM summaries")


class _Found:
    """Of one boot: its rows as the table has them."""

    __slots__ = ("last", "pages", "rows", "twice")

    def __init__(self) -> None:
        self.rows = self.twice = 0
        self.last = -1
        self.pages: dict[int, bytearray] = {}

    def add(self, seq: int) -> None:
        number, place = divmod(seq, PAGE)
        page = self.pages.get(number)
        if page is None:
            page = self.pages[number] = bytearray(PAGE // 8)
        bit = 1 << (place & 7)
        self.rows += 1
        self.twice += bool(page[place >> 3] & bit)
        page[place >> 3] |= bit
        self.last = max(self.last, seq)


def recount(connection: sa.Connection, cold: Cold) -> list[str]:
    """One sentence for each boot whose rows are not what was counted, or not each there once. Reads every row, once,
    those in files, too. Rows of files that were forgotten are missed.

    Raises:
        StoreUnavailableError: a file is missing or damaged.
    """
    found: defaultdict[int, _Found] = defaultdict(_Found)
    for file in files(connection):
        for cold_row in cold.rows(file, "true", (), columns="boot_id, seq"):
            found[cold_row["boot_id"]].add(cold_row["seq"])
    for boot, seq in connection.execute(_SEQS):
        found[boot].add(seq)
    noted: defaultdict[int, dict[int, bytes]] = defaultdict(dict)
    for boot, page, bits in connection.execute(_BITS):
        noted[boot][page] = bytes(bits).ljust(PAGE // 8, b"\0")
    wrong = []
    for row in connection.execute(_BOOTS):
        who, there = f"{row.name}, boot {row.boot[:8]}", found.pop(row.id, None) or _Found()
        if there.twice:
            wrong.append(f"{who}: {there.twice} rows are stored twice")
        last = there.last if there.rows else None
        if (row.counted, row.last_seq) != (there.rows, last):
            counted = f"{row.counted} rows up to {row.last_seq} were counted"
            wrong.append(f"{who}: {counted}, {there.rows} up to {last} are stored")
        if noted[row.id] != there.pages:
            wrong.append(f"{who}: the rows are not those that were noted as received")
    return wrong + [f"{lost.rows} rows are of a boot {boot} that nobody knows" for boot, lost in found.items()]
