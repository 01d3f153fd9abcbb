"""A board's plan table: what a person writes (TOML, seconds) and the bytes that the board checks, keeps and runs.

The layout is that of docs/wire.md, "Plan table". Conflicts may be written on either side of a pair, and phases of one
ring conflict by themselves; the board is sent the complete matrix and checks it again.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from wayside.firmware_bridge.errors import PlanError
from wayside.firmware_bridge.line.messages import (
    ACTUATED_DETECTORS,
    ACTUATED_FORMAT,
    ACTUATED_HEAD,
    ACTUATED_ROW,
    OVERLAPS,
    PREEMPTS,
    SIGNAL_PHASES,
    SIGNAL_RINGS,
    TABLE_FORMAT,
    TABLE_HEAD,
    TABLE_ROW,
    Recall,
    RowOption,
)
from wayside.text import TextError, loads_toml, read_toml

_Seconds = Annotated[float, msgspec.Meta(ge=0, le=6553.5)]
_Short = Annotated[float, msgspec.Meta(ge=0, le=25.5)]
_Byte = Annotated[int, msgspec.Meta(ge=0, le=255)]
_Phase = Annotated[int, msgspec.Meta(ge=1, le=255)]
_Channel = Annotated[int, msgspec.Meta(ge=1, le=ACTUATED_DETECTORS)]
PASSAGE_S = 3.0
LEAST_RED_S = 120.0  # of a longest red that nobody gave
DEAD_CYCLES = 3


class Phase(msgspec.Struct, forbid_unknown_fields=True):
    phase: _Phase
    ring: Annotated[int, msgspec.Meta(ge=1, le=SIGNAL_RINGS)]
    green_s: _Seconds  # of the fixed-time plan
    min_green_s: _Seconds
    max_green_s: _Seconds  # the most that a host may ask for
    yellow_s: _Seconds
    red_clearance_s: _Seconds
    walk_s: _Seconds = 0.0
    ped_clearance_s: _Seconds = 0.0
    ped_input: _Byte = 0  # channel of its push button
    conflicts: list[int] = []
    # of an actuated plan
    detectors: list[_Channel] = []  # that call and extend it
    passage_s: _Short | None = None  # the gap that ends it; None: PASSAGE_S
    call_delay_s: _Short = 0.0  # so long a vehicle waits before it calls
    max_1_s: _Seconds | None = None  # maximum green without a host; None: max_green_s
    recall: Literal["none", "minimum", "maximum", "soft"] = "none"
    locking: bool | None = None  # a call stays when its vehicle leaves; None: true
    ped_recall: bool = False
    host_only: bool = False  # nothing but a host calls it: all that it serves also goes in other phases

    @property
    def is_actuated(self) -> bool:
        given = (self.passage_s, self.max_1_s, self.locking)
        return bool(
            self.detectors
            or self.call_delay_s
            or self.ped_recall
            or self.host_only
            or self.recall != "none"
            or given != (None,) * 3
        )

    @property
    def actuation(self) -> tuple[int, int, int, int]:
        """Maximum 1, passage, call delay and options, as the board's row has them."""
        options = Recall[self.recall.upper()] | (RowOption.PED_RECALL if self.ped_recall else 0)
        options |= RowOption.HOST_ONLY if self.host_only else 0
        options |= 0 if self.locking is False else RowOption.LOCKING
        passage = PASSAGE_S if self.passage_s is None else self.passage_s
        return _tenths(self.most_s, 2), _tenths(passage, 1), _tenths(self.call_delay_s, 1), options

    @property
    def most_s(self) -> float:
        """Maximum green in force without a host."""
        return self.max_green_s if self.max_1_s is None else self.max_1_s

    @property
    def clearance_s(self) -> float:
        return self.yellow_s + max(self.red_clearance_s, 0.1)  # at least one step of the board


class Overlap(msgspec.Struct, forbid_unknown_fields=True):
    """Green while one of its parents is, and on from one to the next."""

    number: Annotated[int, msgspec.Meta(ge=1, le=OVERLAPS)]
    parents: Annotated[list[_Phase], msgspec.Meta(min_length=1)]


