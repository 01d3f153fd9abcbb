"""What int8 loses: the metric fits the kind, the interval covers what it should, the rule does not flip by noise."""

from __future__ import annotations

import dataclasses

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.simulators.family_runs import CLASSIFY, RICH, SCORE
from tests.simulators.trained_run import TASK
from wayside.contracts.task import TaskSpec
from wayside.export import accuracy
from wayside.export.accuracy import Loss, blocks, losses, metrics, slices, values
from wayside.export.checkpoint import Heldout
from wayside.export.parity import Limits, breaks

DAY = 86_400


def held(task: TaskSpec, n: int = 960, **changes) -> Heldout:
    rng = np.random.default_rng(0)
    truth = {"classify": rng.integers(0, 4, n), "score": np.zeros((n, 1), np.float32)}
    y = truth.get(task.kind, rng.uniform(0, 50, (n, task.horizon)).astype(np.float32))
    empty = dict.fromkeys(("naive", "seasonal", "hour", "site", "end"))
    x = np.zeros((n, *task.input_shape), np.float32)
    if task.kind == "forecast":
        empty |= {"hour": np.arange(n) // 4 % 24, "end": (np.arange(n) + 1) * 900}
    return Heldout(**{"x": x, "y": y} | empty | changes)


def judge(task: TaskSpec, h: Heldout, torch: np.ndarray, int8: np.ndarray) -> dict[str, list[Loss]]:
    return losses(metrics(task, h, torch), slices(task, h), h, torch, int8)


class TestMetrics:
    def test_forecasts_are_judged_by_absolute_and_squared_error(self):
        h = held(TASK)
        torch, int8 = h.y + 2, h.y - 2.02
        found = {loss.metric: loss for loss in judge(TASK, h, torch, int8)["all"]}
        assert set(found) == {"mae", "rmse"}
        for loss in found.values():
            assert (loss.base, loss.value, loss.loss) == pytest.approx((2, 2.02, 0.01), abs=1e-4)
            assert loss.low == pytest.approx(loss.high, abs=1e-4)

    def test_quantiles_are_judged_by_pinball_too_and_a_floor_stands_for_all_of_them(self):
        h = held(RICH, naive=np.zeros((960, 3), np.float32))
        torch = np.repeat(h.y[:, :, None], 3, axis=2) + np.float32([-4, 1, 4])
        (found,) = values(metrics(RICH, h, torch), slices(RICH, h)[:1], {"torch": torch, "naive": h.naive})
        # (0.1·4 + 0.5·1 + 0.1·4) / 3, by hand; the errors are y − q: +4, −1, −4
        assert found["pinball"]["torch"] == pytest.approx(1.3 / 3, rel=1e-4)
        assert found["mae"]["torch"] == pytest.approx(1, rel=1e-4)
        assert found["pinball"]["naive"] == pytest.approx(float(h.y.mean()) / 2, rel=1e-4)

    def test_classes_are_judged_by_the_share_that_is_right(self):
        h = held(CLASSIFY, 400)
        right = np.eye(4, dtype=np.float32)[h.y]
        wrong = right.copy()
        wrong[:8] = np.roll(right[:8], 1, axis=1)
        (loss,) = judge(CLASSIFY, h, right, wrong)["all"]
        assert (loss.metric, loss.base, loss.value, loss.loss) == ("accuracy", 1.0, 0.98, pytest.approx(0.02))
        assert loss.low < 0.02 < loss.high
        assert {s.group for s in slices(CLASSIFY, h)} == {"all", "class"}

    def test_a_class_that_torch_never_gets_right_has_nothing_to_lose(self):
        h = held(CLASSIFY, 400)
        never = np.zeros((400, 4), np.float32)
        never[np.arange(400), (h.y + 1) % 4] = 1
        (loss,) = judge(CLASSIFY, h, never, never)["class a"]
        assert (loss.loss, loss.low, loss.high) == (0, 0, 0)

    def test_scores_without_labels_are_judged_by_rank(self):
        h = held(SCORE)
        torch = np.random.default_rng(1).gamma(2, size=(960, 1)).astype(np.float32)
        (same,) = judge(SCORE, h, torch, torch * 3 + 1)["all"]
        assert (same.metric, same.loss) == ("rank", 0)
        (other,) = judge(SCORE, h, torch, -torch)["all"]
        assert other.value == pytest.approx(-1, abs=1e-3)
        (noisy,) = judge(SCORE, h, torch, torch + np.float32(0.1) * torch[::-1])["all"]
        from scipy.stats import spearmanr

        assert noisy.value == pytest.approx(spearmanr(torch, torch + 0.1 * torch[::-1])[0], abs=1e-4)

    def test_scores_with_labels_are_judged_by_the_area_under_the_curve(self):
        label = (np.arange(960) % 20 == 0).astype(np.float32)[:, None]
        h = held(SCORE, label=label[:, 0].astype(np.int64))
        torch = label + np.random.default_rng(1).uniform(0, 1.5, (960, 1)).astype(np.float32)
        (loss,) = judge(SCORE, h, torch, torch)["all"]
        pairs = torch[label > 0][:, None] > torch[label == 0][None]
        assert (loss.metric, loss.n, loss.value) == ("auc", 48, pytest.approx(pairs.mean(), abs=1e-6))


class TestSlices:
    def test_hours_sites_and_further_inputs_cut_the_examples(self):
        rng = np.random.default_rng(0)
        x = np.zeros((960, *RICH.input_shape), np.float32)
        x[:, -1, 4] = rng.normal(10, 5, 960)
        x[:5, -1, 4] = np.nan
        x[:, -1, 5] = np.arange(960) % 7 == 0
        h = held(RICH, x=x, site=np.arange(960) % 3)
        found = {s.name: int(s.pick.sum()) for s in slices(RICH, h)}
        assert {"all", "hour 00", "hour 23", "site north", "site east", "holiday 0", "holiday 1"} <= set(found)
        assert found["temperature missing"] == 5
        assert found["temperature low"] + found["temperature middle"] + found["temperature high"] == 955
        assert not any(name.startswith(("volume", "weekday")) for name in found)

    def test_an_interval_that_ends_at_midnight_belongs_to_the_day_before(self):
        h = held(TASK, 3, end=np.array([DAY - 900, DAY, DAY + 900]))
        assert blocks(h).tolist() == [0, 0, 1]

    def test_pictures_are_resampled_one_by_one_and_undated_series_in_stretches(self):
        assert len(set(blocks(held(CLASSIFY, 400)))) == 400
        assert len(set(blocks(held(TASK, 960, end=None)))) == 50
        assert len(set(blocks(held(TASK, 7, end=None)))) == 7


class TestRule:
    def test_over_all_the_number_decides(self):
        loss = Loss("mae", 1000, 1.0, 1.02, 0.02, -0.05, 0.09)
        assert breaks(loss, Limits(), overall=True)
        assert not breaks(dataclasses.replace(loss, loss=0.0099), Limits(), overall=True)

    @pytest.mark.parametrize(
        ("n", "loss", "low", "high", "refuses"),
        [
            (500, 0.031, 0.02, 0.042, True),  # sure enough: the number decides
            (500, 0.029, 0.02, 0.042, False),
            (500, 0.05, -0.02, 0.12, False),  # noise: it may be anything
            (500, 0.20, 0.04, 0.36, True),  # noisy, and beyond the limit all the same
            (99, 0.50, 0.49, 0.51, False),  # too few
            (500, float("nan"), float("nan"), float("nan"), True),
        ],
    )
    def test_a_slice_refuses_by_its_number_or_when_even_noise_does_not_excuse_it(self, n, loss, low, high, refuses):
        assert breaks(Loss("mae", n, 1.0, 1 + loss, loss, low, high), Limits(), overall=False) is refuses

    def test_the_same_examples_give_the_same_interval(self):
        h = held(TASK)
        torch, int8 = h.y + 2, h.y + np.random.default_rng(3).normal(2, 0.5, h.y.shape).astype(np.float32)
        assert judge(TASK, h, torch, int8) == judge(TASK, h, torch, int8)

    def test_days_that_differ_widen_the_interval_more_than_hours_that_differ(self):
        h = held(TASK)
        day = (h.end - 1) // DAY
        torch = h.y + 2
        by_day = judge(TASK, h, torch, torch + np.where(day % 2, 0.1, -0.1)[:, None].astype(np.float32))["all"][0]
        by_row = judge(TASK, h, torch, torch + np.where(np.arange(960) % 2, 0.1, -0.1)[:, None].astype(np.float32))
        assert by_day.high - by_day.low > 5 * (by_row["all"][0].high - by_row["all"][0].low)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**16), shift=st.floats(-0.5, 0.5))
