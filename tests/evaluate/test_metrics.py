"""Measures of every kind of task, and which way is better."""

from __future__ import annotations

import numpy as np
import pytest

from wayside.cloud.evaluate.metrics import loss, measure, reached, step
from wayside.contracts.task import Input, TaskSpec


def task(**more: object) -> TaskSpec:
    fields: dict[str, object] = {
        "name": "t",
        "domain": "d",
        "inputs": (Input(name="v", unit="1", low=0, high=1),),
        "output": "v",
        "output_unit": "1",
        "window": 2,
        "horizon": 2,
        "interval_s": 60.0,
        "season": 1,
    }
    return TaskSpec(**fields | more)  # type: ignore[arg-type]


def test_a_forecast_is_measured_over_all_steps_or_over_one() -> None:
    answers, truth = np.array([[1, 2], [3, 4]], np.float32), np.array([[2, 2], [3, 8]], np.float32)
    assert measure(answers, truth, task()) == {
        "mae": 1.25,
        "mse": pytest.approx(17 / 4),
        "rmse": pytest.approx((17 / 4) ** 0.5),
        "mape": pytest.approx(25.0),
    }
    assert measure(answers, truth, task(), "h2")["mae"] == 2.0


def test_a_truth_of_zero_has_no_percentage() -> None:
    found = measure(np.array([[1, 1]], np.float32), np.array([[0, 2]], np.float32), task())
    assert found["mape"] == 50.0


def test_quantiles_are_measured_by_their_median_and_by_what_they_cover() -> None:
    answers = np.array([[[0, 1, 2], [0, 1, 2]]], np.float32)
    found = measure(answers, np.array([[1, 5]], np.float32), task(quantiles=(0.1, 0.5, 0.9)))
    assert found["mae"] == 2.0
    assert found["coverage"] == 0.5


def test_pictures_are_measured_over_all_and_by_class() -> None:
    spec = task(kind="classify", image=(2, 2, 3), classes=("a", "b"), output="class")
    logits = np.array([[1, 0], [1, 0], [1, 0], [0, 1]], np.float32)
    assert measure(logits, np.array([0, 0, 1, 1]), spec) == {"accuracy": 0.75, "balanced": 0.75}


@pytest.mark.parametrize("of", ["h0", "h3"])
def test_a_step_outside_the_horizon_is_refused(of: str) -> None:
    with pytest.raises(ValueError, match="horizon"):
        step(of, 2)


def test_more_is_better_of_some_measures_and_less_of_others() -> None:
    assert loss("mae", 11, 10) == pytest.approx(0.1)
    assert loss("accuracy", 0.9, 1.0) == pytest.approx(0.1)
    assert reached("mae", 9.6, 9.6)
    assert not reached("mae", 9.7, 9.6)
    assert reached("nab", 91, 90)
    assert not reached("nab", 89, 90)
