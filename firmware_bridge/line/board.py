"""The host's end of the serial protocol, without I/O: bytes in, messages out; requests in, bytes out.

Exactly once. The board keeps every event until the host acknowledges it, and acknowledged means durable at the host.
The link passes each seq on once and in order. When one is missing it asks again (its next ``heartbeat`` is then a
HELLO) unless STATUS says that the board no longer has it: that, and only that, is a :class:`Gap`. So for each boot,
events passed on plus events in gaps are all the events that there were.

What arrives between HELLO and the IDENTITY that answers it is discarded: it may come from another board.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from wayside.contracts.beat import Maxima, Request
from wayside.firmware_bridge.errors import MessageError, WrongBoard
from wayside.firmware_bridge.line import frames, messages
from wayside.firmware_bridge.line.messages import (
    IDS,
    LAYOUTS,
    MAX_PHASES,
    PART_BYTES,
    PROTOCOL,
    SCHEMA,
    Action,
    Event,
    Flag,
    Heartbeat,
    Hello,
    Identity,
    Message,
    PhaseGreen,
    PhaseTimes,
    PlanResult,
    SignalRequest,
    Status,
    TableCommit,
    TablePart,
)

STRANGER_BYTES = 2048  # without a good frame: the device is no board
PATIENCE = 5  # heartbeats without an IDENTITY before HELLO is repeated
_EVENT_ID = IDS[Event]
_EVENT_BYTES = LAYOUTS[Event].size
_EVENT = struct.Struct("<x" + LAYOUTS[Event].format[2:])  # without the id
_WRAP = 1 << 32


class Gap(NamedTuple):
    """Events ``first`` to ``last`` are gone for good: the board dropped them, or restarted with them."""

    first: int
    last: int

    @property
    def events(self) -> int:
        return self.last - self.first + 1


class Received(msgspec.Struct):
    """What the link made of the good frames."""

    events: int = 0
    duplicates: int = 0  # already passed on
    out_of_order: int = 0  # dropped: an earlier one is missing and asked for again
    gaps: int = 0
    lost: int = 0  # events in gaps
    statuses: int = 0
    identities: int = 0
    plan_results: int = 0
    unasked: int = 0  # before IDENTITY: discarded
    refused: int = 0  # unknown id, wrong length, a host's message


Heard = Event | Gap | Status | Identity | PlanResult


class BoardLink:
    """One board at the other end. Keep the same link over re-connections of the line; say ``hello`` after each.

    Args:
        board_id: the identity that must answer, ``None`` for any board of this protocol.
    """

    def __init__(self, board_id: str | None = None) -> None:
        self.board_id = board_id
        self.identity: Identity | None = None
        self.received = Received()
        self._decoder = frames.Decoder()
        self._boot = 0
        self._next: int | None = None  # seq; None until the board's first STATUS tells
        self._board_next = 0  # of the last STATUS
        self._ms: int | None = None  # latest board time, unwrapped
        self._asked = False  # HELLO sent, IDENTITY still to come
        self._ask_again = True
        self._patience = 0
        self._sample = b""  # the first bytes, quoted if no board sent them

    @property
    def counts(self) -> frames.Counts:
        return self._decoder.counts

    @property
    def boot(self) -> int:
        """The board's boot number, 0 while none is known. Keep it beside the durable seq: they belong together."""
        return self._boot

    # --- to the board -----------------------------------------------------------------------------

    def hello(self, ack: int = 0, boot: int | None = None) -> bytes:
        """Open the conversation: ``ack`` is the last seq that is durable here, of the run ``boot`` of the board.

        A host that remembers nothing says ``hello()``; it gets what no host before it acknowledged.

        Raises:
            ValueError: ``ack`` without the boot that it belongs to.
        """
        if boot and not self._boot:
            self._boot, self._next = boot, ack + 1
        if ack and not self._boot:
            raise ValueError("an acknowledged seq belongs to one boot of the board: pass that boot, too")
        self._asked, self._ask_again, self._patience = True, False, PATIENCE
        # A zero first: the board may hold half a frame, of noise or from the host before.
        return b"\0" + frames.encode(messages.encode(Hello(self._boot, self._bounded(ack, boot))))

    def heartbeat(self, ack: int, boot: int | None = None) -> bytes:
        """Sign of life, about five times a second, with the last durable seq. Says HELLO again where one is due."""
        if self._asked:
            self._patience -= 1
            self._ask_again = self._patience <= 0
        if self._ask_again:
            return self.hello(ack if self._boot else 0, boot)
        return frames.encode(messages.encode(Heartbeat(self._boot, self._bounded(ack, boot))))

    def phase_times(self, request: int, greens_s: Mapping[int, float], cycle_s: float) -> bytes:
        """Request green times, seconds, for the phases of a cycle. ``PlanResult`` with the same number answers.

        Raises:
            MessageError: more than 16 phases, or a time that 0.1 s in 16 bits cannot say.
        """
        if len(greens_s) > MAX_PHASES:
            raise MessageError(f"{len(greens_s)} phases; the board takes at most {MAX_PHASES}")
        try:
            greens = tuple(PhaseGreen(phase, round(green_s * 10)) for phase, green_s in greens_s.items())
            message = PhaseTimes(request & 0xFFFF, round(cycle_s * 10), len(greens), greens)
        except (ValueError, OverflowError) as exc:
            raise MessageError(f"a green time or the cycle is not a number of seconds: {exc}") from exc
        return frames.encode(messages.encode(message))

    def signal_request(self, request: int, action: Action, phase: int) -> bytes:
        """Ask for ``action`` at ``phase``; ``PlanResult`` says yes or why not.

        Raises:
            MessageError: no phase has that number.
        """
        return frames.encode(messages.encode(SignalRequest(request & 0xFFFF, action, phase)))

    def request(self, number: int, asked: Request | Maxima) -> bytes:
        """Ask for what a policy with the beat of the line may: a request, or maximum greens without a cycle.

        Raises:
            MessageError: as :meth:`phase_times` and :meth:`signal_request`.
        """
        if isinstance(asked, Maxima):
            return self.phase_times(number, asked.seconds, 0.0)
        return self.signal_request(number, Action(asked.ask), asked.phase)

    def plan_table(self, request: int, table: bytes, *, store: bool) -> bytes:
        """Send a plan table, to be checked only or to be kept and put in force. ``PlanResult`` answers, for a table to
        keep when it is in the board's memory. ``TABLE_CRC`` and ``BUSY`` mean: again.
        """
        sent: list[Message] = [TablePart(at, table[at : at + PART_BYTES]) for at in range(0, len(table), PART_BYTES)]
        action = Action.STORE_TABLE if store else Action.CHECK_TABLE
        sent.append(TableCommit(request & 0xFFFF, action, len(table), zlib.crc32(table)))
        return b"".join(frames.encode(messages.encode(message)) for message in sent)

    def _bounded(self, ack: int, boot: int | None) -> int:
        # Never acknowledge what this boot has not sent: after a restart the host's number may be of the boot before.
        if (boot and boot != self._boot) or self._next is None:
            return 0
        return min(ack, self._next - 1)

    # --- from the board ---------------------------------------------------------------------------

    def receive(self, data: bytes) -> list[Heard]:
        """What ``data`` completes, in order. Board times are unwrapped, so they do not jump back after 49.7 days.

        Raises:
            WrongBoard: another protocol, another schema, another identity, or no board at all.
        """
        payloads = self._decoder.feed(data)
        if self.identity is None:
            self._suspect(data)
        received: list[Heard] = []
        events = duplicates = 0
        unpack, make, keep = _EVENT.unpack, Event._make, received.append  # the hot loop: no attribute look-ups
        expected, last_ms = self._expected(), self._ms or 0
        for payload in payloads:
            if payload[0] == _EVENT_ID and len(payload) == _EVENT_BYTES:
                seq, ms, kind, channel, value = unpack(payload)
                if seq == expected:
                    expected += 1
                    events += 1
                    ms += last_ms & ~0xFFFFFFFF
                    if ms > last_ms + 0x80000000 or ms < last_ms - 0x80000000:
                        ms = _unwrap(ms, last_ms)
                    if ms > last_ms:  # noqa: PLR1730 -- max() is a call, and this is once per event
                        last_ms = ms
                    keep(make((seq, ms, kind, channel, value)))
                elif expected < 0:
                    self.received.unasked += 1
                elif seq < expected:
                    duplicates += 1
                else:
                    self.received.out_of_order += 1
                    self._ask_again = True
                continue
            if expected >= 0:
                self._next = expected
            self._ms = last_ms if events else self._ms
            self._other(payload, received)
            expected, last_ms = self._expected(), self._ms or 0
        if expected >= 0:
            self._next = expected
        self._ms = last_ms if events else self._ms
        self.received.events += events
        self.received.duplicates += duplicates
        return received

    def _expected(self) -> int:
        # Before IDENTITY and STATUS every event is discarded: -1 is no seq.
        return -1 if self._asked or self._next is None or self._ms is None else self._next

    def _other(self, payload: bytes, received: list[Heard]) -> None:
        try:
            message = messages.decode(payload)
        except MessageError:
            self.received.refused += 1
            return
        if isinstance(message, Identity):
            self._on_identity(message, received)
        elif isinstance(message, Status):
            self._on_status(message, received)
        elif isinstance(message, PlanResult):
            self.received.plan_results += 1
            received.append(message)
        else:
            self.received.refused += 1

    def _on_identity(self, identity: Identity, received: list[Heard]) -> None:
        if (identity.protocol, identity.schema) != (PROTOCOL, SCHEMA):
            raise WrongBoard(
                f"board {identity.board!r} speaks protocol {identity.protocol}, schema {identity.schema:08x}; this "
                f"software speaks {PROTOCOL}, {SCHEMA:08x}: install firmware and software of the same release"
            )
        if self.board_id is not None and identity.board != self.board_id:
            raise WrongBoard(f"board {identity.board!r} answers where {self.board_id!r} should: look at the cabling")
        self.received.identities += 1
        rebooted = self._boot not in (0, identity.boot)
        if rebooted and self._next is not None and self._next < self._board_next:
            self._gap(self._next, self._board_next - 1, received)
        if self._boot != identity.boot:
            self._boot, self._next, self._board_next, self._ms = identity.boot, None, 0, None
            self._ask_again = not self._asked  # unasked: the board restarted and needs a HELLO
        self._asked = False
        self.identity = identity._replace(rebooted=rebooted)
        received.append(self.identity)

    def _on_status(self, status: Status, received: list[Heard]) -> None:
        if self._asked or self.identity is None:
            self.received.unasked += 1
            return
        if status.next_seq < self._board_next:
            self._ask_again = True  # the numbers went back: another boot, whose IDENTITY was lost
            return
        self._board_next = status.next_seq
        if self._next is None:
            self._next = status.acked_seq + 1
        if status.oldest_seq > self._next:
            self._gap(self._next, status.oldest_seq - 1, received)
            self._next = status.oldest_seq
        if status.sent_seq >= self._next or not status.flags & Flag.LINKED:
            self._ask_again = True  # an event was lost on the line, or the board has had no HELLO
        ms = status.ms if self._ms is None else _unwrap(status.ms, self._ms)
        self._ms = ms if self._ms is None else max(ms, self._ms)
        self.received.statuses += 1
        received.append(status._replace(ms=ms))

    def _gap(self, first: int, last: int, received: list[Heard]) -> None:
        gap = Gap(first, last)
        self.received.gaps += 1
        self.received.lost += gap.events
        received.append(gap)

    def _suspect(self, data: bytes) -> None:
        self._sample = (self._sample + data)[:32]
        if self.counts.frames == 0 and self.counts.bytes >= STRANGER_BYTES:
            raise WrongBoard(
                f"{self.counts.bytes} bytes and not one frame; they begin {self._sample!r}: "
                "this is another device, or the baud rate is wrong"
            )


def _unwrap(ms: int, near: int) -> int:
    """The time that is ``ms`` modulo 2**32 and nearest to ``near``."""
    return near + (ms - near + _WRAP // 2) % _WRAP - _WRAP // 2
