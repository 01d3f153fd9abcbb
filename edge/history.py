"""The node's one history: columns of values on the grid of steps, shared by all tasks that ask for them.

A column is (datastream, base steps): the sum, or the mean, of so many steps that end with the number it stands at.
The columns of one source lie beside each other, so that a task copies those of all its sites at once. Every value is
written twice, ``capacity`` apart, so that any window is one slice without wrap-around. NaN is "not known", never 0; a
number that is left out is NaN, one that comes twice is overwritten.

Values are kept in float64 and become float32 in the window, as in training: a sum of steps is exact.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt

from wayside.contracts.task_config import Datastream
from wayside.edge.clock import LocalCalendar, LocalTime
from wayside.edge.sources.step import Grid

Float64 = npt.NDArray[np.float64]

MIN_CAPACITY = 4096  # base steps: six weeks of quarters of an hour
NOTHING = -(2**62)  # before every number


class Columns:
    """Values of all datastreams of one source over ``steps`` base steps each: (D, 2 x capacity)."""

    __slots__ = ("gap", "gaps", "means", "rows", "steps", "values")

    def __init__(self, steps: int, capacity: int, means: Sequence[bool]) -> None:
        self.steps = steps
        self.means = np.array(means, bool)
        self.resize(capacity)
        self.gaps = [NOTHING] * len(means)  # of each, the newest number at which it is missing
        self.gap = NOTHING  # the newest of them

    def resize(self, capacity: int) -> None:
        """Begin with nothing known."""
        self.values: Float64 = np.full((len(self.means), 2 * capacity), np.nan)
        self.rows = list(self.values)  # one index costs half of two


class History:
    """What the sources gave, by number of the step."""

    def __init__(self, datastreams: Sequence[Sequence[Datastream]], capacity: int = MIN_CAPACITY) -> None:
        """``datastreams``: of each source, in its own order."""
        self.capacity = capacity
        self._columns = [[Columns(1, capacity, [d.aggregate == "mean" for d in each])] for each in datastreams]
        self._place = {d.name: (s, i) for s, each in enumerate(datastreams) for i, d in enumerate(each)}
        self.newest = [NOTHING] * len(datastreams)
        """How far each source has come: the number of its last step."""
        self._cleared = [NOTHING] * len(datastreams)  # beyond ``newest`` where a task did not wait for the source

    def source(self, datastream: str) -> int:
        """Index of the source that gives ``datastream``."""
        return self._place[datastream][0]

    def index(self, datastream: str) -> int:
        """Index of ``datastream`` in its source."""
        return self._place[datastream][1]

    def columns(self, source: int, steps: int) -> Columns:
        """Of so many base steps; made once, shared by all that ask."""
        for columns in self._columns[source]:
            if columns.steps == steps:
                return columns
        single = self._columns[source][0]
        columns = Columns(steps, self.capacity, single.means.tolist())
        self._columns[source].append(columns)
        last = self._cleared[source]
        if last > NOTHING:
            columns.gap = last - self.capacity
            columns.gaps = [columns.gap] * len(columns.gaps)
            for number in range(last - self.capacity + steps, last + 1):
                self._sum(single, columns, number)
        return columns

    def put(self, source: int, number: int, usable: Sequence[float | None]) -> None:
        """The step ``number`` of ``source``: one value a datastream, None where there is none to be believed."""
        cleared = self._cleared[source]
        if number <= cleared - self.capacity:
            return
        if number > cleared:
            if cleared == NOTHING or number > cleared + 1:
                self._clear(source, number - 1)
            self._cleared[source] = number
        self.newest[source] = max(self.newest[source], number)
        at = number % self.capacity
        columns = self._columns[source]
        single = columns[0]
        again = at + self.capacity
        for i, (row, value) in enumerate(zip(single.rows, usable, strict=True)):
            if value is None:
                if number > single.gaps[i]:
                    single.gaps[i] = number
                    single.gap = max(single.gap, number)
                value = np.nan  # noqa: PLW2901
            row[at] = row[again] = value
        for wide in columns[1:]:
            for each in range(number, min(number + wide.steps, cleared + 1) if number < cleared else number + 1):
                self._sum(single, wide, each)

    def reached(self, sources: Sequence[int]) -> int:
        """The number up to which all of ``sources`` have come."""
        newest = self.newest
        if len(sources) == 1:
            return newest[sources[0]]
        return min(newest[s] for s in sources)

    def holds(self, sources: Sequence[int], first: int) -> bool:
        """Whether the step ``first`` is still kept, of each of ``sources``."""
        before, cleared = first + self.capacity, self._cleared
        for source in sources:  # noqa: SIM110 -- half the time of a generator
            if cleared[source] >= before:
                return False
        return True

    def go_on(self, sources: Sequence[int], number: int) -> None:
        """Whoever of ``sources`` has not come to ``number`` is missing there."""
        for source in sources:
            if self._cleared[source] < number:
                self._clear(source, number)

    def rows(self, number: int, window: int, steps: int) -> slice:
        """Where the ``window`` rows that end with ``number``, ``steps`` apart, stand in a column's values."""
        end = number % self.capacity + self.capacity + 1
        return slice(end - (window - 1) * steps - 1, end, steps)

    def grow(self, capacity: int) -> None:
        """Keep at least so many base steps, for a model with a longer window."""
        if capacity <= self.capacity:
            return
        for source, each in enumerate(self._columns):
            last = self._cleared[source]
            kept = np.arange(last - self.capacity + 1, last + 1)
            for columns in each:
                old = columns.values
                columns.resize(capacity)
                if last > NOTHING:
                    of_old = old[:, kept % self.capacity]
                    columns.values[:, kept % capacity] = columns.values[:, kept % capacity + capacity] = of_old
                    columns.gaps = [max(gap, last - self.capacity) for gap in columns.gaps]
                    columns.gap = max(columns.gap, last - self.capacity)
        self.capacity = capacity

    def _clear(self, source: int, last: int) -> None:
        """Nothing is known from the step after the last up to ``last``."""
        cleared = self._cleared[source]
        first = max(cleared + 1, last - self.capacity + 1) if cleared > NOTHING else last
        at = np.arange(first, last + 1) % self.capacity
        for columns in self._columns[source]:
            columns.values[:, at] = columns.values[:, at + self.capacity] = np.nan
            columns.gaps = [last] * len(columns.gaps)
            columns.gap = last
        self._cleared[source] = last

    def _sum(self, single: Columns, wide: Columns, number: int) -> None:
        end = number % self.capacity + self.capacity + 1
        totals = np.add.reduce(single.values[:, end - wide.steps : end], axis=1)
        totals[wide.means] /= wide.steps
        at = number % self.capacity
        wide.values[:, at] = wide.values[:, at + self.capacity] = totals
        for i, total in enumerate(totals.tolist()):
            if total != total and number > wide.gaps[i]:  # noqa: PLR0124 -- NaN
                wide.gaps[i] = number
                wide.gap = max(wide.gap, number)