class Preempt(msgspec.Struct, forbid_unknown_fields=True):
    """A railway or the fire brigade. Of two, the first in the plan goes before the second."""

    input: Annotated[int, msgspec.Meta(ge=1, le=16)]
    dwell: Annotated[list[_Phase], msgspec.Meta(min_length=1)]  # green as long as it lasts
    opens: bool = False  # its contact opens, as a railway's does when in doubt, and when its wire breaks
    dwell_s: _Byte = 0  # at least
    track: list[_Phase] = []  # green before, to clear the tracks
    track_s: _Byte = 0


class Start(msgspec.Struct, forbid_unknown_fields=True):
    flash_s: _Seconds = 5.0
    red_s: _Seconds = 6.0


class Detectors(msgspec.Struct, forbid_unknown_fields=True):
    """Limits of channels 1 to ``count``; 0 switches one off."""

    count: _Byte = 0
    debounce_ms: _Byte = 20
    chatter: _Byte = 0  # rising edges in 30 s
    stuck_s: Annotated[int, msgspec.Meta(ge=0, le=65_535)] = 0
    no_hit_s: Annotated[int, msgspec.Meta(ge=0, le=65_535)] = 0
    analog_delta: _Byte = 0  # of the converter's 1024 steps
    dead_cycles: _Byte | None = None  # of an actuated plan: cycles without an edge while others flow


