"""A node's configuration: one TOML file. Defaults live here and nowhere downstream.

Sensors, tasks and actuators have modules of their own; this one holds the rest, and what must agree between them.
"""

from __future__ import annotations

import datetime
import functools
import math
from collections.abc import Callable
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from wayside.contracts.actuator_config import ActuatorConfig, RegisterTarget, SignalConfig
from wayside.contracts.camera_config import CameraConfig
from wayside.contracts.manual_config import ManualConfig
from wayside.contracts.mistakes import Mistake, Place, between_sections, mistakes_of, refusal, refuse
from wayside.contracts.modbus_config import ModbusConfig, line_named
from wayside.contracts.node_rules import disagreements
from wayside.contracts.old_node_form import is_old, left_behind, modernized
from wayside.contracts.quantities import Seconds, UnixSeconds
from wayside.contracts.reading import Name
from wayside.contracts.sensor_config import AnalogConfig, BoardConfig, DetectorConfig, GpioConfig
from wayside.contracts.task_config import Datastream, Offer, SumConfig, TaskConfig
from wayside.contracts.uart_config import UartConfig, uart_values
from wayside.contracts.wire import ContractError, Document, parsed_toml, wire_field

VEHICLES, PRESSES = "{veh}", "{press}"  # UCUM annotations
DEFAULT_STEP_S = 900.0  # of a node that has no tasks
Date = Annotated[str, msgspec.Meta(pattern=r"^\d{4}-\d{2}-\d{2}$", extra={"rule": "is a date, such as 2027-01-01"})]
Runtime = Literal["onnxruntime", "tflite-runtime", "ai-edge-litert"]


class ClockConfig(Document, frozen=True, kw_only=True):
    """``scaled`` runs ``speed`` times faster than the wall; at Unix ``anchor_unix_s`` it shows ``start_unix_s``."""

    kind: Literal["system", "scaled"] = "system"
    speed: Annotated[float, msgspec.Meta(gt=0, le=10_000)] = 1.0
    start_unix_s: UnixSeconds = 0.0
    anchor_unix_s: UnixSeconds = 0.0
    timezone: Annotated[str, msgspec.Meta(max_length=64)] = "UTC"  # IANA name, for hour and weekday


class HubConfig(Document, frozen=True, kw_only=True):
    """Intervals are real seconds, also under a scaled clock: the network is not scaled."""

    url: Annotated[
        str,
        msgspec.Meta(pattern=r"^https?://[^\s]+$", extra={"rule": "begins with https:// or http://, without spaces"}),
    ]
    token: Annotated[str, msgspec.Meta(min_length=16, max_length=128)] | None = None  # one-time, for enrolment
    ca: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    """PEM file of the one authority that may vouch for the hub, relative to the configuration; None: the public ones"""
    sync_s: Seconds = 300.0
    timeout_s: Seconds = 10.0
    backoff_max_s: Seconds = 900.0

    def __post_init__(self) -> None:
        if self.ca is not None and not self.url.startswith("https:"):
            refuse([Mistake(("ca",), "ca is for a url that begins with https:")])


class ModelConfig(Document, frozen=True, kw_only=True):
    """``runtime`` runs ``precision``; ``providers`` are onnxruntime's, best first; ``cpu`` is always the fallback."""

    runtime: Runtime = "onnxruntime"
    precision: Literal["int8", "fp32"] = "int8"
    providers: Annotated[tuple[Literal["tensorrt", "cuda", "cpu"], ...], msgspec.Meta(min_length=1)] = ("cpu",)
    threads: Annotated[int, msgspec.Meta(ge=1, le=16)] = 1
    tuf_root: str = "root.json"  # pinned trust root, relative to the configuration file


EVENT_LOG_BYTES = 64_000_000  # weeks of a busy intersection


class StorageConfig(Document, frozen=True, kw_only=True):
    outbox_bytes: Annotated[int, msgspec.Meta(ge=1_000_000)] = 256_000_000
    checkpoint_s: Seconds = 1.0  # real seconds between durable checkpoints of open intervals
    event_log_bytes: Annotated[int, msgspec.Meta(ge=0, le=10**11)] | None = None
    """of the local log of the board's events; 0: none; not given: 64 MB where the signal has loops"""


