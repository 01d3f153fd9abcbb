"""Documents point at what exists, and their examples are valid."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from wayside.contracts.node_config import load_node_config

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_link_and_every_named_file_exists(page: Path) -> None:
    text = page.read_text()
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
        assert (page.parent / target).exists(), target
    for named in re.findall(
        r"`((?:contracts|edge|cloud|export|models|firmware_bridge|tests|docs)/[\w./-]+)(?:::(\w+))?`", text
    ):
        path, test = ROOT / named[0], named[1]
        assert path.exists(), named[0]
        assert not test or f"def {test}(" in path.read_text(), test


def test_the_example_configuration_is_valid() -> None:
    example = re.search(r"```toml\n(.*?)```", (ROOT / "docs" / "node.md").read_text(), re.DOTALL)
    assert example
    assert load_node_config(example[1]).node == "main-5th"
