"""The longest red is that of somebody who waited, and greens are those of the lamps."""

from __future__ import annotations

from tests.sim.traffic.small import intersection
from wayside.cloud.sim.traffic.waits import Waits


class Seen:
    """Stands for the loops: the channels that are occupied, the buttons that are pressed."""

    def __init__(self, channels: set[int], buttons: set[int]) -> None:
        self._channels, self._buttons = channels, buttons

    def occupied(self, channel: int) -> bool:
        return channel in self._channels

    def pressed(self, button: int) -> bool:
        return button in self._buttons


def watched(*rows: tuple[str, int, set[int], set[int]]) -> Waits:
    """Rows: a state, for so many seconds, with these loops and buttons."""
    waits = Waits(intersection(crossing=True))
    second = 0
    for state, seconds, channels, buttons in rows:
        for _ in range(seconds):
            waits.look(second, state, Seen(channels, buttons))  # type: ignore[arg-type]
            second += 1
    waits.end(second)
    return waits


def test_a_red_that_nobody_waits_for_is_no_wait() -> None:
    assert watched(("Ggrrr", 500, set(), set())).longest == (0.0, "")


def test_a_wait_begins_with_the_first_word_and_ends_with_the_green() -> None:
    waits = watched(
        ("Ggrrr", 20, set(), set()), ("Ggrrr", 1, {2}, set()), ("Ggrrr", 30, set(), set()), ("rrGGr", 9, {2}, set())
    )
    assert waits.longest == (30.0, "light/2, detector 2")


def test_who_waits_on_foot_waits_for_walk_and_not_for_the_cars_green() -> None:
    waits = watched(("rrGGr", 5, set(), {1}), ("Ggrrr", 20, set(), {1}), ("GgrrG", 5, set(), set()))
    assert waits.longest == (24.0, "light/1, walk")


def test_the_last_green_ends_with_the_run() -> None:
    waits = watched(("Ggrrr", 10, set(), set()), ("yyrrr", 3, set(), set()), ("rrGGr", 7, set(), set()))
    assert [(g.phase, g.from_s, g.to_s) for g in waits.greens] == [(1, 0, 10), (2, 13, 20)]
