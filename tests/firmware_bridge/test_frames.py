"""The decoder recovers from any bytes, accepts no corrupt frame, and the C decoder agrees with it byte for byte."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wayside.firmware_bridge.line import frames
from wayside.firmware_bridge.native import compile_program

payloads = st.binary(min_size=1, max_size=frames.MAX_PAYLOAD)
# Noise with many zeros and small codes looks most like frames.
noises = st.lists(st.one_of(st.binary(max_size=90), st.sampled_from([b"\0", b"\1\0", b"\3\1\0"]))).map(b"".join)


def fed(stream: bytes, cuts: list[int]) -> tuple[list[bytes], frames.Counts]:
    decoder, out, at = frames.Decoder(), [], 0
    for cut in [*sorted(c % (len(stream) + 1) for c in cuts), len(stream)]:
        out += decoder.feed(stream[at:cut])
        at = max(at, cut)
    return out, decoder.counts


def damaged(frame: bytes, rng: random.Random) -> bytes:
    """One to three bits flipped, the delimiter's excepted."""
    while True:
        out = bytearray(frame)
        for _ in range(rng.randint(1, 3)):
            out[rng.randrange(len(out) - 1)] ^= 1 << rng.randrange(8)
        if out != frame:
            return bytes(out)


@given(st.lists(payloads))
def test_what_is_encoded_is_decoded(sent: list[bytes]) -> None:
    decoder = frames.Decoder()
    assert decoder.feed(b"".join(map(frames.encode, sent))) == sent
    assert decoder.counts.frames == len(sent)
    assert decoder.counts.dropped == 0


@given(st.lists(st.one_of(noises, payloads.map(frames.encode))).map(b"".join), st.lists(st.integers(0, 10_000)))
def test_the_result_does_not_depend_on_how_the_stream_is_chopped(stream: bytes, cuts: list[int]) -> None:
    assert fed(stream, cuts) == fed(stream, [])


@given(noises, payloads)
def test_after_any_noise_one_delimiter_brings_the_next_frame(noise: bytes, payload: bytes) -> None:
    out, counts = fed(noise + b"\0" + frames.encode(payload), [])
    assert out[-1] == payload
    assert counts.bytes == len(noise) + 1 + len(frames.encode(payload))


@given(noises, payloads, payloads)
def test_after_any_noise_at_most_one_good_frame_is_lost(noise: bytes, first: bytes, second: bytes) -> None:
    assert fed(noise + frames.encode(first) + frames.encode(second), [])[0][-1] == second


@given(st.integers(1, 2000), st.integers(1, 255))
def test_a_line_without_delimiters_costs_bounded_memory(chunk: int, byte: int) -> None:
    decoder = frames.Decoder()
    for _ in range(100):
        assert decoder.feed(bytes([byte]) * chunk) == []
    assert len(decoder._tail) <= frames.MAX_FRAME + 1
    decoder.feed(b"\0")
    assert decoder.counts.dropped == 1


def test_of_damaged_frames_none_is_accepted() -> None:
    """One to three flipped bits on the stuffed bytes, as a line would. A flip in a COBS code moves the bytes behind it,
    which no CRC excludes; 32 bits make that one in four thousand million."""
    rng = random.Random(1)
    decoder = frames.Decoder()
    for _ in range(40_000):
        payload = rng.randbytes(rng.randint(1, 30))
        assert payload not in decoder.feed(b"\0" + damaged(frames.encode(payload), rng) + b"\0")
    assert decoder.counts.frames == 0


def fuzzed(core: Path, count: int) -> str:
    done = subprocess.run([core, "frames", "1", str(count)], capture_output=True, text=True, check=False)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_no_damaged_frame_is_accepted_and_the_second_good_one_behind_it_is_read(core: Path) -> None:
    assert fuzzed(core, 100_000).startswith("100000 damaged, 0 corrupt accepted")


@pytest.mark.slow
def test_of_ten_million_damaged_frames_none_is_accepted(tmp_path: Path) -> None:
    core = compile_program(tmp_path / "core_test", (Path(__file__).parent / "core_test.c",), ("-O2",))
    said = fuzzed(core, 10_000_000)
    assert said.startswith("10000000 damaged, 0 corrupt accepted")
    assert said.endswith("0 late\n")


def test_a_power_cut_at_any_write_leaves_the_plan_table_before_or_the_new_one(core: Path) -> None:
    done = subprocess.run([core, "cuts", "1", "8"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[0]) > 1000


@pytest.mark.parametrize("size", [0, frames.MAX_PAYLOAD + 1])
def test_a_payload_of_impossible_size_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="1 to 64 bytes"):
        frames.encode(bytes(size))


def test_the_c_decoder_agrees_on_a_hostile_stream(core: Path) -> None:
    rng = random.Random(2)
    parts = []
    for _ in range(4000):
        part = bytearray(frames.encode(rng.randbytes(rng.randint(1, frames.MAX_PAYLOAD))))
        match rng.randrange(5):
            case 0:
                part[rng.randrange(len(part))] ^= 1 << rng.randrange(8)
            case 1:
                del part[rng.randrange(len(part)) :]
            case 2:
                part += bytes(rng.randrange(4) for _ in range(rng.randrange(100)))
        parts.append(bytes(part))
    stream = b"".join(parts) + b"\0"
    out, counts = fed(stream, [])
    said = subprocess.run([core, "decode"], input=stream, capture_output=True, check=True).stdout.decode().split("\n")
    assert [bytes.fromhex(line) for line in said[:-2]] == out
    assert said[-2] == f"{counts.frames} {counts.dropped}"
    assert counts.frames > 1000
    assert counts.dropped > 1000


@pytest.mark.parametrize("seed", range(8))
def test_the_core_survives_any_host_under_the_sanitizers(core: Path, seed: int) -> None:
    done = subprocess.run([core, "fuzz", str(seed), "20000"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    made, lost, *_ = (int(word) for word in done.stdout.split() if word.isdigit())
    assert made > lost > 0


@pytest.mark.parametrize("seed", range(1, 5))
def test_a_board_with_signals_survives_any_host_and_lights_no_conflict(core: Path, seed: int) -> None:
    done = subprocess.run([core, "signals", str(seed), "60000"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("every phase was green")
