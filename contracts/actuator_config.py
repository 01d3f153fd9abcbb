"""What a node may move, with the limits that the guard reads and nothing else (``[[actuators]]``).

What holds in doubt is the actuator's own: a signal's fixed plan, a set-point's ``safe`` value, silence of a notice.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Annotated, Any, Literal

import msgspec

from wayside.contracts import registers
from wayside.contracts.mistakes import Mistake, refuse
from wayside.contracts.modbus_config import Address, Device
from wayside.contracts.quantities import Channel, Phase, Seconds, Unit
from wayside.contracts.reading import Name
from wayside.contracts.registers import ByteOrder, Order, RegisterType
from wayside.contracts.wire import Document

LoopFunction = Literal["stop_line", "middle", "advance"]
Number = Annotated[float, msgspec.Meta(ge=-1e9, le=1e9)]


class PhaseLimits(Document, frozen=True, kw_only=True):
    """Legal limits of one phase, seconds; ``green_s`` is the fixed plan that holds when in doubt."""

    phase: Phase
    green_s: Seconds
    min_green_s: Seconds
    max_green_s: Seconds
    yellow_s: Annotated[float, msgspec.Meta(ge=3, le=6)]  # MUTCD 4F.17
    red_clearance_s: Annotated[float, msgspec.Meta(ge=0, le=6)]
    ring: Literal[1, 2] = 1
    conflicts: Annotated[tuple[Phase, ...], msgspec.Meta(max_length=16)] = ()
    """phases of the other ring that are never beside it; either side may name the pair"""
    walk_s: Annotated[float, msgspec.Meta(ge=0, le=300)] = 0.0
    ped_clearance_s: Annotated[float, msgspec.Meta(ge=0, le=300)] = 0.0
    passage_s: Annotated[float, msgspec.Meta(ge=0, le=25.5)] = 3.0
    """of the actuated board: the gap after which its green ends"""

    def __post_init__(self) -> None:
        if not self.min_green_s <= self.green_s <= self.max_green_s:
            refuse([Mistake(("green_s",), "min_green_s <= green_s <= max_green_s")])


class LoopConfig(Document, frozen=True, kw_only=True):
    """A detector as the signal sees it: which vehicles pass it, and where."""

    channel: Channel
    phase: Phase
    """that its vehicles call and extend"""
    also: Annotated[tuple[Phase, ...], msgspec.Meta(max_length=16)] = ()
    """other phases in which they may go"""
    lane: Annotated[int, msgspec.Meta(ge=0, le=63)]
    """of the intersection: loops of one lane have one number"""
    at_m: Annotated[float, msgspec.Meta(ge=0, le=500)]
    """upstream of the stop line, along the lane"""
    function: LoopFunction = "stop_line"


class BeatConfig(Document, frozen=True, kw_only=True):
    """The policy that speaks once a second (:mod:`wayside.contracts.beat`)."""

    policy: Name
    settings: dict[str, Any] = {}
    compare: bool = True
    """it rests at times, so that the node sees whether the board alone would do better"""


class SignalConfig(Document, frozen=True, kw_only=True, tag_field="kind", tag="signal", dict=True):
    """The signal that the board drives. In each ring the phases' green + yellow + red clearance sum to ``cycle_s``."""

    name: Name
    cycle_s: Seconds
    phases: Annotated[tuple[PhaseLimits, ...], msgspec.Meta(min_length=1, max_length=16)]
    max_change_s: Seconds = 10.0  # of one green from one decision to the next
    loops: Annotated[tuple[LoopConfig, ...], msgspec.Meta(max_length=64)] = ()
    beat: BeatConfig | None = None
    longest_red_s: Annotated[float, msgspec.Meta(ge=30, le=900)] = 180.0
    """of a phase that somebody waits for; a request that would make it longer is refused"""

    @cached_property
    def by_phase(self) -> Mapping[int, PhaseLimits]:
        return {p.phase: p for p in self.phases}

    @cached_property
    def rings(self) -> Sequence[Sequence[PhaseLimits]]:
        """The phases of each ring."""
        rings: dict[int, list[PhaseLimits]] = {}
        for phase in self.phases:
            rings.setdefault(phase.ring, []).append(phase)
        return tuple(rings.values())

    @cached_property
    def rings_by_phase(self) -> Mapping[int, Sequence[PhaseLimits]]:
        """The phases of the ring that a phase is in, itself among them."""
        return {p.phase: members for members in self.rings for p in members}

    @cached_property
    def _pairs(self) -> frozenset[frozenset[int]]:
        return frozenset(frozenset((p.phase, other)) for p in self.phases for other in p.conflicts)

    def conflicting(self, phase: int, other: int) -> bool:
        """Whether two phases of the signal are never green beside each other; no phase is in conflict with itself."""
        if phase == other:
            return False
        return self.by_phase[phase].ring == self.by_phase[other].ring or frozenset((phase, other)) in self._pairs

    def __post_init__(self) -> None:
        refuse(self._mistakes())

    def _mistakes(self) -> Iterator[Mistake]:
        ids = [p.phase for p in self.phases]
        for i, phase in enumerate(ids):
            if phase in ids[:i]:
                yield Mistake(("phases", i, "phase"), f"is {phase} a second time: a phase is listed once")
            for j, other in enumerate(self.phases[i].conflicts):
                if other not in ids or other == phase:
                    yield Mistake(("phases", i, "conflicts", j), f"is {other}: name other phases of this signal")
        for ring in sorted({p.ring for p in self.phases}):
            total = sum(p.green_s + p.yellow_s + p.red_clearance_s for p in self.phases if p.ring == ring)
            if abs(total - self.cycle_s) > 0.05:
                yield Mistake(
                    ("cycle_s",),
                    f"the fixed plan of ring {ring} sums to cycle_s: green_s + yellow_s + red_clearance_s per phase "
                    f"({total:.1f} is not {self.cycle_s:.1f})",
                )
        yield from self._loop_mistakes(ids)

    def _loop_mistakes(self, ids: Sequence[int]) -> Iterator[Mistake]:
        channels = [each.channel for each in self.loops]
        there = f"is no phase of this signal; it has {', '.join(map(str, ids))}"
        for i, each in enumerate(self.loops):
            if each.channel in channels[:i]:
                yield Mistake(("loops", i, "channel"), f"is {each.channel} a second time: a loop is listed once")
            if each.phase not in ids:
                yield Mistake(("loops", i, "phase"), f"{each.phase} {there}")
            for j, phase in enumerate(each.also):
                if phase not in ids:
                    yield Mistake(("loops", i, "also", j), f"{phase} {there}")
                elif phase == each.phase or phase in each.also[:j]:
                    yield Mistake(("loops", i, "also", j), f"is {phase} a second time")
        if self.beat is not None and not any(each.function == "stop_line" for each in self.loops):
            rule = 'needs [[actuators.loops]] with function = "stop_line": without them nobody sees who waits'
            yield Mistake(("beat",), rule)