def test_the_interval_holds_the_loss_and_both_are_finite(seed, shift):
    rng = np.random.default_rng(seed)
    h = held(TASK, 480, end=(np.arange(480) + 1) * 900)
    torch = h.y + rng.normal(0, 2, h.y.shape).astype(np.float32)
    for each in judge(TASK, h, torch, torch + np.float32(shift)).values():
        for loss in each:
            assert np.isfinite([loss.loss, loss.low, loss.high]).all()
            assert abs(loss.loss) <= accuracy.HUNDREDFOLD
    (mae, _) = judge(TASK, h, torch, torch + np.float32(shift))["all"]
    assert mae.low - 0.02 <= mae.loss <= mae.high + 0.02


def test_errors_where_torch_makes_none_are_a_finite_breach():
    h = held(TASK)
    loss = judge(TASK, h, h.y.copy(), h.y + 1)["all"][0]
    assert loss.loss == accuracy.HUNDREDFOLD
    assert breaks(loss, Limits(), overall=True)


def test_a_task_of_counts_is_judged_by_absolute_error():
    count = msgspec.structs.replace(CLASSIFY, kind="count")
    y = np.random.default_rng(0).integers(0, 5, (200, 4)).astype(np.float32)
    h = held(count, 200, y=y)
    (loss,) = judge(count, h, y + 1, y + 1)["all"]
    assert (loss.metric, loss.base, loss.loss) == ("mae", 1, 0)
