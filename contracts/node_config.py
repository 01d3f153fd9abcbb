"""A node's configuration: one TOML file. Defaults live here and nowhere downstream."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from wayside.contracts.reading import Name
from wayside.contracts.wire import Document, decode_toml, wire_field

Seconds = Annotated[float, msgspec.Meta(gt=0, le=86400)]
UnixSeconds = Annotated[float, msgspec.Meta(ge=0, le=32_503_680_000)]  # to the year 3000; NaN is refused
Channel = Annotated[int, msgspec.Meta(ge=0, le=255)]
Phase = Annotated[int, msgspec.Meta(ge=1, le=16)]  # NEMA phase


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


class BoardConfig(Document, frozen=True, kw_only=True):
    """The serial board, which must say that it is ``identity``.

    ``port`` is a pyserial URL, a device path or, with an identity, a pattern of paths.
    """

    port: str
    baud: Annotated[int, msgspec.Meta(ge=9600, le=4_000_000)] = 115_200
    identity: Annotated[str, msgspec.Meta(max_length=64)] | None = None


class ContactConfig(Document, frozen=True, kw_only=True):
    """A dry contact on a GPIO pin (BCM number) through gpiozero."""

    pin: Annotated[int, msgspec.Meta(ge=0, le=63)]
    datastream: Name
    role: Literal["ped_button", "cabinet_door"]
    pull_up: bool = True
    debounce_s: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.03


class RegisterConfig(Document, frozen=True, kw_only=True):
    """One value of one Modbus device. A reading is ``raw * scale + offset`` in ``unit`` (UCUM).

    A ``gauge`` is averaged over each step. A ``counter`` counts upwards for ever, as a meter does: a step's value is
    by how much it grew. ``max_per_s`` says how fast it can, in raw counts: beyond that it was reset or exchanged.
    """

    device: Annotated[int, msgspec.Meta(ge=1, le=247)]  # also called unit or server address
    address: Annotated[int, msgspec.Meta(ge=0, le=65535)]  # as on the wire, from 0: "40001" is holding register 0
    datastream: Name
    table: Literal["holding", "input", "coil", "discrete"] = "holding"
    type: Literal["uint16", "int16", "uint32", "int32", "float32"] = "uint16"  # coils and discrete inputs are 0 or 1
    word_order: Literal["big", "little"] = "big"  # of two registers: the high word first, or last
    kind: Literal["gauge", "counter"] = "gauge"
    scale: Annotated[float, msgspec.Meta(ge=-1e9, le=1e9)] = 1.0
    offset: Annotated[float, msgspec.Meta(ge=-1e9, le=1e9)] = 0.0
    unit: Annotated[str, msgspec.Meta(min_length=1, max_length=16)] = "1"
    poll_s: Annotated[float, msgspec.Meta(ge=0.1, le=3600)] = 5.0
    low: Annotated[float, msgspec.Meta(ge=-1e12, le=1e12)] | None = None  # a gauge beyond these is out of range
    high: Annotated[float, msgspec.Meta(ge=-1e12, le=1e12)] | None = None
    stuck_s: Seconds | None = None  # a gauge that never moves for so long is stuck
    max_per_s: Annotated[float, msgspec.Meta(gt=0, le=1e9)] | None = None

    @property
    def words(self) -> int:
        """How many registers (or bits) hold the value."""
        return 2 if self.table in ("holding", "input") and self.type in ("uint32", "int32", "float32") else 1

    def __post_init__(self) -> None:
        if self.kind == "counter":
            if self.table not in ("holding", "input") or self.type not in ("uint16", "uint32"):
                raise ValueError("a counter is a holding or input register of type uint16 or uint32")
            if self.max_per_s is None:
                raise ValueError("a counter needs max_per_s: else a reset looks like traffic")
            if self.offset or self.low is not None or self.high is not None or self.stuck_s is not None:
                raise ValueError("offset, low, high and stuck_s are a gauge's")
        elif self.max_per_s is not None:
            raise ValueError("max_per_s is a counter's")
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError("low < high")
        if self.address + self.words > 65536:
            raise ValueError("address and type end at register 65535")


class ModbusConfig(Document, frozen=True, kw_only=True):
    """A Modbus RTU line. ``port`` is a device path, a pyserial URL or a pattern that names exactly one port."""

    port: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    baud: Annotated[int, msgspec.Meta(ge=1200, le=921_600)] = 9600
    parity: Literal["none", "even", "odd"] = "none"
    stop_bits: Literal[1, 2] = 1
    timeout_s: Annotated[float, msgspec.Meta(ge=0.02, le=10)] = 1.0  # for one answer
    echo: bool = False  # the adapter hears what it says itself: discard it
    registers: Annotated[tuple[RegisterConfig, ...], msgspec.Meta(min_length=1, max_length=128)]


class GpioConfig(Document, frozen=True, kw_only=True):
    """``mock`` pins are driven by lines ``<pin> <0|1>`` written to ``<state_dir>/gpio.fifo``."""

    factory: Literal["lgpio", "mock"] = "lgpio"
    contacts: tuple[ContactConfig, ...] = ()


class DetectorConfig(Document, frozen=True, kw_only=True):
    channel: Channel  # on the board
    datastream: Name
    phase: Phase | None = None  # that it calls
    lanes: Annotated[int, msgspec.Meta(ge=1, le=8)] = 1
    max_per_interval: Annotated[int, msgspec.Meta(ge=1)] = 1000  # physics bound, vehicles
    stuck_on_s: Seconds = 300.0
    no_hit_s: Seconds = 14_400.0
    chatter_per_30_s: Annotated[int, msgspec.Meta(ge=1)] = 38


class PhaseLimits(Document, frozen=True, kw_only=True):
    """Legal limits of one phase, seconds; ``green_s`` is the fixed plan that holds when in doubt."""

    phase: Phase
    green_s: Seconds
    min_green_s: Seconds
    max_green_s: Seconds
    yellow_s: Annotated[float, msgspec.Meta(ge=3, le=6)]  # MUTCD 4F.17
    red_clearance_s: Annotated[float, msgspec.Meta(ge=0, le=6)]
    ring: Literal[1, 2] = 1

    def __post_init__(self) -> None:
        if not self.min_green_s <= self.green_s <= self.max_green_s:
            raise ValueError("min_green_s <= green_s <= max_green_s")


class SignalConfig(Document, frozen=True, kw_only=True):
    """In each ring the phases' green + yellow + red clearance sum to ``cycle_s``."""

    cycle_s: Seconds
    phases: Annotated[tuple[PhaseLimits, ...], msgspec.Meta(min_length=1, max_length=16)]
    max_change_s: Seconds = 10.0  # of one green from one decision to the next
    saturation_flow_veh_h: Annotated[float, msgspec.Meta(gt=0)] = 1800.0  # per lane; HCM default 1900 less 5 %

    def __post_init__(self) -> None:
        ids = [p.phase for p in self.phases]
        if len(set(ids)) != len(ids):
            raise ValueError("phases are listed once")
        for ring in {p.ring for p in self.phases}:
            total = sum(p.green_s + p.yellow_s + p.red_clearance_s for p in self.phases if p.ring == ring)
            if abs(total - self.cycle_s) > 0.05:
                raise ValueError(
                    f"the fixed plan of ring {ring} sums to cycle_s ({total:.1f} is not {self.cycle_s:.1f})"
                )