class RegisterTarget(Document, frozen=True, kw_only=True):
    """A coil or holding register of a Modbus device that is written, and read back: raw × scale + offset = value."""

    line: Name | None = None  # of [[modbus]]; needed where there are several
    device: Device
    address: Address
    table: Literal["coil", "holding"] = "coil"
    type: RegisterType = "uint16"  # of a holding register; wider ones are written at once, with function 16
    byte_order: ByteOrder = "big"
    word_order: Order = "big"
    scale: Annotated[float, msgspec.Meta(ge=1e-9, le=1e9)] = 1.0
    offset: Number = 0.0

    @property
    def words(self) -> int:
        return 1 if self.table == "coil" else registers.words_of(self.type)

    def raw(self, value: float) -> float:
        """What is written for ``value``: of whole numbers the nearest that there is."""
        raw = (value - self.offset) / self.scale
        return raw if self._is_float or not math.isfinite(raw) else round(raw)

    def value(self, raw: float) -> float:
        return raw * self.scale + self.offset

    def encode(self, value: float) -> list[int]:
        """Raises: ValueError: the register cannot hold it."""
        return registers.encode(self.raw(value), self.type, self.word_order, self.byte_order)

    def decode(self, words: Sequence[int]) -> float | None:
        """None: what is there is no number."""
        raw = registers.decode(words, self.type, self.word_order, self.byte_order)
        return None if raw is None else self.value(raw)

    def same(self, held: float, wanted: float) -> bool:
        """Whether a register that holds ``held`` holds what was written for ``wanted``."""
        if self._is_float:
            return math.isclose(held, wanted, rel_tol=1e-6, abs_tol=1e-6 * self.scale)
        return abs(held - wanted) <= 0.501 * self.scale

    def holds(self, value: float) -> bool:
        """Whether ``value`` can be written: a coil is one of two values, a register has so many bits."""
        if self.table == "coil":
            return any(abs(self.value(raw) - value) <= 1e-6 * self.scale for raw in (0, 1))
        try:
            held = self.decode(self.encode(value))
        except ValueError:
            return False
        return held is not None and self.same(held, value)

    @property
    def what(self) -> str:
        return self.table

    @property
    def where(self) -> str:
        """For people."""
        of = f" of {self.line}" if self.line is not None else ""
        return f"device {self.device}{of}, {self.table} {self.address}"

    @property
    def limits(self) -> str:
        return f"a coil is raw 0 or 1, a holding register of type {self.type} what its bits hold"

    @property
    def _is_float(self) -> bool:
        return self.table == "holding" and registers.is_float(self.type)

    def __post_init__(self) -> None:
        refuse(self._mistakes())

    def _mistakes(self) -> Iterator[Mistake]:
        if self.table == "coil":
            for name in ("type", "byte_order", "word_order"):
                if getattr(self, name) not in ("uint16", "big"):
                    yield Mistake((name,), "is a holding register's; this is a coil")
        elif self.word_order != "big" and self.byte_order in registers.LETTERS:
            yield Mistake(("word_order",), f"is told by byte_order = {self.byte_order}: remove it")
        if self.address + self.words > 65536:
            yield Mistake(("address",), "address and type end at register 65535")


