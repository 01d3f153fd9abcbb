"""The import boundaries themselves are held complete; import-linter (`make check`) holds the code to them."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[1]
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
ROOMS = ("contracts", "models", "cloud", "export", "edge", "firmware_bridge")
# A room's bare name where a program would import it: code in a string, `python -m`, a module or "module:name".
ROOM = rf"(?:{'|'.join(ROOMS)})"
CODE = re.compile(rf"(?<![\w.])(?:from {ROOM}(?:\.\w+)* import\b|import {ROOM}\.\w|-m {ROOM}\.\w)")
NAME = re.compile(rf"({ROOM}(?:\.\w+)+)(?::\w+)?")


def test_no_boundary_has_an_exception() -> None:
    assert not [c["name"] for c in CONTRACTS if c.get("ignore_imports")]


def test_every_module_of_edge_is_closed_to_export_but_the_three_that_the_gate_needs() -> None:
    allowed = {"errors", "runtimes", "golden", "trusted_bundle"}
    assert closed("wayside.export", "edge") == modules_of("edge") - allowed


def test_every_module_of_firmware_bridge_is_closed_to_edge_but_the_line_and_the_errors() -> None:
    assert closed("wayside.edge", "firmware_bridge") == modules_of("firmware_bridge") - {"errors", "line"}


def test_every_module_of_edge_is_closed_to_firmware_bridge_but_the_policies() -> None:
    assert closed("wayside.firmware_bridge", "edge") == modules_of("edge") - {"policies"}


def test_every_module_of_edge_is_closed_to_the_simulation_but_what_decides_and_judges() -> None:
    assert closed("wayside.cloud.sim", "edge") == modules_of("edge") - {"policies", "guard", "measures"}


@pytest.mark.parametrize("package", ["policies", "guard", "measures"])
def test_every_module_of_edge_is_closed_to_policies_guard_and_measures(package: str) -> None:
    """What the simulator takes is what runs: each stands on contracts alone."""
    assert closed(f"wayside.edge.{package}", "edge") == modules_of("edge") - {package}


def closed(source: str, room: str) -> set[str]:
    """What one rule forbids ``source`` to import of ``room``, module by module."""
    prefix = f"wayside.{room}."
    found = [
        {name.removeprefix(prefix) for name in rule["forbidden_modules"] if name.startswith(prefix)}
        for rule in CONTRACTS
        if rule.get("source_modules") == [source]
    ]
    (modules,) = (each for each in found if each)
    return modules


def modules_of(room: str) -> set[str]:
    paths = (path for path in (ROOT / room).iterdir() if path.suffix == ".py" or (path / "__init__.py").exists())
    return {path.stem for path in paths} - {"__init__"}


def test_every_room_has_its_link_and_nothing_else_has_one() -> None:
    links = {path.name: str(path.readlink()) for path in (ROOT / "wayside").iterdir() if path.is_symlink()}
    carried = {"docs": "../docs", "constraints.txt": "../constraints.txt"}  # what the wheel has beside its code
    assert links == {room: f"../{room}" for room in ROOMS} | {"__main__.py": "../wayside.py"} | carried
    assert {p.name for p in (ROOT / "wayside").iterdir()} - {*links, "__pycache__"} == {
        "__init__.py",
        "csv_dialect.py",
        "distribution",
        "durable.py",
        "pages.py",
        "command_line.py",
        "errors.py",
        "exits.py",
        "terminal.py",
        "hub_http",
        "new",
        "paths.py",
        "systemd.py",
        "shell",
        "text.py",
    }


def test_no_file_imports_a_room_by_its_bare_name() -> None:
    """It would be a second copy of the same module, and where wayside is installed somebody else's or none."""
    sources = [ROOT / "wayside.py", *(p for top in (*ROOMS, "tests") for p in sorted((ROOT / top).rglob("*.py")))]
    found = [f"{path.relative_to(ROOT)}:{line}" for path in sources for line in bare_names(path.read_text())]
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    found += [str(path.relative_to(ROOT)) for path in pages if CODE.search(path.read_text())]
    assert not found


@pytest.mark.parametrize(
    "code",
    [
        "import {}.agent",
        "import os, {}",
        "def f():\n    from {} import golden",
        "from {}.golden import run",
        "run(['-c', 'import sys; from {}.golden import run'])",
        "run('python -m {}.agent')",
        "importlib.import_module('{}.agent')",
        "FAMILIES = {{'a': '{}.agent:Agent'}}",
    ],
)
def test_a_bare_name_is_found(code: str) -> None:
    assert list(bare_names(code.format("edge")))
    assert not list(bare_names(code.format("wayside.edge")))
    assert not list(bare_names(code.format("edges")))


def bare_names(source: str) -> Iterator[int]:
    """Lines that import, or have something import, a room without `wayside.` before it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            if any(alias.name.split(".")[0] in ROOMS for alias in node.names):
                yield node.lineno
        elif isinstance(node, ast.ImportFrom):
            if not node.level and (node.module or "").split(".")[0] in ROOMS:
                yield node.lineno
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            name = NAME.fullmatch(node.value)
            if CODE.search(node.value) or (name and is_module(name[1])):
                yield node.lineno


def is_module(name: str) -> bool:
    path = ROOT / name.replace(".", "/")
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def test_no_module_imports_itself_by_a_detour() -> None:
    """Imports inside functions count, too: a circle that is hidden there is one that nobody can take apart."""
    graph = grimp.build_graph("wayside")
    leads_to = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    assert not circles(leads_to)


def test_a_circle_is_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a", "c"}}) == [{"b", "c"}]
    assert circles({"a": {"a"}, "b": set()}) == [{"a"}]


def circles(leads_to: dict[str, set[str]]) -> list[set[str]]:
    """Modules of which each reaches itself again, together with those on its way."""
    reached = {module: set(next_ones) for module, next_ones in leads_to.items()}
    for via in leads_to:  # Warshall
        for found in reached.values():
            if via in found:
                found.update(reached[via])
    rings = {frozenset(m for m in reached if m in reached[start] and start in reached[m]) for start in leads_to}
    return [set(ring) for ring in rings if ring]
