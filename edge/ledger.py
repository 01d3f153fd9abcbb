"""The node's rows: their numbers, their stamps, what is wrong from when to when, and the totals.

A condition is said when it begins and when it is over. One that comes back within :data:`FLAP_S` is said once more,
as flapping, and then not again until it has been quiet for as long: a door in the wind is no flood of alarms.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import structlog

from wayside.contracts.condition import MAX_CONDITIONS, Condition
from wayside.contracts.reading import Quality, Stamp
from wayside.contracts.summary import Kind, Summary
from wayside.edge.clock import Clock, stamp

FLAP_S = 600.0  # of the node's own time
Detail = dict[str, str | float | int | bool | None]
log = structlog.get_logger(__name__)


class _State(msgspec.Struct):
    """Of one condition that is open, flaps, or was open a moment ago."""

    condition: Condition
    ended_ns: int | None = None  # it is over since then; None: it holds
    flaps: bool = False
    said_over: bool = False


class Ledger:
    """Rows of one boot, in order. ``rows`` and ``urgent`` are the committer's to take and to clear."""

    def __init__(self, node: str, boot: str, clock: Clock) -> None:
        self._node, self._boot, self._clock = node, boot, clock
        self._seq = 0
        self._states: dict[tuple[str, str], _State] = {}
        self.rows: list[Summary] = []
        self.urgent = False  # one of the rows should not wait for the next sync
        self.counters: dict[str, int] = {}

    # --- rows -----------------------------------------------------------------------------------

    def row(
        self,
        kind: Kind,
        datastream: str,
        at: Stamp,
        *,
        duration_s: float = 0.0,
        value: float | None = None,
        unit: str = "1",
        quality: Quality = Quality.GOOD,
        n: int = 0,
        forecast: float | None = None,
        naive: float | None = None,
        anomaly: float | None = None,
        model: str | None = None,
        derived: bool = False,
        detail: Detail | None = None,
    ) -> Summary:
        # Spelled out, and in the order of the contract: by keyword a row takes six times as long to make.
        row = Summary(
            self._node,
            self._boot,
            self._seq,
            kind,
            datastream,
            at,
            duration_s,
            value,
            unit,
            quality,
            n,
            forecast,
            naive,
            anomaly,
            model,
            derived,
            detail or {},
        )
        self._seq += 1
        self.rows.append(row)
        return row

    def alert(self, subject: str, what: str, *, at: Stamp | None = None, **detail: Any) -> None:
        """Something happened, and is over: a restart, a refusal. What lasts is a condition (:meth:`begin`)."""
        numbers = {name: detail.pop(name, None) for name in ("value", "forecast", "anomaly", "model")}
        self.row(Kind.ALERT, subject, at or self.now(), detail={"what": what[:256], **detail}, **numbers)
        self.urgent = True

    def dropped(self, kind: Kind, rows: int) -> Summary:
        """Summaries that were sacrificed to the disk's limit."""
        return self.row(Kind.GAP, "outbox", self.now(), value=float(rows), unit="{row}", detail={"kind": kind.value})

    def count(self, counter: str, by: int = 1) -> None:
        self.counters[counter] = self.counters.get(counter, 0) + by

    def now(self) -> Stamp:
        return stamp(self._clock, self._boot, self._clock.mono_ns())

    # --- conditions -----------------------------------------------------------------------------

    def begin(
        self, code: str, subject: str, message: str, *, at: Stamp | None = None, severe: bool = True, **detail: Any
    ) -> bool:
        """The condition ``code`` of ``subject`` holds. While it already does no row is written, but for one that has
        become severe; its message is the last.

        Returns:
            Whether it began now.
        """
        state = self._states.get((code, subject))
        message = message[:256]
        if state is not None and state.ended_ns is None:
            before = state.condition
            if message != before.message or severe != before.severe:
                state.condition = msgspec.structs.replace(before, message=message, severe=severe)
                if severe and not before.severe:
                    self.alert(subject, message, at=at, condition=code, **detail)
            return False
        at = at or self.now()
        if state is None:
            self._states[code, subject] = _State(
                Condition(code=code, subject=subject, message=message, since=at, severe=severe)
            )
            self.alert(subject, message, at=at, condition=code, **detail)
            log.warning("condition began", code=code, subject=subject, message=message)
            return True
        times = state.condition.times + 1
        state.condition = msgspec.structs.replace(state.condition, times=times, message=message, severe=severe)
        state.ended_ns = None
        if not state.flaps:
            state.flaps, state.said_over = True, False
            self.alert(subject, f"again: {message}"[:256], at=at, condition=code, times=times, flaps=True, **detail)
            log.warning("condition flaps", code=code, subject=subject, message=message)
        return True

    def end(self, code: str, subject: str, *, at: Stamp | None = None, **detail: Any) -> bool:
        """The condition is over; nothing happens if it did not hold.

        Returns:
            Whether it ended now.
        """
        state = self._states.get((code, subject))
        if state is None or state.ended_ns is not None:
            return False
        state.ended_ns = self._clock.mono_ns()
        if not state.flaps:
            self._say_over(state, at or self.now(), detail)
        return True

    def holds(self, code: str, subject: str) -> bool:
        state = self._states.get((code, subject))
        return state is not None and state.ended_ns is None

    def conditions(self) -> tuple[Condition, ...]:
        """What is open or flaps, severe ones first, then the oldest."""
        open_ = [s.condition for s in self._states.values() if s.ended_ns is None or s.flaps]
        return tuple(sorted(open_, key=lambda c: (not c.severe, c.since.mono_ns))[:MAX_CONDITIONS])

    def end_unowned(self, is_owned: Callable[[Condition], bool]) -> None:
        """End what the run before left open and nothing in this one will."""
        for (code, subject), state in list(self._states.items()):
            if not is_owned(state.condition):
                self.end(code, subject, why="the agent that restarted no longer looks at it, or from anew")

    def pass_time(self) -> None:
        """Say that flapping conditions are over once they were quiet, and forget those that have been over for long."""
        now_ns = self._clock.mono_ns()
        for key, state in list(self._states.items()):
            if state.ended_ns is not None and now_ns - state.ended_ns >= FLAP_S * 1e9:
                if not state.said_over:
                    self._say_over(state, stamp(self._clock, self._boot, state.ended_ns), {})
                del self._states[key]

    def _say_over(self, state: _State, at: Stamp, detail: Detail) -> None:
        state.said_over = True
        began = state.condition
        times: Detail = {"times": began.times} if began.times > 1 else {}
        lasted: Detail = {}
        if began.since.boot == at.boot:
            lasted = {"lasted_s": round((at.mono_ns - began.since.mono_ns) / 1e9, 1)}
        elif began.since.wall_ms is not None and at.wall_ms is not None:
            lasted = {"lasted_s": max(0.0, (at.wall_ms - began.since.wall_ms) / 1000)}
        self.alert(
            began.subject,
            f"over: {began.message}"[:256],
            at=at,
            condition=began.code,
            ended=True,
            **times,
            **lasted,
            **detail,
        )
        log.info("condition over", code=began.code, subject=began.subject)

    # --- time and restarts ----------------------------------------------------------------------

    def restamp(self, row: Summary) -> Summary:
        """``row`` of this boot with the wall time that its monotonic time has now."""
        return msgspec.structs.replace(row, at=self.timed(row.at))

    def restamp_rows(self) -> None:
        """A trusted time came: the rows and conditions that have none get it."""
        self.rows = [self.restamp(row) if row.at.wall_ms is None else row for row in self.rows]
        for state in self._states.values():
            since = state.condition.since
            if since.wall_ms is None and since.boot == self._boot:
                state.condition = msgspec.structs.replace(state.condition, since=self.timed(since))

    def timed(self, at: Stamp) -> Stamp:
        """``at`` of this boot with the wall time that its monotonic time has now."""
        return stamp(self._clock, self._boot, at.mono_ns, at.error_ms or 0)

    def state(self) -> dict[str, Any]:
        """What a restart needs, as plain JSON values: the conditions whose end has not been said."""
        return {
            "conditions": [
                {"condition": msgspec.to_builtins(s.condition), "flaps": s.flaps, "holds": s.ended_ns is None}
                for s in self._states.values()
                if not s.said_over
            ]
        }

    def restore(self, state: dict[str, Any] | None) -> None:
        """Continue after a restart: what held then holds until somebody ends it. It is not said again."""
        for raw in (state or {}).get("conditions", ()):
            try:
                condition = msgspec.convert(raw["condition"], Condition)
                ended_ns = None if raw["holds"] else self._clock.mono_ns()
                self._states[condition.code, condition.subject] = _State(condition, ended_ns, bool(raw["flaps"]))
            except (msgspec.ValidationError, KeyError, TypeError) as exc:
                log.error("condition unreadable", error=repr(exc))
