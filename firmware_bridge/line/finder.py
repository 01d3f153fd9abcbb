"""Ports by identity: of the ports that a pattern names, the one at which the right board answers.

USB adapters are numbered as they come; ``/dev/ttyUSB0`` may be another board after a power cut. A pattern such as
``/dev/serial/by-id/*`` with the board's identity is always the same board. Each candidate is sent a HELLO a second
that acknowledges nothing, so asking costs a board no event. Keep the pattern narrow: other devices get those
bytes, too.
"""

from __future__ import annotations

import asyncio
import glob
import math

from wayside.firmware_bridge.errors import LineError, LineUnavailable, PortLent, WrongBoard
from wayside.firmware_bridge.line.board import BoardLink
from wayside.firmware_bridge.line.borrow import is_lent
from wayside.firmware_bridge.line.conversation import open_conversation

PATIENCE_S = 3.0


def is_pattern(port: str) -> bool:
    return "://" not in port and glob.has_magic(port)


def matching(pattern: str) -> list[str]:
    """The ports that are there now, sorted."""
    return sorted(glob.glob(pattern))  # noqa: PTH207  (pathlib's takes no absolute pattern)


async def find_board(pattern: str, baud: int, board_id: str, patience_s: float = PATIENCE_S) -> str:
    """The port at which ``board_id`` answers.

    Raises:
        LineUnavailable: no port matches, or none is the board; the message says of each why not.
        PortLent: it is at none of the others, and this port is on loan; nobody asked there.
    """
    ports = await asyncio.to_thread(matching, pattern)
    lent = [port for port in ports if is_lent(port)]
    asking = {asyncio.create_task(_ask(port, baud, board_id, patience_s)): port for port in ports if port not in lent}
    reasons: dict[str, str] = {}
    try:
        for done in asyncio.as_completed(asking):
            port, reason = await done
            if reason is None:
                return port
            reasons[port] = reason
    finally:
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)  # the ports are free again
    if lent:
        raise PortLent(lent[0])
    listed = "; ".join(f"{port}: {reasons[port]}" for port in ports) or "no port matches"
    raise LineUnavailable(f"board {board_id!r} is not at {pattern}: {listed}")


async def _ask(port: str, baud: int, board_id: str, patience_s: float) -> tuple[str, str | None]:
    try:
        with open_conversation(port, baud, BoardLink(board_id), silent_s=math.inf) as conversation:
            async with asyncio.timeout(patience_s):
                while conversation.link.identity is None:
                    await conversation.turn()
    except (LineError, WrongBoard) as exc:
        return port, str(exc)
    except TimeoutError:
        return port, "nothing answers"
    return port, None
