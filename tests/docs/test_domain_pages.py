"""A page for each domain: its configuration is what the demo runs, its picture is small."""

from __future__ import annotations

import pytest

from tests.docs.domain_pages import FOLDER, current, small
from wayside.cloud.demo.node import Node

MOST_BYTES = 150_000


@pytest.mark.parametrize("node", small(), ids=lambda node: node.domain)
def test_the_page_shows_the_configuration_that_the_demo_runs(node: Node) -> None:
    page = (FOLDER / f"{node.domain}.md").read_text()
    assert page == current(page, node), "run python -m tests.docs.domain_pages"


@pytest.mark.parametrize("node", small(), ids=lambda node: node.domain)
def test_the_page_has_a_small_picture(node: Node) -> None:
    assert f"({node.domain}.png)" in (FOLDER / f"{node.domain}.md").read_text()
    picture = (FOLDER / f"{node.domain}.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) <= MOST_BYTES