class PinTarget(Document, frozen=True, kw_only=True):
    """A relay on a GPIO pin of the node: 1 energizes it. The pin's level is read back."""

    number: Annotated[int, msgspec.Meta(ge=0, le=63)]  # BCM
    active_high: bool = True  # false: a low level energizes it, as on many relay boards

    def same(self, held: float, wanted: float) -> bool:
        return held == wanted

    def holds(self, value: float) -> bool:
        return value in (0.0, 1.0)

    @property
    def what(self) -> str:
        return "relay"

    @property
    def where(self) -> str:
        return f"pin {self.number}"

    @property
    def limits(self) -> str:
        return "a relay is 0 or 1"


TimeOfDay = Annotated[
    str,
    msgspec.Meta(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$", extra={"rule": "is a local time from 00:00 to 23:59"}),
]
LONGEST_NEED_S = 82_000  # of a day: the shortest has 23 hours, and some minutes are to spare
OfADay = Annotated[float, msgspec.Meta(ge=0, le=86400)]


class SetpointConfig(Document, frozen=True, kw_only=True, tag_field="kind", tag="setpoint"):
    """A number that is set: a relay (0 or 1), a heater's power, a lamp's level. It *runs* while it is over ``idle``."""

    name: Name
    register: RegisterTarget | None = None  # either this
    pin: PinTarget | None = None  # or this
    low: Number
    high: Number
    safe: Number  # in force without model, clock, policy or network
    unit: Unit = "1"
    max_change: Annotated[float, msgspec.Meta(gt=0)] | None = None  # from one decision to the next
    min_hold_s: Annotated[float, msgspec.Meta(ge=0, le=86400)] = 0.0  # from one change to the next
    max_changes_per_day: Annotated[int, msgspec.Meta(ge=1, le=86400)] | None = None
    needs_clock: bool = True  # nothing but ``safe`` while the time of day is unknown
    idle: Number | None = None  # at this value and under it, it does not run; None: ``low``
    min_on_s: OfADay = 0.0  # from when it began to run until it stops
    min_off_s: OfADay = 0.0  # from when it stopped until it runs again
    max_run_s: Annotated[float, msgspec.Meta(gt=0, le=86400)] | None = None  # within any 24 hours
    by: TimeOfDay | None = None  # local; each day's running is counted from here to here
    must_run_s: Annotated[float, msgspec.Meta(gt=0, le=86400)] | None = None
    """by ``by`` of each day; what is missing when the last moment has come is made up for by the guard itself"""

    @property
    def idles_at(self) -> float:
        return self.low if self.idle is None else self.idle

    @property
    def drives_at(self) -> float:
        """The value at which the guard makes it run."""
        return self.safe if self.safe > self.idles_at else self.high

    def takes(self, value: float) -> bool:
        """Whether it can be set to ``value``."""
        return self.low <= value <= self.high and self.target.holds(value)

    def runs_at(self, value: float) -> bool:
        return value > self.idles_at

    @property
    def target(self) -> RegisterTarget | PinTarget:
        """Where it is written; a configuration has exactly one."""
        target = self.register or self.pin
        assert target is not None  # noqa: S101  (a rule below)
        return target

    def __post_init__(self) -> None:
        refuse(self._mistakes())

    def _mistakes(self) -> Iterator[Mistake]:
        if not self.low <= self.safe <= self.high:
            yield Mistake(("safe",), "low <= safe <= high")
        if (self.register is None) == (self.pin is None):
            yield Mistake((), "is written to a register or to a pin: give one of them")
        elif self.low <= self.safe <= self.high and not self.target.holds(self.safe):
            yield Mistake(("safe",), f"safe can be written: {self.target.limits}")
        elif self.pin is not None and not (self.low == 0 and self.high == 1):
            yield Mistake(("low" if self.low != 0 else "high",), "of a relay low is 0 and high is 1")
        if self.idle is not None and not self.low <= self.idle < self.high:
            yield Mistake(("idle",), "low <= idle < high")
        if self.max_run_s is not None:
            if self.runs_at(self.safe):
                yield Mistake(("max_run_s",), "the safe value runs: in doubt nothing would end it")
            if max(self.min_on_s, self.must_run_s or 0.0) > self.max_run_s:
                yield Mistake(("max_run_s",), "min_on_s <= max_run_s and must_run_s <= max_run_s")
        if self.must_run_s is not None:
            if self.by is None:
                yield Mistake(("must_run_s",), 'needs a deadline: by = "06:00" or another local time')
            if self.must_run_s + self.min_off_s > LONGEST_NEED_S:
                yield Mistake(("must_run_s",), f"with min_off_s it is at most {LONGEST_NEED_S} s")
            if self.max_change is not None and abs(self.drives_at - self.safe) > self.max_change:
                yield Mistake(("max_change",), "what must run is switched on at once: max_change allows it")


class NoticeConfig(Document, frozen=True, kw_only=True, tag_field="kind", tag="notice"):
    """A sentence for people at the hub; nothing moves."""

    name: Name
    at_most_per_h: Annotated[int, msgspec.Meta(ge=1, le=3600)] = 6


ActuatorConfig = SignalConfig | SetpointConfig | NoticeConfig