class SignalPlan(msgspec.Struct, forbid_unknown_fields=True):
    phases: Annotated[list[Phase], msgspec.Meta(max_length=SIGNAL_PHASES)] = []
    start: Start = msgspec.field(default_factory=Start)
    detectors: Detectors = msgspec.field(default_factory=Detectors)
    actuated: bool = False  # also true when a field says what only an actuated plan knows
    longest_red_s: _Seconds | None = None  # of a phase that somebody waits for; None: :attr:`least_longest_red_s`
    overlaps: Annotated[list[Overlap], msgspec.Meta(max_length=OVERLAPS)] = []
    preempts: Annotated[list[Preempt], msgspec.Meta(max_length=PREEMPTS)] = []

    @property
    def is_actuated(self) -> bool:
        given = self.longest_red_s is not None or self.detectors.dead_cycles is not None
        return bool(self.actuated or given or self.overlaps or self.preempts or any(p.is_actuated for p in self.phases))

    @property
    def least_longest_red_s(self) -> float:
        """What a board takes at least: a cycle of maximum greens, and the shortest service of every phase."""
        rings = dict.fromkeys((p.ring for p in self.phases), 0.0)
        parents = {phase for overlap in self.overlaps for phase in overlap.parents}
        shortest = max((p.clearance_s for p in self.phases if p.phase in parents), default=0.0)
        for p in self.phases:
            crossing_s = p.walk_s + p.ped_clearance_s
            rings[p.ring] += max(p.most_s, crossing_s) + p.clearance_s
            shortest += max(p.min_green_s, crossing_s) + p.clearance_s
        return round(shortest + max(rings.values(), default=0.0), 1)

    def encode(self) -> bytes:
        """The bytes of the table: format 2 of an actuated plan, format 1 of any other.

        Raises:
            PlanError: a phase twice, a phase that there is not, or a time that 0.1 s cannot say.
        """
        conflicts = self._conflicts()
        rows = [
            (
                p.phase,
                p.ring,
                mask,
                p.ped_input,
                *(_tenths(s, 2) for s in (p.min_green_s, p.max_green_s, p.green_s, p.walk_s, p.ped_clearance_s)),
                _tenths(p.yellow_s, 1),
                _tenths(p.red_clearance_s, 1),
            )
            for p, mask in zip(self.phases, conflicts, strict=True)
        ]
        if not self.is_actuated:
            return TABLE_HEAD.pack(TABLE_FORMAT, *self._head()) + b"".join(TABLE_ROW.pack(*row) for row in rows)
        return (
            ACTUATED_HEAD.pack(ACTUATED_FORMAT, *self._head(), *self._actuated_head())
            + b"".join(ACTUATED_ROW.pack(*row, *p.actuation) for p, row in zip(self.phases, rows, strict=True))
            + self._callers()
        )

    def _head(self) -> tuple[int, ...]:
        d, start = self.detectors, self.start
        return (
            len(self.phases),
            _tenths(start.flash_s, 2),
            _tenths(start.red_s, 2),
            d.count,
            d.debounce_ms,
            d.chatter,
            d.analog_delta,
            d.stuck_s,
            d.no_hit_s,
        )

    def _actuated_head(self) -> list[int]:
        longest = max(self.least_longest_red_s, LEAST_RED_S) if self.longest_red_s is None else self.longest_red_s
        dead = self.detectors.dead_cycles
        overlaps = [0] * OVERLAPS
        for overlap in self.overlaps:
            if overlaps[overlap.number - 1]:
                raise PlanError(f"overlap {overlap.number} is there twice: each has one [[overlaps]]")
            overlaps[overlap.number - 1] = self._rows(overlap.parents, f"overlap {overlap.number}: parents")
        preempts = [0] * (5 * PREEMPTS)
        for k, p in enumerate(self.preempts):
            track, dwell = (
                self._rows(phases, f"the preempt of input {p.input}: {name}")
                for name, phases in (("track", p.track), ("dwell", p.dwell))
            )
            preempts[5 * k : 5 * k + 5] = [p.input | 0x80 * p.opens, track, p.track_s, dwell, p.dwell_s]
        return [_tenths(longest, 2), DEAD_CYCLES if dead is None else dead, *overlaps, *preempts]

    def _callers(self) -> bytes:
        """The rows that each detector calls."""
        if self.detectors.count > ACTUATED_DETECTORS:
            raise PlanError(f"detectors.count: an actuated plan has at most {ACTUATED_DETECTORS}")
        rows = [0] * self.detectors.count
        for i, p in enumerate(self.phases):
            for channel in p.detectors:
                if channel > self.detectors.count:
                    raise PlanError(
                        f"phase {p.phase}: detectors names channel {channel}, and detectors.count says that channels "
                        f"1 to {self.detectors.count} are watched"
                    )
                rows[channel - 1] |= 1 << i
        return bytes(rows)

    def _rows(self, phases: list[int], what: str) -> int:
        rows = {p.phase: i for i, p in enumerate(self.phases)}
        strangers = [phase for phase in phases if phase not in rows]
        if strangers:
            raise PlanError(f"{what} names phase {strangers[0]}: name phases of this plan")
        return sum(1 << rows[phase] for phase in set(phases))

    def _conflicts(self) -> list[int]:
        rows = {p.phase: i for i, p in enumerate(self.phases)}
        if len(rows) < len(self.phases):
            raise PlanError("a phase is there twice: each has one [[phases]]")
        masks = [0] * len(self.phases)
        for i, p in enumerate(self.phases):
            strangers = [other for other in p.conflicts if other not in rows or other == p.phase]
            if strangers:
                raise PlanError(f"phase {p.phase} cannot conflict with {strangers[0]}: name other phases of this plan")
            for k in [rows[other] for other in p.conflicts] + [
                k for k, q in enumerate(self.phases) if q.ring == p.ring
            ]:
                if k != i:
                    masks[i] |= 1 << k
                    masks[k] |= 1 << i
        return masks


def _tenths(seconds: float, size: int) -> int:
    tenths = round(seconds * 10)
    if abs(tenths - seconds * 10) > 1e-6 or tenths >= 1 << 8 * size:
        raise PlanError(f"{seconds} s: times are whole tenths of a second, at most {((1 << 8 * size) - 1) / 10} s here")
    return tenths


def checksum(table: bytes) -> int:
    """What a board that runs this table says in its identity."""
    return zlib.crc32(table)


def load(path: Path) -> SignalPlan:
    """Read a plan from TOML.

    Raises:
        PlanError: no such file, it is no TOML, or a field is missing, unknown or out of range; the message names it.
    """
    try:
        return msgspec.convert(loads_toml(read_toml(path)), SignalPlan)
    except OSError as exc:
        raise PlanError(f"cannot read the plan {path}: {exc.strerror}; docs/board.md shows one") from exc
    except (TextError, msgspec.ValidationError, RecursionError) as exc:
        raise PlanError(f"{path}: {exc}; docs/board.md shows a plan") from exc
