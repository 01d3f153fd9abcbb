"""Modbus lines of a node's TOML: what is read from which device, register by register or by SunSpec's models."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal, NamedTuple

import msgspec

from wayside.contracts import registers
from wayside.contracts.mistakes import Mistake, refuse
from wayside.contracts.reading import Name
from wayside.contracts.registers import ByteOrder, Order, RegisterType
from wayside.contracts.sensor_config import ValueConfig
from wayside.contracts.wire import Document

TCP = "tcp://"
TCP_PORT = 502  # registered for Modbus; with TLS it is 802, which is not spoken here
Device = Annotated[int, msgspec.Meta(ge=0, le=255)]
SERIAL_DEVICES = range(1, 248)  # MODBUS over Serial Line V1.02 §2.2
_ADDRESS = "is 0 to 65535, as on the wire: a manual's 400001 is address 0 of table holding, its 300001 of input"
Address = Annotated[int, msgspec.Meta(ge=0, le=65535, extra={"rule": _ADDRESS})]
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9])?")


class RegisterConfig(ValueConfig, frozen=True, kw_only=True):
    """One value of one Modbus device."""

    device: Device  # also called unit, server or slave address
    address: Address  # as on the wire, from 0: "40001" is holding register 0
    table: Literal["holding", "input", "coil", "discrete"] = "holding"
    type: RegisterType = "uint16"  # coils and discrete inputs are 0 or 1
    byte_order: ByteOrder = "big"  # as the manual spells it: ABCD, CDAB, BADC or DCBA
    word_order: Order = "big"  # older spelling, with byte_order = "big" or "little" within each register
    missing: Annotated[tuple[int, ...], msgspec.Meta(max_length=8)] | None = None
    """numbers, or their bits, that mean "no value"; None: a gauge's are SunSpec's, a counter has none"""

    @property
    def is_bit(self) -> bool:
        return self.table in ("coil", "discrete")

    @property
    def words(self) -> int:
        """How many registers (or bits) hold the value."""
        return 1 if self.is_bit else registers.words_of(self.type)

    @property
    def no_value(self) -> tuple[int, ...]:
        if self.missing is not None:
            return self.missing
        return () if self.kind == "counter" else (registers.not_implemented(self.type),)

    @property
    def wraps_at(self) -> int | None:
        return None if self.is_bit else registers.wraps_at(self.type)

    @property
    def key(self) -> str:
        return f"{self.device}/{self.table}/{self.address}/{self.type}/{self.kind}/{self.datastream}"

    def _mistakes(self) -> Iterator[Mistake]:
        if self.kind == "counter" and (self.is_bit or self.type.startswith("int")):
            rule = "a counter is a holding or input register of type uint16, uint32, uint64, float32 or float64"
            yield Mistake(("kind",), rule)
        yield from super()._mistakes()
        if self.word_order != "big" and self.byte_order in registers.LETTERS:
            yield Mistake(("word_order",), f"is told by byte_order = {self.byte_order}: remove it")
        if self.address + self.words > 65536:
            yield Mistake(("address",), "address and type end at register 65535")


class SunspecPoint(ValueConfig, frozen=True, kw_only=True):
    """One point of a model, as SunSpec names it ("W", "PhVphA"). Raw is the number with its scale factor applied."""

    point: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,31}$", extra={"rule": "is a point's name"})]

    @property
    def key(self) -> str:
        return f"sunspec/{self.point}/{self.kind}/{self.datastream}"


class SunspecConfig(Document, frozen=True, kw_only=True):
    """A device that describes itself as SunSpec says: where a model's registers are is found out from the device."""

    device: Device
    model: Annotated[int, msgspec.Meta(ge=1, le=65534)]
    instance: Annotated[int, msgspec.Meta(ge=1, le=64)] = 1  # which of several of that model
    base: Annotated[int, msgspec.Meta(ge=0, le=65532)] | None = None  # of "SunS"; None: 40000, 50000 or 0
    points: Annotated[tuple[SunspecPoint, ...], msgspec.Meta(min_length=1, max_length=64)]


_MANUALS = {4: "holding", 3: "input", 1: "discrete"}  # the first digit of the numbers that manuals count from 1


def of_manual(number: int) -> tuple[str, int] | None:
    """(table, address) where ``number`` may be a manual's, such as 40001 or 300001; None: it is none."""
    for digit, table in _MANUALS.items():
        for thousands in (10_000, 100_000):
            if digit * thousands < number < (digit + 1) * thousands and number - digit * thousands <= 65536:
                return table, number - digit * thousands - 1
    return None


