"""Documents point at what exists, and their examples are valid."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs import node_table
from tests.fuzz.damage import DAMAGE, TABLES
from wayside.contracts.node_config import load_node_config
from wayside.contracts.wire import ContractError

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
        assert not test or re.search(rf"(?:def|class) {test}\b", path.read_text()), test


def test_the_readme_counts_the_kinds_of_damage() -> None:
    readme = (ROOT / "README.md").read_text()
    assert f"damaged in {len((*DAMAGE, *TABLES))} ways" in " ".join(readme.split())


def test_the_example_configuration_is_valid() -> None:
    example = re.search(r"```toml\n(.*?)```", (ROOT / "docs" / "node.md").read_text(), re.DOTALL)
    assert example
    assert load_node_config(example[1]).node == "main-5th"


def test_every_key_of_a_nodes_file_is_in_the_tables_as_the_contracts_have_it() -> None:
    page = node_table.PAGE.read_text()
    told = node_table.meanings(page)
    rows = node_table.keys()
    assert [key for key in rows if not told.get((key.table, key.name))] == []
    assert node_table.current(page) == page, "run python -m tests.docs.node_table"


def test_the_mistakes_that_the_page_shows_are_what_a_check_says() -> None:
    page = node_table.PAGE.read_text()
    shown = re.search(r"node\.toml has 3 mistakes\n(.*?)```", page, re.DOTALL)
    example = re.search(r"```toml\n(.*?)```", page, re.DOTALL)
    assert shown and example
    text = example[1].replace("baud = 115200", "baud = 300").replace("cycle_s = 90", "cycle_s = 80")
    wrong = re.sub(r'(\[\[tasks\.sites\]\]\noutput = )"detector/4/volume"', r'\1"detector/5/volume"', text)
    with pytest.raises(ContractError) as refusal:
        load_node_config(wrong)
    said = [f"  {field}: {rule}" for field, rule in refusal.value.mistakes]
    assert said == shown[1].splitlines()
