"""A datastream's intervals as columns: the rows themselves, or means of spans, by how much there is to tell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from wayside.cloud.hub import views
from wayside.cloud.hub.errors import NotFoundError
from wayside.cloud.hub.people.sight import Sight
from wayside.cloud.hub.retention import tiers
from wayside.cloud.hub.retention.cold import Cold, ColdFile, files
from wayside.cloud.hub.retention.rollups import ADDED, AHEAD_MS, BELIEVED, DAY_S, HOUR_S, QUARTER_S, rolled_id
from wayside.cloud.hub.store import cold_files, datastreams, nodes, rollups, summaries
from wayside.contracts.quantities import aggregate
from wayside.contracts.reading import GOOD, MISSING, ClockState
from wayside.contracts.summary import Kind

MIN_POINTS = 200  # or half of what is asked for: a chart of fewer spans is made of rows, where the database has them
LOOKED_AT = 5000  # rows of the datastream among which those without a time are counted
DAY_MS = 1000 * DAY_S


class Stream(NamedTuple):
    id: int
    unit: str | None  # of its last interval


class Span(NamedTuple):
    """What is asked for: after ``begin_ms``, up to ``end_ms``."""

    begin_ms: int
    end_ms: int
    points: int


def series(
    connection: sa.Connection,
    cold: Cold,
    node: str,
    datastream: str,
    *,
    sight: Sight,
    hours: float,
    points: int,
    now_ms: int,
) -> views.Series:
    """The intervals of the last ``hours`` before the newest one, by phenomenon time, in the datastream's present unit.

    Args:
        points: of more intervals than this the mean, the lowest and the highest of spans, at most so many.

    Raises:
        NotFoundError: the node has no such datastream.
        StoreUnavailableError: a file that has its rows is missing or damaged.
    """
    found = connection.execute(
        sa.select(datastreams.c.id, datastreams.c.unit)
        .join_from(datastreams, nodes)
        .where(nodes.c.name == node, datastreams.c.name == datastream, sight.datastreams)
    ).one_or_none()
    if found is None:
        raise NotFoundError("datastream", f"{node[:64]!r} has sent no datastream {datastream[:64]!r}")
    stream = Stream(*found)
    end = _newest(connection, stream, now_ms)
    end_ms = now_ms if end is None else end
    span = Span(end_ms - int(hours * 3_600_000), end_ms, points)
    return views.Series(
        node=node,
        datastream=datastream,
        unit=stream.unit,
        ahead=_ahead(connection, stream, now_ms),
        untimed=_untimed(connection, stream, now_ms - int(hours * 3_600_000), now_ms),
        **_columns(connection, cold, stream, span),
    )


def _columns(connection: sa.Connection, cold: Cold, stream: Stream, span: Span) -> dict[str, Any]:
    file = cold_files.c
    overlaps = (
        file.kind == Kind.INTERVAL.value,
        file.moved_rows > 0,
        file.max_ms > span.begin_ms,
        file.min_ms <= span.end_ms,
    )
    of_it = files(connection, *overlaps)
    gone = sa.select(file.id).where(*overlaps, file.forgotten_ms.is_not(None)).limit(1)
    forgotten = connection.execute(gone).scalar() is not None  # the rollups alone tell of these rows
    where = _within(stream, span)
    some = sa.select(sa.literal(1)).select_from(summaries).where(*where).limit(span.points + 1)
    hot = connection.execute(sa.select(sa.func.count()).select_from(some.subquery())).scalar_one()
    told = _told(connection, stream, span) if of_it else 0
    if hot <= span.points and told <= span.points and not forgotten:
        return _each(connection, cold, stream, span, of_it)
    level_s = _level(connection, stream, span)
    if (
        not of_it
        and not forgotten
        and (span.end_ms - span.begin_ms) // (1000 * level_s) < min(MIN_POINTS, span.points // 2)
    ):
        return _thinned(connection, stream, span)
    return _rolled(connection, stream, span, level_s)


def _within(stream: Stream, span: Span) -> list[sa.ColumnElement[bool]]:
    row = summaries.c
    return [
        row.datastream_id == stream.id,
        row.kind == Kind.INTERVAL.value,
        row.time_ms > span.begin_ms,
        row.time_ms <= span.end_ms,
    ]


_BELIEVED: sa.ColumnElement[bool] = sa.literal_column(BELIEVED, sa.Boolean)


def _newest(connection: sa.Connection, stream: Stream, now_ms: int) -> int | None:
    """End of the newest interval that is not dated ahead of the hub's own day, in either tier."""
    row, rolled = summaries.c, rollups.c
    of_it = (row.datastream_id == stream.id, row.kind == Kind.INTERVAL.value)
    near = sa.or_(row.time_ms <= now_ms + AHEAD_MS, row.clock == ClockState.SIMULATED.value)
    hot = sa.select(row.time_ms).where(*of_it, near, _BELIEVED).order_by(row.time_ms.desc()).limit(1)
    last = (
        sa.select(rolled.last_ms)
        .where(rolled.datastream_id == stream.id, rolled.level_s == DAY_S, rolled.last_ms.is_not(None))
        .order_by(rolled.start_ms.desc())
        .limit(1)
    )
    ends = [end for query in (hot, last) if (end := connection.execute(query).scalar()) is not None]
    return max(ends, default=None)


