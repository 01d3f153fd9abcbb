"""What the board drove while a frame was taken: told afterwards, and never when it is not sure."""

from __future__ import annotations

from wayside.edge.sources.heads import CHANGES, GREEN, MARGIN_NS, RED, UNKNOWN, YELLOW, Heads

S = 1_000_000_000


def driven() -> Heads:
    heads = Heads(frozenset({2}))
    for at, shows in ((10, GREEN), (40, YELLOW), (44, RED)):
        heads.change(2, shows, at * S)
    heads.pass_time(60 * S)
    return heads


def test_a_frame_is_laid_beside_what_was_driven_then() -> None:
    heads = driven()
    shown = {at: heads.at(2, at * S) for at in (5, 12, 38, 42, 46, 58)}
    assert shown == {5: UNKNOWN, 12: GREEN, 38: GREEN, 42: YELLOW, 46: RED, 58: RED}


def test_around_a_change_nobody_knows_what_the_frame_shows() -> None:
    heads = driven()
    assert heads.at(2, 40 * S - MARGIN_NS) == UNKNOWN
    assert heads.at(2, 40 * S + MARGIN_NS // 2) == UNKNOWN
    assert heads.at(2, 40 * S - MARGIN_NS - 1) == GREEN


def test_what_the_board_has_not_told_is_waited_for() -> None:
    heads = driven()
    assert heads.at(2, 60 * S) is None
    heads.pass_time(60 * S + MARGIN_NS)
    assert heads.at(2, 60 * S) == RED


def test_after_lost_events_nothing_is_known_until_the_next_change() -> None:
    heads = driven()
    heads.lose(65 * S)
    heads.change(2, GREEN, 80 * S)
    heads.pass_time(100 * S)
    assert [heads.at(2, at * S) for at in (50, 70, 90)] == [RED, UNKNOWN, GREEN]


def test_other_phases_are_not_kept_and_of_its_own_only_some() -> None:
    heads = Heads(frozenset({2}))
    for at in range(5 * CHANGES):
        heads.change(2, GREEN if at % 2 else RED, at * 10 * S)
        heads.change(4, GREEN, at * 10 * S)
    assert heads.at(4, 5 * S) == UNKNOWN
    assert heads.at(2, 5 * S) == UNKNOWN  # too long ago
