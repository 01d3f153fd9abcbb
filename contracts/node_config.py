"""A node's configuration: one TOML file. Defaults live here and nowhere downstream.

Sensors, tasks and actuators have modules of their own; this one holds the rest, and what must agree between them.
"""

from __future__ import annotations

import datetime
import functools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from wayside.contracts.actuator_config import ActuatorConfig, RegisterTarget, SetpointConfig, SignalConfig
from wayside.contracts.camera_config import CameraConfig
from wayside.contracts.local_time import zone_rule
from wayside.contracts.manual_config import ManualConfig
from wayside.contracts.mistakes import Mistake, Place, between_sections, mistakes_of, refusal, refuse, spelled
from wayside.contracts.modbus_config import ModbusConfig, RegisterConfig, line_named
from wayside.contracts.node_rules import disagreements
from wayside.contracts.old_node_form import is_old, left_behind, modernized
from wayside.contracts.quantities import Seconds, UnixSeconds
from wayside.contracts.reading import Name
from wayside.contracts.registers import letters
from wayside.contracts.sensor_config import AnalogConfig, BoardConfig, DetectorConfig, GpioConfig
from wayside.contracts.task_config import NO_RUNTIME, Datastream, Offer, SumConfig, TaskConfig
from wayside.contracts.uart_config import UartConfig, uart_values
from wayside.contracts.wire import ContractError, Document, parsed_toml, wire_field

VEHICLES, PRESSES = "{veh}", "{press}"  # UCUM annotations
DEFAULT_STEP_S = 900.0  # of a node that has no tasks
Date = Annotated[str, msgspec.Meta(pattern=r"^\d{4}-\d{2}-\d{2}$", extra={"rule": "is a date, such as 2027-01-01"})]
NODE_FILE = "/etc/wayside/node.toml"  # where a card has it, and every verb looks if no file is named
Runtime = Literal["auto", "onnxruntime", "tflite-runtime", "ai-edge-litert"]
Python = tuple[int, int]
# Pythons that a runtime is installed for (pyproject.toml), first and last; None: no bound. In order of preference.
RUNTIME_PYTHONS: dict[str, tuple[Python | None, Python | None]] = {
    "onnxruntime": (None, None),
    "ai-edge-litert": ((3, 12), None),
    "tflite-runtime": (None, (3, 11)),
}


def runtimes_for(python: Python | None = None) -> tuple[str, ...]:
    """What ``model.runtime = "auto"`` takes, best first: of all, or of those that a node with ``python`` is given."""
    return tuple(
        name
        for name, (first, last) in RUNTIME_PYTHONS.items()
        if python is None or ((first is None or python >= first) and (last is None or python <= last))
    )


class ClockConfig(Document, frozen=True, kw_only=True):
    """``scaled`` runs ``speed`` times faster than the wall; at Unix ``anchor_unix_s`` it shows ``start_unix_s``."""

    kind: Literal["system", "scaled"] = "system"
    speed: Annotated[float, msgspec.Meta(gt=0, le=10_000)] = 1.0
    start_unix_s: UnixSeconds = 0.0
    anchor_unix_s: UnixSeconds = 0.0
    timezone: Annotated[str, msgspec.Meta(max_length=64)] = "UTC"  # IANA name, for hour and weekday

    def __post_init__(self) -> None:
        if rule := zone_rule(self.timezone):
            refuse([Mistake(("timezone",), rule)])


class HubConfig(Document, frozen=True, kw_only=True):
    """Intervals are real seconds, also under a scaled clock: the network is not scaled."""

    url: str
    """contracts.hub_address, judged by a check and at each try to connect: no address keeps a node from sensing"""
    token: Annotated[str, msgspec.Meta(min_length=16, max_length=128)] | None = None  # one-time, for enrolment
    ca: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    """PEM file of the one authority that may vouch for the hub, relative to the configuration; None: the public ones"""
    proxy: Annotated[str, msgspec.Meta(min_length=1, max_length=512)] | None = None
    """that the hub is reached through; ``none``: no proxy; None: as the environment's variables say"""
    sync_s: Seconds = 300.0
    timeout_s: Seconds = 10.0
    backoff_max_s: Seconds = 900.0


class ModelConfig(Document, frozen=True, kw_only=True):
    """``runtime`` runs ``precision``; "auto" is what is installed. ``providers`` are onnxruntime's, best first, ``cpu``
    always the last."""

    runtime: Runtime = "auto"
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


