"""Fitting a model as a task file's ``[fit]`` says: loss, optimizer, schedule, early stopping, weight averaging.

Most families are trained by gradient descent (`_descend`); those that are fitted otherwise are in `FITTERS`.
Deterministic: the same recipe, data, seed and thread count give the same weights, bit for bit.
"""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import numpy as np
import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LRScheduler, OneCycleLR
from torch.optim.swa_utils import AveragedModel

from wayside.cloud.train import ranks, sites
from wayside.cloud.train.augment import augment
from wayside.cloud.train.datasets import Examples, Split
from wayside.cloud.train.errors import DivergedError, FittingError, TaskError, TrainError
from wayside.cloud.train.fitted import Epoch, Fitted, Fitter, OnEpoch
from wayside.cloud.train.losses import Criterion, criterion
from wayside.cloud.train.taskfile import Fit
from wayside.contracts.task import TaskSpec
from wayside.contracts.wire import to_builtins
from wayside.models import registry
from wayside.models.errors import ModelError
from wayside.models.linear import Linear, gradient_descent, least_squares

GATHERED = 32 << 20  # bytes of windows taken at once: large tasks never lie in memory as a whole
PREPARED = 256 << 20  # bytes of training windows that normalization and spreads are taken from
RECIPES = {
    "linear": Fit(family="linear", epochs=1),
    "mlp": Fit(family="mlp", epochs=14, sizes={"hidden": 64}),
    "gru": Fit(family="gru", epochs=10, batch=128, sizes={"hidden": 32}),
    "tcn": Fit(family="tcn", epochs=10, batch=128),
    "light": Fit(family="light", epochs=10, batch=128, rate=0.003, loss="family"),
}
"""For families that a task file does not itself describe."""
REFERENCES = ("linear", "mlp", "gru")
"""What every forecaster stands beside."""
SOLVERS = ("least squares", "gradient descent")
"""Both ways lead to the linear family's one best answer."""


def fit(recipe: Fit, task: TaskSpec, data: Split, *, seed: int = 0, on_epoch: OnEpoch = lambda _: None) -> Fitted:
    """Train on ``data.train``, watching ``data.validation``; ``data.holdout`` is not looked at.

    Raises:
        ModelConfigError: unknown family, or sizes that it does not have.
        TaskError: the recipe does not fit the task.
        DivergedError: the loss is no number any more.
        FittingError: torch cannot do it.
    """
    with _torch(recipe, task):
        if recipe.family in FITTERS:
            return FITTERS[recipe.family](recipe, task, data, seed=seed, on_epoch=on_epoch)
        return _descend(recipe, task, data.train, data.validation, seed=seed, on_epoch=on_epoch)


def refit(
    recipe: Fit,
    task: TaskSpec,
    every: Examples,
    first: Fitted,
    data: Split,
    *,
    seed: int = 0,
    on_epoch: OnEpoch = lambda _: None,
) -> Fitted:
    """Train once more, on ``every`` window there is, for as many epochs as served ``first`` best.

    Nothing is left to watch, so that the schedule, and where it is left, are those of ``first``.
    """
    with _torch(recipe, task):
        if recipe.family in FITTERS:
            whole = msgspec.structs.replace(recipe, patience=0)
            split = Split(train=every, validation=data.validation, holdout=data.holdout)
            return FITTERS[recipe.family](whole, task, split, seed=seed, on_epoch=on_epoch)
        return _descend(recipe, task, every, None, seed=seed, stop=first.best, on_epoch=on_epoch)


@contextlib.contextmanager
def _torch(recipe: Fit, task: TaskSpec) -> Iterator[None]:
    """What torch says while fitting, as an error of ours.

    Raises:
        FittingError: what a layer, an optimizer or the memory allocator refuses.
    """
    try:
        yield
    except (TrainError, ModelError):
        raise
    except (RuntimeError, ValueError, TypeError, IndexError, ArithmeticError, MemoryError) as exc:
        why = next(iter(str(exc).splitlines()), "") or type(exc).__name__
        raise FittingError(
            f"{task.name}: {recipe.family} cannot be fitted: {why}; look at [fit] (sizes {recipe.sizes}, batch "
            f"{recipe.batch}, rate {recipe.rate:g})"
        ) from exc


