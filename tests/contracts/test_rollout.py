"""A state machine allows what its table says, and nothing else."""

from __future__ import annotations

import itertools

import pytest

from wayside.contracts.rollout import (
    MEMBER_TRANSITIONS,
    ROLLOUT_TRANSITIONS,
    UPDATE_TRANSITIONS,
    MemberState,
    RolloutState,
    UpdateState,
    advance,
)
from wayside.contracts.wire import ContractError


@pytest.mark.parametrize(("now", "to"), list(itertools.product(UpdateState, UpdateState)))
def test_an_update_moves_only_as_the_table_allows(now: UpdateState, to: UpdateState) -> None:
    if to in UPDATE_TRANSITIONS[now]:
        assert advance(now, to) is to
    else:
        with pytest.raises(ContractError, match=f"{now.value}.*{to.value}"):
            advance(now, to)


@pytest.mark.parametrize(("now", "to"), list(itertools.product(RolloutState, RolloutState)))
def test_a_rollout_moves_only_as_the_table_allows(now: RolloutState, to: RolloutState) -> None:
    if to in ROLLOUT_TRANSITIONS[now]:
        assert advance(now, to) is to
    else:
        with pytest.raises(ContractError):
            advance(now, to)


@pytest.mark.parametrize(("now", "to"), list(itertools.product(MemberState, MemberState)))
def test_a_member_moves_only_as_the_table_allows(now: MemberState, to: MemberState) -> None:
    if to in MEMBER_TRANSITIONS[now]:
        assert advance(now, to) is to
    else:
        with pytest.raises(ContractError, match=f"{now.value}.*{to.value}"):
            advance(now, to)


def test_the_tables_name_every_state_and_ended_rollouts_stay_ended() -> None:
    assert set(UPDATE_TRANSITIONS) == set(UpdateState)
    assert set(ROLLOUT_TRANSITIONS) == set(RolloutState)
    assert set(MEMBER_TRANSITIONS) == set(MemberState)
    for state in RolloutState:
        assert bool(ROLLOUT_TRANSITIONS[state]) == (state in (RolloutState.RUNNING, RolloutState.PAUSED))


def test_a_member_can_come_to_run_it_from_everywhere_and_who_runs_it_needs_no_excuse() -> None:
    for state in MemberState:
        assert state is MemberState.ACTIVE or MemberState.ACTIVE in MEMBER_TRANSITIONS[state]
    assert MemberState.EXCUSED not in MEMBER_TRANSITIONS[MemberState.ACTIVE]


def test_a_model_never_becomes_active_untested() -> None:
    before = {now for now, to in UPDATE_TRANSITIONS.items() if UpdateState.ACTIVE in to}
    assert before == {UpdateState.TESTING}