class TaskConfig(Document, frozen=True, kw_only=True):
    """``interval_s`` is the model's; a new one ends every ``step_s``, so that windows may overlap."""

    bundle: Name
    interval_s: Seconds = 900.0
    step_s: Annotated[float, msgspec.Meta(ge=1, le=86400)] = 900.0
    alert_sigma: Annotated[float, msgspec.Meta(gt=0)] = 6.0

    def __post_init__(self) -> None:
        if (self.interval_s / self.step_s) % 1:
            raise ValueError("interval_s is a multiple of step_s")


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
    detectors: tuple[DetectorConfig, ...] = ()
    task: TaskConfig | None = None
    signal: SignalConfig | None = None
    storage: StorageConfig = StorageConfig()

    def __post_init__(self) -> None:
        registers = self.modbus.registers if self.modbus else ()
        named = [d.datastream for d in self.detectors] + [c.datastream for c in self.gpio.contacts]
        named += [r.datastream for r in registers]
        for what, values in (
            ("channels", [d.channel for d in self.detectors]),
            ("datastreams", named),
            ("pins", [c.pin for c in self.gpio.contacts]),
        ):
            if len(set(values)) != len(values):
                raise ValueError(f"detectors, contacts and registers have distinct {what}")
        if self.detectors and self.board is None:
            raise ValueError("detectors need a [board]")
        if self.modbus is not None and self.board is not None and self.modbus.port == self.board.port:
            raise ValueError("the board and Modbus need a port each")


def load_node_config(text: str) -> NodeConfig:
    """Read a node's TOML.

    Raises:
        ContractError: naming the field and the rule that it breaks.
    """
    return decode_toml(text, NodeConfig)
