"""Families: what goes in, what comes out, and that both ways to a linear model lead to the same place."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
import torch

from wayside.contracts.task import Input, TaskSpec
from wayside.contracts.wire import to_builtins
from wayside.models import registry
from wayside.models.errors import ModelConfigError
from wayside.models.features import rising
from wayside.models.linear import gradient_descent, least_squares

FORECASTERS = registry.families("forecast")

TASK = TaskSpec(
    name="street",
    domain="traffic",
    inputs=(
        Input(name="volume", unit="veh", low=0, high=400),
        Input(name="hour", unit="h", low=0, high=24),
        Input(name="weekday", unit="d", low=0, high=6),
    ),
    output="volume",
    output_unit="veh",
    window=4,
    horizon=1,
    interval_s=900,
    season=672,
)


def some_windows(n: int, seed: int = 0, further: int = 0) -> torch.Tensor:
    """(N, 4, 3 + further)"""
    rng = np.random.default_rng(seed)
    volume = rng.poisson(rng.uniform(0, 80, (n, 1)), (n, 4))
    hour = (rng.integers(0, 96, (n, 1)) + np.arange(4)) % 96 / 4
    weekday = np.repeat(rng.integers(0, 7, (n, 1)), 4, axis=1)
    others = [np.repeat(rng.integers(1, 5, (n, 1)), 4, axis=1) for _ in range(further)]
    return torch.from_numpy(np.stack([volume, hour, weekday, *others], axis=2).astype(np.float32))


def built(family: str, task: TaskSpec = TASK) -> torch.nn.Module:
    torch.manual_seed(0)
    module = registry.build({"family": family, "task": to_builtins(task)})
    width = len(task.inputs)
    x = some_windows(500, further=width - 3)
    module.prepare(x, x[:, -1:, 0].repeat(1, task.horizon))
    return module.eval()


@pytest.mark.parametrize("family", FORECASTERS)
def test_every_family_maps_windows_to_non_negative_volumes(family: str) -> None:
    forecast = built(family)(some_windows(64))
    assert forecast.shape == (64, 1)
    assert (forecast >= 0).all()
    assert torch.isfinite(built(family)(torch.zeros(1, 4, 3))).all()


@pytest.mark.parametrize("family", FORECASTERS)
def test_a_window_is_answered_alone_as_in_a_batch(family: str) -> None:
    module, x = built(family), some_windows(16)
    alone = torch.cat([module(x[i : i + 1]) for i in range(16)])
    assert torch.allclose(alone, module(x), atol=1e-4)


@pytest.mark.parametrize("family", FORECASTERS)
def test_every_family_takes_further_inputs_and_horizons(family: str) -> None:
    wide = msgspec.structs.replace(
        TASK, inputs=(*TASK.inputs, Input(name="lanes", unit="1", low=1, high=16)), horizon=3
    )
    assert built(family, wide)(some_windows(8, further=1)).shape == (8, 3)


@pytest.mark.parametrize("family", FORECASTERS)
def test_every_family_takes_volumes_alone(family: str) -> None:
    bare = msgspec.structs.replace(TASK, inputs=TASK.inputs[:1])
    module = registry.build({"family": family, "task": to_builtins(bare)})
    assert module(some_windows(8)[:, :, :1]).shape == (8, 1)


def with_site(quantiles: tuple[float, ...] = (0.1, 0.5, 0.9)) -> TaskSpec:
    site = Input(name="site", unit="1", low=0, high=3)
    return msgspec.structs.replace(
        TASK, inputs=(*TASK.inputs, site), sites=("north", "east", "south"), horizon=3, quantiles=quantiles
    )


def without_lags() -> TaskSpec:
    temperature = Input(name="temperature", unit="Cel", low=-40, high=50)
    return msgspec.structs.replace(TASK, inputs=(*TASK.inputs[1:], temperature), lead=0)


def windows_of(task: TaskSpec, n: int = 64) -> torch.Tensor:
    full = some_windows(n, further=1)
    full[:, :, 3] = full[:, :, 3].remainder(4)
    return full if task.lead else full[:, :, 1:]


@pytest.mark.parametrize("task", [TASK, with_site(), without_lags()], ids=["plain", "sites", "no lags"])
@pytest.mark.parametrize("family", FORECASTERS)
def test_every_window_is_answered_with_finite_numbers_missing_values_and_all(family: str, task: TaskSpec) -> None:
    torch.manual_seed(0)
    module = registry.build({"family": family, "task": to_builtins(task)})
    train = windows_of(task, 500)[:, :, : len(task.inputs)].clone()
    train[::7, 1, 0] = torch.nan  # training windows have gaps, too
    module.prepare(train, torch.rand(500, task.horizon) * 50)
    module.eval()
    x = windows_of(task)[:, :, : len(task.inputs)].clone()
    x[0] = torch.nan
    x[1, :, 0] = torch.nan
    x[2, -1] = torch.nan
    x[3, :, -1] = torch.nan
    forecast = module(x)
    assert forecast.shape == (64, *task.output_shape)
    assert torch.isfinite(forecast).all()


@pytest.mark.parametrize("family", FORECASTERS)
def test_quantiles_never_cross(family: str) -> None:
    module = registry.build({"family": family, "task": to_builtins(with_site())})
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)  # not even in a network gone mad
    forecast = module.eval()(windows_of(with_site()))
    assert (forecast.diff(dim=2) >= 0).all()


@pytest.mark.parametrize("family", ["mlp", "gru", "tcn", "light"])
def test_a_site_never_seen_is_answered_like_one_without_name(family: str) -> None:
    task = with_site()
    module = registry.build({"family": family, "task": to_builtins(task)}).eval()
    unknown, nameless = windows_of(task), windows_of(task)
    unknown[:, :, 3], nameless[:, :, 3] = len(task.sites), torch.nan
    assert torch.equal(module(unknown), module(nameless))


@pytest.mark.parametrize("family", ["mlp", "gru", "tcn", "light"])
def test_values_below_zero_are_forecast_where_the_input_may_be_negative(family: str) -> None:
    frost = msgspec.structs.replace(
        TASK, inputs=(Input(name="temperature", unit="Cel", low=-40, high=50), *TASK.inputs[1:]), output="temperature"
    )
    module = registry.build({"family": family, "task": to_builtins(frost)})
    x = some_windows(500)
    x[:, :, 0] -= 100
    module.prepare(x, x[:, -1:, 0])
    assert (module.eval()(x) < 0).any()


def test_quantile_steps_start_from_the_median() -> None:
    raw = torch.tensor([[-1.0, 5.0, 2.0]])
    low, middle, high = rising(raw, 1, (0.1, 0.5, 0.9))[0, 0]
    assert middle == 5 and low < middle < high


def test_the_network_has_two_hidden_layers_of_64_units() -> None:
    layers = [m for m in built("mlp").modules() if isinstance(m, torch.nn.Linear)]
    assert [m.out_features for m in layers] == [64, 64, 1]


def test_midnight_follows_the_last_minute_of_the_day() -> None:
    features = built("mlp").features
    x = some_windows(1).repeat(2, 1, 1)
    x[0, :, 1], x[1, :, 1] = 0.0, 24.0
    _, context = features(x)
    assert torch.allclose(context[0], context[1], atol=1e-5)


def test_the_constants_of_the_normalization_travel_in_the_state() -> None:
    trained = built("mlp")
    other = registry.build({"family": "mlp", "task": to_builtins(TASK)})
    other.load_state_dict(trained.state_dict())
    x = some_windows(8)
    assert torch.equal(other(x), trained(x))


def test_least_squares_and_gradient_descent_agree_on_standardized_data() -> None:
    x = some_windows(3000)
    y = x[:, :, 0].mean(dim=1, keepdim=True) + torch.from_numpy(np.random.default_rng(1).normal(0, 5, (3000, 1)))
    features, target = built("linear").standardize(x, y.float())
    closed = least_squares(features, target)
    walked, steps = gradient_descent(features, target)
    assert 0 < steps < 20_000
    assert (closed - walked).abs().max() < 1e-4


@pytest.mark.parametrize("case", ["alike", "constant", "wide", "few"])
def test_gradient_descent_never_climbs_whatever_the_features(case: str) -> None:
    made = torch.Generator().manual_seed(2)
    x = torch.randn(200, 30, dtype=torch.float64, generator=made)
    x = {
        "alike": x[:, :1] + 1e-3 * x,  # as a window's steps are: one eigenvalue holds nearly all
        "constant": torch.zeros_like(x),
        "wide": x * torch.logspace(-3, 3, 30, dtype=torch.float64),
        "few": x[:5],  # fewer rows than features
    }[case]
    y = torch.stack([x.sum(dim=1), torch.ones(len(x), dtype=torch.float64)], dim=1)
    one = torch.cat([x, torch.ones(len(x), 1, dtype=x.dtype)], dim=1)
    error = [float((one @ gradient_descent(x, y, steps=n)[0] - y).square().mean()) for n in (0, 1, 10, 100, 1000)]
    assert error == sorted(error, reverse=True)
    assert case == "constant" or error[-1] < 0.1 * error[0]


def test_gradient_descent_takes_the_steps_of_the_textbook() -> None:
    x = torch.randn(50, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    y = x[:, :1] + 1
    one = torch.cat([x, torch.ones(50, 1, dtype=x.dtype)], dim=1)
    rate = 1 / float(torch.linalg.eigvalsh(one.T @ one / 50)[-1])
    w = torch.zeros(4, 1, dtype=torch.float64)
    for _ in range(7):
        w -= rate * one.T @ (one @ w - y) / 50
    assert torch.allclose(gradient_descent(x, y, steps=7)[0], w, atol=1e-12)


def test_what_cannot_be_built_is_refused_by_name() -> None:
    with pytest.raises(ModelConfigError, match="'oracle'; known: linear, mlp, gru"):
        registry.build({"family": "oracle", "task": to_builtins(TASK)})
    with pytest.raises(ModelConfigError, match="breaks its contract"):
        registry.build({"family": "mlp", "task": {"wire": 1}})
    with pytest.raises(ModelConfigError, match="no such sizes"):
        registry.build({"family": "mlp", "task": to_builtins(TASK), "sizes": {"depth": 3}})
