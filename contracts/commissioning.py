"""The record of a commissioning: who walked the sensors of a node, what each showed, signed by the node's key."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from wayside.contracts.actuator_config import LoopFunction
from wayside.contracts.quantities import Channel, Phase
from wayside.contracts.reading import Name, Stamp
from wayside.contracts.sync import Board, Count, Key, Label
from wayside.contracts.wire import Document, wire_field

MAX_RECORD_BYTES = 131_072
Text = Annotated[str, msgspec.Meta(max_length=512)]
RecordId = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}$")]


class SensorCheck(Document, frozen=True, kw_only=True):
    """One sensor or set-point as it was walked (driven over, pressed, compared, switched).

    ``channel`` is the board's, the pin, the register, the SunSpec model, or of anything else the place in its table of
    the node's file; ``datastream`` of a set-point is ``actuator/NAME``.
    """

    datastream: Name
    kind: Literal["detector", "contact", "register", "analog", "uart", "camera", "value", "setpoint"]
    channel: Annotated[int, msgspec.Meta(ge=0, le=65535)]
    outcome: Literal["passed", "failed", "skipped"]
    actuations: Count = 0  # while this sensor was asked for
    elsewhere: tuple[Name, ...] = ()  # other sensors that moved meanwhile: swapped wires
    polarity: Literal["right", "inverted", "unknown"] = "unknown"
    said: Text = ""


class DoctorFinding(Document, frozen=True, kw_only=True):
    check: Label
    state: Literal["ok", "warn", "fail", "skip"]
    said: Text = ""


class WiredChannel(Document, frozen=True, kw_only=True):
    """A detector channel of a signal: what the configuration says of it beside what its vehicles do."""

    channel: Channel
    phase: Phase
    function: LoopFunction
    verdict: Literal["matched", "suspect", "undecided"]
    seen_phases: Annotated[tuple[Phase, ...], msgspec.Meta(max_length=16)] = ()  # in which its vehicles leave
    seen_function: LoopFunction | None = None
    confidence: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0  # of the phase
    vehicles: Count = 0
    said: Text = ""


class WiringCheck(Document, frozen=True, kw_only=True):
    """The wiring of a signal's detectors, judged from the events of some time."""

    seconds: Annotated[float, msgspec.Meta(ge=0)]  # of events that were judged
    source: Literal["board", "file"] = "board"
    partial: bool = False  # ended by the technician before the time was over
    channels: Annotated[tuple[WiredChannel, ...], msgspec.Meta(max_length=64)] = ()

    @property
    def suspects(self) -> tuple[WiredChannel, ...]:
        return tuple(c for c in self.channels if c.verdict == "suspect")


class CommissioningRecord(Document, frozen=True, kw_only=True):
    wire: int = wire_field()
    id: RecordId  # 128 random bits: storing it twice stores it once
    node: Name
    site: Label | None = None
    by: Label  # who walked it, as typed
    started: Stamp
    finished: Stamp
    agent: Label  # version of the software that wrote it
    config_sha256: Key  # of the node's TOML, as it was
    board: Board | None = None
    sensors: Annotated[tuple[SensorCheck, ...], msgspec.Meta(max_length=512)]
    doctor: Annotated[tuple[DoctorFinding, ...], msgspec.Meta(max_length=64)] = ()
    wiring: WiringCheck | None = None
    note: Text = ""

    @property
    def passed(self) -> bool:
        well = all(s.outcome == "passed" for s in self.sensors) and not any(d.state == "fail" for d in self.doctor)
        return well and not (self.wiring is not None and self.wiring.suspects)


class SignedCommissioning(Document, frozen=True, kw_only=True):
    """``record`` is the record's JSON to the byte; the signature (RFC 8032) is over its :func:`commissioning_input`."""

    wire: int = wire_field()
    record: Annotated[str, msgspec.Meta(max_length=MAX_RECORD_BYTES)]
    public_key: Key
    signature: Annotated[str, msgspec.Meta(max_length=128)]  # base64


class CommissioningReply(Document, frozen=True, kw_only=True):
    """A 200 means: the record is on disk at the hub."""

    wire: int = wire_field()
    id: RecordId
    new: bool


def commissioning_input(record: bytes) -> bytes:
    """What the node signs: distinct from any request's signing input."""
    return b"wayside-commissioning-v1\n" + record
