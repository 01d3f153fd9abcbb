"""What feeding systems tell → closed steps. Sans-I/O: it is told entries and the time.

A step is closed ``wait_s`` after its end, since who tells totals can only do so when the interval is over. What comes
later is no part of any step: it becomes a :class:`~wayside.edge.sources.step.Loss`, a row of its own. An entry that
was taken before is taken once, whoever repeats it: ids outlive a restart, as digests, because an id may name a patient.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, Protocol

from wayside.contracts.manual_config import ManualConfig, ManualValueConfig
from wayside.contracts.reading import Quality, Reading, Stamp
from wayside.edge.clock import Clock
from wayside.edge.ledger import Ledger
from wayside.edge.sources.beat import Beat, Ended
from wayside.edge.sources.entry import Entry, EntryRefused
from wayside.edge.sources.manual_step import Slot, Told
from wayside.edge.sources.step import Closed, Grid, Loss, Step

AHEAD_MS = 60_000  # of the node's clock: what a feeding system's may be, and is taken as now
FAR_AHEAD_MS = 3_600_000  # more will not pass: that is no clock, but a mistake
OLDEST_MS = 366 * 86_400_000
LAST_MS = 32_503_680_000_000
MAX_KEYS = 1000  # entries that are recognized when they are repeated
LATE = "came after its step had closed"
CUT = "was taken before this computer restarted, in a step that did not close"


class Taken(NamedTuple):
    """What became of entries; ``number`` is durable once :attr:`ManualSource.durable` has come as far."""

    taken: int
    repeated: int
    late: int
    number: int


class ManualSource:
    """The values of ``[manual]``, on the node's own clock.

    Attributes:
        marks: of each CSV file by its path, where reading goes on: durable with what was read.
        durable: :attr:`Taken.number` up to which all is on disk.
    """

    name = "manual"

    def __init__(self, config: ManualConfig | None, clock: Clock, grid: Grid, ledger: Ledger) -> None:
        values = config.values if config is not None else ()
        self.each = tuple(Told(v) for v in values)
        self.datastreams = tuple(v.stream() for v in values)
        self.marks: dict[str, list[Any]] = {}
        self.durable = self.number = 0
        self._index = {v.datastream: i for i, v in enumerate(values)}
        self._wait_ms = round((config.wait_s if config is not None else 0.0) * 1000)
        self._clock, self._ledger, self._step_ms = clock, ledger, grid.step_ms
        self._beat = Beat(clock, grid)
        self._open = [Slot() for _ in values]
        self._waiting: deque[tuple[Ended, list[Slot]]] = deque()
        self._keys: dict[str, int] = {}  # digest → Unix ms of the entry; oldest first
        self.forgot_ms = 0  # of entries no newer than this not every one is recognized
        self._closed: Closed = []

    # --- entries --------------------------------------------------------------------------------

    def take(self, entries: Sequence[Entry]) -> Taken:
        """All of them, or none.

        Raises:
            EntryRefused: one cannot be taken; the message says which and why.
        """
        self.pass_time()
        now_ms = self._beat.now_ms()
        wall_ms = self._clock.wall(now_ms * 1_000_000).ms
        for i, entry in enumerate(entries):
            try:
                self._check(entry, wall_ms, entries[:i])
            except EntryRefused as exc:
                where = f"entry {i + 1} of {len(entries)}: " if len(entries) > 1 else ""
                raise EntryRefused(f"{where}{exc}", passes=exc.passes) from exc
        taken = repeated = late = 0
        for entry in entries:
            self._word(entry, now_ms)
            if entry.value is None:
                continue
            key = _key(entry)
            if key is not None and key in self._keys:
                repeated += 1
                continue
            if key is not None:
                self._remember(key, entry.from_ms or wall_ms or 0)
            in_time = self._put(entry, entry.value, now_ms, wall_ms)
            taken, late = taken + in_time, late + (not in_time)
        self.number += 1
        return Taken(taken, repeated, late, self.number)

    def _check(self, entry: Entry, wall_ms: int | None, before: Sequence[Entry]) -> None:
        """``before``: those of the same request. Raises: EntryRefused."""
        index = self._index.get(entry.datastream)
        if index is None:
            raise EntryRefused(f"{entry.datastream} is no datastream of [manual] at this node")
        config = self.each[index].config
        name, value = config.datastream, entry.value
        if value is None:
            return
        low, high = config.bounds
        if not low <= value <= high:
            raise EntryRefused(f"{name}: {value:g} is not within {low:g}..{high:g}")
        if config.kind == "events" and entry.id is None:
            raise EntryRefused(f"{name} counts events: each needs an id, so that a repeated one counts once")
        if config.kind == "events" and value % 1:
            raise EntryRefused(f"{name} counts events: {value:g} is no whole number")
        if (config.kind == "totals") != (entry.to_ms is not None):
            rule = "needs from and to, its interval" if config.kind == "totals" else f"is of kind {config.kind}: no to"
            raise EntryRefused(f"{name} {rule}")
        if entry.from_ms is not None:
            to_ms = entry.from_ms if entry.to_ms is None else entry.to_ms
            wall_ms = self._check_time(config, entry.from_ms, to_ms, wall_ms)
            if config.kind == "totals":
                self._check_span(index, entry.from_ms, to_ms, wall_ms, before)

    def _check_time(self, config: ManualValueConfig, from_ms: int, to_ms: int, wall_ms: int | None) -> int:
        """Returns this node's time, which it needs to know."""
        if not 0 <= from_ms <= to_ms <= LAST_MS:
            raise EntryRefused(f"{config.datastream}: its time is before 1970, after 3000, or ends before it begins")
        if wall_ms is None:
            raise EntryRefused("this node does not know the time yet: send it again later", passes=True)
        ahead_ms, name = to_ms - wall_ms, config.datastream
        if ahead_ms > AHEAD_MS:
            why = f"{_iso(to_ms)} is {ahead_ms / 1000:.0f} s ahead of this node's clock: which of the two is wrong?"
            self._ledger.begin("feeder_ahead", name, why, severe=False)
            raise EntryRefused(f"{name}: {why}", passes=ahead_ms <= FAR_AHEAD_MS)
        self._ledger.end("feeder_ahead", name)
        if wall_ms - from_ms > OLDEST_MS:
            raise EntryRefused(f"{name}: {_iso(from_ms)} is more than a year ago")
        return wall_ms

    def _check_span(self, index: int, from_ms: int, to_ms: int, wall_ms: int, before: Sequence[Entry]) -> None:
        name = self.each[index].config.datastream
        if from_ms == to_ms or from_ms // self._step_ms != (to_ms - 1) // self._step_ms:
            rule = f"steps of this node are {self._step_ms / 1000:g} s and begin at its multiples"
            raise EntryRefused(f"{name}: {_iso(from_ms)} to {_iso(to_ms)} lies in no step; {rule}")
        slots = self._slot(self._mono_ms((from_ms + to_ms) // 2, wall_ms))
        others = list(slots[index].spans) if slots is not None else []
        others += [(e.from_ms, e.to_ms) for e in before if e.datastream == name and e.from_ms and e.to_ms]
        for begin, end in others:
            if (begin, end) != (from_ms, to_ms) and begin < to_ms and from_ms < end:
                raise EntryRefused(f"{name}: {_iso(from_ms)} to {_iso(to_ms)} overlaps {_iso(begin)} to {_iso(end)}")

    def _mono_ms(self, at_ms: int, wall_ms: int) -> int:
        """Never later than now, so that no step has it before it began."""
        now_ms = self._beat.now_ms()
        return min(now_ms, now_ms - (wall_ms - at_ms))

    def _slot(self, ms: int) -> list[Slot] | None:
        """Of the step that contains ``ms``; None: it is closed."""
        if ms >= self._beat.start_ms:
            return self._open
        for ended, slots in self._waiting:
            if ended.start_ms <= ms < ended.end_ms:
                return slots
        return None

    def _put(self, entry: Entry, value: float, now_ms: int, wall_ms: int | None) -> bool:
        """False: its step has closed, and it became a row of its own."""
        index, begin_ms, end_ms = self._index[entry.datastream], now_ms, now_ms
        if entry.from_ms is not None and wall_ms is not None:
            begin_ms = self._mono_ms(entry.from_ms, wall_ms)
            end_ms = begin_ms if entry.to_ms is None else self._mono_ms(entry.to_ms, wall_ms)
        told = self.each[index]
        told.last = value
        slots = self._slot((begin_ms + end_ms) // 2)
        if slots is None:
            self._lose(told.config, begin_ms, end_ms, value, LATE)
            return False
        slot = slots[index]
        if entry.from_ms is not None and entry.to_ms is not None:
            slot.spans[entry.from_ms, entry.to_ms] = value  # a second one corrects the first
        else:
            slot.total += value
        slot.n += 1
        return True

    def _lose(self, config: ManualValueConfig, begin_ms: int, end_ms: int, value: float, what: str) -> None:
        begin_ns, end_ns = begin_ms * 1_000_000, end_ms * 1_000_000
        self._closed.append(Loss(config.datastream, begin_ns, end_ns, 0, value, config.unit, {"what": what}))

    def _word(self, entry: Entry, now_ms: int) -> None:
        """The feeding system of a datastream is alive."""
        index = self._index[entry.datastream]
        told = self.each[index]
        if told.word_ms is not None and now_ms - told.word_ms > told.config.silent_s * 1000:
            for ended, slots in self._waiting:
                slots[index].cut |= ended.end_ms > told.word_ms
            self._open[index].cut = True
        told.word_ms = now_ms
        self._ledger.end("feeder_silent", entry.datastream)

    def _remember(self, key: str, at_ms: int) -> None:
        self._keys[key] = at_ms
        if len(self._keys) > MAX_KEYS:
            self.forgot_ms = max(self.forgot_ms, self._keys.pop(next(iter(self._keys))))

    # --- files ----------------------------------------------------------------------------------

    def since_ms(self) -> int | None:
        """Unix time at which the oldest step that is not closed began: a new file's rows of before are none of this
        node's. None: the time is not known."""
        start_ms = self._waiting[0][0].start_ms if self._waiting else self._beat.start_ms
        wall_ms = self._clock.wall(start_ms * 1_000_000).ms
        return None if wall_ms is None else round(wall_ms / self._step_ms) * self._step_ms

    def unreadable(self, datastreams: Iterable[str], why: str) -> None:
        """A file, or a part of one, that tells of these could not be read."""
        for name in datastreams:
            self._ledger.begin("file_unreadable", name, why, severe=False)

    def readable(self, datastreams: Iterable[str]) -> None:
        for name in datastreams:
            self._ledger.end("file_unreadable", name)

    # --- time -----------------------------------------------------------------------------------

    def pass_time(self) -> None:
        """Steps end, and are closed once they have waited; a feeding system is silent."""
        ms = self._beat.now_ms()
        if not self._beat.started:
            for slot, told in zip(self._open, self.each, strict=True):
                slot.cut, told.silent_from_ms = True, ms
        for ended in self._beat.pass_time(ms):
            self._waiting.append((ended, self._open))
            self._open = [Slot() for _ in self.each]
        while self._waiting and ms >= self._waiting[0][0].end_ms + self._wait_ms:
            self._close(*self._waiting.popleft())
        for told in self.each:
            since_ms = told.silent_from_ms if told.word_ms is None else told.word_ms
            if ms - since_ms > told.config.silent_s * 1000:
                self._ledger.begin(
                    "feeder_silent",
                    told.config.datastream,
                    f"nobody has told {told.config.datastream} for {told.config.silent_s:g} s: does its system run?",
                    severe=False,
                )

    def _close(self, ended: Ended, slots: list[Slot]) -> None:
        closed = [t.close(s, ended.end_ms, self._step_ms) for t, s in zip(self.each, slots, strict=True)]
        self._closed.append(
            Step(
                ended.grid,
                ended.start_ms * 1_000_000,
                ended.end_ms * 1_000_000,
                0,
                [value for value, _, _ in closed],
                [quality for _, quality, _ in closed],
                [n for _, _, n in closed],
            )
        )

    def readings(self, at: Stamp) -> list[Reading]:
        """The last word of each, for people at the cabinet."""
        ms, readings = self._beat.now_ms(), []
        for told in self.each:
            config, quality = told.config, Quality.GOOD
            if told.last is None:
                quality = Quality.MISSING
            elif told.word_ms is None or ms - told.word_ms > config.silent_s * 1000:
                quality = Quality.STALE
            readings.append(
                Reading(datastream=config.datastream, value=told.last, unit=config.unit, quality=quality, at=at)
            )
        return readings

    def closed(self) -> Closed:
        closed, self._closed = self._closed, []
        return closed

    def next_number(self, grid: int) -> None:
        """The open step comes after those that wait."""
        self._beat.next_number(max([grid, *(ended.grid + 1 for ended, _ in self._waiting)]))

    # --- durable state --------------------------------------------------------------------------

    @property
    def ahead(self) -> bool:
        """Something was taken that is not durable."""
        return self.durable < self.number

    def committed(self) -> None:
        """What :meth:`state` said is on disk."""
        self.durable = self.number

    def state(self) -> dict[str, Any]:
        return self._beat.state() | {
            "step_ms": self._step_ms,
            "keys": self._keys,
            "forgot_ms": self.forgot_ms,
            "marks": self.marks,
            "each": {
                t.config.datastream: [t.config.kind, t.last, t.word_ms, t.silent_from_ms, self._open[i].state()]
                for i, t in enumerate(self.each)
            },
            "waiting": [
                [list(ended), {t.config.datastream: s.state() for t, s in zip(self.each, slots, strict=True)}]
                for ended, slots in self._waiting
            ],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        self._keys = dict(state["keys"])
        self.forgot_ms, self.marks = state["forgot_ms"], dict(state["marks"])
        same = state["step_ms"] == self._step_ms and self._beat.restore(state)
        known = {i: state["each"][t.config.datastream] for i, t in enumerate(self.each) if self._is_of(t, state)}
        waiting = [(Ended(*ended), slots) for ended, slots in state["waiting"]]
        if same:
            self._waiting = deque((ended, [Slot() for _ in self.each]) for ended, _ in waiting)
        now_ms = self._beat.now_ms()
        for i, (_, last, word_ms, silent_from_ms, slot) in known.items():
            told = self.each[i]
            told.last = last
            slots = [slot, *(each[told.config.datastream] for _, each in waiting)]
            if same:
                told.word_ms, told.silent_from_ms = word_ms, silent_from_ms
                for mine, kept in zip((self._open, *(s for _, s in self._waiting)), slots, strict=True):
                    mine[i].restore(kept)
                continue
            for kept in slots:  # the times of another start of the machine mean nothing in this one
                cut = Slot()
                cut.restore(kept)
                if cut.n and told.config.kind != "gauge":
                    self._lose(told.config, now_ms, now_ms, cut.total + sum(cut.spans.values()), CUT)
        if same:
            for told, slot in zip(self.each, self._open, strict=True):
                slot.cut |= told.word_ms is None
                if told.silent_from_ms == 0:
                    told.silent_from_ms = now_ms

    @staticmethod
    def _is_of(told: Told, state: Mapping[str, Any]) -> bool:
        kept = state["each"].get(told.config.datastream)
        return kept is not None and kept[0] == told.config.kind


class Desk(Protocol):
    """Who takes what is told: a :class:`~wayside.edge.node.Node`."""

    @property
    def manual(self) -> ManualSource: ...
    def told(self, entries: Sequence[Entry]) -> Taken:
        """Raises: EntryRefused."""
        ...


def _key(entry: Entry) -> str | None:
    """What a repetition of the entry has, too; None: it cannot be told from another."""
    if entry.id is not None:
        text = f"{entry.datastream}\n{entry.id}"
    elif entry.from_ms is not None:
        text = f"{entry.datastream}\n{entry.from_ms}\n{entry.to_ms}\n{entry.value}"
    else:
        return None
    return hashlib.blake2b(text.encode(), digest_size=9).hexdigest()


def _iso(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
