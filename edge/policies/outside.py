"""Policies of other distributions: found by entry point, read before they are imported, refused if they want too much.

A distribution names its module in the group ``wayside.policies``; the entry point's name is the policy's. The module,
and what it imports of its own package, may import ``wayside.contracts`` and a few modules of the standard library, so
what it proposes depends on nothing but what it is given. That is read from the source, and keeps mistakes out; it is no
sandbox: whoever installs a distribution on a node trusts it.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import NamedTuple, cast

from wayside.contracts.action import Action
from wayside.contracts.policy import Policy
from wayside.contracts.policy_settings import PolicySettings

GROUP = "wayside.policies"
STANDARD = frozenset(
    [
        "__future__",
        "bisect",
        "collections",
        "dataclasses",
        "datetime",
        "enum",
        "functools",
        "itertools",
        "math",
        "msgspec",
        "statistics",
        "typing",
        "zoneinfo",
    ]
)
"""What may be imported beside ``wayside.contracts``; msgspec is contracts' own."""
HIDDEN = frozenset({"__import__", "eval", "exec", "compile", "open", "__builtins__", "__loader__", "__spec__"})
"""Names by which a module reaches what it does not import."""
FUNCTIONS = ("read", "propose", "soften", "explain")


class Outside(NamedTuple):
    """A policy that another distribution brings, or why it is refused."""

    name: str
    source: str  # distribution and version
    policy: Policy | None
    refused: str | None = None


def load(shipped: Sequence[str]) -> dict[str, Outside]:
    """Every policy of the group, by name."""
    loaded: dict[str, Outside] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda p: (p.name, p.value)):
        source = _source(point)
        before = loaded.get(point.name)
        if point.name in shipped:
            one = Outside(
                point.name, source, None, f"wayside ships a policy of that name: {source} has to rename its own"
            )
        elif before is not None and before.source != source:
            one = Outside(
                point.name, source, None, f"{before.source} and {source} both bring it: uninstall one of them"
            )
        else:
            one = _load(point, source)
        loaded[point.name] = one
    return loaded


def _load(point: EntryPoint, source: str) -> Outside:
    try:
        if problem := next(problems(point.module), None):
            return Outside(point.name, source, None, f"{source}: {problem}")
        if point.attr:
            return Outside(point.name, source, None, f"{source}: {point.value} names no module")
        module = importlib.import_module(point.module)
        lacks = next(_lacks(module), None)
    except Exception as exc:  # a module that cannot be imported is one policy less, not a node less
        return Outside(point.name, source, None, f"{source}: {point.module} cannot be imported: {exc!r}"[:300])
    if lacks is not None:
        return Outside(point.name, source, None, f"{source}: {point.module} {lacks}")
    return Outside(point.name, source, cast(Policy, module))


def problems(module: str) -> Iterator[str]:
    """What ``module`` and what it imports of its own package import that a policy may not. Nothing of it is run."""
    package = module.partition(".")[0]
    if package == "wayside":
        yield f"{module} says that it is a part of wayside"
        return
    waiting, seen = _with_parents(module), set[str]()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        spec = _spec(name)
        if spec is None or (spec.origin is None and not spec.submodule_search_locations):
            yield f"there is no module {name}"
            continue
        if spec.origin is None:  # a folder without __init__.py
            continue
        if not spec.origin.endswith(".py"):
            yield f"{name} cannot be read: {Path(spec.origin).name} is no Python source"
            continue
        tree = ast.parse(Path(spec.origin).read_bytes())
        is_package = spec.submodule_search_locations is not None
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and node.id in HIDDEN:
                yield f"{name}, line {node.lineno}, uses {node.id}: a policy may not"
            for wanted, certain in _imports(node, name, is_package):
                if wanted.partition(".")[0] == package:
                    if certain or _spec(wanted) is not None:
                        waiting += _with_parents(wanted)
                elif certain and not _allowed(wanted):
                    line = getattr(node, "lineno", 0)
                    yield f"{name}, line {line}, imports {wanted}: a policy may import wayside.contracts alone"


def _imports(node: ast.AST, name: str, is_package: bool) -> Iterator[tuple[str, bool]]:
    """Modules that ``node`` imports; not certain: perhaps only a name of one."""
    if isinstance(node, ast.Import):
        yield from ((alias.name, True) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            parents = name.split(".") if is_package else name.split(".")[:-1]
            base = ".".join([*parents[: len(parents) - node.level + 1], *([base] if base else [])])
        if base == "wayside":
            yield from ((f"wayside.{alias.name}", True) for alias in node.names)
            return
        yield base, True
        yield from ((f"{base}.{alias.name}", False) for alias in node.names)


def _allowed(module: str) -> bool:
    top = module.partition(".")[0]
    return top in STANDARD or module == "wayside.contracts" or module.startswith("wayside.contracts.")


def _with_parents(module: str) -> list[str]:
    """``module`` and the packages around it: their ``__init__`` runs, too."""
    parts = module.split(".")
    return [".".join(parts[: i + 1]) for i in range(len(parts))]


def _spec(module: str) -> ModuleSpec | None:
    """Where ``module`` would be imported from; unlike :func:`importlib.util.find_spec` this imports no package."""
    path: Sequence[str] | None = None
    spec: ModuleSpec | None = None
    for name in _with_parents(module):
        spec = PathFinder.find_spec(name, path)
        if spec is None:
            return None
        path = spec.submodule_search_locations or ()
    return spec


def _lacks(module: object) -> Iterator[str]:
    settings = getattr(module, "Settings", None)
    if not (isinstance(settings, type) and issubclass(settings, PolicySettings)):
        yield "has no Settings: a subclass of wayside.contracts.policy_settings.PolicySettings"
    if getattr(module, "ACTION", None) not in Action.__args__:
        yield "has no ACTION: Greens, Setpoint or Notice of wayside.contracts.action"
    for name in FUNCTIONS:
        if not callable(getattr(module, name, None)):
            yield f"has no function {name}"


def _source(point: EntryPoint) -> str:
    return "an unknown distribution" if point.dist is None else f"{point.dist.name} {point.dist.version}"[:200]
