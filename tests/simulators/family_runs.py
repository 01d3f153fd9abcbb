"""Every family of ``models`` as a small exported run: found by name in the registry, fed with synthetic examples.

A family serves a task if it builds for it and answers in the task's shape. Of every row of ``CHOICES`` it gets the
first task that it serves; few tasks and small ones, since a conversion takes seconds.
"""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import nn

from tests.simulators.trained_run import TASK as PLAIN
from wayside.contracts.task import Input, TaskSpec
from wayside.contracts.wire import to_builtins
from wayside.export.parity import Limits
from wayside.export.pipeline import Options, Work, run
from wayside.models.registry import FAMILIES, KINDS, build

VOLUME = Input(name="volume", unit="{veh}", low=0, high=400)
HOUR = Input(name="hour", unit="h", low=0, high=24)
WEEKDAY = Input(name="weekday", unit="d", low=0, high=6)
TEMPERATURE = Input(name="temperature", unit="Cel", low=-30, high=45)
COMMON = {"domain": "traffic", "output": "volume", "output_unit": "{veh}", "interval_s": 900.0, "season": 672}

RICH = TaskSpec(
    name="rich",
    inputs=(
        VOLUME,
        HOUR,
        WEEKDAY,
        Input(name="site", unit="1", low=0, high=2),
        TEMPERATURE,
        Input(name="holiday", unit="1", low=0, high=1, ahead=True),
    ),
    window=6,
    horizon=3,
    quantiles=(0.1, 0.5, 0.9),
    sites=("north", "south", "east"),
    **COMMON,
)
BESIDE = TaskSpec(name="beside", inputs=(HOUR, WEEKDAY, TEMPERATURE), window=1, horizon=1, lead=0, **COMMON)
SCORE = TaskSpec(name="score", kind="score", inputs=(VOLUME, HOUR, WEEKDAY), window=12, horizon=2, **COMMON)
FRAME = {"domain": "safety", "output_unit": "1", "interval_s": 1.0, "season": 1, "window": 1, "horizon": 1}
LIGHT = (Input(name="frame", unit="1", low=0, high=255),)
CLASSIFY = TaskSpec(
    name="classify", kind="classify", inputs=LIGHT, output="sign", image=(16, 16, 3), classes=tuple("abcd"), **FRAME
)
COUNT = TaskSpec(
    name="count", kind="count", inputs=LIGHT, output="vehicles", image=(24, 32, 3), classes=("car", "walker"), **FRAME
)
CHOICES: tuple[tuple[TaskSpec, ...], ...] = ((RICH, PLAIN), (SCORE,), (CLASSIFY,), (COUNT,))
FURTHER = {"light": (BESIDE,)}
"""The family of the tasks without lags is tried on one."""
SIZES = {"cnn": {"stages": ((16, 1),), "head": 16, "zooms": (2, -2)}, "count": {"stages": ((16, 1),), "head": 16}}
"""Smaller than they come; the layers are the same."""
LIMITS = Limits(int8_loss=0.10, int8_slice_loss=0.30)
"""These nets are hardly trained: the suite compares runtimes, it judges no model."""


