"""The one table of messages between board and host. Python classes, struct formats, the schema hash and the C header
(``firmware/messages.h``) all come from it; change it here, then run ``wayside board header``.

A payload is one id byte, then the fields in order, little-endian, without padding. Only fields annotated with a C type
are on the wire. A repeated tail (``PhaseTimes``) follows its ``phase_count``.
"""

from __future__ import annotations

import enum
import struct
import typing
import zlib
from typing import Annotated, NamedTuple

from wayside.contracts.sensor_config import BOARD_NAME_BYTES, BOARD_PHASES
from wayside.firmware_bridge.errors import MessageError

PROTOCOL = 2
MAX_PHASES = 16  # of a request for green times
SIGNAL_PHASES = BOARD_PHASES
SIGNAL_RINGS = 2
PART_BYTES = 32

U8 = Annotated[int, "uint8_t", "B"]
U16 = Annotated[int, "uint16_t", "H"]
U32 = Annotated[int, "uint32_t", "I"]
Char8 = Annotated[str, "char", f"{BOARD_NAME_BYTES}s"]
Bytes32 = Annotated[bytes, "uint8_t", "32s"]

TIMINGS_MS = {"STATUS_EVERY": 100, "IDENTITY_EVERY": 1000, "HOST_SILENT": 2000}  # real time, not board time

TABLE_FORMAT = 1  # of a plan table; its layout is docs/wire.md 1.8
TABLE_HEAD = struct.Struct("<BBHHBBBBHH")
TABLE_ROW = struct.Struct("<BBBBHHHHHBB")  # of a phase
ACTUATED_FORMAT = 2  # of a plan table whose phases are actuated: each head and row is format 1's and then more
OVERLAPS = 4
PREEMPTS = 2
ACTUATED_HEAD = struct.Struct(TABLE_HEAD.format + "HB" + "B" * OVERLAPS + "BBBBB" * PREEMPTS)
ACTUATED_ROW = struct.Struct(TABLE_ROW.format + "HBBB")
ACTUATED_DETECTORS = 40  # so many can call phases; with eight phases they fill half of a board's memory
# What a plan table may hold, 0.1 s. Yellow and red clearance: MUTCD 4F.17; walk: 4I.06; start: NEMA TS 2 (6 s all red).
SIGNAL_LIMITS = {
    "START_FLASH_MIN": 20,
    "START_RED_MIN": 60,
    "YELLOW_MIN": 30,
    "YELLOW_MAX": 60,
    "RED_MAX": 60,
    "GREEN_MIN": 30,
    "GREEN_MAX": 3000,
    "WALK_MIN": 40,
}


class EventKind(enum.IntEnum):
    DETECTOR = 1  # value 1: rising edge (vehicle arrives), 0: falling
    PHASE_GREEN = 2
    PHASE_YELLOW = 3
    PHASE_RED = 4
    INPUT = 5  # push button, cabinet door: value 1 closed, 0 open
    DETECTOR_FAULT = 6  # value: DetectorFault bits, 0 when it is well again
    PED = 7  # channel: phase; value 1 walk, 2 clearance, 0 don't walk
    SIGNAL_MODE = 8  # value: SignalMode
    ANALOG = 9  # value: of the converter, 0 to 1023
    TERMINATION = 10  # channel: phase whose green ended; value: Termination
    CALL = 11  # channel: phase; value 1: somebody waits for it now, 0: it is being served
    PED_CALL = 12  # channel: phase; value 1: a pedestrian waits, 0: is being served
    PREEMPT = 13  # channel: input; value: PreemptState
    OVERLAP = 14  # channel: overlap; value 0 red, 1 green, 2 yellow


class Termination(enum.IntEnum):
    """Why a green ended; the high-resolution codes 4, 5 and 6 of Indiana's and Purdue's enumeration."""

    GAP_OUT = 1
    MAX_OUT = 2
    FORCE_OFF = 3  # a request of the host, a change of table, or preemption
    FIXED = 4  # the fixed-time plan's green was over


class PreemptState(enum.IntEnum):
    OFF = 0
    CALLED = 1  # the input is on; conflicting greens end in order
    SERVED = 2  # its phases are green


class Recall(enum.IntEnum):
    """Of a phase that nobody may need to call."""

    NONE = 0
    MINIMUM = 1  # always called
    MAXIMUM = 2  # always called, and as long as if vehicles came without end
    SOFT = 3  # called when nobody else is


class RowOption(enum.IntFlag):
    """Of an actuated phase, beside its recall in the two lowest bits."""

    LOCKING = 4  # a call stays when its vehicle leaves
    PED_RECALL = 8  # each green has a walk, and is called for it
    HOST_ONLY = 16  # no detector calls it, and that is meant: all that it serves also goes in other phases


class DetectorFault(enum.IntFlag):
    STUCK_ON = 1
    NO_HIT = 2
    CHATTER = 4
    DEAD = 8  # no edge in so many cycles while others flow


