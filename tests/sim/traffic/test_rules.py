"""The observer of the lights finds what a board must not show, whoever drives it."""

from __future__ import annotations

import pytest

from tests.sim.traffic.small import intersection
from wayside.cloud.sim.traffic.rules import Rules

CYCLE = [("Ggrr", 10), ("yyrr", 3), ("rrrr", 1), ("rrGG", 10), ("rryy", 3), ("rrrr", 1)]


def broken(*shown: tuple[str, int]) -> list[str]:
    """``shown``: states, each for so many seconds."""
    small = intersection()
    rules = Rules(small, small.foes)
    second = 0
    for state, seconds in shown:
        for _ in range(seconds):
            rules.look(second, state)
            second += 1
    assert rules.count == len(rules.broken)
    return rules.broken


def test_a_cycle_that_keeps_all_rules_breaks_none() -> None:
    assert broken(*CYCLE, *CYCLE, *CYCLE) == []


def test_a_green_that_yields_more_or_less_is_the_same_green() -> None:
    assert broken(("Ggrr", 10), ("ggrr", 5), ("GGrr", 5), ("yyrr", 3), ("rrrr", 1)) == []


@pytest.mark.parametrize(
    ("shown", "words"),
    [
        ([("Ggrr", 10), ("rrrr", 3), ("rrGG", 9)], "without yellow"),
        ([("Ggrr", 10), ("yyrr", 2), ("rrrr", 2)], "yellow for 2 s"),
        ([("Ggrr", 10), ("yyrr", 2), ("Ggrr", 10)], "yellow for 2 s, then 'G'"),
        ([("rrrr", 5), ("Ggrr", 3), ("yyrr", 3), ("rrrr", 1)], "its minimum is 5 s"),
        ([("rrrr", 5), ("GgGr", 6)], "links 0 and 2 cross"),
    ],
)
def test_each_rule_that_is_broken_is_told_with_its_second(shown: list[tuple[str, int]], words: str) -> None:
    told = broken(*shown)
    assert told
    assert all("light: " in line and line.split()[0].isdigit() for line in told)
    assert any(words in line for line in told)


def test_links_of_which_one_yields_may_be_green_together() -> None:
    assert broken(("rrrr", 5), ("Ggrr", 5), ("Gggr", 5)) == []


def test_a_crossing_for_people_has_no_yellow() -> None:
    small = intersection(crossing=True)
    rules = Rules(small, small.foes)
    for second, state in enumerate(["GgrrG"] * 6 + ["Ggrrr"] * 6 + ["yyrrr"] * 3 + ["rrGGr"] * 6):
        rules.look(second, state)
    assert rules.broken == []