Dated = Callable[[int], float]
"""A number of the grid → what the calendar says there."""


class Dates:
    """Columns that the calendar gives, shared by all windows: (C, 2 x capacity), computed once for each number."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._columns: dict[tuple[str, int, int], Dated] = {}
        self._behind = self._ahead = self._capacity = 0
        self.values: Float64 = np.empty((0, 0))
        self._first, self._last, self._base = 1, 0, 0  # the numbers that are there, and under which base

    def add(self, key: tuple[str, int, int], column: Dated, behind: int, ahead: int) -> int:
        """See to it that ``column`` is kept from ``behind`` numbers ago to ``ahead`` of now; returns its index."""
        self._columns.setdefault(key, column)
        self._behind, self._ahead = max(self._behind, behind), max(self._ahead, ahead)
        self._capacity = self._behind + self._ahead
        shape = (len(self._columns), 2 * self._capacity)
        if self.values.shape != shape:
            self.values = np.full(shape, np.nan)
            self._first, self._last = 1, 0
        return list(self._columns).index(key)

    def fill(self, first: int, last: int) -> None:
        """See to it that the numbers from ``first`` to ``last`` are there."""
        base = self._grid.base
        if base != self._base or first < self._first or first > self._last + 1:
            self._first, self._last, self._base = first, first - 1, base
        if last > self._last:
            values, capacity = self.values, self._capacity
            for number in range(self._last + 1, last + 1):
                at = number % capacity
                for i, column in enumerate(self._columns.values()):
                    values[i, at] = values[i, at + capacity] = column(number)
            self._last = last
            self._first = max(self._first, last - capacity + 1)

    def rows(self, number: int, window: int, steps: int) -> slice:
        end = number % self._capacity + self._capacity + 1
        return slice(end - (window - 1) * steps - 1, end, steps)


class Calendar:
    """Hour, weekday, yearday and tables of dates, by the number of a step: of its *nominal* end, as in training."""

    def __init__(self, grid: Grid, local: LocalCalendar, tables: Mapping[str, Sequence[str]]) -> None:
        self.grid = grid
        self.dates = Dates(grid)
        self._of = local.of
        self._last: tuple[int, int, LocalTime] | None = None  # number and base: asked for several times a step
        self.tables = {name: frozenset(date.fromisoformat(d) for d in days) for name, days in tables.items()}

    @property
    def known(self) -> bool:
        return self.grid.known

    def at(self, number: int) -> LocalTime:
        grid, last = self.grid, self._last
        if last is not None and last[0] == number and last[1] == grid.base:
            return last[2]
        local = self._of((number + grid.base) * grid.step_ms // 1000)
        self._last = (number, grid.base, local)
        return local

    def column(self, name: str) -> Dated:
        """``hour``, ``weekday`` or ``yearday``."""
        at = self.at
        if name == "hour":
            return lambda number: at(number).hour
        if name == "weekday":
            return lambda number: at(number).weekday
        return lambda number: at(number).yearday

    def table(self, name: str, *, steps: int, ahead: int) -> Dated:
        """1 on the days of table ``name``, 0 on others.

        A day is that of the interval of ``steps`` base steps which ends ``ahead`` base steps later: an interval that
        ends at midnight belongs to the day that ends.
        """
        days, at = self.tables[name], self.at
        interval = timedelta(milliseconds=steps * self.grid.step_ms)
        return lambda number: float((at(number + ahead).local - interval).date() in days)
