"""A node's configuration: one TOML file. Defaults live here and nowhere downstream.

Sensors, tasks and actuators have modules of their own; this one holds the rest, and what must agree between them.
"""

from __future__ import annotations

import functools
import math
import tomllib
from collections import Counter
from collections.abc import Iterator
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from wayside.contracts.actuator_config import ActuatorConfig, SignalConfig
from wayside.contracts.quantities import Seconds, UnixSeconds
from wayside.contracts.reading import Name
from wayside.contracts.sensor_config import BoardConfig, DetectorConfig, GpioConfig, ModbusConfig
from wayside.contracts.task_config import CALENDAR, SITE, Datastream, Offer, SumConfig, TaskConfig
from wayside.contracts.wire import ContractError, Document, convert_toml, wire_field

VEHICLES, PRESSES = "{veh}", "{press}"  # UCUM annotations
DEFAULT_STEP_S = 900.0  # of a node that has no tasks
Date = Annotated[str, msgspec.Meta(pattern=r"^\d{4}-\d{2}-\d{2}$")]


class ClockConfig(Document, frozen=True, kw_only=True):
    """``scaled`` runs ``speed`` times faster than the wall; at Unix ``anchor_unix_s`` it shows ``start_unix_s``."""

    kind: Literal["system", "scaled"] = "system"
    speed: Annotated[float, msgspec.Meta(gt=0, le=10_000)] = 1.0
    start_unix_s: UnixSeconds = 0.0
    anchor_unix_s: UnixSeconds = 0.0
    timezone: Annotated[str, msgspec.Meta(max_length=64)] = "UTC"  # IANA name, for hour and weekday


class HubConfig(Document, frozen=True, kw_only=True):
    """Intervals are real seconds, also under a scaled clock: the network is not scaled."""

    url: Annotated[str, msgspec.Meta(pattern=r"^https?://[^\s]+$")]
    token: Annotated[str, msgspec.Meta(min_length=16, max_length=128)] | None = None  # one-time, for enrolment
    ca: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    """PEM file of the one authority that may vouch for the hub, relative to the configuration; None: the public ones"""
    sync_s: Seconds = 300.0
    timeout_s: Seconds = 10.0
    backoff_max_s: Seconds = 900.0

    def __post_init__(self) -> None:
        if self.ca is not None and not self.url.startswith("https:"):
            raise ValueError("ca is for a url that begins with https:")


class ModelConfig(Document, frozen=True, kw_only=True):
    """``runtime`` runs ``precision``; ``providers`` are onnxruntime's, best first; ``cpu`` is always the fallback."""

    runtime: Literal["onnxruntime", "tflite-runtime", "ai-edge-litert"] = "onnxruntime"
    precision: Literal["int8", "fp32"] = "int8"
    providers: Annotated[tuple[Literal["tensorrt", "cuda", "cpu"], ...], msgspec.Meta(min_length=1)] = ("cpu",)
    threads: Annotated[int, msgspec.Meta(ge=1, le=16)] = 1
    tuf_root: str = "root.json"  # pinned trust root, relative to the configuration file


class StorageConfig(Document, frozen=True, kw_only=True):
    outbox_bytes: Annotated[int, msgspec.Meta(ge=1_000_000)] = 256_000_000
    checkpoint_s: Seconds = 1.0  # real seconds between durable checkpoints of open intervals


