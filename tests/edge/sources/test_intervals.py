"""Board events become intervals, each in exactly one."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from wayside.contracts.reading import Quality
from wayside.contracts.sensor_config import DetectorConfig
from wayside.edge.sources.intervals import Interval, Intervals, Lost

STEP = 900_000


@given(st.lists(st.tuples(st.integers(0, 3 * STEP), st.booleans()), max_size=80), st.lists(st.booleans(), min_size=80))
@settings(max_examples=100, deadline=None)
def test_every_event_and_every_loss_lands_in_exactly_one_step(edges: list[tuple[int, bool]], lost: list[bool]) -> None:
    intervals = Intervals([DetectorConfig(channel=1, datastream="d")], 900)
    intervals.start(0)
    closed: list[Interval | Lost] = []
    losses = 0
    ordered = sorted(edges)
    for (ms, up), gone in zip(ordered, lost, strict=False):
        if gone:
            intervals.lose(2)
            losses += 2
        intervals.event(ms, 1, 1, int(up), closed)
    intervals.pass_time(4 * STEP, closed)
    steps = [c for c in closed if isinstance(c, Interval)]
    assert [s.end_ms for s in steps] == [STEP, 2 * STEP, 3 * STEP, 4 * STEP]
    assert sum(s.readings[0] for s in steps) == len(edges)
    assert sum(c.events for c in closed if isinstance(c, Lost)) == losses
    for step in steps:
        truth = sum(up for ms, up in ordered if step.start_ms <= ms < step.end_ms)
        assert step.counts[0] == truth or (step.counts[0] is None and truth == 0)
        assert (step.counts[0] is None) == (step.qualities[0] is Quality.MISSING)
