"""What speaks on a sensor's port, for the people at the cabinet: which protocol, at which baud rate, saying what."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple, cast

from wayside.contracts.uart_config import KINDS, UartConfig
from wayside.edge.sensors.uart.decoder import Asked, Frame
from wayside.edge.sensors.uart.kinds import PROTOCOLS, decoder_of
from wayside.edge.sensors.uart.line import open_line

FRAMES = 2  # that agree on who speaks
ASK_S = 0.6
SEARCH_S = 2.5  # at each baud rate
BAUDS = (9600, 115_200, 4800)


class Heard(NamedTuple):
    """At one baud rate."""

    baud: int
    received: bytes
    protocol: str | None  # that speaks
    frames: list[Frame]
    note: str = ""  # what the decoder of the configured protocol says of itself
    echo: bool = False  # it returned what was sent


async def listen(config: UartConfig, patience_s: float) -> Heard:
    """Listen as ``config`` says, then, if that is nothing, for everything that is known.

    Raises:
        UartError, LineError: the port cannot be had, or is gone.
    """
    wait_s = max(patience_s, FRAMES * config.kind.every_s + 1)
    first = await _listen(config, config.rate, [config.protocol], wait_s)
    if first.frames or first.note or first.echo:
        return first
    for baud in dict.fromkeys((config.rate, *BAUDS)):
        other = await _listen(config, baud, PROTOCOLS, SEARCH_S)
        if other.protocol is not None:
            return other
    return first


async def _listen(config: UartConfig, baud: int, protocols: Sequence[str], wait_s: float) -> Heard:
    decoders = {p: decoder_of(p) for p in protocols}
    asked = [cast("Asked", d) for p, d in decoders.items() if KINDS[p].asked]
    frames: dict[str, list[Frame]] = {p: [] for p in protocols}
    received, sent = bytearray(), b""
    line = await open_line(config, baud)
    loop = asyncio.get_running_loop()
    end, turn = loop.time() + wait_s, 0
    try:
        while loop.time() < end and all(len(f) < FRAMES for f in frames.values()):
            if asked:
                sent = asked[turn % len(asked)].request()
                turn += 1
                line.write(sent)
            try:
                async with asyncio.timeout(min(ASK_S, max(0.0, end - loop.time()))):
                    while True:
                        data = await line.read()
                        received += data
                        for protocol, decoder in decoders.items():
                            frames[protocol] += decoder.feed(data)
            except TimeoutError:
                pass
    finally:
        line.close()
    best = max(frames, key=lambda p: len(frames[p]))
    note = decoders[config.protocol].note
    echo = bool(sent) and sent in received
    return Heard(baud, bytes(received), best if frames[best] else None, frames[best], note, echo)
