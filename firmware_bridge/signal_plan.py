"""A board's plan table: what a person writes (TOML, seconds) and the bytes that the board checks, keeps and runs.

The layout is that of docs/wire.md, "Plan table". Conflicts may be written on either side of a pair, and phases of one
ring conflict by themselves; the board is sent the complete matrix and checks it again.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Annotated

import msgspec

from wayside.firmware_bridge.errors import PlanError
from wayside.firmware_bridge.line.messages import SIGNAL_PHASES, SIGNAL_RINGS, TABLE_FORMAT, TABLE_HEAD, TABLE_ROW

_Seconds = Annotated[float, msgspec.Meta(ge=0, le=6553.5)]
_Byte = Annotated[int, msgspec.Meta(ge=0, le=255)]


class Phase(msgspec.Struct, forbid_unknown_fields=True):
    phase: Annotated[int, msgspec.Meta(ge=1, le=255)]
    ring: Annotated[int, msgspec.Meta(ge=1, le=SIGNAL_RINGS)]
    green_s: _Seconds  # of the fixed-time plan
    min_green_s: _Seconds
    max_green_s: _Seconds
    yellow_s: _Seconds
    red_clearance_s: _Seconds
    walk_s: _Seconds = 0.0
    ped_clearance_s: _Seconds = 0.0
    ped_input: _Byte = 0  # channel of its push button
    conflicts: list[int] = []


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


class SignalPlan(msgspec.Struct, forbid_unknown_fields=True):
    phases: Annotated[list[Phase], msgspec.Meta(max_length=SIGNAL_PHASES)] = []
    start: Start = msgspec.field(default_factory=Start)
    detectors: Detectors = msgspec.field(default_factory=Detectors)

    def encode(self) -> bytes:
        """The bytes of the table.

        Raises:
            PlanError: a phase twice, a conflict with a phase that there is not, or a time that 0.1 s cannot say.
        """
        d = self.detectors
        head = TABLE_HEAD.pack(
            TABLE_FORMAT,
            len(self.phases),
            _tenths(self.start.flash_s, 2),
            _tenths(self.start.red_s, 2),
            d.count,
            d.debounce_ms,
            d.chatter,
            d.analog_delta,
            d.stuck_s,
            d.no_hit_s,
        )
        return head + b"".join(
            TABLE_ROW.pack(
                p.phase,
                p.ring,
                mask,
                p.ped_input,
                *(_tenths(s, 2) for s in (p.min_green_s, p.max_green_s, p.green_s, p.walk_s, p.ped_clearance_s)),
                _tenths(p.yellow_s, 1),
                _tenths(p.red_clearance_s, 1),
            )
            for p, mask in zip(self.phases, self._conflicts(), strict=True)
        )

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
        PlanError: no such file, it is not TOML, or a field is missing, unknown or out of range; the message names it.
    """
    try:
        return msgspec.toml.decode(path.read_bytes(), type=SignalPlan)
    except OSError as exc:
        raise PlanError(f"cannot read the plan {path}: {exc.strerror}; docs/board.md shows one") from exc
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise PlanError(f"{path}: {exc}; docs/board.md shows a plan") from exc
