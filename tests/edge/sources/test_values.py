"""Readings that a sensor's rule does not believe, and analogue inputs between two words of the board."""

from __future__ import annotations

import random
from typing import Any

import pytest

from tests.edge.test_ledger import Hand
from wayside.contracts.reading import Quality
from wayside.contracts.sensor_config import AnalogConfig, DetectorConfig
from wayside.contracts.uart_config import UartValueConfig
from wayside.edge.ledger import Ledger
from wayside.edge.sources.intervals import Intervals
from wayside.edge.sources.level import Level
from wayside.edge.sources.step import Grid, Step
from wayside.edge.sources.values import FAILS, ValueSource
from wayside.firmware_bridge.line.messages import EventKind

STEP_NS = 900 * 10**9


class Sensed:
    """A gauge and a counter of one source."""

    def __init__(self, name: str = "uart") -> None:
        self.clock = Hand()
        self.clock._start_ms = 1_699_999_200_000
        values = (
            UartValueConfig(measure="pm2_5", datastream="pm"),
            UartValueConfig(measure="energy_in_t1", datastream="energy"),
        )
        self.ledger = Ledger("n", "0" * 32, self.clock)
        self.source = ValueSource(name, values, self.clock, Grid(self.clock, 900), self.ledger)
        self.source.pass_time()

    def step(self) -> list[tuple[float | None, Quality, int]]:
        self.clock.now_ns = (self.clock.now_ns // STEP_NS + 1) * STEP_NS
        self.source.pass_time()
        (step,) = (s for s in self.source.closed() if isinstance(s, Step))
        return list(zip(step.values, step.qualities, step.n, strict=True))


@pytest.fixture(params=sorted(FAILS))
def sensed(request: pytest.FixtureRequest) -> Sensed:
    return Sensed(request.param)


def test_a_doubtful_reading_is_never_part_of_a_good_value(sensed: Sensed) -> None:
    sensed.source.read(0, 10.0)
    sensed.source.read(0, 900.0, doubtful=True)
    assert sensed.step()[0] == (10.0, Quality.SUSPECT, 2)
    sensed.source.read(0, 900.0, doubtful=True)
    assert sensed.source.readings(sensed.ledger.now())[0].quality is Quality.OUT_OF_RANGE
    assert sensed.step()[0] == (900.0, Quality.OUT_OF_RANGE, 1)


def test_a_counter_does_not_move_by_a_doubtful_reading(sensed: Sensed) -> None:
    for raw, doubtful in ((100.0, False), (100.1, False), (5000.0, True), (100.2, False)):
        sensed.clock.now_ns += 10 * 10**9
        sensed.source.read(1, raw, doubtful=doubtful)
    value, _, n = sensed.step()[1]
    assert (value, n) == (pytest.approx(0.2), 3)


def test_an_exchanged_meter_begins_anew_and_adds_nothing(sensed: Sensed) -> None:
    sensed.source.read(1, 99_999.9)
    sensed.step()
    sensed.source.read(1, 12.0)
    assert sensed.step()[1][:2] == (None, Quality.MISSING)


def test_a_meter_that_moves_by_its_smallest_step_is_not_rounded_away(sensed: Sensed) -> None:
    sensed.source.read(1, 12_345.678)
    sensed.source.read(1, 12_345.679)
    assert sensed.step()[1][0] == pytest.approx(0.001)


def test_a_step_in_which_nothing_was_read_has_no_value(sensed: Sensed) -> None:
    assert [quality for _, quality, _ in sensed.step()] == [Quality.MISSING] * 2
    sensed.source.read(0, 5.0)
    sensed.step()
    assert sensed.step()[0] == (None, Quality.STALE, 0)


def test_a_value_that_fails_three_times_is_a_condition_until_it_is_read(sensed: Sensed) -> None:
    for _ in range(3):
        sensed.source.fail(0, "says nothing")
    code = FAILS[sensed.source.name]
    assert sensed.ledger.holds(code, "pm")
    sensed.source.read(0, 5.0)
    assert not sensed.ledger.holds(code, "pm")


def test_a_restart_continues_the_open_step(sensed: Sensed) -> None:
    sensed.source.read(0, 10.0)
    sensed.source.read(1, 100.0)
    again = Sensed(sensed.source.name)
    again.source.restore(sensed.source.state())
    again.source.read(0, 20.0)
    assert again.step()[0] == (15.0, Quality.GOOD, 2)


# --- analogue inputs --------------------------------------------------------------------------------------------------

LUX = AnalogConfig(channel=4, datastream="lux", unit="lx", scale=10.0, offset=-5.0, low=0.0, high=9000.0)


def test_between_two_changes_the_value_is_the_last_one() -> None:
    level = Level(LUX)
    level.begin(0, 0)
    level.read(0, 10)
    level.read(750, 20)
    assert level.close(1000) == (pytest.approx(0.75 * 95 + 0.25 * 195), Quality.GOOD, 2)
    assert level.close(2000) == (195.0, Quality.GOOD, 0)  # not a word, and still known


def test_a_cut_wire_is_out_of_range_and_a_part_of_a_step_is_no_whole_one() -> None:
    level = Level(LUX)
    level.begin(0, 0)
    assert level.close(1000) == (None, Quality.MISSING, 0)
    level.read(1500, 100)
    assert level.close(2000)[1] is Quality.GAP
    level.read(2500, 1023)
    assert level.close(3000) == (995.0, Quality.SUSPECT, 1)
    assert level.close(4000) == (10_225.0, Quality.OUT_OF_RANGE, 0)
    level.forget(4000)
    assert level.close(5000) == (None, Quality.MISSING, 0)


def test_an_interval_has_detectors_first_and_analogue_inputs_after_them() -> None:
    made = Intervals([DetectorConfig(channel=1, datastream="det")], 900, [LUX])
    made.start(0)
    closed: list[Any] = []
    made.event(0, EventKind.ANALOG, 4, 20, closed)
    made.event(10, EventKind.DETECTOR, 1, 1, closed)
    made.event(11, EventKind.DETECTOR, 1, 0, closed)
    made.event(20, EventKind.ANALOG, 7, 500, closed)  # of which nobody configured anything
    state = made.state()
    again = Intervals([DetectorConfig(channel=1, datastream="det")], 900, [LUX])
    again.restore(state)
    again.pass_time(900_000, closed)
    (interval,) = closed
    assert (interval.counts, interval.qualities) == ([1.0, 195.0], [Quality.GOOD] * 2)
    assert [e.name for e in interval.extras] == ["analog/7"]


def test_a_mean_over_time_is_within_what_was_told() -> None:
    draw = random.Random(1)
    for _ in range(200):
        level, at = Level(LUX), 0
        level.begin(0, 0)
        told = []
        for _ in range(draw.randrange(1, 9)):
            told.append(draw.randrange(1, 900))
            level.read(at, told[-1])
            at += draw.randrange(0, 400)
        value, quality, n = level.close(max(1000, at))
        assert value is not None
        assert 10 * min(told) - 5 - 1e-6 <= value <= 10 * max(told) - 5 + 1e-6
        assert (quality, n) == (Quality.GOOD, len(told))