class NodeConfig(Document, frozen=True, kw_only=True):
    wire: int = wire_field()
    node: Name
    state_dir: str
    hub: HubConfig | None = None
    clock: ClockConfig = ClockConfig()
    model: ModelConfig = ModelConfig()
    board: BoardConfig | None = None
    gpio: GpioConfig = GpioConfig()
    modbus: ModbusConfig | None = None
    detectors: Annotated[tuple[DetectorConfig, ...], msgspec.Meta(max_length=256)] = ()
    tasks: Annotated[tuple[TaskConfig, ...], msgspec.Meta(max_length=64)] = ()
    actuators: Annotated[tuple[ActuatorConfig, ...], msgspec.Meta(max_length=64)] = ()
    sums: Annotated[tuple[SumConfig, ...], msgspec.Meta(max_length=64)] = ()
    calendar: dict[Name, tuple[Date, ...]] = {}
    """tables of local dates, by name: an input of that name is 1 on these days and 0 on all others"""
    rows_s: Annotated[int, msgspec.Meta(ge=1, le=86400)] | None = None
    """how often a datastream that no task forecasts gets a row; None: at every base step"""
    storage: StorageConfig = StorageConfig()

    def __post_init__(self) -> None:
        for mistake in mistakes(self):
            raise ValueError(mistake)

    @property
    def step_s(self) -> int:
        """The node's base step: the longest that divides every task's and ``rows_s``, whole seconds."""
        every = [round(t.every_s) for t in self.tasks] + ([self.rows_s] if self.rows_s else [])
        return functools.reduce(math.gcd, every) if every else int(DEFAULT_STEP_S)

    @property
    def signal(self) -> SignalConfig | None:
        """The one signal that the board drives."""
        return next((a for a in self.actuators if isinstance(a, SignalConfig)), None)

    def datastreams(self) -> tuple[Datastream, ...]:
        """What its sources give, in the order of the configuration; sums last."""
        streams = [Datastream(name=d.datastream, unit=VEHICLES, aggregate="sum") for d in self.detectors]
        streams += [
            Datastream(name=c.datastream, unit=PRESSES, aggregate="sum")
            for c in self.gpio.contacts
            if c.role == "ped_button"
        ]
        for r in self.modbus.registers if self.modbus else ():
            kind: Literal["sum", "mean"] = "sum" if r.kind == "counter" else "mean"
            streams.append(Datastream(name=r.datastream, unit=r.unit, aggregate=kind, observes=r.observes))
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


def mistakes(config: NodeConfig) -> Iterator[str]:  # noqa: PLR0912 -- a list of rules
    """What does not agree between the parts of a configuration whose parts are each right, one sentence each."""
    streams = {d.name: d for d in config.datastreams()}
    contacts = [c.datastream for c in config.gpio.contacts]
    registers = config.modbus.registers if config.modbus else ()
    named = [d.datastream for d in config.detectors] + contacts + [r.datastream for r in registers]
    named += [s.name for s in config.sums]
    for what, values in (
        ("channel", [d.channel for d in config.detectors]),
        ("datastream", named),
        ("pin", [c.pin for c in config.gpio.contacts]),
        ("task", [t.name for t in config.tasks]),
        ("bundle of two tasks", [t.bundle for t in config.tasks]),
        ("actuator", [a.name for a in config.actuators]),
    ):
        for value, times in Counter(values).items():
            if times > 1:
                yield f"{what} {value} stands {times} times; it has to be distinct"
    if config.detectors and config.board is None:
        yield "detectors need a [board]"
    if config.modbus is not None and config.board is not None and config.modbus.port == config.board.port:
        yield "the board and Modbus need a port each"
    if sum(isinstance(a, SignalConfig) for a in config.actuators) > 1:
        yield "a board drives one signal: only one actuator of kind signal"
    actuators = {a.name for a in config.actuators}
    users = Counter(t.actuator for t in config.tasks if t.actuator is not None)
    for actuator in config.actuators:
        if not _shared(actuator) and users[actuator.name] > 1:
            yield f"the actuator {actuator.name} takes proposals of one task, not of {users[actuator.name]}"
    for task in config.tasks:
        if task.actuator is not None and task.actuator not in actuators:
            yield f"the task {task.name} proposes to {task.actuator}, which is no actuator of this file"
        picture = task.kind in ("classify", "count")
        for site in task.sites:
            if site.output not in streams and not picture:
                yield f"the task {task.name} is about {site.output}, which no source of this file gives"
            if len(task.name) + 1 + len(site.output) > 64:
                yield f"{task.name}/{site.output} is the name of its rows; it may have 64 characters"
            for column, name in (*task.inputs.items(), *site.inputs.items()):
                if name not in streams:
                    yield f"the task {task.name} takes {column} from {name}, which no source of this file gives"
                if column in CALENDAR or column == SITE:
                    yield f"the task {task.name} gives {column}, which the node makes itself"
    for one in config.sums:
        absent = [n for n in one.of if n not in streams]
        units = sorted({streams[n].unit for n in one.of if n in streams})
        if absent:
            yield f"the sum {one.name} is of {', '.join(absent)}, which no source of this file gives"
        if len(units) > 1:
            yield f"the sum {one.name} adds {' to '.join(units)}"
    for name in config.calendar:
        if name in (*CALENDAR, SITE) or name in streams:
            yield f"calendar.{name}: that name is taken"


