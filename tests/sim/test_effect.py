"""Made-up months through the real policies and guard: what is worth more is measured as worth more."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

import msgspec
import numpy as np
import pytest

from tests.sim.months import air_month, load_month
from wayside.cloud.sim import air, course, energy
from wayside.cloud.sim.replay import Replay
from wayside.cloud.sim.scenario import Acting, acting, load_air, load_energy
from wayside.cloud.sim.tariff import load_tariff
from wayside.contracts.action import Notice, Setpoint
from wayside.contracts.actuator_config import NoticeConfig, SetpointConfig

ENERGY, AIR = load_energy(None), load_air(None)
(PUMP,) = acting(ENERGY, SetpointConfig)
(WARNING,), (CLEANING,) = acting(AIR, NoticeConfig), acting(AIR, SetpointConfig)
TARIFFS = ("dynamic", "time_of_use")


def driven(own: Acting, replay: Replay) -> course.Course:
    return course.run(own.policy, own.settings, own.limits, replay, output=own.task.sites[0].output)


def energy_month(tariff: str, replay: Replay) -> energy.EnergyMonth:
    assert isinstance(PUMP.limits, SetpointConfig)
    return energy.month_of(replay, ENERGY.plant, PUMP.limits, load_tariff(tariff))


@pytest.fixture(scope="module")
def load() -> Replay:
    return load_month()


@pytest.fixture(scope="module")
def pm25() -> Replay:
    return air_month()


@pytest.mark.parametrize("tariff", TARIFFS)
def test_a_shifted_load_is_cheaper_than_at_once_and_never_cheaper_than_the_best(load: Replay, tariff: str) -> None:
    month = energy_month(tariff, load)
    none, best = month.result(month.at_once()), month.result(month.best())
    told = month.result(driven(PUMP, month.replay).on)
    foretold = month.result(driven(PUMP, month.replay.foretold()).on)
    shuffled = month.result(driven(PUMP, month.replay.shuffled()).on)
    assert best.cost <= foretold.cost < none.cost
    assert best.cost <= told.cost < none.cost
    assert told.cost < shuffled.cost
    assert best.cost <= month.result(month.best_whole()).cost
    assert told.missed_h == foretold.missed_h == none.missed_h == 0.0
    assert told.peak_kw < none.peak_kw


def test_a_forecast_that_is_always_the_same_loses_most_of_the_gain(load: Replay) -> None:
    month = energy_month("dynamic", load)
    none = month.result(month.at_once()).cost
    told, constant = (month.result(driven(PUMP, r).on).cost for r in (month.replay, month.replay.constant()))
    assert none - constant < 0.5 * (none - told)


@pytest.mark.parametrize("make", [load_month, air_month])
def test_the_same_month_ends_the_same_way(make: type) -> None:
    for own in [PUMP] if make is load_month else [WARNING, CLEANING]:
        first, again = (driven(own, make()) for _ in range(2))
        assert first.moves == again.moves
        assert (first.on == again.on).all()
        assert first.verdicts == again.verdicts


@pytest.mark.parametrize("kind", ["told", "shuffled", "persistent"])
@pytest.mark.parametrize("seed", [1, 2])
def test_no_limit_of_the_guard_is_broken_in_a_month(kind: str, seed: int) -> None:
    for own, replay in ((PUMP, load_month(seed)), (CLEANING, air_month(seed))):
        told = replay if kind == "told" else getattr(replay, kind)()
        limits = own.limits
        assert isinstance(limits, SetpointConfig)
        moves = driven(own, told).moves
        assert len(moves) > 10
        runs = [(m.at_s, isinstance(m.action, Setpoint) and limits.runs_at(m.action.value)) for m in moves]
        turns = [(at, on) for n, (at, on) in enumerate(runs) if n == 0 or on != runs[n - 1][1]]
        for (began, ran), (ended, _) in itertools.pairwise(turns):
            assert ended - began >= (limits.min_on_s if ran else limits.min_off_s)
        allowed = [m.at_s for m in moves if not m.by_guard]  # what the guard does itself is for safety or a deadline
        assert all(
            sum(at - 86400 < each <= at for each in allowed) <= (limits.max_changes_per_day or 0) for at in allowed
        )


def test_notices_come_at_most_as_often_as_their_limit_says(pm25: Replay) -> None:
    limits = WARNING.limits
    assert isinstance(limits, NoticeConfig)
    moves = [m.at_s for m in driven(WARNING, pm25.shuffled()).moves if isinstance(m.action, Notice)]
    assert len(moves) > 10
    assert all(sum(at - 3600 < other <= at for other in moves) <= limits.at_most_per_h for at in moves)


def test_the_guard_meets_each_deadline_though_the_policy_never_wants_to(load: Replay) -> None:
    cap = msgspec.structs.replace(PUMP.settings, cap=1.0)  # nothing stays under it
    month = energy_month("dynamic", load)
    ran = course.run(PUMP.policy, cap, PUMP.limits, month.replay, output="grid/load")
    assert ran.verdicts["driven"] > 10
    assert month.result(ran.on).missed_h == 0.0


def test_warnings_by_forecast_are_worth_more_than_by_the_newest_value(pm25: Replay) -> None:
    def gain(replay: Replay) -> float:
        return air.warned(pm25, AIR.plant, driven(WARNING, replay).on).gain

    best = air.warned(pm25, AIR.plant, air.best_warnings(pm25, AIR.plant)).gain
    assert best >= gain(pm25.foretold()) > gain(pm25) > gain(pm25.persistent())
    assert gain(pm25) > gain(pm25.shuffled())


def test_equipment_by_forecast_is_worth_more_than_by_a_forecast_of_other_hours(pm25: Replay) -> None:
    def gain(replay: Replay) -> float:
        return air.abated(pm25, AIR.plant, driven(CLEANING, replay).on).gain

    best = air.abated(pm25, AIR.plant, air.best_abatement(pm25, AIR.plant)).gain
    assert best >= max(gain(pm25.foretold()), gain(pm25))
    assert gain(pm25) > max(gain(pm25.shuffled()), gain(pm25.constant()))


def test_hours_of_warning_are_counted_to_the_beginning_of_an_episode() -> None:
    values = [10, 10, 10, 10, 200, 200, 10, 200, 10, 10, 10, 10, 10, 10, 10, 10, 200]
    stood = [0, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 1, 0, 0, 0, 1]
    replay = hours(values)
    plant = msgspec.structs.replace(AIR.plant, notice_h=2, gap_h=1)
    found = air.warned(replay, plant, np.array(stood, float))
    assert found.episodes == 2
    assert found.leads_h == (3.0, 0.0)
    assert (found.over_h, found.covered_h) == (4, 3)
    assert (found.warnings, found.false_alarms) == (3, 1)
    assert found.gain == pytest.approx(3 - 0.2 * 9)


def test_equipment_takes_its_share_away_only_once_it_has_run_for_a_while() -> None:
    replay = hours([100, 200, 300, 400, 100])
    found = air.abated(replay, AIR.plant, np.array([0, 1, 1, 1, 0.5]))
    assert found.avoided == pytest.approx(0.4 * 400)
    assert found.gain == pytest.approx(0.4 * 400 - 60 * 3.5)
    assert found.starts == 1


def hours(values: Sequence[float]) -> Replay:
    n = len(values)
    ends = np.datetime64("2016-02-01T01", "s") + np.arange(n) * np.timedelta64(1, "h")
    month = air_month().cut(0, n)
    return dataclasses.replace(month, ends=ends, values=np.array(values, float))
