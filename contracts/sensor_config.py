"""What a node reads, as its TOML says: the serial board and its detectors, dry contacts; what every value has.

Modbus lines: :mod:`wayside.contracts.modbus_config`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

import msgspec

from wayside.contracts.mistakes import Mistake, refuse
from wayside.contracts.quantities import Channel, Seconds, Unit, plausible
from wayside.contracts.reading import Name
from wayside.contracts.task_config import Datastream
from wayside.contracts.wire import Document

BOARD_NAME_BYTES = 8  # on the serial line and in the firmware's image
BOARD_PHASES = 8  # that one board can drive
ANALOG_MAX = 1023  # of a board's analogue input, raw


def is_board_name(text: str) -> bool:
    """Whether a board can be called that: 1 to 8 printable ASCII characters, none of them a space."""
    return 1 <= len(text) <= BOARD_NAME_BYTES and text.isascii() and text.isprintable() and " " not in text


class BoardConfig(Document, frozen=True, kw_only=True):
    """The serial board, which must say that it is ``identity``.

    ``port`` is a pyserial URL, a device path or, with an identity, a pattern of paths.
    """

    port: str
    baud: Annotated[int, msgspec.Meta(ge=9600, le=4_000_000)] = 115_200
    identity: str | None = None  # one that no board can have is told by a check (contracts.node_check)


class ContactConfig(Document, frozen=True, kw_only=True):
    """A dry contact on a GPIO pin (BCM number) through gpiozero."""

    pin: Annotated[int, msgspec.Meta(ge=0, le=63)]
    datastream: Name
    role: Literal["ped_button", "cabinet_door"]
    pull_up: bool = True
    debounce_s: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.03


class ValueConfig(Document, frozen=True, kw_only=True):
    """One value that a sensor gives again and again. A reading is ``raw * scale + offset`` in ``unit`` (UCUM).

    A ``gauge`` is averaged over each step. A ``counter`` counts upwards for ever, as a meter does: a step's value is
    by how much it grew. ``max_per_s`` says how fast it can, in raw counts: beyond that it was reset or exchanged.
    """

    datastream: Name
    kind: Literal["gauge", "counter"] = "gauge"
    scale: Annotated[float, msgspec.Meta(ge=-1e9, le=1e9)] = 1.0
    offset: Annotated[float, msgspec.Meta(ge=-1e9, le=1e9)] = 0.0
    unit: Unit = "1"
    observes: Name | None = None  # what a model calls it ("pm2.5"): a model of anything else is then refused
    poll_s: Annotated[float, msgspec.Meta(ge=0.1, le=3600)] = 5.0  # from one reading to the next
    low: Annotated[float, msgspec.Meta(ge=-1e12, le=1e12)] | None = None  # a gauge beyond these is out of range
    high: Annotated[float, msgspec.Meta(ge=-1e12, le=1e12)] | None = None
    stuck_s: Seconds | None = None  # a gauge that never moves for so long is stuck
    max_per_s: Annotated[float, msgspec.Meta(gt=0, le=1e9)] | None = None

    @property
    def wraps_at(self) -> int | None:
        """Where a counter begins again at 0; None: it does not."""
        return None

    @property
    def bounds(self) -> tuple[float, float]:
        """What is beyond is out of range: ``low`` and ``high``, else what no street has in this unit."""
        low, high = plausible(self.unit)
        return (low if self.low is None else self.low, high if self.high is None else self.high)

    @property
    def least(self) -> float:
        """A counter's smallest step, raw."""
        return 1.0

    @property
    def key(self) -> str:
        """What makes it the same value after a restart with another configuration."""
        return f"{self.kind}/{self.datastream}"

    def stream(self) -> Datastream:
        """What it gives to tasks."""
        aggregate: Literal["sum", "mean"] = "sum" if self.kind == "counter" else "mean"
        return Datastream(name=self.datastream, unit=self.unit, aggregate=aggregate, observes=self.observes)

    def __post_init__(self) -> None:
        refuse(self._mistakes())

    def _mistakes(self) -> Iterator[Mistake]:
        if self.kind == "counter":
            if self.max_per_s is None:
                yield Mistake(("kind",), "a counter needs max_per_s: else a reset looks like traffic")
            given = {"offset": self.offset or None, "low": self.low, "high": self.high, "stuck_s": self.stuck_s}
            for name in [name for name, value in given.items() if value is not None]:
                yield Mistake((name,), "is a gauge's; this is a counter")
        elif self.max_per_s is not None:
            yield Mistake(("max_per_s",), "is a counter's; this is a gauge")
        if self.low is not None and self.high is not None and self.low >= self.high:
            yield Mistake(("low",), "low < high")


class GpioConfig(Document, frozen=True, kw_only=True):
    """``mock`` pins are driven by lines ``<pin> <0|1>`` written to ``<state_dir>/gpio.fifo``."""

    factory: Literal["lgpio", "mock"] = "lgpio"
    contacts: tuple[ContactConfig, ...] = ()


class AnalogConfig(Document, frozen=True, kw_only=True):
    """An analogue input of the board. A reading is ``raw * scale + offset`` in ``unit``; ``raw`` is 0 to 1023.

    A board tells of changes (docs/board.md): between two of them the value is the last one.
    """

    channel: Channel  # on the board
    datastream: Name
    unit: Unit
    scale: Annotated[float, msgspec.Meta(ge=-1e9, le=1e9)] = 1.0
    offset: Annotated[float, msgspec.Meta(ge=-1e9, le=1e9)] = 0.0
    observes: Name | None = None  # what a model calls it
    low: Annotated[float, msgspec.Meta(ge=-1e12, le=1e12)] | None = None  # beyond these it is out of range: a cut
    high: Annotated[float, msgspec.Meta(ge=-1e12, le=1e12)] | None = None  # wire reads 0 or 1023
    """None: what no street has in this unit"""

    @property
    def bounds(self) -> tuple[float, float]:
        """What is beyond is out of range."""
        low, high = plausible(self.unit)
        return (low if self.low is None else self.low, high if self.high is None else self.high)

    @property
    def reach(self) -> tuple[float, float]:
        """The least and the greatest reading that it can give."""
        ends = (self.offset, ANALOG_MAX * self.scale + self.offset)
        return min(ends), max(ends)

    def __post_init__(self) -> None:
        if self.low is not None and self.high is not None and self.low >= self.high:
            refuse([Mistake(("low",), "low < high")])

    def inside(self, value: float) -> bool:
        """Whether it can be one of the sensor's."""
        low, high = self.bounds
        return low <= value <= high

    def stream(self) -> Datastream:
        """What it gives to tasks."""
        return Datastream(name=self.datastream, unit=self.unit, aggregate="mean", observes=self.observes)


class DetectorConfig(Document, frozen=True, kw_only=True):
    """A detector input of the board; its datastream counts vehicles, ``{veh}``."""

    channel: Channel  # on the board
    datastream: Name
    max_veh_h: Annotated[float, msgspec.Meta(gt=0, le=100_000)] = 4000.0  # more is not traffic: out of range
    stuck_on_s: Seconds = 300.0
    no_hit_s: Seconds = 14_400.0
    chatter_per_30_s: Annotated[int, msgspec.Meta(ge=1)] = 38