class ResetCause(enum.IntEnum):
    UNKNOWN = 0
    POWER_ON = 1
    WATCHDOG = 2
    EXTERNAL = 3
    SOFTWARE = 4
    BROWN_OUT = 5


class Flag(enum.IntFlag):
    HOST_ALIVE = 1  # a good request came within HOST_SILENT
    FAIL_SAFE = 2  # no host: the fixed-time plan is in force
    HOST_PLAN = 4  # an accepted request's plan is in force
    LINKED = 8  # a HELLO came since the start, or since the line last hung up
    SIGNALS = 16  # this board drives signals, and they run
    SIGNAL_FAULT = 32  # the conflict monitor has tripped


class PlanCode(enum.IntEnum):
    OK = 0
    UNKNOWN_PHASE = 1
    DUPLICATE_PHASE = 2
    MISSING_PHASE = 3
    BELOW_MIN_GREEN = 4
    ABOVE_MAX_GREEN = 5
    CYCLE_SUM = 6
    NO_HOST = 7  # no HELLO yet: requests are refused
    NOT_RUNNING = 8  # start-up, a change of table, or a fault: nothing can be requested now
    NOT_GREEN = 9
    PEDESTRIAN = 10  # somebody crosses
    NO_WALK = 11  # this phase has no crossing
    CONFLICT = 12  # with the phase that the other ring was called to
    STARVES = 13  # somebody who waits would be passed over twice in a row, or beyond the longest red
    UNKNOWN_ACTION = 14
    TABLE_CRC = 15  # parts are missing or damaged: send all of them again
    TABLE_FORMAT = 16
    TABLE_RING = 17
    TABLE_CONFLICTS = 18  # not symmetric, with itself, or not between phases of one ring
    TABLE_TIMES = 19  # minimum <= green <= maximum, walk within it, a cycle of maxima within the longest red
    TABLE_LIMITS = 20  # beyond what a public road may have
    BUSY = 21  # the table before is still on its way into memory or into force
    STORE_FAILED = 22  # the non-volatile memory does not keep what was written
    PREEMPTED = 23  # a railway or the fire brigade has the intersection: only pedestrians can call
    TABLE_DETECTORS = 24  # more than this board has, of a phase that there is not, or a phase that nobody can call
    TABLE_OVERLAP = 25  # a parent that there is not
    TABLE_PREEMPT = 26  # no phases, or such as conflict; an input beyond 16, or one that has another use


class SignalMode(enum.IntEnum):
    FLASH = 0
    ALL_RED = 1
    RUN = 2
    CLOSING = 3  # every green ends in order; then the new table
    FAULT = 4  # the conflict monitor tripped: flash until a person resets the board


class Action(enum.IntEnum):  # NTCIP 1202's words
    PED_CALL = 1
    CALL = 2  # serve this phase next in its ring
    HOLD = 3  # keep it green, at most up to its maximum
    FORCE_OFF = 4  # end its green now
    CHECK_TABLE = 5  # dry run
    STORE_TABLE = 6  # check, keep, put in force
    RELEASE = 7  # hold, call and omit of this phase are void
    OMIT = 8  # pass over this phase, unless a rule says that it must be served


