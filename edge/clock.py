"""The node's time, as honestly as it is known, and the board's time on the node's scale.

Nothing here waits and nothing on the sense, infer, act, store path needs a wall clock: ``mono_ns`` orders the node's
own work, wall time is ``None`` until somebody who can be trusted has said it.
"""

from __future__ import annotations

import ctypes
import time
from collections import deque
from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from wayside.contracts.node_config import ClockConfig
from wayside.contracts.reading import ClockState, Stamp
from wayside.edge.errors import EdgeError

SIMULATED = ClockState.SIMULATED
DRIFT_PPM = 50  # of a free-running crystal, with margin for a cabinet in the sun
GPS_TRUST_NS = 60 * 1_000_000_000  # the same of a receiver
GPS_JUMP_NS = 900 * 1_000_000_000  # for so long a receiver has to insist on another time than the one before
HUB_TRUST_NS = 86_400 * 1_000_000_000  # after that without word from the hub its time is 'held'

TRUST_NS = {ClockState.NTP: 5_000_000_000, ClockState.GPS: GPS_TRUST_NS, ClockState.HUB: HUB_TRUST_NS}

LIFETIME_MS = 50 * 365 * 86_400_000  # no release of this software runs longer


class ClockError(EdgeError):
    """The configured time zone does not exist on this machine."""


class Wall(NamedTuple):
    """Unix time of one instant with its source and error bound, both in milliseconds."""

    ms: int | None
    state: ClockState
    error_ms: int | None


class Clock(Protocol):
    def mono_ns(self) -> int: ...
    def wall(self, mono_ns: int) -> Wall:
        """Wall time of the instant ``mono_ns``."""
        ...

    def hear_hub(self, hub_unix_ms: int, sent_ns: int, received_ns: int) -> None:
        """The hub said its time in a reply to a request sent and answered at these ``mono_ns``."""
        ...

    def hear_gps(self, unix_ms: int, mono_ns: int, error_ms: int) -> str | None:
        """A GNSS receiver says the time of the instant ``mono_ns``. Returns why it is doubted."""
        ...

    @property
    def board_zero_ms(self) -> int | None:
        """Unix time in ms at which the board's clock is 0, where that is known without listening."""
        ...

    @property
    def speed(self) -> float: ...


def open_clock(config: ClockConfig) -> Clock:
    return ScaledClock(config) if config.kind == "scaled" else SystemClock()


STATUSES = 100  # that the board's offset is taken from: ten seconds, in which a resonator of 0.5 % goes 50 ms wrong
NEWEST = 10
BASE_ERROR_MS = 1 + 5  # a tick of the board, and 0.5 % of the second of the newest ones


