"""Rows of what no task forecasts: each datastream as its source gave it, what the board says besides, and sums."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from wayside.contracts.reading import GOOD, MISSING, Quality, Stamp
from wayside.contracts.summary import INTERVAL
from wayside.contracts.task_config import Datastream, SumConfig
from wayside.edge.history import NOTHING, History
from wayside.edge.ledger import Ledger
from wayside.edge.sources.quality import worst
from wayside.edge.sources.recent import Recent
from wayside.edge.sources.step import Extra, Grid, Step


class _Sum(NamedTuple):
    name: str
    unit: str
    members: tuple[tuple[int, int, bool], ...]  # source, index, mean
    sources: tuple[int, ...]


class _Plain(NamedTuple):
    """Of one source."""

    which: tuple[int, ...]
    names: tuple[str, ...]
    units: tuple[str, ...]
    means: tuple[bool, ...]


def _plain(streams: Sequence[Datastream], taken: Collection[str]) -> _Plain:
    left = [(i, d) for i, d in enumerate(streams) if d.name not in taken]
    return _Plain(
        tuple(i for i, _ in left),
        tuple(d.name for _, d in left),
        tuple(d.unit for _, d in left),
        tuple(d.aggregate == "mean" for _, d in left),
    )


class PlainRows:
    """One row for each ``steps`` base steps of a datastream."""

    def __init__(
        self,
        streams: Sequence[Sequence[Datastream]],
        taken: Collection[str],
        sums: Sequence[SumConfig],
        steps: int,
        *,
        grid: Grid,
        history: History,
        recents: Sequence[Recent],
        ledger: Ledger,
    ) -> None:
        """
        Args:
            streams: of each source.
            taken: datastreams whose rows a task writes.
            sums: whose rows no task writes.
        """
        self.steps = steps
        self._grid, self._history, self._recents, self._ledger = grid, history, recents, ledger
        self._streams = [_plain(each, taken) for each in streams]
        self._extras: list[dict[str, list[Extra]]] = [{} for _ in streams]
        named = {d.name: d for each in streams for d in each}
        self._sums = []
        for one in sums:
            members = tuple((history.source(n), history.index(n), named[n].aggregate == "mean") for n in one.of)
            sources = tuple(sorted({source for source, _, _ in members}))
            self._sums.append(_Sum(one.name, named[one.of[0]].unit, members, sources))
        self._summed = [NOTHING] * len(self._sums)

    def step(self, source: int, step: Step, at: Stamp) -> None:
        """``step`` of ``source`` has closed; its :class:`Recent` has it already."""
        number, steps = step.grid, self.steps
        whole = steps == 1 or not (number + self._grid.base) % steps
        if step.extras:
            if steps == 1:
                for extra in step.extras:
                    self._extra_row(extra, step.seconds, at)
            else:
                kept = self._extras[source]
                for extra in step.extras:
                    kept.setdefault(extra.name, []).append(extra)
        if not whole:
            return
        recent, ledger = self._recents[source], self._ledger
        seconds = step.seconds if steps == 1 else recent.seconds(number, steps, self._grid.step_ms / 1000)
        plain = self._streams[source]
        if plain.names:
            seen = recent.intervals(plain.which, number, steps, plain.means)
            for i, name in enumerate(plain.names):
                ledger.row(
                    INTERVAL,
                    name,
                    at,
                    duration_s=seconds,
                    value=seen.values[i],
                    unit=plain.units[i],
                    quality=seen.qualities[i],
                    n=seen.n[i],
                )
        if self._extras[source]:
            for each in self._extras[source].values():
                self._extra_row(_together(each), seconds, at)
            self._extras[source] = {}
        for which, one in enumerate(self._sums):
            if number > self._summed[which] and self._history.reached(one.sources) >= number:
                self._summed[which] = number
                self._sum_row(one, number, seconds, at)

    def _extra_row(self, extra: Extra, seconds: float, at: Stamp) -> None:
        self._ledger.row(
            INTERVAL,
            extra.name,
            at,
            duration_s=seconds,
            value=extra.value,
            unit=extra.unit,
            quality=extra.quality,
            n=extra.n,
            detail=dict(extra.detail),
        )

    def _sum_row(self, one: _Sum, number: int, seconds: float, at: Stamp) -> None:
        total: float | None = 0.0
        quality, n = GOOD, 0
        for source, i, mean in one.members:
            values, qualities, readings = self._recents[source].intervals((i,), number, self.steps, (mean,))
            total = None if total is None or values[0] is None else total + values[0]
            quality = worst(quality, qualities[0])
            n += readings[0]
        self._ledger.row(
            INTERVAL,
            one.name,
            at,
            duration_s=seconds,
            value=total,
            unit=one.unit,
            quality=quality if total is not None else MISSING,
            n=n,
            derived=True,
        )


def _together(extras: Sequence[Extra]) -> Extra:
    """The same series over several steps."""
    known = [e.value for e in extras if e.value is not None]
    quality = GOOD
    for extra in extras:
        if extra.value is not None:
            quality = worst(quality, extra.quality)
    last = extras[-1]
    if not known:
        return last
    total = sum(known)
    if len(known) < len(extras):
        quality = worst(quality, Quality.GAP)
    return last._replace(value=total / len(known) if last.mean else total, quality=quality, n=sum(e.n for e in extras))
