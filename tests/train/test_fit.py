"""Fitting: what a recipe says happens, the same every time, on one process as on two."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from torch import nn

from tests.train.windows import TASK, Rows, street, streets
from wayside.cloud.train import fit as fitting
from wayside.cloud.train.augment import AUGMENT
from wayside.cloud.train.datasets import Split
from wayside.cloud.train.errors import DivergedError, TaskError
from wayside.cloud.train.fit import fit, refit
from wayside.cloud.train.fitted import Epoch
from wayside.cloud.train.losses import criterion
from wayside.cloud.train.taskfile import Fit
from wayside.contracts.task import Input, TaskSpec
from wayside.contracts.wire import to_builtins

RECIPE = Fit(family="mlp", sizes={"hidden": 16}, epochs=3, batch=64, rate=0.01, patience=0)


def changed(**changes: Any) -> Fit:
    return msgspec.structs.replace(RECIPE, **changes)


class Constant(nn.Module):
    """Answers everything with one number."""

    def __init__(self, *shape: int, value: float = 0.0) -> None:
        super().__init__()
        self.shape, self.value = shape, value

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.full((len(x), *self.shape), self.value)


def tensors(rows: Rows) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return torch.from_numpy(rows.x), torch.from_numpy(rows.y), torch.from_numpy(rows.site)


@pytest.mark.parametrize("loss", ["mse", "mae", "huber"])
@pytest.mark.parametrize("scale", ["global", "site", "window"])
def test_every_loss_on_every_scale_goes_down(loss: str, scale: str) -> None:
    fitted = fit(changed(loss=loss, scale=scale), TASK, streets())
    first, *_, last = fitted.epochs
    assert last.train < first.train
    assert fitted.best > 1


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("schedule", ["constant", "exponential", "cosine", "onecycle"])
def test_every_optimizer_follows_every_schedule(optimizer: str, schedule: str) -> None:
    rate = 0.05 if optimizer == "sgd" else 0.01
    fitted = fit(changed(optimizer=optimizer, schedule=schedule, rate=rate), TASK, streets())
    assert fitted.epochs[-1].train < fitted.epochs[0].train


def test_errors_are_divided_by_the_spread_of_all_of_the_site_or_of_the_window() -> None:
    x, y, site = tensors(street(2000))
    zero = Constant(TASK.horizon)

    def loss(scale: str, rows: torch.Tensor) -> float:
        of = criterion(changed(loss="mse", scale=scale), TASK, y, site)
        return float(of(zero, x[rows], y[rows], site[rows]))

    busy, quiet = site == 0, site == 1
    assert loss("global", busy) > 50 * loss("global", quiet)
    assert loss("site", busy) < 4 * loss("site", quiet)
    spread = y[busy].std()
    assert loss("site", busy) == pytest.approx(float((y[busy] / spread).square().mean()), rel=1e-5)
    one = torch.tensor([0])
    spread = max(x[0, :, 0].std(unbiased=False), 0.1 * y.std())
    assert loss("window", one) == pytest.approx(float((y[0] / spread).square().mean()), rel=1e-5)


def test_a_window_without_any_value_has_a_finite_loss() -> None:
    x, y, site = tensors(street())
    of = criterion(changed(scale="window"), TASK, y, site)
    assert math.isfinite(float(of(Constant(TASK.horizon), torch.full_like(x, math.nan), y, site)))


def test_pinball_is_least_where_the_quantile_is() -> None:
    task = msgspec.structs.replace(TASK, quantiles=(0.1, 0.5, 0.9), horizon=1)
    y = torch.from_numpy(np.random.default_rng(0).normal(100, 10, (4000, 1)).astype(np.float32))
    x, site = torch.zeros(4000, 4, 3), torch.zeros(4000, dtype=torch.int64)
    of = criterion(changed(loss="pinball"), task, y, site)
    grid = np.arange(70.0, 131.0)
    for level, expected in enumerate((100 - 12.8, 100, 100 + 12.8)):

        def loss(value: float, level: int = level) -> float:
            answer = torch.full((1, 3), 100.0)
            answer[0, level] = value
            return float(of(lambda x: answer.expand(len(x), 1, 3), x, y, site))  # type: ignore[arg-type]

        assert grid[np.argmin([loss(v) for v in grid])] == pytest.approx(expected, abs=1)


def test_the_bands_of_a_linear_model_hold_as_many_values_as_their_quantiles_say() -> None:
    task = msgspec.structs.replace(TASK, quantiles=(0.1, 0.5, 0.9))
    data = streets()
    linear = fitting.solve(changed(family="linear", sizes={}, loss="pinball"), task, data).module
    rows = data.train.take(np.arange(len(data.train)))
    with torch.inference_mode():
        answers = linear(torch.from_numpy(rows[0])).numpy()
    below = [float((rows[1][:, :] < answers[:, :, q]).mean()) for q in range(3)]
    assert below == pytest.approx([0.1, 0.5, 0.9], abs=0.03)


def test_a_loss_that_does_not_fit_the_task_is_refused_by_name() -> None:
    data = streets(64)
    quantiles = msgspec.structs.replace(TASK, quantiles=(0.1, 0.5, 0.9))
    for recipe, task, said in (
        (changed(loss="pinball"), TASK, "pinball goes with quantiles"),
        (changed(loss="mse"), quantiles, "quantiles with pinball"),
        (changed(loss="cross-entropy"), TASK, "kind classify"),
        (changed(loss="family"), TASK, "MLP has no training_loss"),
    ):
        with pytest.raises(TaskError, match=said):
            fit(recipe, task, data)


def test_the_same_seed_gives_the_same_weights_and_another_gives_others() -> None:
    recipe = changed(schedule="onecycle", average=0.99, steps=4)
    a, b, c = (fit(recipe, TASK, streets(), seed=seed).module.state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert not all(torch.equal(a[k], c[k]) for k in a)


def test_pieces_of_any_size_give_the_same_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fit(RECIPE, TASK, streets()).module.state_dict()
    monkeypatch.setattr(fitting, "GATHERED", 1)  # one batch at a time
    pieces = fit(RECIPE, TASK, streets()).module.state_dict()
    assert all(torch.equal(whole[k], pieces[k]) for k in whole)


def test_steps_limit_the_batches_of_an_epoch() -> None:
    counted = []

    class Counting(Rows):
        def take(self, indices: Any) -> Any:
            counted.append(len(indices))
            return super().take(indices)

    data = streets()
    train = Counting(data.train.x, data.train.y, data.train.site)
    fit(changed(epochs=1, steps=3), TASK, Split(train=train, validation=data.validation, holdout=data.holdout))  # type: ignore[arg-type]
    assert sum(counted[1:]) - 256 - 1 <= 3 * 64 + 1  # beside one look at all, for the normalization


def test_training_stops_when_patience_ends_and_keeps_the_best() -> None:
    data = streets()
    noise = Rows(data.validation.x, np.random.default_rng(9).permutation(data.validation.y), data.validation.site)
    fitted = fit(changed(epochs=40, patience=2), TASK, Split(train=data.train, validation=noise, holdout=data.holdout))  # type: ignore[arg-type]
    assert len(fitted.epochs) == fitted.best + 2 < 40
    assert fitted.epochs[fitted.best - 1].validation == min(e.validation for e in fitted.epochs)


def test_averaged_weights_swing_less_than_the_last_ones() -> None:
    recipe = changed(epochs=6, schedule="constant", rate=0.05)
    last = [e.validation for e in fit(recipe, TASK, streets()).epochs]
    averaged = [e.validation for e in fit(msgspec.structs.replace(recipe, average=0.98), TASK, streets()).epochs]
    assert np.std(averaged[2:]) < np.std(last[2:])


def test_a_refit_runs_as_long_as_the_first_was_best_on_all_windows() -> None:
    data = streets()
    first = fit(changed(epochs=5), TASK, data)
    seen: list[Epoch] = []
    again = refit(changed(epochs=5), TASK, street(1536), first, data, on_epoch=seen.append)  # type: ignore[arg-type]
    assert len(seen) == first.best
    assert all(math.isnan(e.validation) for e in seen)
    assert not torch.equal(*(next(m.parameters()) for m in (first.module, again.module)))


def test_a_loss_that_explodes_is_said_with_the_rate_to_lower() -> None:
    with pytest.raises(DivergedError, match="lower"):
        fit(changed(optimizer="sgd", rate=1e12), TASK, streets())


def test_classes_are_learned_by_cross_entropy_with_augmentation(monkeypatch: pytest.MonkeyPatch) -> None:
    class Looker(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(3, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(x.mean(dim=(1, 2)) / 255)  # (B, h, w, 3) → (B, 2)

    image = TaskSpec(
        name="lamp",
        domain="safety",
        kind="classify",
        inputs=(Input(name="frame", unit="1", low=0, high=255),),
        output="lamp",
        output_unit="1",
        window=1,
        horizon=1,
        interval_s=1,
        season=1,
        image=(8, 8, 3),
        classes=("off", "on"),
    )
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 256)
    x = rng.uniform(0, 100, (256, 8, 8, 3)) + 120 * y[:, None, None, None]
    rows = Rows(x.astype(np.float32), y, np.zeros(256, np.int64))
    calls = []

    def dim(x: torch.Tensor, y: torch.Tensor, noise: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        calls.append(len(x))
        return x * torch.empty(len(x), 1, 1, 1).uniform_(0.9, 1, generator=noise), y

    monkeypatch.setitem(AUGMENT, "dim", dim)
    monkeypatch.setattr(fitting, "_build", lambda recipe, task: ({"task": to_builtins(task)}, Looker()))
    recipe = changed(loss="cross-entropy", augment=("dim",), rate=0.3, epochs=4)
    fitted = fit(recipe, image, Split(train=rows, validation=rows, holdout=rows))  # type: ignore[arg-type]
    assert calls == [64] * 16
    with torch.inference_mode():
        assert (fitted.module(torch.from_numpy(rows.x)).argmax(1).numpy() == y).mean() > 0.95
    with pytest.raises(TaskError, match="'fog' is unknown"):
        fit(changed(loss="cross-entropy", augment=("fog",)), image, Split(train=rows, validation=rows, holdout=rows))  # type: ignore[arg-type]
