"""Training generator and discriminator against each other, and measuring whether that helps.

Few rare windows are known, or none. *Some known* (``[fit] rare``): a critic tells known from generated ones, and the
generator learns to bend any typical window so that the critic takes it for a known one (least squares, Mao et al.,
"Least squares generative adversarial networks", ICCV 2017). So what was seen a few times, at a few sites, is seen
everywhere. *None known*: the generator is held at the boundary of the typical windows, where the discriminator answers
one half, and kept from making the same window always (Ngo et al., "Fence GAN", ICTAI 2019). In both, the discriminator
learns typical windows against known and generated ones, by cross-entropy.
"""

from __future__ import annotations

import functools
import itertools
import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from wayside.cloud.train import incidents, sites
from wayside.cloud.train.anomaly import find_incidents
from wayside.cloud.train.datasets import Examples, Split, load, split
from wayside.cloud.train.errors import TaskError
from wayside.cloud.train.fitted import Epoch, Fitted, OnEpoch
from wayside.cloud.train.taskfile import Fit, load_task
from wayside.cloud.train.windows import Windows
from wayside.contracts.task import TaskSpec
from wayside.contracts.wire import to_builtins
from wayside.models import registry
from wayside.models.gan import Discriminator, Generator

PREPARED = 100_000  # training windows that constants are taken from
BOUNDARY = 0.5  # what the discriminator should answer to generated windows when no rare one is known (Fence GAN)
DIVERSITY = 0.3  # weight of the term that keeps generated windows unlike each other
TYPICAL_PER_RARE = 4  # typical windows for each rare one of a batch, and for each generated one
KNOWN_SEED = 77  # of the incidents that are known in training; those that detectors are judged by have others


def fit(recipe: Fit, task: TaskSpec, data: Split, *, seed: int, on_epoch: OnEpoch) -> Fitted:
    """Train discriminator and generator on ``data.train``; the discriminator is what is kept.

    ``recipe.rare`` windows with incidents (cloud.train.incidents) are put among the training windows, and known. All
    epochs are run: no adversarial loss says when to stop.

    Raises:
        TaskError: the family is no discriminator, or the task is one of pictures.
    """
    torch.manual_seed(seed)
    config, module = _build(recipe, task)
    train = _series(data.train, task)
    rare = known(train, recipe.rare, seed) if recipe.rare else None
    history = train_adversarially(module, recipe, task, train, rare, seed=seed, on_epoch=on_epoch)
    notes = {"rare": 0 if rare is None else len(rare)}
    return Fitted(module=module.eval(), config=config, epochs=history, best=len(history), notes=notes)


def known(windows: Windows, count: int, seed: int, rule: incidents.Rule | None = None) -> torch.Tensor:
    """``count`` windows (n, T, F) in which an incident goes on, drawn at random."""
    changed, labels = incidents.into(windows, rule or incidents.Rule(), KNOWN_SEED + seed)
    at = np.random.default_rng(seed).permutation(np.flatnonzero(labels))[:count]
    return torch.from_numpy(changed.take(at)[0])


