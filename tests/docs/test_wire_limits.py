"""The limits that docs/wire.md names are those of the contracts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args, get_type_hints

import msgspec
import pytest

from wayside.contracts.commissioning import MAX_RECORD_BYTES
from wayside.contracts.sync import MAX_BODY_BYTES, MAX_SUMMARIES, Heartbeat, Offer, SyncReply

PAGE = " ".join((Path(__file__).parents[2] / "docs" / "wire.md").read_text().split())


@pytest.mark.parametrize(
    ("sentence", "limit"),
    [
        (r"at most ([\d,]+) bytes before and after decompression", MAX_BODY_BYTES),
        (r"at most ([\d,]+) summaries", MAX_SUMMARIES),
        (r"The record has at most ([\d,]+) bytes", MAX_RECORD_BYTES),
    ],
)
def test_a_limit_in_a_sentence_is_the_contracts(sentence: str, limit: int) -> None:
    assert [int(number.replace(",", "")) for number in re.findall(sentence, PAGE)] == [limit]


@pytest.mark.parametrize(
    ("document", "field"),
    [
        (Heartbeat, "models"),
        (Heartbeat, "tasks"),
        (Heartbeat, "conditions"),
        (Offer, "datastreams"),
        (Offer, "tasks"),
        (SyncReply, "wanted"),
    ],
)
def test_a_list_is_as_long_as_its_row_says(document: type, field: str) -> None:
    table = PAGE.partition(f"**`{document.__name__}`**")[2]
    stated = re.search(rf"\| `{field}` \| [^|]*× 0…(\d+) \|", table)
    assert stated is not None
    (meta,) = (m for m in get_args(get_type_hints(document, include_extras=True)[field]) if isinstance(m, msgspec.Meta))
    assert meta.max_length == int(stated[1])
