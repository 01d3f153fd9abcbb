"""The serial line: each rate beside the 921,600-baud line that it must keep up with, in one run."""

from __future__ import annotations

import os
import pty
import random
import threading
import tty
from typing import Any

import serial

from wayside.firmware_bridge.line import frames, messages
from wayside.firmware_bridge.line.board import BoardLink
from wayside.firmware_bridge.line.messages import PROTOCOL, SCHEMA, Event, Identity, Status

BAUD = 921_600
COUNT = 20_000
READ_BYTES = 4096  # what one read of a busy line brings


def event(seq: int) -> bytes:
    return frames.encode(messages.encode(Event(seq, seq * 7, 1, seq % 32, seq % 2)))


def chunks(stream: bytes) -> list[bytes]:
    return [stream[at : at + READ_BYTES] for at in range(0, len(stream), READ_BYTES)]


def report(benchmark: Any, what: str, count: int, frame_bytes: float) -> None:
    rate, line = count / benchmark.stats.stats.median, BAUD / 10 / frame_bytes
    benchmark.extra_info |= {"per_second": rate, "line_per_second": line, "times_the_line": rate / line}
    print(f"\n{what}: {rate:,.0f}/s; {BAUD:,} baud carry {line:,.0f}/s of {frame_bytes:g} bytes: {rate / line:.0f} x")


def test_decode_frames_of_19_bytes(benchmark: Any) -> None:
    rng = random.Random(1)
    stream = b"".join(frames.encode(rng.randbytes(13)) for _ in range(COUNT))
    assert len(stream) == 19 * COUNT
    parts = chunks(stream)

    def decode() -> int:
        decoder = frames.Decoder()
        return sum(len(decoder.feed(part)) for part in parts)

    assert benchmark(decode) == COUNT
    report(benchmark, "decoder, frames", COUNT, 19)


def test_decode_to_events(benchmark: Any) -> None:
    stream = b"".join(map(event, range(1, COUNT + 1)))
    parts = chunks(stream)
    greeting = b"".join(
        frames.encode(messages.encode(m))
        for m in (Identity(PROTOCOL, SCHEMA, 1, 0, 0, "bench", 1, 1, 8192), Status(0, 1, 1, 0, 0, 0, 0, 1))
    )

    def fresh() -> tuple[tuple[BoardLink], dict[str, Any]]:
        link = BoardLink()
        link.hello()
        link.receive(greeting)
        return (link,), {}

    def receive(link: BoardLink) -> int:
        return sum(len(link.receive(part)) for part in parts)

    assert benchmark.pedantic(receive, setup=fresh, rounds=30, warmup_rounds=3) == COUNT
    report(benchmark, "link, events", COUNT, len(stream) / COUNT)


def test_read_and_decode_through_a_pty(benchmark: Any) -> None:
    stream = b"".join(map(event, range(1, COUNT + 1)))
    master, slave = pty.openpty()
    tty.setraw(slave)
    port = serial.Serial(os.ttyname(slave), BAUD, timeout=5)

    def write_all() -> None:
        at = 0
        while at < len(stream):
            at += os.write(master, stream[at : at + 65_536])

    def read() -> int:
        writer = threading.Thread(target=write_all)
        writer.start()
        decoder, count = frames.Decoder(), 0
        while count < COUNT:
            count += len(decoder.feed(port.read(port.in_waiting or 1)))
        writer.join()
        return count

    assert benchmark.pedantic(read, rounds=10, warmup_rounds=1) == COUNT
    report(benchmark, "pty, in_waiting, decoder; frames", COUNT, len(stream) / COUNT)
    port.close()
    os.close(slave)
    os.close(master)