class NodeSections(Document, frozen=True, kw_only=True):
    """The sections of a node's file, each right by itself."""

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

    def paths(self) -> Iterator[tuple[Place, str]]:
        """Every file and folder that is named, with its place in the configuration."""
        yield ("state_dir",), self.state_dir
        yield ("model", "tuf_root"), self.model.tuf_root
        if self.hub is not None and self.hub.ca is not None:
            yield ("hub", "ca"), self.hub.ca
        for i, camera in enumerate(self.cameras):
            if camera.folder is not None:
                yield ("cameras", i, "folder"), camera.folder
            elif camera.url is not None and "://" not in camera.url:
                yield ("cameras", i, "url"), camera.url
        for i, file in enumerate(self.manual.files if self.manual is not None else ()):
            yield ("manual", "files", i, "path"), file.path

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

    def offer(self, agent: str, installed: Sequence[str] | None = None) -> Offer:
        """What this node can feed and run.

        Args:
            agent: the software's version.
            installed: the runtimes that the node has, best first, for "auto"; None: whichever there are.
        """
        runtimes: tuple[str, ...] = (self.model.runtime,)
        if self.model.runtime == "auto":
            runtimes = runtimes_for() if installed is None else tuple(installed)
        return Offer(
            agent=agent,
            runtime=runtimes[0] if runtimes else NO_RUNTIME,
            runtimes=runtimes[1:] and runtimes,
            precision=self.model.precision,
            datastreams=self.datastreams(),
            days=tuple(sorted(self.calendar)),
            tasks=tuple(t.offered() for t in self.tasks),
        )


class NodeConfig(NodeSections, frozen=True, kw_only=True):
    """A node's file whose sections agree."""

    def __post_init__(self) -> None:
        nul = [Mistake(place, "is no path: it holds a NUL") for place, path in self.paths() if "\0" in path]
        refuse([*nul, *disagreements(self)])


def with_lines_listed(raw: dict[str, Any]) -> dict[str, Any]:
    """One Modbus line may be written as a table of its own, ``[modbus]``."""
    return raw | {"modbus": [raw["modbus"]]} if isinstance(raw.get("modbus"), dict) else raw


class Loaded(NamedTuple):
    config: NodeConfig
    hints: tuple[str, ...]  # what still works and should be written otherwise
    as_written: Callable[[Place], Place]  # where a value of ``config`` stands in the file


class Draft(NamedTuple):
    """A file before it is known to be right."""

    raw: dict[str, Any]  # in today's form
    mistakes: tuple[Mistake, ...]
    hints: tuple[str, ...]
    as_written: Callable[[Place], Place]

    def refusal(self, others: Iterable[Mistake] = ()) -> ContractError:
        """Names its mistakes and ``others``, as the person wrote the fields."""
        return refusal([m._replace(place=self.as_written(m.place)) for m in (*self.mistakes, *others)])


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
    return loaded(read_draft(file))


def loaded(draft: Draft) -> Loaded:
    """Raises: ContractError: naming every mistake of the draft."""
    if draft.mistakes:
        raise draft.refusal()
    config = msgspec.convert(draft.raw, NodeConfig)
    old = tuple(f"{spelled(draft.as_written(place))}: {rule}" for place, rule in _old_orders(config))
    return Loaded(config, (*draft.hints, *old), draft.as_written)


def read_draft(file: str | bytes) -> Draft:
    """Read a node's TOML as far as it is right.

    Raises:
        ContractError: it is no TOML, or is nested too deeply.
    """
    given = parsed_toml(file)
    try:
        return _draft(given)
    except RecursionError as exc:
        raise ContractError("$", "is nested too deeply") from exc


def _draft(given: dict[str, Any]) -> Draft:
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
    broken = {section for m in mistakes if (section := section_of(m)) is not None}
    mistakes += between_sections(raw, NodeConfig, broken, {"node": "unnamed", "state_dir": "."})
    as_written = functools.partial(_as_written, written=written, given=given)
    return Draft(raw, tuple(mistakes), hints, as_written)


_TODAY = {"task": "tasks", "signal": "actuators"}  # sections of the old form


def section_of(mistake: Mistake) -> str | None:
    """The section, in today's form, that a mistake is in; None: it is the file's as a whole."""
    return _TODAY.get(str(mistake.place[0]), str(mistake.place[0])) if mistake.place else None


def _old_orders(config: NodeConfig) -> Iterator[tuple[Place, str]]:
    """Registers whose bytes are told by two words, in place of the letters that manuals have."""
    targets: list[tuple[Place, RegisterConfig | RegisterTarget]] = []
    for i, line in enumerate(config.modbus):
        targets += [(("modbus", i, "registers", j), register) for j, register in enumerate(line.registers)]
    for i, actuator in enumerate(config.actuators):
        if isinstance(actuator, SetpointConfig) and actuator.register is not None:
            targets.append((("actuators", i, "register"), actuator.register))
    for place, each in targets:
        if each.word_order != "big" or each.byte_order == "little":
            key = "word_order" if each.word_order != "big" else "byte_order"
            order = letters(each.word_order, each.byte_order)
            yield (*place, key), f'is the older spelling: write byte_order = "{order}", and no word_order'


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
