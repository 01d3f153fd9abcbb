"""What passes on a Modbus line, looked at beside pymodbus: why an answer did not come, and what may still come.

Each is pymodbus's ``trace_packet``: called with every request, and with all that was received and not yet understood.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

MBAP = 7  # bytes before the function code: transaction, protocol, length, unit (MODBUS/TCP V1.0b §3.1.3)
LAST_READ = 4  # of the functions that are used here
MIN_LENGTH, MAX_LENGTH = 2, 254  # of unit, function code and data


class Wire(Protocol):
    def __call__(self, sending: bool, data: bytes) -> bytes: ...

    @property
    def lost(self) -> bool:
        """The line must be opened anew: what comes next cannot be understood."""
        ...

    def doubt(self, transaction: int, unit: int) -> str | None:
        """Why the answer with these numbers may not be the one to the question, though pymodbus takes it."""
        ...

    def silence(self) -> str:
        """Why no answer came, as far as one can see."""
        ...

    async def rest(self) -> None:
        """Wait until a late answer can no longer pass for that of the next request."""
        ...


class SerialWire:
    """A serial line. Its answers have no number, so after a request without one the line rests as long as one may take.

    Some adapters hear what they say. A request for registers 0x0300 to 0x03ff has by its length and checksum the form
    of an answer, which the library then takes for one.
    """

    lost = False
    ECHO = "the adapter hears itself: set modbus.echo = true"

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._request = b""
        self._echo = False

    def __call__(self, sending: bool, data: bytes) -> bytes:
        if sending:
            self._request, self._echo = data, False
        elif self._request in data:
            self._echo = True
        return data

    def doubt(self, transaction: int, unit: int) -> str | None:
        del transaction, unit
        return self.ECHO if self._echo and self._request[1] <= LAST_READ else None  # a write's answer repeats it

    def silence(self) -> str:
        why = "check address, baud rate, parity and the two wires (A and B may be swapped)"
        return self.ECHO if self._echo else f"does not answer: {why}"

    async def rest(self) -> None:
        await asyncio.sleep(self._timeout_s)


class TcpWire:
    """A TCP connection. Every answer repeats its request's number, so a late one is thrown away and nobody rests.

    That holds while answers arrive whole. TCP is a stream: behind half an answer, or a header that is none, nobody
    knows where the next one begins, and the connection is of no more use. pymodbus is not shown such bytes.
    """

    def __init__(self) -> None:
        self._transaction = self._unit = self._function = 0
        self._whole = True  # what was received ends where an answer does
        self._nonsense = False  # it never will
        self._other: int | None = None  # the unit that answered this request instead

    def __call__(self, sending: bool, data: bytes) -> bytes:
        if sending:
            self._transaction, self._unit, self._function = int.from_bytes(data[:2]), data[6], data[7]
            self._other = None
            return data
        end = self._walk(data)
        self._whole = end == len(data)
        return b"" if self._nonsense else data[:end]

    def _walk(self, data: bytes) -> int:
        """Where the last whole answer in ``data`` ends."""
        at = 0
        while len(header := data[at : at + MBAP]) == MBAP:
            length = int.from_bytes(header[4:6])
            if header[2:4] != b"\0\0" or not MIN_LENGTH <= length <= MAX_LENGTH:
                self._nonsense = True
            if self._nonsense or at + 6 + length > len(data):
                break
            if int.from_bytes(header[:2]) == self._transaction:
                if header[6] != self._unit:
                    self._other = header[6]
                elif not _is_answer(data[at + MBAP : at + 6 + length], self._function):
                    self._nonsense = True
                    break
            at += 6 + length
        return at

    @property
    def lost(self) -> bool:
        return self._nonsense or not self._whole

    def doubt(self, transaction: int, unit: int) -> str | None:
        if self.lost:
            return "answers with more than its header says"
        if transaction != self._transaction:
            return f"answers number {transaction}, and was asked number {self._transaction}"
        if unit != self._unit:
            return f"does not answer; unit {unit} did instead: is that the number to ask for?"
        return None

    def silence(self) -> str:
        if self._other is not None:
            return f"does not answer; unit {self._other} did instead: is that the number to ask for?"
        if self._nonsense:
            return "answers with something that is no answer: does it speak Modbus TCP?"
        return "does not answer: check the device's number (unit) and the network to it"

    async def rest(self) -> None:
        return


def _is_answer(pdu: bytes, function: int) -> bool:
    """Whether function code and data can be the answer to a request of ``function``, by form and length."""
    if pdu[0] == function | 0x80:
        return len(pdu) == 2
    if pdu[0] != function:
        return False
    if function <= LAST_READ:
        return len(pdu) >= 2 and len(pdu) == 2 + pdu[1]
    return len(pdu) == 5  # writes: address, and value or number