class SystemClock:
    """The kernel's clock: trusted while NTP disciplines it, else what the hub or a GNSS receiver says, else unknown."""

    speed = 1.0
    board_zero_ms = None

    def __init__(self) -> None:
        self._built_ms = int(Path(__file__).stat().st_mtime * 1000)
        self._offset_ns: int | None = None  # of Unix time against mono_ns, when last trusted
        self._trusted_ns = 0
        self._base_error_ms = 0
        self._source = ClockState.UNKNOWN
        self._checked_ns = -(10**10)
        self._jumped_ns: int | None = None  # since when a receiver contradicts

    def mono_ns(self) -> int:
        return time.monotonic_ns()

    def wall(self, mono_ns: int) -> Wall:
        now = time.monotonic_ns()
        if now - self._checked_ns > 1_000_000_000:  # a system call a second, not one an event
            self._checked_ns = now
            self._ask_kernel(now)
        if self._offset_ns is None:
            return Wall(None, ClockState.UNKNOWN, None)
        age_ns = max(0, now - self._trusted_ns)
        stale = age_ns > TRUST_NS.get(self._source, 0)
        return Wall(
            (mono_ns + self._offset_ns) // 1_000_000,
            ClockState.HELD if stale else self._source,
            self._base_error_ms + age_ns * DRIFT_PPM // 10**12 + 1,
        )

    def hear_hub(self, hub_unix_ms: int, sent_ns: int, received_ns: int) -> None:
        if self._source is ClockState.NTP and self.wall(received_ns).state is ClockState.NTP:
            return
        if not self._built_ms <= hub_unix_ms < self._built_ms + LIFETIME_MS:  # a hub that is itself lost in time
            return
        self._offset_ns = hub_unix_ms * 1_000_000 - (sent_ns + received_ns) // 2
        self._trusted_ns, self._source = received_ns, ClockState.HUB
        self._base_error_ms = (received_ns - sent_ns) // 2_000_000 + 1

    def hear_gps(self, unix_ms: int, mono_ns: int, error_ms: int) -> str | None:
        """Believed where nothing better is known: the source with the least error bound stands.

        A receiver can be wrong by 1024 weeks (its week counter has ten bits), by the leap seconds until it has heard of
        them, or because somebody else transmits. So a time before this software was built is not believed, nor one
        that contradicts what is known: at once if that is fresh, and for a quarter of an hour if it is the receiver's
        own or an old one.
        """
        if not self._built_ms <= unix_ms < self._built_ms + LIFETIME_MS:
            return "the receiver tells a time before this software was built: has its week counter run over?"
        known = self.wall(mono_ns)
        now = time.monotonic_ns()
        if known.ms is not None:
            away_ms = abs(known.ms - unix_ms)
            if away_ms > error_ms + (known.error_ms or 0):
                if self._jumped_ns is None:
                    self._jumped_ns = now
                soft = known.state in (ClockState.GPS, ClockState.HELD)
                if not soft or now - self._jumped_ns < GPS_JUMP_NS:
                    return f"the receiver's time is {away_ms / 1000:.0f} s away from the one that the node has"
            elif known.state is not ClockState.GPS and (known.error_ms or 0) <= error_ms:
                self._jumped_ns = None
                return None
        self._jumped_ns = None
        self._offset_ns = unix_ms * 1_000_000 - mono_ns
        self._trusted_ns, self._source, self._base_error_ms = mono_ns, ClockState.GPS, error_ms
        return None

    def _ask_kernel(self, now: int) -> None:
        error_ms = kernel_sync_error_ms()
        wall_ns = time.time_ns()
        if error_ms is not None and wall_ns // 1_000_000 >= self._built_ms:
            self._offset_ns, self._trusted_ns = wall_ns - time.monotonic_ns(), now
            self._source, self._base_error_ms = ClockState.NTP, error_ms


class ScaledClock:
    """Simulated time: it shows ``start_unix_s`` at the real instant ``anchor_unix_s`` and runs ``speed`` times faster.

    The anchor is absolute: a restarted agent, its board and its neighbours agree without talking. The simulated
    board counts from the same anchor, hence ``board_zero_ms``.
    """

    def __init__(self, config: ClockConfig) -> None:
        self.speed = config.speed
        self.board_zero_ms: int | None = int(config.start_unix_s * 1000)
        self._anchor_ns = int(config.anchor_unix_s * 1e9)
        self._start_ms = config.start_unix_s * 1000

    def mono_ns(self) -> int:
        return max(0, int((time.time_ns() - self._anchor_ns) * self.speed))

    def wall(self, mono_ns: int) -> Wall:
        return Wall(max(0, int(self._start_ms + mono_ns / 1e6)), SIMULATED, 1)

    def hear_hub(self, hub_unix_ms: int, sent_ns: int, received_ns: int) -> None:
        pass

    def hear_gps(self, unix_ms: int, mono_ns: int, error_ms: int) -> str | None:
        return None


