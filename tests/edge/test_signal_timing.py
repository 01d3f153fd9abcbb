"""What the policy of green times proposes, and that only legal plans pass."""

from __future__ import annotations

import math
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.simulators.agent import node_toml
from wayside.contracts.action import Greens
from wayside.contracts.node_config import load_node_config
from wayside.edge.guard.signal import check
from wayside.edge.policies import signal_timing

SIGNAL = load_node_config(node_toml("/dev/null", anchor_s=time.time() + 3600)).signal
assert SIGNAL is not None


@given(
    st.dictionaries(st.integers(1, 5), st.floats(allow_nan=True, allow_infinity=True), max_size=4),
    st.booleans(),
    st.booleans(),
)
@settings(max_examples=300, deadline=None)
def test_no_allowed_plan_violates_a_limit_whatever_is_proposed(
    proposal: dict[int, float], quality_ok: bool, clock_known: bool
) -> None:
    last = {2: 26.0, 4: 26.0}
    verdict = check(proposal, SIGNAL, last=last, quality_ok=quality_ok, clock_known=clock_known)
    if verdict.allowed:
        _legal(proposal, last)
        assert quality_ok
        assert clock_known
    else:
        assert all(verdict.reasons)


@given(st.dictionaries(st.sampled_from([2, 4]), st.floats(0, 5000), max_size=2), st.floats(8, 44))
@settings(max_examples=300, deadline=None)
def test_what_the_policy_proposes_fills_the_cycle_and_only_legal_plans_pass(
    flows: dict[int, float], before: float
) -> None:
    last = {2: round(before, 1), 4: round(52 - before, 1)}
    proposal = signal_timing.greens(flows, SIGNAL)
    for _ in range(3):
        assert sum(proposal.values()) == pytest.approx(52, abs=1e-6)
        if check(proposal, SIGNAL, last=last, quality_ok=True, clock_known=True).allowed:
            _legal(proposal, last)
        proposal = dict(signal_timing.soften(Greens(proposal), SIGNAL).seconds)


def _legal(plan: dict[int, float], last: dict[int, float]) -> None:
    assert plan.keys() == {2, 4}
    assert all(8 <= g <= 45 and math.isfinite(g) for g in plan.values())
    assert abs(sum(plan.values()) + 8 - 60) <= 0.11
    assert all(abs(plan[p] - last[p]) <= SIGNAL.max_change_s + 1e-6 for p in plan)
