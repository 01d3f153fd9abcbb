"""Bad lines: of damaged frames no wrong value is believed, and the second good one is never lost.

Every protocol's frames wander as real air does, are damaged as lines damage them (tests.simulators.uart.damaged), and
go through the decoder and the confirmation, as on a node. A value is wrong when it lies outside what the sensor
measured while the frames behind it were sent. ``python -m tests.edge.uart.test_damage 100000`` prints the table of
docs/sensors.md.
"""

from __future__ import annotations

import os
import random
import sys
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

import pytest

from tests.simulators.uart import Walk, damaged
from wayside.edge.sensors.uart.confirm import FRAMES, Confirmation
from wayside.edge.sensors.uart.kinds import PROTOCOLS, decoder_of

SHARE = {"pms": 0.5, "sds011": 0.5, "sps30": 0.5, "mhz19": 0.25, "nmea": 0.5, "dsmr": 0.9}
"""Of the frames that are damaged. A line on which a quarter is unreadable is a condition long before."""
ACCURACY = {"co2": 50.0}  # ppm, of the data sheet; every other measure has to be right to the last digit
PREPARED = 4000


class Count(NamedTuple):
    damaged: int = 0
    passed: int = 0
    """damaged frames whose checksum and form are right"""
    undoubted: int = 0
    """of them those that also keep the protocol's rules"""
    said: int = 0
    """values that left for the node"""
    wrong: int = 0
    lost: int = 0
    """good frames that were not decoded though the one before was good; directly after a damaged one a false frame of
    which the sum is right may end within the good one"""

    def plus(self, other: Count) -> Count:
        return Count(*(a + b for a, b in zip(self, other, strict=True)))


def on_a_bad_line(protocol: str, frames: int, seed: int) -> Count:
    """``frames`` of them damaged."""
    draw = random.Random(seed)
    walk = Walk(protocol, draw)
    prepared = [(values := walk.values(), walk.frame(values)) for _ in range(PREPARED)]
    decoder, confirmation = decoder_of(protocol), Confirmation()
    marks = deque([0] * FRAMES, maxlen=FRAMES)  # when the frames behind a value were sent
    hurt = passed = undoubted = said = wrong = lost = 0
    i, before_good = 0, False
    while hurt < frames:
        values, sent = prepared[i % PREPARED]
        following = prepared[(i + 1) % PREPARED]
        i += 1
        good = i <= 2 * FRAMES or draw.random() >= SHARE[protocol]
        if not good:
            hurt += 1
            sent = damaged(sent, following[1], draw)
        decoded = decoder.feed(sent)
        lost += good and before_good and not any(_is(f.values, values) for f in decoded)
        before_good = good
        for frame in decoded:
            near = [prepared[k % PREPARED][0] for k in range(max(0, i - 3), i + 1)]
            if not any(_is(frame.values, v) for v in near):
                passed += 1
                undoubted += frame.doubt is None
            if frame.doubt is None:
                marks.append(i)
            told = confirmation.take(frame)
            if told is not None and told.doubt is None:
                said += 1
                window = [prepared[k % PREPARED][0] for k in range(max(0, marks[0] - 2), i + 1)]
                wrong += not all(_within(n, v, window) for n, v in told.values.items())
    return Count(hurt, passed, undoubted, said, wrong, lost)


def _is(one: dict[str, float], other: dict[str, float]) -> bool:
    return all(abs(one.get(n, 1e99) - v) <= 1e-5 * max(1.0, abs(v)) for n, v in other.items())


def _within(name: str, value: float, window: list[dict[str, float]]) -> bool:
    sent = [w[name] for w in window if name in w]
    slack = ACCURACY.get(name, 1e-5 * max(1.0, abs(value)))
    return bool(sent) and min(sent) - slack <= value <= max(sent) + slack


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_of_damaged_frames_no_wrong_value_is_believed(protocol: str) -> None:
    count = on_a_bad_line(protocol, 4000, seed=7)
    assert (count.wrong, count.lost) == (0, 0), count
    assert count.said > 1000 * (1 - SHARE[protocol])


@pytest.mark.slow
@pytest.mark.timeout(5400)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_of_a_million_damaged_frames_no_wrong_value_is_believed(protocol: str) -> None:
    count = _in_parallel(protocol, 1_000_000)
    print(protocol, count)
    assert (count.damaged, count.wrong, count.lost) == (1_000_000, 0, 0)


def _in_parallel(protocol: str, frames: int) -> Count:
    parts = 20
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        counts = list(pool.map(on_a_bad_line, [protocol] * parts, [frames // parts] * parts, range(100, 100 + parts)))
    total = Count()
    for count in counts:
        total = total.plus(count)
    return total


if __name__ == "__main__":
    for name in sys.argv[2:] or PROTOCOLS:
        print(name, _in_parallel(name, int(sys.argv[1])), flush=True)
