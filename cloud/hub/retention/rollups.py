"""Intervals summed up by quarter of an hour, hour and day, so that a chart of a year reads hundreds of rows.

They are made in the background from rows that came after the last one told of, in the transaction that notes the new
last one: a crash at any point leaves both or neither, and each row is told once, in whatever order rows come. A row
belongs to the bucket in which its middle lies, so that a clock that is some milliseconds off moves no row to the next
hour. All columns but ``start_ms`` add up or are extremes: buckets of one datastream and unit can be put together.
"""

from __future__ import annotations

import sqlalchemy as sa

from wayside.cloud.hub.engine import settled_id
from wayside.cloud.hub.store import progress

QUARTER_S, HOUR_S, DAY_S = LEVELS_S = (900, 3600, 86_400)
CHUNK = 1000  # rows of one transaction: some 10 ms of the writer
AHEAD_MS = 86_400_000
"""A row that is dated later than this after its arrival has a wrong clock. Scaled clocks of demonstrations are not held
to it."""

BELIEVED = f"(clock = 'simulated' OR (clock <> 'unknown' AND time_ms <= received_ms + {AHEAD_MS}))"  # the row's time
_LONGEST_S = 864_000  # of an interval whose middle is looked for; a longer one is taken for so long
_SANE = 1e100  # beyond it a value cannot be summed; it counts as missing

_SUM = """
INSERT INTO rollups (datastream_id, level_s, start_ms, unit, n, missing, doubtful, untimed, total, weighted, covered_s,
  low, high, forecasts, forecast_total, scored, forecast_error, naive_error, last_ms)
SELECT datastream_id, {level_s}, middle_ms - middle_ms % {level_ms}, unit, count(v), sum(timed) - count(v),
  sum(CASE WHEN v IS NOT NULL AND quality <> 'good' THEN 1 ELSE 0 END), sum(1 - timed), coalesce(sum(v), 0.0),
  coalesce(sum(v * seconds), 0.0), coalesce(sum(CASE WHEN v IS NOT NULL THEN seconds END), 0.0), min(v), max(v),
  count(f), coalesce(sum(f), 0.0), count(v + f + p), coalesce(sum(CASE WHEN p IS NOT NULL THEN abs(v - f) END), 0.0),
  coalesce(sum(CASE WHEN f IS NOT NULL THEN abs(v - p) END), 0.0), max(CASE WHEN timed = 1 THEN time_ms END)
FROM (
  SELECT datastream_id, unit, quality, time_ms, seconds, timed,
    CASE WHEN timed = 1 AND time_ms > 500 * seconds THEN time_ms - CAST(500 * seconds AS BIGINT) ELSE time_ms END
      AS middle_ms,
    CASE WHEN timed = 1 AND abs(value) <= {sane} THEN value END AS v,
    CASE WHEN timed = 1 AND abs(forecast) <= {sane} THEN forecast END AS f,
    CASE WHEN timed = 1 AND abs(naive) <= {sane} THEN naive END AS p
  FROM (
    SELECT datastream_id, unit, quality, time_ms, value, forecast, naive,
      CASE WHEN duration_s > {longest} THEN {longest} ELSE duration_s END AS seconds,
      CASE WHEN {believed} THEN 1 ELSE 0 END AS timed
    FROM summaries WHERE id > :after AND id <= :upto AND kind = 'interval'{finer}
  ) AS bounded
) AS split
GROUP BY datastream_id, middle_ms - middle_ms % {level_ms}, unit
ON CONFLICT (datastream_id, level_s, start_ms, unit) DO UPDATE SET {added},
  low = CASE WHEN rollups.low <= excluded.low THEN rollups.low ELSE coalesce(excluded.low, rollups.low) END,
  high = CASE WHEN rollups.high >= excluded.high THEN rollups.high ELSE coalesce(excluded.high, rollups.high) END,
  last_ms = CASE WHEN rollups.last_ms >= excluded.last_ms THEN rollups.last_ms
    ELSE coalesce(excluded.last_ms, rollups.last_ms) END
"""
ADDED = (
    "n", "missing", "doubtful", "untimed", "total", "weighted", "covered_s", "forecasts", "forecast_total", "scored",
    "forecast_error", "naive_error",
)  # fmt: skip


def _sum(level_s: int) -> sa.TextClause:
    return sa.text(
        _SUM.format(
            level_s=level_s,
            level_ms=1000 * level_s,
            sane=_SANE,
            longest=_LONGEST_S,
            believed=BELIEVED,
            finer=f" AND duration_s < {QUARTER_S}" if level_s == QUARTER_S else "",
            added=", ".join(f"{name} = rollups.{name} + excluded.{name}" for name in ADDED),
        )
    )


_SUMS = tuple(_sum(level_s) for level_s in LEVELS_S)
_ROLLED = sa.select(progress.c.id).where(progress.c.name == "rollups")
_BEGIN = sa.text("INSERT INTO progress (name, id) VALUES ('rollups', 0) ON CONFLICT DO NOTHING")
_NOTE = sa.update(progress).where(progress.c.name == "rollups")


def rolled_id(connection: sa.Connection) -> int:
    """The last row that the rollups tell of."""
    return int(connection.execute(_ROLLED).scalar() or 0)


def roll(connection: sa.Connection, upto: int, rows: int = CHUNK) -> bool:
    """Tell of the next ``rows`` rows; to be run in a writing transaction.

    Args:
        upto: from :func:`settled_id`, of a transaction before this one.

    Returns:
        Whether there are more.
    """
    connection.execute(_BEGIN)
    # One at a time, also of several processes.
    after = int(connection.execute(_ROLLED.with_for_update()).scalar_one())
    if after >= upto:
        return False
    end = min(upto, after + rows)
    for each in _SUMS:
        connection.execute(each, {"after": after, "upto": end})
    connection.execute(_NOTE.values(id=end))
    return end < upto


def roll_all(connection: sa.Connection) -> None:
    """All that is there, at once: for tests and tools that have the store for themselves."""
    upto = settled_id(connection)
    while roll(connection, upto):
        pass
