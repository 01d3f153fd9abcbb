"""What feeding systems tell, in process: a clock that the test moves."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import json

from wayside.contracts.manual_config import ManualConfig, ManualValueConfig
from wayside.contracts.reading import ClockState, Quality
from wayside.edge.clock import Wall
from wayside.edge.ledger import Ledger
from wayside.edge.sources import manual
from wayside.edge.sources.entry import Entry, EntryRefused
from wayside.edge.sources.manual import CUT, LATE, MAX_KEYS, ManualSource
from wayside.edge.sources.step import Grid, Loss, Step

HOUR_S = 3600
BEGIN_MS = 1_700_002_800_000  # a full hour
S = 1000


class StoppedClock:
    """Time that only the test moves; ``known``: somebody has said what it is."""

    speed, board_zero_ms = 1.0, None

    def __init__(self) -> None:
        self.ms, self.known = 0, True

    def mono_ns(self) -> int:
        return self.ms * 1_000_000

    def wall(self, mono_ns: int) -> Wall:
        if not self.known:
            return Wall(None, ClockState.UNKNOWN, None)
        return Wall(BEGIN_MS + mono_ns // 1_000_000, ClockState.NTP, 1)

    def hear_hub(self, hub_unix_ms: int, sent_ns: int, received_ns: int) -> None:
        pass


class Desk:
    """One value of a node, and the steps that it gave."""

    def __init__(self, clock: StoppedClock | None = None, wait_s: float = 60, **value: object) -> None:
        named = {"datastream": "ed/arrivals", "unit": "{pat}", "kind": "events", **value}
        self.config = ManualConfig(port=8040, wait_s=wait_s, values=(ManualValueConfig(**named),))  # type: ignore[arg-type]
        self.clock = clock or StoppedClock()
        self.ledger = Ledger("node-1", "0" * 32, self.clock)
        self.source = self.made()
        self.steps: list[Step] = []
        self.losses: list[Loss] = []

    def made(self) -> ManualSource:
        return ManualSource(self.config, self.clock, Grid(self.clock, HOUR_S), self.ledger)

    def at(self, s: float) -> None:
        self.clock.ms = round(s * 1000)
        self.source.pass_time()
        self.drain()

    def drain(self) -> None:
        for item in self.source.closed():
            (self.steps if isinstance(item, Step) else self.losses).append(item)  # type: ignore[arg-type]

    def tell(self, value: float | None, *when: float, id: str | None = None) -> manual.Taken:
        times = [BEGIN_MS + round(s * 1000) for s in when]
        taken = self.source.take([Entry("ed/arrivals", value, *times, *[None] * (2 - len(times)), id)])
        self.drain()
        return taken

    def alive_until(self, s: float, every_s: float = 60) -> None:
        while self.clock.ms < s * 1000:
            self.at(self.clock.ms / 1000 + every_s)
            self.tell(None)

    def restart(self, *, machine: bool = False) -> None:
        state = json.decode(json.encode(self.source.state()))
        if machine:
            state["machine"] = "another start"
        self.source = self.made()
        self.source.restore(state)
        self.drain()

    def values(self) -> list[tuple[float | None, Quality]]:
        return [(s.values[0], s.qualities[0]) for s in self.steps]

    def holds(self, code: str) -> bool:
        return self.ledger.holds(code, "ed/arrivals")


def begun(**more: object) -> Desk:
    desk = Desk(**more)  # type: ignore[arg-type]
    desk.at(0)
    desk.at(HOUR_S)
    desk.at(HOUR_S + 60)
    desk.steps.clear()
    return desk  # one minute into its second hour: the first was not seen whole


# --- what silence means --------------------------------------------------------------------------


def test_a_step_without_a_word_has_no_value_and_never_0() -> None:
    desk = begun()
    desk.at(2 * HOUR_S + 60)
    desk.tell(3, id="a")
    desk.at(3 * HOUR_S + 60)
    desk.at(4 * HOUR_S + 60)
    assert desk.values() == [(None, Quality.MISSING), (3, Quality.GOOD), (None, Quality.STALE)]


def test_zero_is_said_only_while_the_feeding_system_says_that_it_is_alive() -> None:
    desk = begun(silence="zero", silent_s=120)
    desk.tell(None)
    desk.alive_until(2 * HOUR_S + 60)
    assert desk.values() == [(0, Quality.GOOD)]
    desk.at(3 * HOUR_S + 60)  # dead for an hour
    assert desk.values()[1:] == [(None, Quality.STALE)]


def test_a_count_beside_a_silence_is_a_lower_bound() -> None:
    desk = begun(silence="zero", silent_s=120)
    desk.tell(2, id="a")
    desk.at(HOUR_S + 1800)
    assert desk.holds("feeder_silent")
    desk.tell(1, id="b")  # it is back
    assert not desk.holds("feeder_silent")
    desk.alive_until(2 * HOUR_S + 60)
    desk.alive_until(3 * HOUR_S + 60)
    assert desk.values() == [(3, Quality.GAP), (0, Quality.GOOD)]


def test_whoever_is_silent_is_told_once_and_once_when_the_silence_is_over() -> None:
    desk = begun(silent_s=600)
    for s in range(0, 3000, 10):
        desk.at(HOUR_S + 60 + s)
    desk.tell(1, id="a")
    told = [r.detail for r in desk.ledger.rows if r.detail.get("condition") == "feeder_silent"]
    assert [bool(d.get("ended")) for d in told] == [False, True]


# --- repeated, late, ahead -------------------------------------------------------------------------


def test_an_event_that_is_repeated_counts_once_also_after_a_restart() -> None:
    desk = begun()
    assert desk.tell(1, id="a").taken == 1
    assert desk.tell(1, id="a").repeated == 1
    desk.restart()
    assert desk.tell(1, id="a").repeated == 1
    desk.at(2 * HOUR_S + 60)
    assert desk.values() == [(1, Quality.GOOD)]


def test_no_id_is_kept_as_it_was_told() -> None:
    desk = begun()
    desk.tell(1, id="patient-4711")
    assert b"4711" not in json.encode(desk.source.state())


def test_the_memory_of_ids_is_bounded() -> None:
    desk = begun()
    for i in range(MAX_KEYS + 50):
        desk.tell(1, id=str(i))
    assert len(desk.source.state()["keys"]) == MAX_KEYS
    assert desk.source.forgot_ms == BEGIN_MS + (HOUR_S + 60) * S


def test_what_comes_before_its_step_is_closed_counts_in_it() -> None:
    desk = begun()
    desk.at(2 * HOUR_S + 30)
    desk.tell(4, HOUR_S + 3000, id="a")
    desk.at(2 * HOUR_S + 60)
    assert desk.values() == [(4, Quality.GOOD)]


def test_what_comes_too_late_is_a_row_of_its_own_and_not_of_another_step() -> None:
    desk = begun()
    desk.at(2 * HOUR_S + 61)
    assert desk.tell(4, HOUR_S + 3000, id="a").late == 1
    (loss,) = desk.losses
    assert (loss.value, loss.end_ns, loss.detail["what"]) == (4, (HOUR_S + 3000) * 10**9, LATE)
    desk.at(3 * HOUR_S + 60)
    assert desk.values()[1:] == [(None, Quality.STALE)]


def test_a_clock_a_little_ahead_is_forgiven_and_one_far_ahead_is_told() -> None:
    desk = begun()
    desk.tell(1, HOUR_S + 60 + 50, id="a")
    with pytest.raises(EntryRefused, match="300 s ahead") as refused:
        desk.tell(1, HOUR_S + 60 + 300, id="b")
    assert refused.value.passes, "five minutes later it is the present"
    assert desk.holds("feeder_ahead")
    with pytest.raises(EntryRefused) as refused:
        desk.tell(1, 40 * 365 * 86400, id="c")
    assert not refused.value.passes
    desk.tell(1, HOUR_S, id="d")
    assert not desk.holds("feeder_ahead")


def test_a_node_without_a_clock_takes_what_happens_now_and_asks_for_the_rest_later() -> None:
    desk = begun()
    desk.clock.known = False
    desk.tell(1, id="a")
    with pytest.raises(EntryRefused, match="does not know the time") as refused:
        desk.tell(1, HOUR_S, id="b")
    assert refused.value.passes


# --- totals ----------------------------------------------------------------------------------------


def test_totals_of_parts_make_the_whole_and_a_missing_part_a_lower_bound() -> None:
    desk = begun(kind="totals")
    desk.at(2 * HOUR_S + 5)
    for i in range(4):
        desk.tell(i + 1, HOUR_S + 900 * i, HOUR_S + 900 * (i + 1))
    desk.at(3 * HOUR_S + 5)
    desk.tell(7, 2 * HOUR_S, 2 * HOUR_S + 900)
    desk.at(4 * HOUR_S + 60)
    assert desk.values() == [(10, Quality.GOOD), (7, Quality.GAP), (None, Quality.STALE)]


def test_a_total_of_0_is_a_value() -> None:
    desk = begun(kind="totals")
    desk.at(2 * HOUR_S + 5)
    desk.tell(0, HOUR_S, 2 * HOUR_S)
    desk.at(2 * HOUR_S + 60)
    assert desk.values() == [(0, Quality.GOOD)]


def test_a_total_is_corrected_until_its_step_is_closed_and_repeated_without_effect() -> None:
    desk = begun(kind="totals")
    desk.at(2 * HOUR_S + 5)
    desk.tell(9, HOUR_S, 2 * HOUR_S)
    desk.tell(12, HOUR_S, 2 * HOUR_S)
    desk.at(2 * HOUR_S + 60)
    assert desk.tell(12, HOUR_S, 2 * HOUR_S).repeated == 1, "although its step is closed"
    assert desk.tell(13, HOUR_S, 2 * HOUR_S).late == 1
    assert desk.values() == [(12, Quality.GOOD)]


@pytest.mark.parametrize(
    ("begin", "end", "why"),
    [
        (HOUR_S - 600, HOUR_S + 600, "lies in no step"),
        (HOUR_S, HOUR_S, "lies in no step"),
        (HOUR_S + 10, HOUR_S, "ends before"),
        (0, 2 * HOUR_S, "lies in no step"),
        (HOUR_S + 1800, HOUR_S + 2700, "overlaps"),
    ],
)
def test_a_total_that_fits_in_no_step_or_over_another_is_refused(begin: int, end: int, why: str) -> None:
    desk = begun(kind="totals")
    desk.at(2 * HOUR_S + 5)
    desk.tell(5, HOUR_S, HOUR_S + 2000)
    with pytest.raises(EntryRefused, match=why):
        desk.tell(5, begin, end)
    desk.at(2 * HOUR_S + 60)
    assert desk.values() == [(5, Quality.GAP)]


def test_two_totals_of_one_request_do_not_overlap_either() -> None:
    desk = begun(kind="totals")
    desk.at(2 * HOUR_S + 5)
    spans = [(HOUR_S, HOUR_S + 1800), (HOUR_S + 900, HOUR_S + 2700)]
    entries = [Entry("ed/arrivals", 1, BEGIN_MS + a * S, BEGIN_MS + b * S) for a, b in spans]
    with pytest.raises(EntryRefused, match="entry 2 of 2"):
        desk.source.take(entries)
    assert desk.source.number == 0, "all of them or none"


# --- gauges, refusals ------------------------------------------------------------------------------


def test_a_gauge_is_averaged_over_its_step() -> None:
    desk = begun(kind="gauge", low=0, high=100)
    desk.tell(10)
    desk.tell(20)
    with pytest.raises(EntryRefused, match=r"0\.\.100"):
        desk.tell(101)
    desk.at(2 * HOUR_S + 60)
    assert desk.values() == [(15, Quality.GOOD)]


@pytest.mark.parametrize(("value", "id"), [(-1, "a"), (1.5, "a"), (1, None)])
def test_an_event_is_a_whole_number_with_an_id(value: float, id: str | None) -> None:
    with pytest.raises(EntryRefused):
        begun().tell(value, id=id)


# --- restarts ----------------------------------------------------------------------------------------


def test_a_restart_of_the_agent_loses_neither_the_open_step_nor_those_that_wait() -> None:
    desk = begun()
    desk.tell(2, id="a")
    desk.at(2 * HOUR_S + 30)
    desk.tell(1, id="b")
    desk.restart()
    desk.at(3 * HOUR_S + 60)
    assert desk.values() == [(2, Quality.GOOD), (1, Quality.GOOD)]
    assert [s.grid for s in desk.steps] == [desk.steps[0].grid, desk.steps[0].grid + 1]


def test_what_was_taken_before_the_machine_restarted_is_a_row_of_its_own() -> None:
    desk = begun()
    desk.tell(2, id="a")
    desk.at(2 * HOUR_S + 30)
    desk.tell(1, id="b")
    desk.restart(machine=True)
    assert sorted((x.value, x.detail["what"]) for x in desk.losses) == [(1, CUT), (2, CUT)]
    assert desk.tell(1, id="b").repeated == 1


Act = tuple[str, int]
ACTS = st.lists(
    st.tuples(st.sampled_from(["now", "past", "again", "alive", "restart", "reboot", "wait"]), st.integers(0, 7200)),
    max_size=40,
)


@given(ACTS)
def test_whatever_happens_each_event_is_in_one_step_or_in_one_row(acts: list[Act]) -> None:
    desk = begun(silence="zero", silent_s=600)
    told: list[tuple[float, tuple[float, ...], str]] = []
    now_s = HOUR_S + 60.0

    def tell(number: int) -> None:
        desk.tell(told[number][0], *told[number][1], id=told[number][2])

    does: dict[str, Callable[[int], None]] = {
        "again": lambda n: tell(n % len(told)) if told else None,
        "alive": lambda _: desk.tell(None) and None,
        "restart": lambda _: desk.restart(),
        "reboot": lambda _: desk.restart(machine=True),
    }
    for what, n in acts:
        if what == "wait":
            now_s += n
            desk.at(now_s)
        elif what in does:
            does[what](n)
        else:
            told.append((n % 5, (now_s - n,) if what == "past" else (), str(len(told))))
            tell(len(told) - 1)
    desk.at(now_s + 5 * HOUR_S)
    counted = sum(s.values[0] or 0 for s in desk.steps) + sum(x.value for x in desk.losses)
    assert counted == sum(value for value, _, _ in told)
