"""Training in several processes that `torchrun` started: each takes its share of every batch.

Gradients are summed over the processes after each batch, so that all of them take the step that one process would have
taken with the whole batch. Reduced by hand rather than by ``DistributedDataParallel``, which hooks ``forward`` and so
cannot see a family's own ``training_loss``. gloo: the processors are CPUs.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import torch
import torch.distributed as dist
from torch import nn


@contextlib.contextmanager
def joined() -> Iterator[None]:
    """While open, this process works with the others of its `torchrun`; without one, alone."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or dist.is_initialized():
        yield
        return
    dist.init_process_group("gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def rank() -> int:
    """Number of this process, from 0; only 0 writes and talks."""
    return dist.get_rank() if dist.is_initialized() else int(os.environ.get("RANK", "0"))


def count() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def share(batch: torch.Tensor) -> torch.Tensor:
    """This process's rows of ``batch`` (B, …): possibly none."""
    return batch[rank() :: count()] if count() > 1 else batch


def total(value: torch.Tensor) -> torch.Tensor:
    """The sum of ``value`` over all processes."""
    if count() > 1:
        dist.all_reduce(value)
    return value


def add_gradients(module: nn.Module) -> None:
    """Give every process the sum of all gradients; one message for all parameters."""
    if count() == 1:
        return
    parameters = [p for p in module.parameters() if p.requires_grad]
    flat = torch.cat([torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten() for p in parameters])
    dist.all_reduce(flat)
    for p, gradient in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
        p.grad = gradient.view_as(p)