def examples(task: TaskSpec, n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Inputs (n, *input), a tenth of them missing unless they are pictures, and truths as ``windows.npz`` has them."""
    rng = np.random.default_rng(seed)
    if task.image is not None:
        which = rng.integers(0, len(task.classes), n)
        x = rng.normal(120, 30, (n, *task.image)) + 25 * which[:, None, None, None]
        y = which if task.kind == "classify" else np.eye(len(task.classes), dtype=np.float32)[which]
        return np.clip(x, 0, 255).astype(np.float32), y
    hour = rng.uniform(0, 24, n)
    x = np.zeros((n, task.window, len(task.inputs)), np.float32)
    level = 40 + 30 * np.sin(hour / 24 * 2 * np.pi) + rng.normal(0, 4, n)
    columns = {
        "volume": np.maximum(rng.poisson(np.maximum(level, 1)[:, None], (n, task.window)), 0),
        "hour": (hour[:, None] + np.arange(1 - task.window, 1) / 4) % 24,
        "weekday": np.repeat(rng.integers(0, 7, (n, 1)), task.window, 1),
        "site": np.repeat(rng.integers(0, max(1, len(task.sites)), (n, 1)), task.window, 1),
        "temperature": rng.normal(12, 6, (n, task.window)),
        "holiday": rng.integers(0, 2, (n, task.window)),
    }
    for i, each in enumerate(task.inputs):
        x[:, :, i] = columns[each.name]
        if each.name in ("volume", "temperature"):
            x[:, :, i][rng.random((n, task.window)) < 0.1] = np.nan
    y = np.maximum(level[:, None] + rng.normal(0, 3, (n, task.horizon)), 0).astype(np.float32)
    return x, (np.zeros((n, 1), np.float32) if task.kind == "score" else y)


def serves(family: str, task: TaskSpec) -> str | None:
    """Why ``family`` does not serve ``task``; ``None`` if it does."""
    kind = KINDS.get(family, "forecast")
    if task.kind != kind:
        return f"{family} is of kind {kind}, {task.name} of {task.kind}"
    try:
        module = build(config(family, task)).eval()
        with torch.inference_mode():
            answer = module(torch.from_numpy(examples(task, 2)[0]))
    except (ValueError, TypeError, KeyError, RuntimeError, IndexError) as exc:
        return f"{family} does not take {task.name}: {exc}"
    wanted = (2, *task.output_shape)
    return (
        None
        if tuple(answer.shape) == wanted
        else f"{family} answers {tuple(answer.shape)} to {task.name}, not {wanted}"
    )


def config(family: str, task: TaskSpec) -> dict:
    sizes = SIZES.get(family, {})
    return {
        "family": family,
        "sizes": sizes,
        "task": to_builtins(task),
        "seed": 1,
        "data_sha256": "0" * 64,
        "residual_std": 5.0,
    }


@functools.cache
def served() -> dict[str, tuple[str, TaskSpec]]:
    """Name of the case → family and task."""
    found = {}
    for family in sorted(FAMILIES):
        for choices in (*CHOICES, *((t,) for t in FURTHER.get(family, ()))):
            task = next((t for t in choices if serves(family, t) is None), None)
            if task is not None:
                found[f"{family}-{task.name}"] = (family, task)
    return found


@functools.cache
def family_run(case: str) -> Path:
    """A run directory of ``case``: prepared and fitted for a few steps."""
    family, task = served()[case]
    torch.manual_seed(1)
    x, y = examples(task, 512)
    module = build(config(family, task))
    if task.image is None:
        module.prepare(torch.from_numpy(x), torch.from_numpy(y))
    if task.kind != "score":
        _fit(module, task, torch.from_numpy(x), torch.from_numpy(y))
    folder = Path(tempfile.mkdtemp(prefix=f"wayside-{case}-"))
    torch.save({"state_dict": module.state_dict(), "config": config(family, task)}, folder / "checkpoint.pt")
    held_x, held_y = examples(task, 120, seed=2)
    golden = x[:12].copy()
    if task.image is None:
        golden[-1] = np.nan  # nothing at all
        golden[-2, :, 0] = np.nan
    windows = {"calibration": x[:64], "golden": golden, "holdout_x": held_x, "holdout_y": held_y}
    if task.kind == "forecast":
        floor = np.full_like(held_y, 40.0)
        windows |= {"holdout_naive": floor, "holdout_seasonal": floor, "holdout_hour": np.arange(120) % 24}
    np.savez(folder / "windows.npz", **windows)
    return folder


def _fit(module: nn.Module, task: TaskSpec, x: torch.Tensor, y: torch.Tensor) -> None:
    learns = [p for p in module.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(learns, lr=3e-3)
    module.train()
    for step in range(30):
        pick = torch.arange(step * 64, step * 64 + 64) % len(x)
        answer = module(x[pick])
        if task.kind == "classify":
            loss = nn.functional.cross_entropy(answer, y[pick])
        else:
            loss = (answer - (y[pick].unsqueeze(-1) if task.quantiles else y[pick])).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    module.eval()


@functools.cache
def family_work(case: str) -> Work:
    """All stages of ``case``."""
    return run(family_run(case), Options(limits=LIMITS))