def train_adversarially(
    module: Discriminator,
    recipe: Fit,
    task: TaskSpec,
    train: Windows,
    rare: torch.Tensor | None,
    *,
    seed: int,
    generated: bool = True,
    on_epoch: OnEpoch = lambda _: None,
) -> tuple[Epoch, ...]:
    """Train ``module`` in place; without ``generated`` windows it has only the known ones to learn from."""
    torch.manual_seed(seed)
    draw = np.random.default_rng(seed)
    hiding = torch.Generator().manual_seed(seed)
    some = torch.from_numpy(train.take(np.sort(draw.permutation(len(train))[:PREPARED]))[0])
    module.prepare(some, some[:, -1:, module.usual.output])
    generator = Generator(module.usual, task.window, module.noise) if generated else None
    critic = _critic(task.window) if generated and rare is not None else None
    betas = (0.5, 0.9)
    of_d = torch.optim.AdamW(module.parameters(), lr=recipe.rate, weight_decay=recipe.weight_decay)
    of_g = torch.optim.Adam(generator.parameters(), lr=recipe.rate, betas=betas) if generator else None
    of_c = torch.optim.Adam(critic.parameters(), lr=recipe.rate, betas=betas) if critic else None
    batches = math.ceil(len(train) / recipe.batch)
    batches = min(batches, recipe.steps) if recipe.steps else batches
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(of_d, recipe.epochs * batches)
    part = max(recipe.batch // TYPICAL_PER_RARE, 1)
    history = []
    for number in range(1, recipe.epochs + 1):
        total = 0.0
        module.train()
        for indices in itertools.islice(_shuffled(len(train), recipe.batch, draw), batches):
            typical = sites.hide(torch.from_numpy(train.take(indices)[0]), task, recipe.site_dropout, hiding)
            bad = []
            if rare is not None:
                drawn = rare[torch.randint(len(rare), (part,))]
                bad.append(sites.hide(drawn, task, recipe.site_dropout, hiding))
            if generator is not None and of_g is not None:
                base = typical[:part]
                made, change = generator(base, torch.randn(len(base), module.noise))
                if critic is not None and of_c is not None:
                    known_away, made_away = module.usual(bad[0])[0], module.usual(made)[0]
                    loss = _squared_error(critic(known_away), 1) + _squared_error(critic(made_away.detach()), 0)
                    _step(of_c, loss)
                    _step(of_g, _squared_error(critic(made_away), 1))
                else:
                    odds = torch.sigmoid(module.logit(made))
                    apart = (change[1:] - change[:-1]).abs().mean() if len(change) > 1 else change.abs().mean()
                    _step(of_g, _squared_error(odds, BOUNDARY) + DIVERSITY / (1 + apart))
                bad.append(made.detach())
            logit = module.logit(typical)
            loss = functional.binary_cross_entropy_with_logits(logit, torch.zeros_like(logit))
            for windows in bad:
                logit = module.logit(windows)
                loss = loss + functional.binary_cross_entropy_with_logits(logit, torch.ones_like(logit)) / len(bad)
            _step(of_d, loss)
            schedule.step()
            total += float(loss.detach())
        history.append(Epoch(number=number, of=recipe.epochs, train=total / batches, validation=math.nan))
        on_epoch(history[-1])
    module.eval()
    with torch.inference_mode():
        module.unit.fill_(1.0)
        # A median would not move with the rare windows among the training ones, but typical is what they score on
        # average, so that a mean of scores says at once how unusual a day was.
        module.unit.copy_(module(some).mean().clamp(min=1e-6))
    return tuple(history)


def _build(recipe: Fit, task: TaskSpec) -> tuple[dict[str, Any], Discriminator]:
    config: dict[str, Any] = {"family": recipe.family, "sizes": dict(recipe.sizes), "task": to_builtins(task)}
    module = registry.build(config)
    if not isinstance(module, Discriminator):
        raise TaskError(f"{task.name}: family {recipe.family} is no discriminator; write gan")
    return config, module


def _series(examples: Examples, task: TaskSpec) -> Windows:
    if not isinstance(examples, Windows):
        raise TaskError(f"{task.name}: a discriminator scores windows of series, not pictures")
    return examples


def _critic(window: int) -> nn.Module:
    return nn.Sequential(nn.Linear(window, 48), nn.LeakyReLU(0.2), nn.Dropout(0.3), nn.Linear(48, 1))


def _squared_error(given: torch.Tensor, wanted: float) -> torch.Tensor:
    return (given - wanted).square().mean()


def _step(optimizer: torch.optim.Optimizer, loss: torch.Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def _shuffled(n: int, batch: int, draw: np.random.Generator) -> Iterator[npt.NDArray[np.int64]]:
    order = draw.permutation(n)
    for a in range(0, n, batch):
        yield order[a : a + batch]


def compare(recipe: Fit, task: TaskSpec, data: Split, *, seeds: int = 5) -> list[dict[str, Any]]:
    """Does a detector learn more with the generator's windows than from the known ones alone?

    The same module, the same known windows, the same steps; judged by other incidents, in ``data.holdout``.

    Returns:
        Per seed: ``seed``, ``without`` and ``with`` the generator: the metrics of cloud.train.anomaly.find_incidents.
    """
    train, held = _series(data.train, task), _series(data.holdout, task)
    rows: list[dict[str, Any]] = []
    for seed in range(seeds):
        rare = known(train, recipe.rare, seed)
        row: dict[str, Any] = {"seed": seed}
        for name, generated in (("without", False), ("with", True)):
            torch.manual_seed(seed)
            module = _build(recipe, task)[1]
            train_adversarially(module, recipe, task, train, rare, seed=seed, generated=generated)
            row[name] = find_incidents(held, functools.partial(_scores, module))
        rows.append(row)
    return rows


def _scores(module: nn.Module, windows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    with torch.inference_mode():
        scores: npt.NDArray[np.float32] = module(torch.from_numpy(windows)).numpy()
    return scores


def main(data: Path, rare: int | None = None, seeds: int = 5) -> None:
    """Write :func:`compare` for the task scats_incidents with ``rare`` known windows, a seed a line."""
    torch.set_num_threads(1)
    source, taskfile = load(load_task("scats_incidents"), data)
    recipe = taskfile.fit if rare is None else msgspec.structs.replace(taskfile.fit, rare=rare)
    for row in compare(recipe, taskfile.task, split(source, taskfile), seeds=seeds):
        sys.stdout.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
