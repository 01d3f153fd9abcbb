"""When a detector may be believed."""

from __future__ import annotations

from wayside.contracts.reading import Quality
from wayside.contracts.sensor_config import DetectorConfig
from wayside.edge.sources.quality import DetectorHealth

STEP = 900_000


def health(step_ms: int = STEP, **more: object) -> DetectorHealth:
    return DetectorHealth(DetectorConfig(channel=1, datastream="d", **more), 0, step_ms)  # type: ignore[arg-type]


def test_presence_without_release_is_stuck_on() -> None:
    detector = health(stuck_on_s=300)
    detector.edge(1000, 1)
    assert detector.close(200_000)[1] is Quality.GOOD
    assert detector.close(302_000)[1] is Quality.STUCK_ON
    detector.edge(303_000, 0)
    assert detector.close(400_000)[1] is Quality.STUCK_ON
    assert detector.close(500_000)[1] is Quality.GOOD


def test_a_long_silence_is_no_hit_and_a_vehicle_ends_it() -> None:
    detector = health(no_hit_s=3600)
    assert detector.close(3_600_000)[1] is Quality.GOOD
    assert detector.close(3_700_000)[1] is Quality.NO_HIT
    detector.edge(3_800_000, 1)
    detector.edge(3_800_500, 0)
    assert detector.close(3_900_000)[1] is Quality.GOOD


def test_38_edges_in_30_seconds_are_chatter_and_37_are_not() -> None:
    for n, wanted in ((37, Quality.GOOD), (38, Quality.CHATTER)):
        detector = health()
        for i in range(n):
            detector.edge(i * 700, 1)
            detector.edge(i * 700 + 300, 0)
        assert detector.close(900_000)[1] is wanted


def test_more_vehicles_than_a_road_carries_are_out_of_range() -> None:
    for n, wanted in ((100, Quality.GOOD), (101, Quality.OUT_OF_RANGE)):
        detector = health(max_veh_h=400.0, chatter_per_30_s=1000)
        for i in range(n):
            detector.edge(i * 8000, 1)
            detector.edge(i * 8000 + 300, 0)
        assert detector.close(STEP)[1] is wanted


def test_two_vehicles_in_a_second_are_no_7200_an_hour() -> None:
    detector = health(step_ms=1000, max_veh_h=4000.0)
    for ms in (100, 500):
        detector.edge(ms, 1)
        detector.edge(ms + 50, 0)
    assert detector.close(1000)[1] is Quality.GOOD


def test_what_a_detector_remembers_outlives_a_restart() -> None:
    detector = health(step_ms=300_000, max_veh_h=400.0, chatter_per_30_s=1000)
    for i in range(90):
        detector.edge(i * 3000, 1)
        detector.edge(i * 3000 + 300, 0)
    assert detector.close(300_000)[1] is Quality.GOOD
    again = health(step_ms=300_000, max_veh_h=400.0, chatter_per_30_s=1000)
    again.restore(detector.state())
    for i in range(20):
        again.edge(300_000 + i * 3000, 1)
        again.edge(300_300 + i * 3000, 0)
    assert again.close(600_000)[1] is Quality.OUT_OF_RANGE  # 110 in a quarter of an hour
