"""What can go wrong between a laptop or a node and its board, its image and its card: the whole package's errors.

BridgeError
├── LineError             the serial line, not what is said on it
│   ├── LineUnavailable   the port could not be opened
│   │   └── PortLent      a technician's command has borrowed it
│   ├── LineLost          the port went away while in use: unplugged, hung up
│   └── BoardSilent       the line is open, and no board is heard on it
├── ProtocolError         bytes arrived, but not from the board that was asked for
│   ├── MessageError      a payload is not a message of this protocol
│   └── WrongBoard        another device, another identity or another protocol answers
├── PlanError             a plan cannot be a board's table, or a board refused it
├── BuildError            the firmware could not be built
├── FlashError            a board could not be flashed; the message says whether anything was written
│   └── WrongPart         the chip, or the board, is not the one that the firmware is for
├── NotAgreed             a person was asked and did not agree, or nobody could be asked: nothing was written
├── ImageError            an image cannot be made from this base, or is not what it should be
├── CardError             a card must not be written, or did not take what was written
└── ProvisionError        a list of sites, or the hub that should give their tokens

No other package's exception leaves this one: pyserial, zipfile, subprocess, msgspec and the system's errors about files
that were named become one of these, with the cause kept. A message says what happened and what to do next.
"""

from __future__ import annotations

from wayside.errors import Refused, WaysideError


class BridgeError(WaysideError):
    """Root of this package's errors."""


class LineError(BridgeError, OSError):
    """The serial line, not what is said on it."""


class LineUnavailable(LineError):  # noqa: N818 -- says it well enough
    pass


class PortLent(LineUnavailable):
    """A technician's command has borrowed ``port``."""

    def __init__(self, port: str) -> None:
        super().__init__(f"{port} is lent to a technician")
        self.port = port


class LineLost(LineError, ConnectionError):  # noqa: N818
    pass


class BoardSilent(LineError):  # noqa: N818
    """The line is open, and no board is heard on it."""


class ProtocolError(BridgeError, ValueError):
    """Bytes arrived, but not from the board that was asked for."""


class MessageError(ProtocolError):
    pass


class WrongBoard(ProtocolError):  # noqa: N818
    pass


class BuildError(BridgeError):
    pass


class PlanError(BridgeError):
    """A plan cannot be said as a board's table, or a board refused it."""


class NotAgreed(BridgeError, Refused):  # noqa: N818
    """A person was asked and did not agree, or nobody could be asked: nothing was written."""


class ImageError(BridgeError):
    """An image cannot be made from this base, or is not what it should be."""


class CardError(BridgeError):
    """A card must not be written, or did not take what was written."""


class ProvisionError(BridgeError):
    """A list of sites, or the hub that should give their tokens."""


class FlashError(BridgeError):
    """A board could not be flashed; the message says whether anything was written."""


class WrongPart(FlashError):  # noqa: N818
    """Another chip, or another board, than the one that the firmware is for."""
