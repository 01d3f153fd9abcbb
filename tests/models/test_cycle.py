"""Cycle: what repeats is taken off and put back at the right place, and levels pass through."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from wayside.contracts.task import Input, TaskSpec
from wayside.contracts.wire import to_builtins
from wayside.models import registry
from wayside.models.cycle import Cycle

TASK = TaskSpec(
    name="oil",
    domain="energy",
    inputs=(
        Input(name="value", unit="1", low=-100, high=100),
        Input(name="hour", unit="h", low=0, high=24),
        Input(name="weekday", unit="d", low=0, high=6),
        Input(name="site", unit="1", low=0, high=1),
    ),
    output="value",
    output_unit="1",
    window=48,
    horizon=30,
    interval_s=3600,
    season=168,
    sites=("a", "b"),
)


def built(**sizes: Any) -> Cycle:
    torch.manual_seed(0)
    module = registry.build({"family": "cycle", "sizes": {"looks": [48, 24]} | sizes, "task": to_builtins(TASK)})
    assert isinstance(module, Cycle)
    return module.eval()


def window(series: torch.Tensor, end: int, site: int) -> torch.Tensor:
    """(1, 48, 4) up to row ``end`` of a series (N,) that begins on Monday at 0 o'clock."""
    k = torch.arange(end - 47, end + 1)
    columns = [series[k], k % 24, k // 24 % 7, torch.full((48,), site)]
    return torch.stack([c.float() for c in columns], dim=1).unsqueeze(0)


@pytest.mark.parametrize("hours", [24, 168])
@pytest.mark.parametrize("end", [48, 100, 167, 168, 300])
def test_a_known_cycle_goes_on_from_wherever_the_window_ends(hours: int, end: int) -> None:
    module = built(hours=hours, hidden=8)
    torch.manual_seed(2)
    cycle = torch.randn(3, hours)
    with torch.no_grad():
        module.table.copy_(cycle.reshape(-1))
        for name, weight in module.named_parameters():
            if name != "table":
                weight.zero_()  # only level and cycle are left
    for site in range(2):
        series = cycle[site].repeat(1 + 500 // hours) + 5
        forecast = module(window(series, end, site))[0]
        assert torch.allclose(forecast, series[end + 1 : end + 31], atol=1e-4)


def test_a_shift_of_the_window_shifts_the_forecast() -> None:
    module = built(hidden=8)
    x = window(torch.randn(200), 150, 1)
    up = x.clone()
    up[:, :, 0] += 3
    assert torch.allclose(module(up), module(x) + 3, atol=1e-4)


def test_a_gap_lies_on_the_level() -> None:
    module = built()
    x = window(torch.full((200,), 7.0), 150, 0)
    gap = x.clone()
    gap[0, 5:20, 0] = torch.nan
    assert torch.allclose(module(gap), module(x), atol=1e-4)


def test_a_pull_leads_back_to_the_usual_mean() -> None:
    near, far = built(pull=0.1), built()
    x = window(torch.full((200,), 7.0), 150, 0)
    for module in (near, far):
        with torch.no_grad():
            for branch in module.linears:
                branch[1].bias.zero_()
    assert torch.allclose(near(x), 0.9 * far(x), atol=1e-4)  # an unprepared site's usual mean is 0
