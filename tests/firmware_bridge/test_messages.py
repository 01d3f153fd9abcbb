"""The message table: Python, C header and golden frames say the same; what is not in the table is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wayside.firmware_bridge.errors import MessageError
from wayside.firmware_bridge.line import frames, messages
from wayside.firmware_bridge.line.header import HEADER, header
from wayside.firmware_bridge.line.messages import (
    FROM_BOARD,
    FROM_HOST,
    Action,
    Event,
    Heartbeat,
    Hello,
    Identity,
    PhaseGreen,
    PhaseTimes,
    PlanCode,
    PlanResult,
    SignalRequest,
    Status,
    TableCommit,
    TablePart,
)

GOLDEN = Path(__file__).parents[1] / "golden" / "v1"
EXAMPLES: list[messages.Message] = [
    Identity(2, 0x01020304, 2, 0, 0, "board-1", 0xDEADBEEF, 5, 8192, 0xCBF43926),
    Event(1, 0, 1, 0, 1),
    Status(4_294_967_295, 1001, 900, 1000, 899, 12, 3, 1),
    PlanResult(7, PlanCode.BELOW_MIN_GREEN, 2),
    Hello(0, 0),
    Heartbeat(0xDEADBEEF, 899),
    PhaseTimes(7, 600, 2, (PhaseGreen(2, 255), PhaseGreen(4, 256))),
    SignalRequest(8, Action.FORCE_OFF, 6),
    TablePart(32, bytes(range(32))),
    TableCommit(9, Action.STORE_TABLE, 78, 0xCBF43926),
]
GOLDEN_FRAMES = json.loads((GOLDEN / "serial_frames_2.json").read_text())


def test_the_committed_header_is_current() -> None:
    assert HEADER.read_text() == header(), "run `wayside board header`"


def test_ids_are_distinct_and_their_high_bit_says_who_speaks() -> None:
    assert all(id_ < 0x80 for id_ in FROM_BOARD)
    assert all(id_ >= 0x80 for id_ in FROM_HOST)


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda m: type(m).__name__)
def test_a_message_comes_back_as_it_went_and_as_its_golden_frame(message: messages.Message) -> None:
    name = type(message).__name__
    frame = frames.encode(messages.encode(message))
    assert frame.hex() == GOLDEN_FRAMES[name]["frame"]
    [payload] = frames.Decoder().feed(bytes.fromhex(GOLDEN_FRAMES[name]["frame"]))
    assert messages.decode(payload) == message


def test_there_is_a_golden_frame_for_every_message() -> None:
    assert set(GOLDEN_FRAMES) == {kind.__name__ for kind in messages.MESSAGES.values()}


def test_frames_of_protocol_1_are_dropped_and_never_read_as_something_else() -> None:
    decoder = frames.Decoder()
    old = json.loads((GOLDEN / "serial_frames.json").read_text())
    assert decoder.feed(b"".join(bytes.fromhex(row["frame"]) for row in old.values())) == []
    assert decoder.counts.dropped == len(old)


@given(st.binary(max_size=frames.MAX_PAYLOAD))
def test_any_payload_is_a_message_or_refused_by_name(payload: bytes) -> None:
    try:
        message = messages.decode(payload)
    except MessageError:
        return
    assert messages.encode(message) == payload or isinstance(message, Identity)  # zeros inside a name are not kept


@pytest.mark.parametrize("name", [b"k\xf6", b"\x1b[2J", b"a\0b", b"a\nb"])
def test_a_name_that_cannot_be_shown_is_refused(name: bytes) -> None:
    payload = messages.encode(EXAMPLES[0])
    with pytest.raises(MessageError, match="printable ASCII"):
        messages.decode(payload[:9] + name.ljust(8, b"\0") + payload[17:])


@pytest.mark.parametrize(
    "message",
    [
        Event(-1, 0, 1, 0, 1),
        Event(1, 0, 1, 256, 1),
        Event(1, 0, 1, 1, 65_536),
        Identity(1, 0, 1, 0, 0, "kö", 1, 1, 1),
        PhaseTimes(1, 600, 3, ()),
        PhaseTimes(1, 600, 1, (PhaseGreen(1, 70_000),)),
    ],
)
def test_what_does_not_fit_is_refused_before_it_is_sent(message: messages.Message) -> None:
    with pytest.raises(MessageError):
        messages.encode(message)


def test_the_document_has_every_byte_of_every_message() -> None:
    text = (Path(__file__).parents[2] / "docs" / "wire.md").read_text()
    types = {"B": ("u8", 1), "H": ("u16", 2), "I": ("u32", 4), "8s": ("char[8]", 8), "32s": ("u8[32]", 32)}
    assert f"{messages.SCHEMA:#010x}" in text
    assert frames.encode(messages.encode(Event(1, 1000, 1, 3, 1))).hex(" ") in text
    for id_, kind in messages.MESSAGES.items():
        section = text.split(f"`0x{id_:02x}` **{kind.__name__}**")[1].split("\n`0x")[0]
        at = 1
        for field in messages.fields(kind):
            c_type, size = types[field.code]
            assert f"| {at} | {field.name} | {c_type} |" in section
            at += size
