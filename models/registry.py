"""Families by name, and the way back from a checkpoint's plain configuration to a module."""

from __future__ import annotations

from typing import Any

from torch import nn

from contracts.task import TaskSpec
from contracts.wire import ContractError, from_builtins
from models.errors import ModelConfigError
from models.gru import GRU
from models.linear import Linear
from models.mlp import MLP

FAMILIES: dict[str, type[nn.Module]] = {"linear": Linear, "mlp": MLP, "gru": GRU}


def build(config: dict[str, Any]) -> nn.Module:
    """Build the module of ``config``: ``family``, ``task`` (plain), and optional ``sizes`` of the family.

    Raises:
        ModelConfigError: unknown family, a task that breaks its contract, sizes that the family does not have.
    """
    family = config.get("family")
    if family not in FAMILIES:
        raise ModelConfigError(f"there is no model family {family!r}; known: {', '.join(FAMILIES)}")
    try:
        return FAMILIES[family](from_builtins(config.get("task"), TaskSpec), **config.get("sizes", {}))
    except ContractError as exc:
        raise ModelConfigError(f"the task of the model breaks its contract: {exc}") from exc
    except TypeError as exc:
        raise ModelConfigError(f"family {family!r} has no such sizes: {exc}") from exc
