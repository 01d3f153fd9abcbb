"""The training loop: Adam on mean squared error, early stopping on the validation days, best weights restored."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

from cloud.train.datasets import Split
from contracts.task import TaskSpec
from contracts.wire import to_builtins
from models import registry
from models.linear import Linear, gradient_descent, least_squares


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How one family is trained."""

    epochs: int
    batch: int = 32
    rate: float = 0.01  # of Adam, Kingma & Ba 2015
    decay: float = 0.7  # of the rate, after each epoch: noisy small batches settle
    patience: int = 3  # epochs without a better validation error
    sizes: dict[str, int] = field(default_factory=dict)


RECIPES = {
    "mlp": Recipe(epochs=14, sizes={"hidden": 64}),
    "gru": Recipe(epochs=10, batch=128, sizes={"hidden": 32}),
}
SOLVERS = ("least squares", "gradient descent")
"""The linear family needs no recipe: both ways lead to its one best answer."""


@dataclass(frozen=True, kw_only=True)
class Epoch:
    number: int  # from 1
    of: int
    train_mse: float  # mean over the epoch's batches
    validation_rmse: float


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A trained module, in evaluation mode, with its best weights."""

    module: nn.Module
    config: dict[str, Any]  # what models.registry.build needs
    epochs: tuple[Epoch, ...] = ()
    notes: dict[str, Any] = field(default_factory=dict)


def fit(
    family: str,
    task: TaskSpec,
    data: Split,
    *,
    seed: int = 0,
    epochs: int | None = None,
    solver: str = SOLVERS[0],
    on_epoch: Callable[[Epoch], None] = lambda _: None,
) -> Fitted:
    """Train ``family`` on ``data.train``, watching ``data.validation``; ``data.holdout`` is not looked at.

    The same seed, data and thread count give the same weights, bit for bit.

    Raises:
        ModelConfigError: unknown family.
    """
    torch.manual_seed(seed)
    recipe = RECIPES.get(family, Recipe(epochs=0))
    config: dict[str, Any] = {"family": family, "sizes": dict(recipe.sizes), "task": to_builtins(task)}
    module = registry.build(config)
    x, y = torch.from_numpy(data.train.x), torch.from_numpy(data.train.y)
    if isinstance(module, Linear):
        return _solve(module, config, x, y, solver)
    module.prepare(x, y)
    if epochs is not None:
        recipe = replace(recipe, epochs=epochs)
    return _descend(module, config, recipe, data, seed=seed, on_epoch=on_epoch)


def _solve(module: Linear, config: dict[str, Any], x: torch.Tensor, y: torch.Tensor, solver: str) -> Fitted:
    features, target = module.standardize(x, y)
    notes: dict[str, Any] = {"solver": solver}
    if solver == "least squares":
        weights = least_squares(features, target)
    else:
        weights, notes["steps"] = gradient_descent(features, target)
    module.set_weights(weights)
    module.set_quantiles(features, target)
    return Fitted(module=module.eval(), config=config, notes=notes)


def _descend(
    module: nn.Module,
    config: dict[str, Any],
    recipe: Recipe,
    data: Split,
    *,
    seed: int,
    on_epoch: Callable[[Epoch], None],
) -> Fitted:
    x, y = torch.from_numpy(data.train.x), torch.from_numpy(data.train.y)
    shuffle = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(module.parameters(), lr=recipe.rate, fused=True)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, recipe.decay)
    best, best_rmse, waited = copy.deepcopy(module.state_dict()), math.inf, 0
    history = []
    for number in range(1, recipe.epochs + 1):
        module.train()
        order = torch.randperm(len(x), generator=shuffle)
        total = torch.zeros(())
        # One gather an epoch, then views: a DataLoader takes a tenth longer (tests/bench/test_bench_train.py).
        for xb, yb in zip(x[order].split(recipe.batch), y[order].split(recipe.batch), strict=True):
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(module(xb), yb)
            loss.backward()
            optimizer.step()
            total += loss.detach() * len(xb)
        schedule.step()
        module.eval()
        rmse = math.sqrt(_mse(module, data.validation.x, data.validation.y))
        epoch = Epoch(number=number, of=recipe.epochs, train_mse=float(total) / len(x), validation_rmse=rmse)
        history.append(epoch)
        on_epoch(epoch)
        if rmse < best_rmse:
            best, best_rmse, waited = copy.deepcopy(module.state_dict()), rmse, 0
        else:
            waited += 1
            if waited >= recipe.patience:
                break
    module.load_state_dict(best)
    return Fitted(module=module.eval(), config=config, epochs=tuple(history), notes={"best_rmse": best_rmse})


def _mse(module: nn.Module, x: Any, y: Any) -> float:
    with torch.inference_mode():
        return float(nn.functional.mse_loss(module(torch.from_numpy(x)), torch.from_numpy(y)))