def solve(recipe: Fit, task: TaskSpec, data: Split, *, seed: int = 0, solver: str = SOLVERS[0]) -> Fitted:
    """The linear family, by one of `SOLVERS`."""
    torch.manual_seed(seed)
    config, module = _build(recipe, task)
    if not isinstance(module, Linear):
        raise TaskError(f"family {recipe.family} is not linear; nothing solves it in closed form")
    x, y = _some(data.train)
    features, target = module.standardize(x, y)
    notes: dict[str, Any] = {"solver": solver}
    if solver == SOLVERS[0]:
        weights = least_squares(features, target)
    else:
        weights, notes["steps"] = gradient_descent(features, target)
    module.set_weights(weights)
    module.set_quantiles(features, target)
    return Fitted(module=module.eval(), config=config, notes=notes)


def _linear(recipe: Fit, task: TaskSpec, data: Split, *, seed: int, on_epoch: OnEpoch) -> Fitted:
    return solve(recipe, task, data, seed=seed)


def _adversarial(recipe: Fit, task: TaskSpec, data: Split, *, seed: int, on_epoch: OnEpoch) -> Fitted:
    from wayside.cloud.train import adversarial

    fitted: Fitted = adversarial.fit(recipe, task, data, seed=seed, on_epoch=on_epoch)
    return fitted


FITTERS: dict[str, Fitter] = {"linear": _linear, "gan": _adversarial}
"""Families that are not trained by gradient descent on a loss of their forecasts."""


def _build(recipe: Fit, task: TaskSpec) -> tuple[dict[str, Any], nn.Module]:
    if moved := registry.MOVED & recipe.sizes.keys():
        raise TaskError(f"{task.name}: [fit.sizes] {min(moved)} stands in [fit] now")
    config: dict[str, Any] = {"family": recipe.family, "sizes": dict(recipe.sizes), "task": to_builtins(task)}
    return config, registry.build(config)


def _descend(
    recipe: Fit,
    task: TaskSpec,
    train: Examples,
    validation: Examples | None,
    *,
    seed: int,
    on_epoch: OnEpoch,
    stop: int | None = None,
) -> Fitted:
    torch.manual_seed(seed)
    config, module = _build(recipe, task)
    if hasattr(module, "prepare"):  # pictures need none, and making them all takes long
        module.prepare(*_some(train))
    loss = criterion(recipe, task, torch.as_tensor(train.y), torch.from_numpy(train.site))
    torch.manual_seed(seed + ranks.rank())  # dropout differs between processes, weights do not
    shuffle = torch.Generator().manual_seed(seed)  # one for all processes: they share each batch
    noise = torch.Generator().manual_seed(seed + ranks.rank())
    optimizer = _optimizer(recipe, module)
    steps = math.ceil(len(train) / recipe.batch)
    steps = min(steps, recipe.steps) if recipe.steps else steps
    schedule = _schedule(recipe, optimizer, steps)
    average = AveragedModel(module, multi_avg_fn=_moving(recipe.average), use_buffers=True) if recipe.average else None
    judged: nn.Module = average.module if average is not None else module
    best, best_loss, best_epoch = copy.deepcopy(judged.state_dict()), math.inf, 0
    history: list[Epoch] = []
    for number in range(1, (stop or recipe.epochs) + 1):
        module.train()
        summed = torch.zeros(())
        order = torch.randperm(len(train), generator=shuffle)[: steps * recipe.batch]
        for xb, yb, sb, rows in batches(train, order, recipe.batch):
            optimizer.zero_grad()
            if len(xb):
                xa, ya = augment(recipe.augment, sites.hide(xb, task, recipe.site_dropout, noise), yb, noise)
                # Of a whole batch the mean; of a share of it, the share's part of that mean.
                of = loss(module, xa, ya, sb) * (len(xb) / rows)
                of.backward()
                summed += of.detach() * rows
            ranks.add_gradients(module)
            optimizer.step()
            schedule.step()
            if average is not None:
                average.update_parameters(module)
        module.eval()
        judged.eval()
        seen = float(ranks.total(summed)) / len(order)
        watched = math.nan if validation is None else _mean_loss(judged, loss, validation, recipe.batch)
        history.append(Epoch(number=number, of=stop or recipe.epochs, train=seen, validation=watched))
        on_epoch(history[-1])
        if not math.isfinite(seen):
            raise DivergedError(
                f"{task.name}: the training loss became {seen} in epoch {number}; lower [fit] rate, now {recipe.rate:g}"
            )
        if validation is None:
            best_epoch = number
        elif watched < best_loss:
            best, best_loss, best_epoch = copy.deepcopy(judged.state_dict()), watched, number
        elif recipe.patience and number - best_epoch >= recipe.patience:
            break
    if validation is not None:
        judged.load_state_dict(best)
    return Fitted(
        module=judged.eval(), config=config, epochs=tuple(history), best=best_epoch, notes={"best_epoch": best_epoch}
    )