class NodeConfig(Document, frozen=True, kw_only=True):
    wire: int = wire_field()
    node: Name
    state_dir: str
    hub: HubConfig | None = None
    clock: ClockConfig = ClockConfig()
    model: ModelConfig = ModelConfig()
    board: BoardConfig | None = None
    gpio: GpioConfig = GpioConfig()
    modbus: Annotated[tuple[ModbusConfig, ...], msgspec.Meta(max_length=16)] = ()  # one may be written as a table
    uart: Annotated[tuple[UartConfig, ...], msgspec.Meta(max_length=16)] = ()
    analog: Annotated[tuple[AnalogConfig, ...], msgspec.Meta(max_length=16)] = ()
    manual: ManualConfig | None = None
    detectors: Annotated[tuple[DetectorConfig, ...], msgspec.Meta(max_length=256)] = ()
    cameras: Annotated[tuple[CameraConfig, ...], msgspec.Meta(max_length=8)] = ()
    tasks: Annotated[tuple[TaskConfig, ...], msgspec.Meta(max_length=64)] = ()
    actuators: Annotated[tuple[ActuatorConfig, ...], msgspec.Meta(max_length=64)] = ()
    sums: Annotated[tuple[SumConfig, ...], msgspec.Meta(max_length=64)] = ()
    calendar: dict[Name, tuple[Date, ...]] = {}
    """tables of local dates, by name: an input of that name is 1 on these days and 0 on all others"""
    rows_s: Annotated[int, msgspec.Meta(ge=1, le=86400)] | None = None
    """how often a datastream that no task forecasts gets a row; None: at every base step"""
    storage: StorageConfig = StorageConfig()

    def __post_init__(self) -> None:
        refuse(disagreements(self))

    @property
    def step_s(self) -> int:
        """The node's base step: the longest that divides every task's and ``rows_s``, whole seconds."""
        every = [round(t.every_s) for t in self.tasks] + ([self.rows_s] if self.rows_s else [])
        return functools.reduce(math.gcd, every) if every else int(DEFAULT_STEP_S)

    @property
    def signal(self) -> SignalConfig | None:
        """The one signal that the board drives."""
        return next((a for a in self.actuators if isinstance(a, SignalConfig)), None)

    @property
    def event_log_bytes(self) -> int:
        """Of the local log of the board's events; 0: there is none."""
        given = self.storage.event_log_bytes
        if given is not None:
            return given
        return EVENT_LOG_BYTES if self.signal is not None and self.signal.loops else 0

    def line_of(self, target: RegisterTarget) -> ModbusConfig | None:
        """The Modbus line that a set-point's register is on; None: the file has no such line."""
        return line_named(self.modbus, target.line)

    def datastreams(self) -> tuple[Datastream, ...]:
        """What its sources give, in the order of the configuration; sums last."""
        streams = [Datastream(name=d.datastream, unit=VEHICLES, aggregate="sum") for d in self.detectors]
        streams += [a.stream() for a in self.analog]
        streams += [
            Datastream(name=c.datastream, unit=PRESSES, aggregate="sum")
            for c in self.gpio.contacts
            if c.role == "ped_button"
        ]
        streams += [value.stream() for line in self.modbus for value in line.values]
        streams += [v.stream() for v in uart_values(self.uart)]
        streams += [c.stream() for c in self.cameras]
        streams += [v.stream() for v in (self.manual.values if self.manual else ())]
        return tuple(streams)

    def offer(self, agent: str) -> Offer:
        """What this node can feed and run; ``agent`` is the software's version."""
        return Offer(
            agent=agent,
            runtime=self.model.runtime,
            precision=self.model.precision,
            datastreams=self.datastreams(),
            days=tuple(sorted(self.calendar)),
            tasks=tuple(t.offered() for t in self.tasks),
        )


def with_lines_listed(raw: dict[str, Any]) -> dict[str, Any]:
    """One Modbus line may be written as a table of its own, ``[modbus]``."""
    return raw | {"modbus": [raw["modbus"]]} if isinstance(raw.get("modbus"), dict) else raw


class Loaded(NamedTuple):
    config: NodeConfig
    hints: tuple[str, ...]  # what still works and should be written otherwise
    as_written: Callable[[Place], Place]  # where a value of ``config`` stands in the file


def load_node_config(file: str | bytes) -> NodeConfig:
    """Read a node's TOML.

    Raises:
        ContractError: naming every mistake by its field and the rule that it breaks.
    """
    return read_node_config(file).config


def read_node_config(file: str | bytes) -> Loaded:
    """Read a node's TOML, in this release's form or in the one before it.

    Raises:
        ContractError: naming every mistake by its field, as the person wrote it, and the rule that it breaks.
    """
    given = parsed_toml(file)
    try:
        return _read(given)
    except RecursionError as exc:
        raise ContractError("$", "is nested too deeply") from exc


def _read(given: dict[str, Any]) -> Loaded:
    mistakes: list[Mistake] = []
    written: dict[Place, Place] = {}
    hints: tuple[str, ...] = ()
    if is_old(given):
        raw, mistakes, written, hints = modernized(given)
    else:
        mistakes, raw = left_behind(given), _with_dates_as_text(given)
    if isinstance(raw.get("modbus"), dict):
        written["modbus", 0] = ("modbus",)
    raw = with_lines_listed(raw)
    moved = {m.place for m in mistakes}
    mistakes += [m for m in mistakes_of(raw, NodeConfig, ()) if m.place not in moved]
    broken = {_TODAY.get(str(m.place[0]), str(m.place[0])) for m in mistakes if m.place}
    mistakes += between_sections(raw, NodeConfig, broken, {"node": "unnamed", "state_dir": "."})
    as_written = functools.partial(_as_written, written=written, given=given)
    if mistakes:
        raise refusal([m._replace(place=as_written(m.place)) for m in mistakes])
    return Loaded(msgspec.convert(raw, NodeConfig), hints, as_written)


_TODAY = {"task": "tasks", "signal": "actuators"}  # sections of the old form


def _with_dates_as_text(raw: dict[str, Any]) -> dict[str, Any]:
    """TOML has dates of its own; in ``[calendar]`` both spellings mean the same."""
    calendar = raw.get("calendar")
    if not isinstance(calendar, dict):
        return raw
    return raw | {
        "calendar": {
            name: [d.isoformat() if type(d) is datetime.date else d for d in dates]
            if isinstance(dates, list)
            else dates
            for name, dates in calendar.items()
        }
    }


def _as_written(place: Place, written: dict[Place, Place], given: dict[str, Any]) -> Place:
    """The place that the person wrote; the table around it where the key is not there, but its default."""
    for length in range(len(place), 0, -1):
        if place[:length] in written:
            place = written[place[:length]] + place[length:]
            break
    value: Any = given
    for i, part in enumerate(place):
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            return place[:i]
    return place
