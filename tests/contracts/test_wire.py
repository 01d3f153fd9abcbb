"""Wire version 1: golden documents stay readable, unknown fields survive, bad input is refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wayside.contracts.commissioning import CommissioningRecord, CommissioningReply, SignedCommissioning
from wayside.contracts.passport import Passport
from wayside.contracts.reading import ClockState, Quality, Reading, Stamp
from wayside.contracts.summary import Kind, Summary
from wayside.contracts.sync import EnrolReply, EnrolRequest, ErrorReply, NonceReply, SyncReply, SyncRequest
from wayside.contracts.task import TaskSpec
from wayside.contracts.wire import WIRE_VERSION, ContractError, Document, decode, encode, from_builtins, to_builtins

GOLDEN = Path(__file__).parents[1] / "golden"
KINDS: dict[str, type[Document]] = {
    kind.__name__: kind
    for kind in (
        Passport,
        Reading,
        Summary,
        SyncRequest,
        SyncReply,
        EnrolRequest,
        EnrolReply,
        NonceReply,
        ErrorReply,
        TaskSpec,
        CommissioningRecord,
        SignedCommissioning,
        CommissioningReply,
    )
}
FILES = sorted(GOLDEN.glob("v*/*.json"))
DOCUMENTS = [p for p in FILES if p.name.split(".")[0] in KINDS]
OPEN = ("detail", "mae", "scores", "losses", "limits", "left_out", "honest", "inputs", "constants")
BOOT = "0" * 32
AT = Stamp(boot=BOOT, mono_ns=5)


def test_there_is_a_golden_file_for_every_document() -> None:
    assert {p.name.split(".")[0] for p in DOCUMENTS if p.parent.name == f"v{WIRE_VERSION}"} == set(KINDS)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_a_golden_document_is_read_and_written_back_unchanged(path: Path) -> None:
    raw = json.loads(path.read_bytes())
    assert json.loads(encode(decode(path.read_bytes(), KINDS[path.name.split(".")[0]]))) == raw


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.name)
def test_unknown_fields_of_a_newer_writer_survive_at_every_depth(path: Path) -> None:
    raw = json.loads(path.read_bytes())

    def strew(value: object) -> object:
        if isinstance(value, dict):
            # Open maps take their keys as data; only documents have unknown fields.
            opened = {k: v if k in OPEN and isinstance(v, dict) else strew(v) for k, v in value.items()}
            return opened | {"from_v9": [1, {"a": None}]}
        return [strew(v) for v in value] if isinstance(value, list) else value

    newer = strew(raw)
    kind = KINDS[path.name.split(".")[0]]
    assert json.loads(encode(decode(json.dumps(newer).encode(), kind))) == newer
    assert to_builtins(from_builtins(newer, kind)) == newer


@pytest.mark.parametrize("path", [p for p in DOCUMENTS if "wire" in p.read_text()], ids=lambda p: p.name)
def test_a_version_of_the_future_is_refused_by_name(path: Path) -> None:
    raw = json.loads(path.read_bytes()) | {"wire": WIRE_VERSION + 1}
    with pytest.raises(ContractError, match=r"^wire: is 2"):
        decode(json.dumps(raw).encode(), KINDS[path.name.split(".")[0]])


@given(st.binary(max_size=300))
def test_any_bytes_decode_or_are_refused_and_nothing_else_happens(data: bytes) -> None:
    for kind in KINDS.values():
        try:
            decode(data, kind)
        except ContractError as refusal:
            assert refusal.field and refusal.rule


@given(st.data())
def test_a_mutated_sync_request_decodes_or_is_refused(data: st.DataObject) -> None:
    raw = bytearray((GOLDEN / "v1" / "SyncRequest.json").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        assert isinstance(decode(bytes(raw), SyncRequest), SyncRequest)
    except ContractError as refusal:
        assert refusal.field


def test_json_nested_a_million_deep_is_refused() -> None:
    with pytest.raises(ContractError):
        decode(b"[" * 1_000_000, SyncRequest)


@pytest.mark.parametrize(
    ("change", "field", "rule"),
    [
        ({"seq": -1}, "$.seq", ">= 0"),
        ({"boot": "xyz"}, "$.boot", "regex"),
        ({"kind": "picture"}, "$.kind", "picture"),
        ({"value": "12"}, "$.value", "float"),
        ({"node": "../etc"}, "$.node", "regex"),
        ({"value": None}, "$", "missing"),
        ({"at": {"boot": BOOT, "mono_ns": 1, "wall_ms": 5}}, "$.at", "wall_ms"),
        ({"detail": {"x": {"raw": [1, 2]}}}, "$.detail", ""),
    ],
)
def test_a_bad_summary_is_refused_naming_field_and_rule(change: dict[str, object], field: str, rule: str) -> None:
    raw = json.loads((GOLDEN / "v1" / "Summary.json").read_bytes()) | change
    with pytest.raises(ContractError) as refusal:
        decode(json.dumps(raw).encode(), Summary)
    assert refusal.value.field.startswith(field)
    assert rule in refusal.value.rule


def test_a_missing_value_is_none_and_never_zero() -> None:
    with pytest.raises(ValueError, match="has quality"):
        Reading(datastream="a", value=None, unit="1", quality=Quality.GOOD, at=AT)
    with pytest.raises(ValueError, match="has no value"):
        Reading(datastream="a", value=0.0, unit="1", quality=Quality.MISSING, at=AT)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_reading_is_finite(value: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        Reading(datastream="a", value=value, unit="1", quality=Quality.GOOD, at=AT)


def test_an_unknown_clock_has_no_wall_time() -> None:
    with pytest.raises(ValueError, match="wall_ms"):
        Stamp(boot=BOOT, mono_ns=1, wall_ms=0)
    assert Stamp(boot=BOOT, mono_ns=1, wall_ms=0, clock=ClockState.HUB).wall_ms == 0


def test_a_node_cannot_speak_for_another() -> None:
    raw = json.loads((GOLDEN / "v1" / "SyncRequest.json").read_bytes())
    raw["summaries"][0]["node"] = "node-2"
    with pytest.raises(ContractError, match="signs the request"):
        decode(json.dumps(raw).encode(), SyncRequest)


def test_no_field_of_the_sync_request_can_carry_raw_data() -> None:
    """Only numbers, names, short labels: neither bytes nor lists of readings have a place to go."""
    row = json.loads((GOLDEN / "v1" / "Summary.json").read_bytes())
    for smuggled in ({"detail": {"frame": "A" * 257}}, {"detail": {str(i): 1 for i in range(33)}}, {"unit": "x" * 17}):
        with pytest.raises(ContractError):
            decode(json.dumps(row | smuggled).encode(), Summary)
    assert {k.value for k in Kind} == {"interval", "alert", "decision", "gap"}
