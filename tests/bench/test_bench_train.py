"""Training: one epoch of batches of 32 as `fit` gathers them from the grid, beside a stock DataLoader over windows that
already lie in memory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch.utils.data import DataLoader, TensorDataset

from wayside.cloud.train import datasets
from wayside.cloud.train.datasets import Examples
from wayside.cloud.train.fit import batches
from wayside.cloud.train.taskfile import load_task
from wayside.contracts.wire import to_builtins
from wayside.models import registry

BATCH, WINDOWS = 32, 8192
Pairs = Iterator[tuple[torch.Tensor, torch.Tensor]]


@pytest.fixture(scope="module")
def windows() -> Examples:
    torch.set_num_threads(1)
    train = datasets.split(*datasets.load(load_task("traffic_flow"))).train
    return train.where(slice(WINDOWS))


def gathered(windows: Examples) -> Pairs:
    return ((x, y) for x, y, _, _ in batches(windows, torch.randperm(len(windows)), BATCH))


def loaded(windows: Examples) -> Pairs:
    x, y = windows.take(slice(None))
    return iter(DataLoader(TensorDataset(torch.from_numpy(x), torch.from_numpy(y)), batch_size=BATCH, shuffle=True))


@pytest.mark.benchmark(group="8192 windows in batches of 32")
@pytest.mark.parametrize("way", ["gathered", "DataLoader", "gathered + steps of the MLP"])
def test_bench_an_epoch(benchmark: BenchmarkFixture, way: str, windows: Examples) -> None:
    of = loaded if way == "DataLoader" else gathered
    task = load_task("traffic_flow").task
    module = registry.build({"family": "mlp", "task": to_builtins(task)})
    optimizer = torch.optim.Adam(module.parameters(), lr=0.01, fused=True)

    def epoch() -> None:
        for x, y in of(windows):
            if "steps" in way:
                optimizer.zero_grad()
                torch.nn.functional.mse_loss(module(x), y).backward()
                optimizer.step()

    benchmark.pedantic(epoch, rounds=5, warmup_rounds=1)
