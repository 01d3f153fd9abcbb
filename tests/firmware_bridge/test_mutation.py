"""The checks of the board's core see small mistakes in it; ``make proof`` runs all of them, this a sample."""

from __future__ import annotations

import json

import pytest

from tests.firmware_bridge import mcdc, mutation
from tests.firmware_bridge.mutants import mutants

GOAL = 0.95


def test_a_mutant_is_one_small_change_of_each_kind() -> None:
    source = "int f(int a, int b) {\n    if (a < b && b != 3) return a + b;\n    a = 0;\n    return a;\n}\n"
    made = {(m.before, m.after, m.line) for m in mutants("f.c", source)}
    assert {("<", "<=", 2), ("<", ">=", 2), ("&&", "||", 2), ("!=", "==", 2), ("3", "4", 2), ("3", "2", 2)} <= made
    assert {("+", "-", 2), ("a < b && b != 3", "!(a < b && b != 3)", 2), ("a = 0", "", 3), ("0", "1", 3)} <= made
    one = next(m for m in mutants("f.c", source) if m.before == "&&")
    assert one.applied(source) == source.replace("&&", "||")


def test_every_mutant_has_a_name_of_its_own() -> None:
    keys = [m.key for m in mutation.every_mutant()]
    assert len(keys) > 1000
    assert len(set(keys)) == len(keys)


def test_what_is_called_equivalent_is_a_mutant_of_the_core_as_it_is() -> None:
    assert mutation.equivalents().keys() <= {m.key for m in mutation.every_mutant()}


def test_the_recorded_score_is_that_of_the_core_as_it_is() -> None:
    """Whoever changes the core runs ``python -m tests.firmware_bridge.mutation`` again: ten minutes."""
    record = json.loads(mutation.RECORD.read_text())
    assert record["core"] == mutation.digest()
    assert record["mutants"] == len(mutation.every_mutant())
    assert record["score"] >= GOAL


def test_the_cases_find_most_of_a_sample_of_mutants(capsys: pytest.CaptureFixture[str]) -> None:
    chosen = mutation.sample(24, seed=7)
    outcomes = mutation.run(chosen, quiet=True, searches=False)
    with capsys.disabled():
        print(f"\nmutation: {mutation.score(outcomes.values()):.0%} of a sample of {len(chosen)}")
    assert mutation.score(outcomes.values()) >= 0.85, mutation.record(outcomes)["survived"]


@pytest.mark.slow
@pytest.mark.timeout(14_400)
def test_the_cases_find_nearly_every_mutant(capsys: pytest.CaptureFixture[str]) -> None:
    outcomes = mutation.run(mutation.every_mutant(), quiet=True, searches=False)
    with capsys.disabled():
        print(f"\nmutation: {mutation.score(outcomes.values()):.1%} of {len(outcomes)}")
    assert mutation.score(outcomes.values()) >= GOAL, mutation.record(outcomes)["survived"]


@pytest.mark.timeout(600)
@pytest.mark.skipif(mcdc.tools() is None, reason="no MC/DC: apt-get install clang-19 llvm-19")
def test_every_condition_of_the_core_decides_by_itself(capsys: pytest.CaptureFixture[str]) -> None:
    """By the cases alone: the searches decide nothing that the cases do not."""
    tools = mcdc.tools()
    assert tools is not None
    coverage, listing = mcdc.measure(tools, searches=False)
    covered, total = (sum(getattr(one, name) for one in coverage.values()) for name in ("covered", "total"))
    with capsys.disabled():
        print(f"\nMC/DC: {covered} of {total} conditions")
    assert set(coverage) == set(mutation.CORE)
    assert covered == total, mcdc.gaps(listing)
