"""The light forecaster: a baseline that is good before training, and what training removes from it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import torch

from wayside.contracts.task import Input, TaskSpec
from wayside.contracts.wire import to_builtins
from wayside.models import registry
from wayside.models.errors import ModelConfigError
from wayside.models.light import Light

SITES = ("north", "south")
TASK = TaskSpec(
    name="street",
    domain="traffic",
    inputs=(
        Input(name="volume", unit="{veh}", low=0, high=2000),
        Input(name="hour", unit="h", low=0, high=24),
        Input(name="weekday", unit="d", low=0, high=6),
        Input(name="site", unit="1", low=0, high=2),
    ),
    output="volume",
    output_unit="{veh}",
    window=3,
    horizon=2,
    interval_s=3600,
    season=168,
    sites=SITES,
)


def built(task: TaskSpec = TASK, **sizes: Any) -> Light:
    torch.manual_seed(0)
    module = registry.build({"family": "light", "sizes": sizes, "task": to_builtins(task)})
    assert isinstance(module, Light)
    return module


def weeks(n: int, noise: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Windows (N, 3, 4) and targets (N, 2) of ``n`` weeks: each hour of week and site has its own volume."""
    torch.manual_seed(1)
    usual = 100 + 50 * torch.rand(2, 168)
    hours = torch.arange(n * 168)
    volume = usual[:, hours % 168] + noise * torch.randn(2, n * 168)
    x, y = [], []
    for site in range(2):
        for end in range(3, n * 168 - 2):
            rows = torch.arange(end - 2, end + 1)
            calendar = [rows % 24, rows // 24 % 7, torch.full((3,), site)]
            x.append(torch.stack([volume[site, rows], *(c.float() for c in calendar)], dim=1))
            y.append(volume[site, end + 1 : end + 3])
    return torch.stack(x), torch.stack(y)


@pytest.mark.parametrize("centre", ["none", "last", "mean"])
@pytest.mark.parametrize("spread", ["site", "window"])
def test_an_untrained_module_forecasts_what_is_usual(centre: str, spread: str) -> None:
    x, y = weeks(4)
    module = built(profile="week", centre=centre, spread=spread, shrink=0.0)
    module.prepare(x, y)
    assert torch.allclose(module.eval()(x), y, atol=0.1)


def test_what_is_usual_follows_the_calendar_over_midnight_and_the_end_of_the_week() -> None:
    x, y = weeks(3)
    module = built(profile="week", shrink=0.0)
    module.prepare(x, y)
    sunday_late = (x[:, -1, 1] == 23) & (x[:, -1, 2] == 6)
    assert sunday_late.any()
    assert torch.allclose(module.eval()(x[sunday_late]), y[sunday_late], atol=0.1)


def test_deviations_of_the_window_are_carried_on_as_far_as_they_last() -> None:
    x, y = weeks(8)
    drift = torch.cumsum(torch.randn(len(x)), 0) * 0.5
    x[:, :, 0] += drift[:, None]
    y += drift[:, None]
    module = built(profile="week")
    module.prepare(x, y)
    lasting = (module.eval()(x) - y).abs().mean()
    module.ridge_weight.data.zero_()
    assert lasting < 0.5 * (module(x) - y).abs().mean()


def test_training_loss_sees_each_value_against_the_profile_of_the_others() -> None:
    x, y = weeks(3, noise=10)
    module = built(profile="week", reach=0, shrink=1e-6)
    module.prepare(x, y)
    module.ridge_weight.data.zero_()
    unseen = module.train().training_loss(x, y).item()
    in_sample = module.eval().training_loss(x, y).item()
    assert unseen == pytest.approx(in_sample * 3 / 2, rel=0.02)  # a residual of n values, leave-one-out: n / (n - 1)


def test_a_whole_hidden_window_leaves_the_profile() -> None:
    x, y = weeks(3)
    module = built(profile="week", reach=0, shrink=0.0)
    module.prepare(x, y)
    x[:, :, 0] = torch.nan
    assert torch.allclose(module.eval()(x), y, atol=0.01)


def test_training_with_hidden_sites_and_values_teaches_the_unknown_site() -> None:
    x, y = weeks(1)
    module = built(missing=0.5)
    module.prepare(x, y)
    module.train()
    x[::2, :, module.columns.site] = module.sites  # as training hides them
    for parameter in module.trunks.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    module.training_loss(x, y).backward()
    gradient = module.embeddings["site"].weight.grad
    assert gradient[-1].abs().sum() > 0


def test_what_is_known_ahead_moves_the_forecast() -> None:
    holiday = Input(name="holiday", unit="1", low=0, high=1, ahead=True)
    task = msgspec.structs.replace(TASK, inputs=(*TASK.inputs, holiday))
    x, y = weeks(2)
    flag = (torch.arange(len(x)) % 5 == 0).float()
    x = torch.cat([x, torch.zeros(len(x), 3, 1)], dim=2)
    x[:, -2:, 4] = flag[:, None]
    y = y - 40 * flag[:, None]
    module = built(task, hidden=16)
    module.prepare(x, y)
    optimizer = torch.optim.Adam(module.parameters(), lr=0.01)
    for _ in range(60):
        optimizer.zero_grad()
        module.training_loss(x, y).backward()
        optimizer.step()
    module.eval()
    off, on = x.clone(), x.clone()
    off[:, -2:, 4], on[:, -2:, 4] = 0, 1
    assert (module(off) - module(on)).mean() > 20


def test_sizes_that_mean_nothing_are_refused_by_name() -> None:
    with pytest.raises(ModelConfigError, match="centre = 'middle'; choose one of none, last, mean"):
        built(centre="middle")
