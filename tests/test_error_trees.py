"""Every package draws its errors as one tree, and the drawing is the truth."""

from __future__ import annotations

import ast
import builtins
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = {
    "firmware_bridge": "BridgeError",
    "edge": "EdgeError",
    "cloud/hub": "HubError",
    "cloud/sim": "SimulateError",
    "cloud/train": "TrainError",
    "export": "ExportError",
}
ROW = re.compile(r"(?P<lead>(?:│   |    )*(?:├── |└── )?)(?P<name>[A-Z]\w+)")


def drawn(package: str, root: str) -> dict[str, str | None]:
    """class → parent, of the tree in the docstring of ``errors.py``."""
    docstring = ast.get_docstring(ast.parse((ROOT / package / "errors.py").read_text())) or ""
    rows = docstring.partition(f"\n{root}")[2].partition("\n\n")[0].splitlines()
    tree: dict[str, str | None] = {root: None}
    branch = [root]
    for row in rows[1:]:
        match = ROW.match(row)
        assert match is not None, f"{package}/errors.py: {row!r} is no branch of a tree"
        depth = len(match["lead"]) // 4
        assert match["name"] not in tree, f"{match['name']} is drawn twice"
        tree[match["name"]] = branch[depth - 1]
        branch[depth:] = [match["name"]]
    return tree


def classes(package: str) -> dict[str, tuple[list[str], Path]]:
    """class → its bases and its file, of all that a package defines, nested ones too."""
    return {
        node.name: ([ast.unparse(base).rpartition(".")[2] for base in node.bases], path)
        for path in sorted((ROOT / package).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
    }


def defined(package: str, root: str) -> dict[str, str | None]:
    """class → parent, of the root and all that comes of it."""
    tree: dict[str, str | None] = {root: None}
    every = classes(package)
    while True:
        more = {
            name: next(base for base in bases if base in tree)
            for name, (bases, _) in every.items()
            if name not in tree and any(base in tree for base in bases)
        }
        if not more:
            return tree
        tree |= more


@pytest.mark.parametrize("package", PACKAGES)
def test_the_drawn_tree_is_the_hierarchy(package: str) -> None:
    assert drawn(package, PACKAGES[package]) == defined(package, PACKAGES[package])


def test_the_bridge_has_no_exception_outside_its_tree_and_defines_all_at_the_root() -> None:
    tree = defined("firmware_bridge", "BridgeError")
    for name, (bases, path) in classes("firmware_bridge").items():
        is_exception = any(
            isinstance(b := getattr(builtins, base, None), type) and issubclass(b, BaseException) for base in bases
        )
        assert name in tree or not is_exception, f"{path}: {name} does not come of BridgeError"
        assert name not in tree or path == ROOT / "firmware_bridge" / "errors.py", f"{name} belongs into errors.py"


def test_the_hierarchy_is_read_from_the_code() -> None:
    tree = defined("firmware_bridge", "BridgeError")
    assert tree["PortLent"] == "LineUnavailable"
    assert tree["WrongPart"] == "FlashError"
    assert len(tree) > 10
