"""The quick reading of a sync body and the contract's own never differ."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.simulators.node import SimulatedNode
from wayside.cloud.hub.door.bodies import decoded_sync
from wayside.cloud.hub.errors import ContractBrokenError
from wayside.cloud.hub.openapi import decoded
from wayside.contracts.summary import Kind
from wayside.contracts.sync import MAX_SUMMARIES, SyncRequest
from wayside.contracts.task_config import Offer
from wayside.contracts.wire import encode

BAD = "no such name!"


def body(rows: int = 3) -> dict[str, Any]:
    node = SimulatedNode(None)
    summaries = [node.summary(None, datastream=f"det/{i}", kind=Kind.INTERVAL) for i in range(rows)]
    summaries.append(node.summary(40.0, kind=Kind.ALERT, detail={"what": "unlike the forecast"}, anomaly=7.5))
    plain: dict[str, Any] = json.loads(node.request(summaries))
    return plain


def said(read: Any, data: bytes) -> tuple[str, object, object]:
    try:
        document = read(data)
    except ContractBrokenError as exc:
        return "refused", exc.field, exc.message
    return "read", encode(document), document.extra


def same(plain: object) -> str:
    data = json.dumps(plain).encode()
    quick = said(decoded_sync, data)
    assert quick == said(lambda given: decoded(given, SyncRequest), data)
    return quick[0]


def test_a_good_body_is_read_without_the_long_way() -> None:
    plain = body()
    assert same(plain) == "read"
    assert type(decoded_sync(json.dumps(plain).encode())) is not SyncRequest


@pytest.mark.parametrize("field", ["node", "boot", "datastream", "kind", "quality", "unit", "seq", "value", "detail"])
def test_one_bad_field_of_the_last_row_is_refused_by_name(field: str) -> None:
    plain = body()
    plain["summaries"][-1][field] = BAD * 2
    assert same(plain) == "refused"


@pytest.mark.parametrize(("field", "value"), [("boot", BAD), ("clock", "unknown"), ("mono_ns", -1), ("wall_ms", None)])
def test_one_bad_stamp_is_refused_by_name(field: str, value: object) -> None:
    plain = body()
    plain["summaries"][1]["at"][field] = value
    assert same(plain) == "refused"


@pytest.mark.parametrize("version", [0, 2, -1, True, "1", None])
def test_another_version_is_refused(version: object) -> None:
    assert same(body() | {"wire": version}) == "refused"


def test_too_many_rows_are_refused() -> None:
    plain = body()
    plain["summaries"] *= MAX_SUMMARIES // 4 + 1  # of four rows
    assert same(plain) == "refused"


def test_unknown_fields_are_kept_wherever_they_stand() -> None:
    plain = body()
    plain["newer"] = 1
    plain["summaries"][0]["newer"] = [2]
    plain["summaries"][1]["at"]["newer"] = {"three": 3}
    assert same(plain) == "read"
    document = decoded_sync(json.dumps(plain).encode())
    assert document.extra == {"newer": 1}
    assert document.summaries[1].at.extra == {"newer": {"three": 3}}


JUNK = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=80) | st.just([]) | st.just({})
KEYS = st.sampled_from([*SyncRequest.__struct_fields__, "newer"])
ROW_KEYS = st.sampled_from(
    ["node", "boot", "seq", "kind", "datastream", "at", "value", "quality", "derived", "extra", "newer"]
)
OFFER_KEYS = st.sampled_from([*Offer.__struct_fields__, "newer"])


@given(
    st.dictionaries(KEYS, JUNK, max_size=2),
    st.dictionaries(ROW_KEYS, JUNK, max_size=2),
    st.dictionaries(OFFER_KEYS, JUNK, max_size=2),
    JUNK,
)
def test_any_body_gets_the_contracts_own_answer(
    top: dict[str, Any], row: dict[str, Any], offer: dict[str, Any], whole: object
) -> None:
    same(whole)
    plain = body(1)
    plain["summaries"][0] |= row
    plain["offer"] |= offer
    same(plain | top)


@pytest.mark.parametrize("steps", ["interval_s", "step_s"])
def test_an_offer_that_breaks_its_own_rule_is_refused_by_name(steps: str) -> None:
    plain = body()
    plain["offer"]["tasks"][0][steps] = 1000.5
    assert same(plain) == "refused"


def test_new_fields_reach_the_reader_the_short_way() -> None:
    plain = body()
    plain["summaries"][0]["derived"] = True
    assert same(plain) == "read"
    document = decoded_sync(json.dumps(plain).encode())
    assert type(document) is not SyncRequest
    assert [row.derived for row in document.summaries] == [True, False, False, False]
    assert document.offer is not None
    assert document.offer.tasks[0].bundle == "traffic-flow"