class SerialLine(NamedTuple):
    baud: int
    parity: Literal["none", "even", "odd"]
    stop_bits: Literal[1, 2]


class TcpServer(NamedTuple):
    host: str
    port: int


class ModbusConfig(Document, frozen=True, kw_only=True):
    """One Modbus line: RTU where ``port`` is a device path, a pyserial URL or a pattern that names exactly one port;
    Modbus TCP where it is ``tcp://HOST:PORT``.
    """

    name: Name | None = None  # needed where there are several
    port: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    baud: Annotated[int, msgspec.Meta(ge=1200, le=921_600)] | None = None  # 9600
    parity: Literal["none", "even", "odd"] | None = None  # none
    stop_bits: Literal[1, 2] | None = None  # 1
    timeout_s: Annotated[float, msgspec.Meta(ge=0.02, le=10)] = 1.0  # for one answer
    echo: bool = False  # the adapter hears what it says itself: discard it
    registers: Annotated[tuple[RegisterConfig, ...], msgspec.Meta(max_length=128)] = ()
    sunspec: Annotated[tuple[SunspecConfig, ...], msgspec.Meta(max_length=32)] = ()

    @property
    def label(self) -> str:
        """For people."""
        return self.name or "modbus"

    @property
    def values(self) -> tuple[ValueConfig, ...]:
        """Everything that is read, in the order of the file: registers, then the points of each model."""
        return (*self.registers, *(p for s in self.sunspec for p in s.points))

    @property
    def serial(self) -> SerialLine:
        return SerialLine(self.baud or 9600, self.parity or "none", self.stop_bits or 1)

    @property
    def server(self) -> TcpServer | None:
        """Where Modbus TCP is spoken; None: the line is serial."""
        return _server(self.port) if self.port.startswith(TCP) else None

    def takes(self, device: int) -> bool:
        """Whether there can be a device of that number: on a serial line 0 is everybody and 248 to 255 is nobody."""
        return self.port.startswith(TCP) or device in SERIAL_DEVICES

    def __post_init__(self) -> None:
        refuse(self._mistakes())

    def _mistakes(self) -> Iterator[Mistake]:
        if self.port.startswith(TCP):
            try:
                _server(self.port)
            except ValueError as exc:
                yield Mistake(("port",), f"{exc}; write tcp://HOST, tcp://HOST:PORT or tcp://[ADDRESS]:PORT")
            serial = {"baud": self.baud, "parity": self.parity, "stop_bits": self.stop_bits, "echo": self.echo or None}
            for name in [name for name, value in serial.items() if value is not None]:
                yield Mistake((name,), "is a serial line's; Modbus TCP has none: remove it")
        for place, device in (
            *((("registers", i, "device"), r.device) for i, r in enumerate(self.registers)),
            *((("sunspec", i, "device"), s.device) for i, s in enumerate(self.sunspec)),
        ):
            if not self.takes(device):
                yield Mistake(place, f"a device on a serial line is 1 to 247, not {device}")


def line_named(lines: Sequence[ModbusConfig], name: str | None) -> ModbusConfig | None:
    """The line that a set-point names; without a name the only one there is."""
    if name is None:
        return lines[0] if len(lines) == 1 else None
    return next((line for line in lines if line.label == name), None)


def _server(port: str) -> TcpServer:
    """Raises: ValueError."""
    address = port.removeprefix(TCP).removesuffix("/")
    match = re.fullmatch(r"(\[(?P<v6>[^\]]*)\]|(?P<host>[^:\[\]]*))(:(?P<port>\d{1,5}))?", address)
    if match is None:
        raise ValueError(f"{address or 'nothing'} is no address")
    host, number = match["v6"] or match["host"] or "", int(match["port"] or TCP_PORT)
    if not 1 <= number <= 65535:
        raise ValueError(f"{number} is no port: they are 1 to 65535")
    if match["v6"] is not None:
        try:
            ipaddress.IPv6Address(host)
        except ValueError as exc:
            raise ValueError(f"{host or 'nothing'} is no IPv6 address") from exc
    elif not _HOST.fullmatch(host):
        raise ValueError(f"{host or 'nothing'} is no name or address of a computer")
    return TcpServer(host, number)
