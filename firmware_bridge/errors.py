"""What can go wrong between a host and its board.

BridgeError
├── LineError
│   ├── LineUnavailable   the port could not be opened
│   │   └── PortLent      a technician's command has borrowed it
│   └── LineLost          the port went away while in use: unplugged, hung up
├── ProtocolError
│   ├── MessageError      a payload is not a message of this protocol
│   └── WrongBoard        another device, another identity or another protocol answers
├── BuildError            the firmware could not be built
└── FlashError            a board could not be flashed
    └── WrongPart         the chip, or the board, is not the one that the firmware is for
"""

from __future__ import annotations


class BridgeError(Exception):
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