def _shared(actuator: ActuatorConfig) -> bool:
    return type(actuator).__struct_config__.tag == "notice"


class Loaded(NamedTuple):
    config: NodeConfig
    hints: tuple[str, ...]  # what still works and should be written otherwise


def load_node_config(text: str) -> NodeConfig:
    """Read a node's TOML.

    Raises:
        ContractError: naming the field and the rule that it breaks.
    """
    return read_node_config(text).config


def read_node_config(text: str) -> Loaded:
    """Read a node's TOML, in this release's form or in the one before it.

    Raises:
        ContractError: naming the field and the rule that it breaks.
    """
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise ContractError("$", f"is not TOML: {exc}") from exc
    hints = _modernize(raw)
    return Loaded(convert_toml(raw, NodeConfig), tuple(hints))


def _modernize(raw: dict[str, Any]) -> list[str]:  # noqa: PLR0912 -- goes with the old form
    """Rewrite ``[task]``, ``[signal]`` and what they moved out of ``[[detectors]]``, in place."""
    detectors = (
        [d for d in raw.get("detectors", ()) if isinstance(d, dict)] if isinstance(raw.get("detectors"), list) else []
    )
    old = "task" in raw or "signal" in raw
    hints: list[str] = []
    if not old:
        for key in ("phase", "lanes", "max_per_interval"):
            if any(key in d for d in detectors):
                raise ContractError(f"$.detectors[...].{key}", _MOVED[key])
        return hints
    if "tasks" in raw or "actuators" in raw:
        raise ContractError("$", "has [task] or [signal] beside [[tasks]] or [[actuators]]: write it in one form")
    task, signal = raw.pop("task", None), raw.pop("signal", None)
    interval_s = task.get("interval_s", DEFAULT_STEP_S) if isinstance(task, dict) else DEFAULT_STEP_S
    phases, names, sites = {}, [], []
    for d in detectors:
        name, phase, lanes = d.get("datastream"), d.pop("phase", None), d.pop("lanes", 1)
        limit = d.pop("max_per_interval", None)
        if isinstance(limit, int | float) and isinstance(interval_s, int | float) and interval_s > 0:
            d["max_veh_h"] = limit * 3600 / interval_s
        if isinstance(name, str):
            names.append(name)
            sites.append({"output": name, "constants": {"lanes": lanes}})
            if phase is not None:
                phases[name] = phase
    if isinstance(signal, dict):
        saturation = signal.pop("saturation_flow_veh_h", None)
        raw["actuators"] = [{"kind": "signal", "name": "intersection/signal", **signal}]
    elif signal is not None:
        raise ContractError("$.signal", "is a table")
    if task is not None and not isinstance(task, dict):
        raise ContractError("$.task", "is a table")
    if isinstance(task, dict) and not sites and isinstance(task.get("step_s", 0), int | float):
        raw["rows_s"] = round(task.get("step_s", DEFAULT_STEP_S))
    if isinstance(task, dict) and sites:
        made = {"name": "flow", "step_s": DEFAULT_STEP_S, **task, "sites": sites}
        if isinstance(signal, dict):
            settings = {"phases": phases} | ({} if saturation is None else {"saturation_flow_veh_h": saturation})
            made |= {"policy": "signal_timing", "actuator": "intersection/signal", "settings": settings}
        raw["tasks"] = [made]
    if len(names) > 1 and "intersection/volume" not in names:
        raw.setdefault("sums", []).append({"name": "intersection/volume", "of": names})
    hints.append("[task] and [signal] are read for this release only: write [[tasks]] and [[actuators]] (docs/node.md)")
    return hints


_MOVED = {
    "phase": 'stands in the settings of the task\'s policy now: settings = { phases = { "detector/2/volume" = 2 } }',
    "lanes": "stands in the task's sites now: constants = { lanes = 2 }",
    "max_per_interval": "is max_veh_h now, vehicles per hour",
}
