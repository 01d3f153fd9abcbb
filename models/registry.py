"""Families by name, and the way back from a checkpoint's plain configuration to a module."""

from __future__ import annotations

import difflib
import importlib
from typing import Any

from torch import nn

from wayside.contracts.task import TaskSpec
from wayside.contracts.wire import ContractError, from_builtins
from wayside.models.errors import ModelConfigError

FAMILIES: dict[str, str] = {
    "linear": "wayside.models.linear:Linear",
    "mlp": "wayside.models.mlp:MLP",
    "gru": "wayside.models.gru:GRU",
    "gan": "wayside.models.gan:Discriminator",
    "residual": "wayside.models.residual:Residual",
    "spans": "wayside.models.spans:Spans",
    "cycle": "wayside.models.cycle:Cycle",
    "tcn": "wayside.models.tcn:TCN",
    "light": "wayside.models.light:Light",
    "cnn": "wayside.models.cnn:CNN",
    "count": "wayside.models.count:Count",
}
"""``module:class``, imported when it is built. A class takes the task and its sizes, all with defaults."""
KINDS: dict[str, str] = {"gan": "score", "residual": "score", "cnn": "classify", "count": "count"}
"""The kind of task that a family answers; of those not named here: forecast."""

LARGEST = 65_536
"""The greatest number among a family's sizes: a node has no memory for more."""
MOVED = frozenset({"site_dropout"})
"""What earlier checkpoints have among the sizes and what is now a matter of training (``[fit]``)."""


def families(kind: str) -> tuple[str, ...]:
    """Names of the families that answer tasks of ``kind``."""
    return tuple(name for name in FAMILIES if KINDS.get(name, "forecast") == kind)


def family(name: str) -> type[nn.Module]:
    """The class of the family ``name``.

    Raises:
        ModelConfigError: there is none.
    """
    if not isinstance(name, str) or name not in FAMILIES:
        near = difflib.get_close_matches(str(name).lower(), FAMILIES, n=2)
        hint = f", perhaps {' or '.join(near)}" if near else ""
        raise ModelConfigError(f"there is no model family {name!r}{hint}; known: {', '.join(FAMILIES)}")
    module, _, of = FAMILIES[name].partition(":")
    built: type[nn.Module] = getattr(importlib.import_module(module), of)
    return built


def build(config: dict[str, Any]) -> nn.Module:
    """Build the module of ``config``: ``family``, ``task`` (plain), and optional ``sizes`` of the family.

    Raises:
        ModelConfigError: unknown family, a task that breaks its contract, sizes that the family does not have.
    """
    made = family(str(config.get("family")))
    given = config.get("sizes", {})
    if not isinstance(given, dict):
        raise ModelConfigError(f"the sizes of family {config['family']!r} are {given!r}, not a table")
    sizes = {name: value for name, value in given.items() if name not in MOVED}
    for name, value in sizes.items():
        for each in value if isinstance(value, list | tuple) else [value]:
            if isinstance(each, int | float) and not abs(each) <= LARGEST:  # before anything is allocated; NaN, too
                raise ModelConfigError(f"family {config['family']!r}: the size {name} = {each} is beyond {LARGEST}")
    try:
        return made(from_builtins(config.get("task"), TaskSpec), **sizes)
    except ContractError as exc:
        raise ModelConfigError(f"the task of the model breaks its contract: {exc}") from exc
    except (TypeError, ValueError, RuntimeError, ArithmeticError, IndexError, MemoryError) as exc:
        # what a constructor or torch itself says of sizes that are unknown, no numbers, negative, or beyond the memory
        why = str(exc).partition("\n")[0]
        raise ModelConfigError(f"family {config['family']!r} has no such sizes as {sizes}: {why}") from exc
