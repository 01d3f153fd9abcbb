"""Training: one epoch of batches of 32 as `fit` gathers them, beside a stock DataLoader, on the same windows."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch.utils.data import DataLoader, TensorDataset

from cloud.train import datasets
from cloud.train.taskfile import load_task
from contracts.wire import to_builtins
from models import registry

BATCH, WINDOWS = 32, 8192


@pytest.fixture(scope="module")
def windows() -> tuple[torch.Tensor, torch.Tensor]:
    torch.set_num_threads(1)
    x, y = datasets.split(*datasets.load(load_task("traffic_flow"))).train.take(slice(WINDOWS))
    return torch.from_numpy(x), torch.from_numpy(y)


def gathered(x: torch.Tensor, y: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    order = torch.randperm(len(x))
    return zip(x[order].split(BATCH), y[order].split(BATCH), strict=True)


def loaded(x: torch.Tensor, y: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    return iter(DataLoader(TensorDataset(x, y), batch_size=BATCH, shuffle=True))


@pytest.mark.benchmark(group="8192 windows in batches of 32")
@pytest.mark.parametrize("way", ["gathered", "DataLoader", "gathered + steps of the MLP"])
def test_bench_an_epoch(benchmark: BenchmarkFixture, way: str, windows: tuple[torch.Tensor, torch.Tensor]) -> None:
    batches = loaded if way == "DataLoader" else gathered
    task = load_task("traffic_flow").task
    module = registry.build({"family": "mlp", "task": to_builtins(task)})
    optimizer = torch.optim.Adam(module.parameters(), lr=0.01, fused=True)

    def epoch() -> None:
        for x, y in batches(*windows):
            if "steps" in way:
                optimizer.zero_grad()
                torch.nn.functional.mse_loss(module(x), y).backward()
                optimizer.step()

    benchmark.pedantic(epoch, rounds=5, warmup_rounds=1)
