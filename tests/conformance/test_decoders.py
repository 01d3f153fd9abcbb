"""What a decoder of a sensor's protocol keeps, whatever it decodes: each is given what its sensor says, whole, in
pieces, behind garbage and on a line that babbles. Bad lines have a suite of their own (tests/edge/uart/test_damage.py).
"""

from __future__ import annotations

import random

import pytest

from tests.simulators.uart import ENCODERS, Walk, pieces
from wayside.contracts.uart_config import KINDS, MEASURES
from wayside.edge.sensors.uart.kinds import PROTOCOLS, decoder_of


@pytest.fixture(params=PROTOCOLS)
def protocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_each_protocol_of_the_configuration_has_a_decoder_and_a_simulator() -> None:
    assert set(PROTOCOLS) == set(KINDS) == set(ENCODERS)


def test_a_frame_gives_what_the_sensor_measured_in_names_of_the_configuration(protocol: str) -> None:
    walk = Walk(protocol, random.Random(1))
    values = walk.values()
    (frame,) = decoder_of(protocol).feed(walk.frame(values))
    assert frame.doubt is None
    assert set(frame.values) <= set(KINDS[protocol].measures) <= set(MEASURES)
    assert {n: frame.values[n] for n in values} == pytest.approx(values, rel=1e-6, abs=1e-6)


def test_frames_may_come_in_pieces_and_many_at_once(protocol: str) -> None:
    draw = random.Random(2)
    walk = Walk(protocol, draw)
    stream = b"".join(walk.frame(walk.values()) for _ in range(50))
    whole, cut, single = decoder_of(protocol), decoder_of(protocol), decoder_of(protocol)
    frames = whole.feed(stream)
    assert len(frames) == 50
    assert whole.refused == 0
    assert [f for piece in pieces(stream, draw) for f in cut.feed(piece)] == frames
    assert [f for byte in stream for f in single.feed(bytes([byte]))] == frames


def test_the_first_good_frame_after_any_garbage_is_decoded(protocol: str) -> None:
    draw = random.Random(3)
    walk = Walk(protocol, draw)
    for _ in range(300):
        decoder = decoder_of(protocol)
        cut = walk.frame(walk.values())
        garbage = draw.choice((draw.randbytes(draw.randrange(200)), cut[: draw.randrange(len(cut))], cut[:4] * 3))
        decoder.feed(garbage)
        values = walk.values()
        frames = decoder.feed(walk.frame(values))
        assert any(f.values[n] == pytest.approx(v, rel=1e-6, abs=1e-6) for f in frames for n, v in values.items())


def test_a_line_that_babbles_fills_no_memory(protocol: str) -> None:
    decoder, draw = decoder_of(protocol), random.Random(4)
    head = Walk(protocol, draw).frame(Walk(protocol, draw).values())[:4]
    for _ in range(200):
        assert decoder.feed(draw.choice((draw.randbytes(1000), head * 250, b"\x7e\x7d$/!" * 200))) == []
    assert len(decoder._buffer) <= 4096  # type: ignore[attr-defined]