def _ahead(connection: sa.Connection, stream: Stream, now_ms: int) -> int:
    row = summaries.c
    apart = sa.select(row.id).where(
        row.datastream_id == stream.id,
        row.kind == Kind.INTERVAL.value,
        row.time_ms > now_ms,
        row.clock != ClockState.UNKNOWN.value,
        sa.not_(_BELIEVED),
    )
    return int(connection.execute(sa.select(sa.func.count()).select_from(apart.limit(1000).subquery())).scalar_one())


def _untimed(connection: sa.Connection, stream: Stream, begin_ms: int, now_ms: int) -> int:
    """Of the newest rows: those without a time of their own are dated by their arrival."""
    newest = (
        sa.select(sa.case((_BELIEVED, 0), else_=1).label("untimed"))
        .where(*_within(stream, Span(begin_ms, now_ms, 0)))
        .order_by(summaries.c.time_ms.desc())
        .limit(LOOKED_AT)
        .subquery()
    )
    return int(connection.execute(sa.select(sa.func.coalesce(sa.func.sum(newest.c.untimed), 0))).scalar_one())


def _told(connection: sa.Connection, stream: Stream, span: Span, level_s: int = DAY_S) -> int:
    """Intervals that the rollups of one length have, of all days that the span touches."""
    column = rollups.c
    count = sa.func.coalesce(sa.func.sum(column.n + column.missing), 0)
    days = (
        column.start_ms >= (span.begin_ms // DAY_MS) * DAY_MS,
        column.start_ms < (span.end_ms // DAY_MS + 1) * DAY_MS,
    )
    of_it = (column.datastream_id == stream.id, column.level_s == level_s)
    return int(connection.execute(sa.select(count).where(*of_it, *days)).scalar_one())


def _level(connection: sa.Connection, stream: Stream, span: Span) -> int:
    """The finest rollup that has no more buckets than points and tells of every interval.

    Quarters do not tell of intervals that are no shorter, and finer rollups may have been kept for a shorter time.
    """
    for level_s in (QUARTER_S, HOUR_S):
        few = (span.end_ms - span.begin_ms) // (1000 * level_s) <= span.points
        if few and _told(connection, stream, span, level_s) == _told(connection, stream, span):
            return level_s
    return DAY_S


_EACH = ("id", "time_ms", "duration_s", "value", "forecast", "quality", "unit")


def _each(
    connection: sa.Connection, cold: Cold, stream: Stream, span: Span, of_it: Iterable[ColdFile]
) -> dict[str, Any]:
    row = summaries.c
    believed = sa.case((_BELIEVED, 1), else_=0).label("timed")
    query = sa.select(*(row[name] for name in _EACH), believed).where(*_within(stream, span))
    rows = {r["id"]: dict(r) for r in connection.execute(query).mappings()}
    within = "datastream_id = ? AND time_ms > ? AND time_ms <= ?"
    columns = f"{', '.join(_EACH)}, CASE WHEN {BELIEVED} THEN 1 ELSE 0 END AS timed"
    values = (stream.id, span.begin_ms, span.end_ms)
    for file in of_it:
        for cold_row in tiers.read(connection, cold, file, within, values, columns=columns):
            rows.setdefault(cold_row["id"], cold_row)
    timed = sorted((r for r in rows.values() if r["timed"]), key=lambda r: (r["time_ms"], r["id"]))
    shown = [r for r in timed if r["unit"] == stream.unit]
    return {
        "end_ms": [r["time_ms"] for r in shown],
        "duration_s": [r["duration_s"] for r in shown],
        "value": [r["value"] for r in shown],
        "forecast": [r["forecast"] for r in shown],
        "quality": [r["quality"] for r in shown],
        "intervals": len(shown),
        "other_units": len(timed) - len(shown),
    }


def _thinned(connection: sa.Connection, stream: Stream, span: Span) -> dict[str, Any]:
    """Spans of the database's own rows, as many as a chart has pixels."""
    row, span_ms = summaries.c, max(1, (span.end_ms - span.begin_ms) // span.points)
    bucket, where = summaries.c.time_ms // span_ms, _within(stream, span)
    doubtful = sa.case((sa.and_(row.value.is_not(None), row.quality != GOOD.value), 1), else_=0)
    valued = sa.case((row.value.is_not(None), row.duration_s), else_=0.0)
    query = (
        sa.select(
            sa.func.max(row.time_ms).label("end_ms"),
            sa.func.count(row.value).label("n"),
            (sa.func.count() - sa.func.count(row.value)).label("missing"),
            sa.func.sum(doubtful).label("doubtful"),
            sa.func.sum(row.value).label("total"),
            sa.func.sum(row.value * row.duration_s).label("weighted"),
            sa.func.sum(valued).label("covered_s"),
            sa.func.min(row.value).label("low"),
            sa.func.max(row.value).label("high"),
            sa.func.count(row.forecast).label("forecasts"),
            sa.func.sum(row.forecast).label("forecast_total"),
        )
        .where(*where, _BELIEVED, row.unit == stream.unit)
        .group_by(bucket)
        .order_by(bucket)
    )
    shown = [dict(r) for r in connection.execute(query).mappings()]
    known = connection.execute(sa.select(sa.func.count()).where(*where, _BELIEVED)).scalar_one()
    intervals = sum(r["n"] + r["missing"] for r in shown)
    return {
        **_means(shown, [r["end_ms"] for r in shown], span_ms / 1000, stream.unit),
        "intervals": intervals,
        "other_units": known - intervals,
    }


def _rolled(connection: sa.Connection, stream: Stream, span: Span, level_s: int) -> dict[str, Any]:
    column, level_ms = rollups.c, 1000 * level_s
    query = (
        sa.select(rollups)
        .where(
            column.datastream_id == stream.id,
            column.level_s == level_s,
            column.start_ms > span.begin_ms - level_ms,
            column.start_ms <= span.end_ms,
        )
        .order_by(column.start_ms)
    )
    # Days may be more than points: neighbours are put together.
    factor = max(1, -(-(span.end_ms - span.begin_ms) // (level_ms * span.points)))
    merged: dict[int, dict[str, Any]] = {}
    other = 0
    for row in connection.execute(query).mappings():
        if row["unit"] != stream.unit:
            other += row["n"] + row["missing"]
        elif row["n"] + row["missing"]:
            start = row["start_ms"] - row["start_ms"] % (factor * level_ms)
            merged[start] = _added(merged[start], row) if start in merged else dict(row)
    shown = list(merged.values())
    top = connection.execute(sa.select(sa.func.max(summaries.c.id))).scalar() or 0
    return {
        **_means(shown, [start + factor * level_ms for start in merged], float(factor * level_s), stream.unit),
        "level_s": level_s,
        "intervals": sum(r["n"] + r["missing"] for r in shown),
        "other_units": other,
        "not_rolled": max(0, top - rolled_id(connection)),
    }


def _added(one: dict[str, Any], other: Any) -> dict[str, Any]:
    both = {name: one[name] + other[name] for name in ADDED}
    for name, pick in (("low", min), ("high", max)):
        both[name] = pick((v for v in (one[name], other[name]) if v is not None), default=None)
    return both


def _means(shown: Sequence[dict[str, Any]], end_ms: list[int], seconds: float, unit: str | None) -> dict[str, Any]:
    """Amounts have the mean of their intervals and the sum; everything else the mean weighted by time."""
    adds = unit is not None and aggregate(unit) == "sum"
    return {
        "end_ms": end_ms,
        "duration_s": [seconds] * len(shown),
        "value": [_mean(r, adds) for r in shown],
        "forecast": [r["forecast_total"] / r["forecasts"] if r["forecasts"] else None for r in shown],
        "quality": [(GOOD if r["n"] else MISSING).value for r in shown],
        "low": [r["low"] for r in shown],
        "high": [r["high"] for r in shown],
        "total": [r["total"] if r["n"] else None for r in shown] if adds else None,
        "covered": [min(1.0, (r["covered_s"] or 0.0) / seconds) for r in shown],
        "missing": [r["missing"] for r in shown],
        "doubtful": [r["doubtful"] for r in shown],
    }


def _mean(row: dict[str, Any], adds: bool) -> float | None:
    if not row["n"]:
        return None
    if adds or not row["covered_s"]:
        return float(row["total"] / row["n"])
    return float(row["weighted"] / row["covered_s"])