class _Timex(ctypes.Structure):
    """struct timex of adjtimex(2); only the first fields are read."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),  # µs
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 256),
    )


def kernel_sync_error_ms() -> int | None:
    """Error bound in ms while NTP disciplines the kernel's clock, else ``None`` (adjtimex(2), ``STA_UNSYNC``)."""
    try:
        adjtimex = ctypes.CDLL(None, use_errno=True).adjtimex
    except (OSError, AttributeError):
        return None
    timex = _Timex()
    state = adjtimex(ctypes.byref(timex))
    if state < 0 or state == 5 or timex.status & 0x40:  # TIME_ERROR, STA_UNSYNC
        return None
    return int(timex.maxerror // 1000 + 1)


def machine_boot() -> str:
    """Which start of this machine it is; its monotonic time means nothing in another."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def stamp(clock: Clock, boot: str, mono_ns: int, extra_error_ms: int = 0) -> Stamp:
    """``mono_ns`` as a contract stamp; ``extra_error_ms`` is added to the clock's own bound."""
    wall_ms, state, error_ms = clock.wall(mono_ns)
    mono_ns = max(0, mono_ns)
    if wall_ms is None or wall_ms < 0:
        return Stamp(boot, mono_ns)
    if error_ms is not None:
        error_ms += extra_error_ms
    return Stamp(boot, mono_ns, wall_ms, state, error_ms)


class LocalTime(NamedTuple):
    """Where in the calendar an instant lies. The same numbers, by the same arithmetic, as in training."""

    hour: float  # fractional, 0 <= hour < 24
    weekday: float  # Monday 0
    yearday: float  # fractional, from 0 at the year's beginning
    local: datetime  # with its zone: subtracting from it is subtracting from the clock on the wall


class LocalCalendar:
    """Local time of an instant.

    Convention, the same in training: a window row stands at the **end** of its interval, and has that instant's.
    """

    def __init__(self, timezone: str) -> None:
        """Raises: ClockError."""
        try:
            self._zone = ZoneInfo(timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as exc:
            raise ClockError(f"clock.timezone: there is no time zone {timezone!r} here; use an IANA name") from exc
        self._year = self._new_year = 0

    def of(self, unix_s: int) -> LocalTime:
        local = datetime.fromtimestamp(unix_s, self._zone)
        seconds = local.hour * 3600 + local.minute * 60 + local.second
        if local.year != self._year:
            self._year, self._new_year = local.year, date(local.year, 1, 1).toordinal()
        day = local.toordinal() - self._new_year
        return LocalTime(seconds / 3600, float(local.weekday()), day + seconds / 86400, local)


class BoardTime:
    """The board's milliseconds on the node's monotonic scale, by the frame that travelled fastest.

    A STATUS frame received at ``mono_ns`` left the board at ``ms`` or before, so ``mono_ns - ms`` is the offset plus a
    delay; the smallest of the last seconds has the least delay (the minimum filter of NTP's clock filter, RFC 5905
    §10). :attr:`error_ms` bounds what is wrong with it but for that least delay (docs/wire.md 1.5).
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: deque[int] = deque(maxlen=STATUSES)
        self._offset_ns: int | None = None

    def observe(self, ms: int, mono_ns: int) -> None:
        offset = mono_ns - ms * 1_000_000
        dropped = self._seen[0] if len(self._seen) == STATUSES else None
        self._seen.append(offset)
        if self._offset_ns is None or offset < self._offset_ns:
            self._offset_ns = offset
        elif dropped is not None and dropped == self._offset_ns:
            self._offset_ns = min(self._seen)

    def state(self) -> list[Any]:
        """What a restart needs: valid while neither the board nor this machine restarts."""
        return [machine_boot(), self._offset_ns]

    def restore(self, state: Sequence[Any] | None) -> None:
        if state is not None and state[0] == machine_boot() and state[1] is not None:
            self._offset_ns = state[1]
            self._seen.append(state[1])

    def reset(self) -> None:
        """Forget: the board restarted its clock."""
        self._seen.clear()
        self._offset_ns = None

    @property
    def known(self) -> bool:
        return self._clock.board_zero_ms is not None or self._offset_ns is not None

    def mono_ns(self, ms: float) -> int:
        """The node's ``mono_ns`` at board time ``ms``; before the first frame the board counts as just started."""
        if self._clock.board_zero_ms is not None:  # simulated: both count from the same anchor
            return max(0, int(ms * 1_000_000))
        return int(ms * 1_000_000) + (self._offset_ns if self._offset_ns is not None else self._clock.mono_ns())

    @property
    def error_ms(self) -> int:
        """A tick, half a percent of a second, and the larger of the delays' spread and how far the clocks moved."""
        if self._clock.board_zero_ms is not None or len(self._seen) < 2:
            return 1
        seen = list(self._seen)
        spread = sorted(seen)[len(seen) // 2]
        moved = min(seen[-NEWEST:])  # of a board whose clock is slow the least is the oldest
        return BASE_ERROR_MS + -(-(max(spread, moved) - (self._offset_ns or 0)) // 1_000_000)
