"""docs/wire.md §1 says of every message, event kind, flag and code of the serial line what it means."""

from __future__ import annotations

import re
from enum import IntEnum, IntFlag
from pathlib import Path

import pytest

from wayside.firmware_bridge.line.messages import CODES, LAYOUTS, MESSAGES, SCHEMA, PhaseTimes, fields

SERIAL = (Path(__file__).parents[2] / "docs" / "wire.md").read_text().partition("\n## 2")[0]
MEANS_ITSELF = {"POWER_ON", "UNKNOWN_PHASE", "BELOW_MIN_GREEN", "ABOVE_MAX_GREEN", "UNKNOWN_ACTION"}


def table(heading: str) -> list[list[str]]:
    """The cells of the first table behind ``heading``, without its head."""
    behind = SERIAL.partition(heading)[2]
    assert behind, f"docs/wire.md has no {heading!r}"
    rows = re.search(r"\n\|[^\n]*\n\|[-|]+\n((?:\|[^\n]*\n)+)", behind)
    assert rows is not None, f"no table behind {heading!r}"
    assert rows.start() < 200, f"the table behind {heading!r} is another's"
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[1].splitlines()]


@pytest.mark.parametrize("codes", CODES, ids=lambda codes: codes.__name__)
def test_every_code_has_a_row_with_its_number_its_name_and_what_it_means(codes: type[IntEnum] | type[IntFlag]) -> None:
    rows = table(f"\n**{codes.__name__}" if codes.__name__ != "PlanCode" else "\n**PlanResult codes**")
    assert [(row[0], row[1]) for row in rows] == [(str(c.value), str(c.name).lower().replace("_", " ")) for c in codes]
    for code, row in zip(codes, rows, strict=True):
        assert row[2] or code.name in MEANS_ITSELF, f"{codes.__name__}.{code.name} has no meaning"


@pytest.mark.parametrize(("id_", "kind"), MESSAGES.items(), ids=[kind.__name__ for kind in MESSAGES.values()])
def test_every_message_has_a_table_of_its_bytes(id_: int, kind: type) -> None:
    rows = [row for row in table(f"\n`0x{id_:02x}` **{kind.__name__}**") if row[1] != "id"]
    named = [row[1] for row in rows]
    expected = [field.name for field in fields(kind)] + (["phase", "green"] if kind is PhaseTimes else [])
    assert named == expected
    offset = 1
    for field, row in zip(fields(kind), rows, strict=False):
        assert row[0] == str(offset), f"{kind.__name__}.{field.name} begins at byte {offset}"
        offset += int(field.code[:-1]) if field.code[:-1] else {"B": 1, "H": 2, "I": 4}[field.code]
    assert offset == LAYOUTS[kind].size


def test_the_schema_hash_that_is_printed_is_the_tables() -> None:
    assert f"`0x{SCHEMA:08x}`" in SERIAL