class Identity(NamedTuple):
    protocol: U8
    schema: U32
    major: U8
    minor: U8
    patch: U8
    board: Char8  # printable ASCII, padded with zeros
    boot: U32  # random, never 0, new at each start
    reset_cause: U8
    ring: U16  # events that the board can hold
    table: U32 = 0  # CRC-32 of the plan table in force, 0: none
    rebooted: bool = False  # not on the wire: the host remembers another boot

    @property
    def firmware(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


class Event(NamedTuple):
    seq: U32  # from 1 in each boot
    ms: U32  # board clock; the link unwraps it
    kind: U8
    channel: U8
    value: U16


class Status(NamedTuple):
    ms: U32  # every event up to this board time has a seq below next_seq
    next_seq: U32
    oldest_seq: U32  # still held; next_seq when none is
    sent_seq: U32  # put on the line before this message
    acked_seq: U32
    lost: U32  # events of this boot that the ring dropped before a host took them
    rx_errors: U32
    flags: U8

    @property
    def host_alive(self) -> bool:
        return bool(self.flags & Flag.HOST_ALIVE)

    @property
    def fail_safe(self) -> bool:
        return bool(self.flags & Flag.FAIL_SAFE)


class PlanResult(NamedTuple):
    request: U16
    code: U8
    phase: U8  # to which the code refers, 0: to none


class Hello(NamedTuple):
    boot: U32  # to which ack_seq belongs; 0: none known
    ack_seq: U32  # durable at the host


class Heartbeat(NamedTuple):
    boot: U32
    ack_seq: U32


class PhaseGreen(NamedTuple):
    phase: U8
    green: U16  # 0.1 s


class PhaseTimes(NamedTuple):
    request: U16
    cycle: U16  # 0.1 s
    phase_count: U8
    greens: tuple[PhaseGreen, ...]  # phase_count of them, at most MAX_PHASES


class SignalRequest(NamedTuple):
    request: U16
    action: U8
    phase: U8


class TablePart(NamedTuple):
    offset: U16
    data: Bytes32  # beyond the table's end: zeros


class TableCommit(NamedTuple):
    request: U16
    action: U8  # CHECK_TABLE or STORE_TABLE
    size: U16  # of the table, bytes
    crc: U32  # CRC-32 over them


Message = (
    Identity | Event | Status | PlanResult | Hello | Heartbeat | PhaseTimes | SignalRequest | TablePart | TableCommit
)
FROM_BOARD: dict[int, type[Message]] = {0x01: Identity, 0x02: Event, 0x03: Status, 0x04: PlanResult}
FROM_HOST: dict[int, type[Message]] = {
    0x81: Hello,
    0x82: Heartbeat,
    0x83: PhaseTimes,
    0x84: SignalRequest,
    0x85: TablePart,
    0x86: TableCommit,
}
MESSAGES = FROM_BOARD | FROM_HOST


CODES = (
    EventKind,
    Termination,
    PreemptState,
    Recall,
    RowOption,
    DetectorFault,
    ResetCause,
    Flag,
    PlanCode,
    SignalMode,
    Action,
)


class Field(NamedTuple):
    name: str
    c_type: str
    code: str  # of struct


def fields(kind: type) -> list[Field]:
    """The wire fields of a message class, in order."""
    hints = typing.get_type_hints(kind, include_extras=True)
    return [Field(name, *hint.__metadata__) for name, hint in hints.items() if hasattr(hint, "__metadata__")]


def _format(kind: type) -> str:
    return "".join(f.code for f in fields(kind))


LAYOUTS = {kind: struct.Struct("<B" + _format(kind)) for kind in MESSAGES.values()}
IDS = {kind: id_ for id_, kind in MESSAGES.items()}
_COUNTS = {kind: len(fields(kind)) for kind in MESSAGES.values()}
_GREEN = struct.Struct("<" + _format(PhaseGreen))


def encode(message: Message) -> bytes:
    """The payload of a message.

    Raises:
        MessageError: a field does not fit its C type.
    """
    kind = type(message)
    values: list[object] = list(message[: _COUNTS[kind]])
    tail = b""
    try:
        if isinstance(message, Identity):
            values[5] = message.board.encode("ascii")
        elif isinstance(message, PhaseTimes):
            if not message.phase_count == len(message.greens) <= MAX_PHASES:
                raise MessageError(f"a plan has its count of phases, at most {MAX_PHASES}")
            tail = b"".join(_GREEN.pack(*green) for green in message.greens)
        return LAYOUTS[kind].pack(IDS[kind], *values) + tail
    except (struct.error, UnicodeEncodeError) as exc:
        raise MessageError(f"{kind.__name__}: a field does not fit: {exc}") from exc


def decode(payload: bytes) -> Message:
    """The message in a payload.

    Raises:
        MessageError: unknown id, wrong length or an identity that is not printable ASCII.
    """
    kind = MESSAGES.get(payload[0]) if payload else None
    if kind is None:
        raise MessageError(f"no message has the id {payload[:1].hex() or '(none)'}")
    layout = LAYOUTS[kind]
    head, tail = payload[: layout.size], payload[layout.size :]
    if len(head) < layout.size or (kind is not PhaseTimes and tail):
        raise MessageError(f"{kind.__name__} has {layout.size} bytes, this one has {len(payload)}")
    values: list[typing.Any] = list(layout.unpack(head))[1:]
    if kind is Identity:
        name = values[5].rstrip(b"\0").decode("latin-1")
        if not (name.isascii() and name.isprintable()):
            raise MessageError(f"an identity is printable ASCII, this one is {values[5].hex()}")
        values[5] = name
    elif kind is PhaseTimes:
        if len(tail) != values[2] * _GREEN.size or values[2] > MAX_PHASES:
            raise MessageError(f"a plan of {values[2]} phases does not have {len(payload)} bytes")
        values.append(tuple(PhaseGreen(*green) for green in _GREEN.iter_unpack(tail)))
    return kind(*values)


def _describe(id_: int, kind: type) -> str:
    row = " ".join(f"{f.c_type}:{f.code}:{f.name}" for f in fields(kind))
    return f"{id_:02x} {kind.__name__} {row}"


def schema_text() -> str:
    """What the schema hash covers: every byte that can cross the line, and what its codes mean."""
    lines = [f"protocol {PROTOCOL}", *(_describe(id_, kind) for id_, kind in MESSAGES.items())]
    lines.append(_describe(0, PhaseGreen))
    lines += (f"{codes.__name__} " + " ".join(f"{c.name}={c.value}" for c in codes) for codes in CODES)
    return "\n".join(lines) + "\n"


SCHEMA = zlib.crc32(schema_text().encode())
