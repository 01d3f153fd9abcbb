"""Spans: what a step sees of earlier days, of the window, and of what is known beforehand."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import torch

from wayside.contracts.task import Input, TaskSpec
from wayside.contracts.wire import to_builtins
from wayside.models import registry
from wayside.models.errors import ModelConfigError
from wayside.models.spans import Spans

DAY = 4  # rows of six hours
TASK = TaskSpec(
    name="load",
    domain="energy",
    inputs=(
        Input(name="load", unit="MW", low=0, high=9000),
        Input(name="temperature", unit="Cel", low=-50, high=60),
        Input(name="holiday", unit="1", low=0, high=1, ahead=True),
        Input(name="hour", unit="h", low=0, high=24),
        Input(name="weekday", unit="d", low=0, high=6),
    ),
    output="load",
    output_unit="MW",
    window=8 * DAY,
    horizon=DAY,
    interval_s=21600,
    season=7 * DAY,
)
SIZES: dict[str, Any] = {
    "level": "window",
    "days": 7,
    "spans": [1, DAY, 7 * DAY],
    "changes": [1],
    "others": [1, DAY],
    "other_days": [1],
    "ridge": 1e-6,
}


def built(task: TaskSpec = TASK, **sizes: Any) -> Spans:
    torch.manual_seed(0)
    module = registry.build({"family": "spans", "sizes": SIZES | sizes, "task": to_builtins(task)})
    assert isinstance(module, Spans)
    return module.eval()


def weeks(n: int, level: float = 1.0, noise: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Windows (N, 32, 5) and targets (N, 4): weekdays and hours have their own load; holidays take away a fifth."""
    torch.manual_seed(1)
    usual = 1000 + 500 * torch.rand(7 * DAY)
    rows = torch.arange(n * 7 * DAY)
    holiday = (torch.rand(n * 7) < 0.1).float().repeat_interleave(DAY)
    load = level * usual[rows % (7 * DAY)] * (1 - 0.2 * holiday) + noise * torch.randn(len(rows))
    x, y = [], []
    for end in range(TASK.window, len(rows) - DAY):
        k = torch.arange(end - TASK.window, end)
        calendar = [(k + 1) % DAY * 6, (k + 1) // DAY % 7]
        x.append(torch.stack([load[k], 15 + 0 * load[k], holiday[k + DAY], *(c.float() for c in calendar)], dim=1))
        y.append(load[end : end + DAY])
    return torch.stack(x), torch.stack(y)


def test_an_untrained_module_repeats_the_week_and_knows_holidays() -> None:
    module, (x, y) = built(), weeks(30)
    module.prepare(x, y)
    error = (module(x) - y).abs().mean() / y.mean()
    yesterday = (x[:, -DAY:, 0] - y).abs().mean() / y.mean()
    assert error < 0.5 * yesterday
    assert error < 0.05


def test_what_is_known_ahead_changes_its_own_step_and_no_other() -> None:
    module, (x, y) = built(), weeks(30)
    module.prepare(x, y)
    ordinary, feast = x[:1].clone(), x[:1].clone()
    ordinary[0, -DAY:, 2] = 0
    feast[0, -DAY:, 2] = 0
    feast[0, -2, 2] = 1  # of the last step but one
    change = (module(feast) - module(ordinary))[0]
    assert change[2] < -50
    assert change[[0, 1, 3]].abs().max() < 1e-2


def test_forecasts_scale_with_the_level_of_the_window() -> None:
    module, (x, y), (high, higher) = built(), weeks(20, noise=20), weeks(20, level=3, noise=20)
    module.prepare(torch.cat([x, high]), torch.cat([y, higher]))
    twice = x.clone()
    twice[:, :, 0] *= 2
    assert float((module(twice) / module(x)).median().detach()) == pytest.approx(2, rel=0.05)


def test_a_missing_newest_value_is_told_by_the_longer_spans() -> None:
    module, (x, y) = built(), weeks(30)
    module.prepare(x, y)
    gap = x.clone()
    gap[:, -1, 0] = torch.nan
    assert (module(gap) - module(x)).abs().mean() < 0.1 * y.mean()


def test_nothing_known_gives_the_usual_level() -> None:
    module, (x, y) = built(level="profile", days=0, changes=[]), weeks(30)
    module.prepare(x, y)
    blind = x.clone()
    blind[:, :, 0] = torch.nan
    assert (module(blind) - y).abs().mean() < 0.1 * y.mean()


def test_the_ridge_learns_from_some_windows_what_it_learns_from_all() -> None:
    module, (x, y) = built(), weeks(30)
    module.prepare(x, y)
    every = module(x[:50])
    module.prepare(x[::2], y[::2])
    assert (module(x[:50]) - every).abs().mean() < 0.05 * y.mean()


@pytest.mark.parametrize("work", ["linear", "root", "log"])
def test_every_working_unit_comes_back_as_physical(work: str) -> None:
    module, (x, y) = built(work=work, level="site"), weeks(30)
    module.prepare(x, y)
    assert (module(x) - y).abs().mean() < 0.1 * y.mean()


def test_training_loss_is_in_parts_of_the_value() -> None:
    module, (x, y) = built(), weeks(10)
    module.prepare(x, y)
    expected = ((module(x) - y).abs() / y).mean().detach()
    assert float(module.training_loss(x, y).detach()) == pytest.approx(float(expected), rel=1e-4)


def test_training_loss_of_quantiles_is_the_error_of_the_median_and_the_pinball_loss_of_all() -> None:
    module, (x, y) = built(msgspec.structs.replace(TASK, quantiles=(0.1, 0.5, 0.9))), weeks(10)
    module.prepare(x, y)
    error = (y.unsqueeze(2) - module(x).detach()) / y.unsqueeze(2)
    levels = torch.tensor((0.1, 0.5, 0.9))
    pinball = torch.where(error > 0, levels * error, (levels - 1) * error).mean()
    expected = error[:, :, 1].abs().mean() + pinball
    assert float(module.training_loss(x, y).detach()) == pytest.approx(float(expected), rel=1e-4)


def test_a_profile_needs_the_hour_and_the_weekday() -> None:
    bare = msgspec.structs.replace(TASK, inputs=TASK.inputs[:3])
    with pytest.raises(ModelConfigError, match="hour and weekday"):
        built(bare, level="profile")