def _optimizer(recipe: Fit, module: nn.Module) -> torch.optim.Optimizer:
    rate, decay = recipe.rate, recipe.weight_decay
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(module.parameters(), lr=rate, momentum=0.9, nesterov=True, weight_decay=decay)
    of = torch.optim.AdamW if recipe.optimizer == "adamw" else torch.optim.Adam
    return of(module.parameters(), lr=rate, weight_decay=decay, fused=True)


def _schedule(recipe: Fit, optimizer: torch.optim.Optimizer, steps: int) -> LRScheduler:
    """Stepped after every batch."""
    if recipe.schedule == "cosine":
        return CosineAnnealingLR(optimizer, T_max=recipe.epochs * steps)
    if recipe.schedule == "onecycle":
        return OneCycleLR(optimizer, recipe.rate, epochs=recipe.epochs, steps_per_epoch=steps)
    decay = recipe.decay if recipe.schedule == "exponential" else 1.0
    return LambdaLR(optimizer, lambda step: decay ** (step // steps))


def _moving(decay: float) -> Callable[[Any, Any, Any], None]:
    """Exponential moving average that forgets its first steps sooner: those weights were random."""

    @torch.no_grad()
    def update(averaged: list[torch.Tensor], current: list[torch.Tensor], steps: torch.Tensor) -> None:
        n = float(steps)
        if averaged[0].is_floating_point():
            torch._foreach_lerp_(averaged, current, 1 - min(decay, (1 + n) / (10 + n)))
        else:  # counters of batch normalization
            torch._foreach_copy_(averaged, current)

    return update


Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor, int]


def batches(windows: Examples, order: torch.Tensor, batch: int) -> Iterator[Batch]:
    """This process's share of each batch: x, y, site, and how many rows the whole batch has."""
    if not len(order):
        return
    # Gathered many batches at a time, then views: a DataLoader takes longer (tests/bench/test_bench_train.py).
    row = sum(a.nbytes for a in windows.take(order[:1].numpy()))
    chunk = batch * max(1, GATHERED // (row * batch))
    for many in order.split(chunk):
        mine = [ranks.share(part) for part in many.split(batch)]
        sizes = [len(part) for part in mine]
        index = torch.cat(mine).numpy()
        x, y = (torch.as_tensor(a).split(sizes) for a in windows.take(index))
        site = torch.from_numpy(windows.site[index]).split(sizes)
        yield from zip(x, y, site, [len(part) for part in many.split(batch)], strict=True)


def _mean_loss(module: nn.Module, loss: Criterion, windows: Examples, batch: int) -> float:
    summed = torch.zeros((), dtype=torch.float64)
    with torch.inference_mode():
        for x, y, site, _ in batches(windows, torch.arange(len(windows)), max(batch, 1024)):
            if len(x):
                summed += loss(module, x, y, site) * len(x)
    return float(ranks.total(summed)) / len(windows)


def _some(train: Examples) -> tuple[torch.Tensor, torch.Tensor]:
    """x, y of all training examples, or of as many, drawn at random, as `PREPARED` holds."""
    row = sum(a.nbytes for a in train.take(np.arange(1)))
    index = np.arange(len(train))
    if row * len(train) > PREPARED:
        index = np.sort(np.random.default_rng(0).permutation(len(train))[: PREPARED // row])
    x, y = train.take(index)
    return torch.as_tensor(x), torch.as_tensor(y)
