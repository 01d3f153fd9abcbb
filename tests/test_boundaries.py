"""The import boundaries themselves are held complete; import-linter (`make check`) holds the code to them."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]


def test_no_boundary_has_an_exception() -> None:
    assert not [c["name"] for c in CONTRACTS if c.get("ignore_imports")]


def test_every_module_of_edge_is_closed_to_export_but_the_three_that_the_gate_needs() -> None:
    (rule,) = (c for c in CONTRACTS if c.get("source_modules") == ["export"])
    modules = {f"edge.{p.stem}" for p in (ROOT / "edge").iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()}
    allowed = {"edge.__init__", "edge.errors", "edge.runtimes", "edge.golden", "edge.trusted_bundle"}
    assert {m for m in rule["forbidden_modules"] if m.startswith("edge.")} == modules - allowed
