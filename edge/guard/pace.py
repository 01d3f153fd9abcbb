"""When an actuator was moved and how long its load has run: the books that the limits on pace ask for.

Times are :class:`Stamp`'s: those of one boot are compared by the monotonic clock, those of earlier ones by the wall
clock. Nothing is read from any clock here.
"""

from __future__ import annotations

from collections import deque
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from wayside.contracts.action import Running
from wayside.contracts.actuator_config import ActuatorConfig, NoticeConfig, SetpointConfig
from wayside.contracts.reading import Stamp

HOUR_S, DAY_S = 3600.0, 86_400.0
KEPT_S = 26 * HOUR_S  # of running: the longest day has 25 hours
SPANS = 200  # of running; the oldest are put together, none is forgotten
SPARE_S = 60.0  # what must run begins so much earlier than at the last moment


class Pace:
    """Of one actuator. Those that share it share this, too."""

    def __init__(self, limits: ActuatorConfig, timezone: str = "UTC") -> None:
        """
        Args:
            timezone: of the deadline, an IANA name.

        Raises:
            ZoneInfoNotFoundError: there is no such time zone here; only where the limits have a deadline.
        """
        self._window_s, limit = DAY_S, -1  # a signal's limits ask for none
        self._setpoint: SetpointConfig | None = None
        self._deadline: _Deadline | None = None
        match limits:
            case SetpointConfig():
                limit = limits.max_changes_per_day or 0
                self._setpoint = limits
                self._deadline = _Deadline(limits.by, timezone) if limits.by is not None else None
            case NoticeConfig():
                self._window_s, limit = HOUR_S, limits.at_most_per_h
        self.kept = limit >= 0
        """Whether there are any limits on pace."""
        self._at: deque[int] = deque(maxlen=limit + 1)  # monotonic ns of this boot; < 0: before it
        self._runs: deque[tuple[int, int]] = deque()  # from, to; those that are over
        self._since: int | None = None  # it runs since then; None: it rests
        self._turned: int | None = None  # it began or ceased to run
        self._known = False  # that it runs at its safe value

    # --- changes --------------------------------------------------------------------------------

    def add(self, now: Stamp) -> None:
        """The actuator is moved."""
        if self._at.maxlen:
            self._at.append(now.mono_ns)

    def held_s(self, now: Stamp) -> float | None:
        """Seconds since the last one."""
        return (now.mono_ns - self._at[-1]) / 1e9 if self._at else None

    def count(self, now: Stamp) -> int:
        """How many there were within the last day, or hour for notices."""
        if not self._at:
            return 0
        first = now.mono_ns - self._window_s * 1e9
        return sum(at > first for at in self._at)

    # --- running --------------------------------------------------------------------------------

    def set(self, value: float, now: Stamp) -> None:
        """A set-point is given ``value`` now."""
        if self._setpoint is None:
            return
        runs = self._setpoint.runs_at(value)
        if runs and self._since is None:
            self._since = self._turned = now.mono_ns
        elif not runs and self._since is not None:
            self._runs.append((self._since, now.mono_ns))
            self._since, self._turned = None, now.mono_ns
            self._forget(now)

    def look(self, now: Stamp) -> None:
        """A load whose safe value runs does so from the first time on."""
        if not self._known and self._setpoint is not None:
            self._known = True
            if self._since is None and self._setpoint.runs_at(self._setpoint.safe):
                self._since = now.mono_ns

    @property
    def runs(self) -> bool:
        return self._since is not None

    def turned_s(self, now: Stamp) -> float | None:
        """Seconds since it began or ceased to run."""
        return None if self._turned is None else (now.mono_ns - self._turned) / 1e9

    def run_s(self, now: Stamp) -> float:
        """Seconds that it ran within the last day."""
        return self._ran_since(now.mono_ns - int(DAY_S * 1e9), now)

    def running(self, now: Stamp) -> Running | None:
        """Of its deadline; None: it has none, or the clock is unknown."""
        if self._deadline is None or now.wall_ms is None:
            return None
        first_ms, last_ms = self._deadline.around(now.wall_ms)
        ran_s = self._ran_since(now.mono_ns - (now.wall_ms - first_ms) * 1_000_000, now)
        return Running(ran_s, (last_ms - now.wall_ms) / 1000)

    def missing_s(self, now: Stamp) -> float:
        """How long it has to run until its deadline; 0: no longer, or nobody can tell."""
        limits, running = self._setpoint, self.running(now)
        if limits is None or limits.must_run_s is None or running is None:
            return 0.0
        return max(0.0, limits.must_run_s - running.ran_s)

    def last_moment(self, now: Stamp) -> bool:
        """Whether it has to run from now on, or as soon as it has rested, so that it meets its deadline."""
        running = self.running(now)
        missing_s = self.missing_s(now)
        return running is not None and missing_s > 0.0 and running.left_s <= missing_s + self.rest_s(now) + SPARE_S

    def rest_s(self, now: Stamp) -> float:
        """How long it still has to rest before it may run."""
        turned_s = self.turned_s(now)
        if self._setpoint is None or self._since is not None or turned_s is None:
            return 0.0
        return max(0.0, self._setpoint.min_off_s - turned_s)

    def _ran_since(self, first_ns: int, now: Stamp) -> float:
        ran_ns = sum(max(0, to - max(begun, first_ns)) for begun, to in self._runs)
        if self._since is not None:
            ran_ns += max(0, now.mono_ns - max(self._since, first_ns))
        return ran_ns / 1e9

    def _forget(self, now: Stamp) -> None:
        runs, oldest = self._runs, now.mono_ns - int(KEPT_S * 1e9)
        while runs and runs[0][1] < oldest:
            runs.popleft()
        if len(runs) > SPANS:
            (begun, to), (later, last) = runs.popleft(), runs.popleft()
            runs.appendleft((later - (to - begun), last))

    # --- durable state --------------------------------------------------------------------------

    def state(self, now: Stamp) -> dict[str, Any]:
        """What a restart needs, as plain JSON values: boot, monotonic ns and wall ms of each time."""
        state: dict[str, Any] = {"changes": [_kept(at, now) for at in self._at]}
        limits = self._setpoint
        if limits is not None and (limits.by or limits.max_run_s or limits.min_on_s or limits.min_off_s):
            spans = [*self._runs, *([(self._since, now.mono_ns)] if self._since is not None else [])]
            state["runs"] = [[*_kept(to, now), (to - begun) // 1_000_000] for begun, to in spans]
            state["turned"] = None if self._turned is None else _kept(self._turned, now)
            state["runs_now"] = self._since is not None
        return state

    def restore(self, state: dict[str, Any], now: Stamp) -> None:
        """Continue after a restart: nothing runs but what runs at its safe value. Times of an earlier boot are as long
        ago as the wall clock says, or as if they were now.

        Raises:
            TypeError, ValueError: that is no such state.
        """
        changes = [_back(kept, now) for kept in state.get("changes", [])]
        runs = [(_back(kept, now), int(ms) * 1_000_000) for *kept, ms in state.get("runs", [])]
        turned = None if (kept := state.get("turned")) is None else _back(kept, now)
        self._at.clear()
        self._at.extend(sorted(changes))
        self._runs = deque(sorted((to - ran, to) for to, ran in runs))
        self._turned = turned
        limits = self._setpoint
        if limits is not None and "runs_now" in state and state["runs_now"] is not limits.runs_at(limits.safe):
            self._turned = now.mono_ns
        self._forget(now)


class _Deadline:
    """A local time of each day."""

    def __init__(self, by: str, timezone: str) -> None:
        """Raises: ZoneInfoNotFoundError."""
        self._hour, self._minute = map(int, by.split(":"))
        self._zone = ZoneInfo(timezone)
        self._around = (0, 0)

    def around(self, wall_ms: int) -> tuple[int, int]:
        """The last one and the next one, Unix ms."""
        first, last = self._around
        if not first <= wall_ms < last:
            local = datetime.fromtimestamp(wall_ms / 1000, self._zone)
            today = datetime(local.year, local.month, local.day, self._hour, self._minute)
            times = [self._ms(today + timedelta(days=day)) for day in (-1, 0, 1)]
            first = max(ms for ms in times if ms <= wall_ms)
            last = min(ms for ms in times if ms > wall_ms)
            self._around = (first, last)
        return first, last

    def _ms(self, local: datetime) -> int:
        return int(local.replace(tzinfo=self._zone).timestamp() * 1000)


def _kept(at_ns: int, now: Stamp) -> tuple[str, int, int | None]:
    wall_ms = None if now.wall_ms is None else now.wall_ms - (now.mono_ns - at_ns) // 1_000_000
    return now.boot, at_ns, wall_ms


def _back(kept: Any, now: Stamp) -> int:
    boot, mono_ns, wall_ms = kept
    if boot == now.boot:
        ago_ns = now.mono_ns - mono_ns
    elif wall_ms is not None and now.wall_ms is not None:
        ago_ns = (now.wall_ms - wall_ms) * 1_000_000
    else:
        ago_ns = 0
    return now.mono_ns - max(0, int(ago_ns))
