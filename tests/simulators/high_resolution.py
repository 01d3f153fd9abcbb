"""High-resolution codes back to the board's events, and a node that hears them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

import msgspec

from tests.simulators import signal_day
from tests.simulators.agent import node_toml
from wayside.contracts.actuator_config import LoopConfig, PhaseLimits, SignalConfig
from wayside.contracts.node_config import NodeConfig, load_node_config
from wayside.edge.clock import open_clock
from wayside.edge.measures.codes import BOARD_CODES
from wayside.edge.node import Node
from wayside.firmware_bridge.line.board import Heard
from wayside.firmware_bridge.line.messages import Event, Identity, Status

BEGIN_MS = 1_704_067_200_000  # node_toml's scaled clock shows it when the board's is 0
_EVENTS = {codes[-1]: key for key, codes in reversed(BOARD_CODES.items())}  # each by the last of its codes


def board_events(events: Iterable[tuple[int, int, int]], seq: int = 1) -> Iterator[Event]:
    """Codes that come with another of the same event (7 with 8, 9 with 10, 45 with 90) are that event."""
    for ms, code, parameter in events:
        if code in _EVENTS:
            kind, value = _EVENTS[code]
            yield Event(seq, ms - BEGIN_MS, kind, parameter, value)
            seq += 1


def as_told(events: Iterable[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """The log that a node makes of what :func:`board_events` gives."""
    return [
        (event.ms + BEGIN_MS, code, event.channel)
        for event in board_events(events)
        for code in BOARD_CODES[event.kind, event.value]
    ]


def config(loops: tuple[LoopConfig, ...], **more: object) -> NodeConfig:
    made = load_node_config(node_toml("/dev/null", anchor_s=time.time() + 3600, speed=1000))
    limits: dict[str, float] = {"green_s": 11, "min_green_s": 5, "max_green_s": 50, "yellow_s": 3, "red_clearance_s": 1}
    phases = tuple(PhaseLimits(phase=phase, **limits) for phase in signal_day.RING)
    signal = SignalConfig(name="intersection/signal", cycle_s=60, phases=phases, loops=loops)
    others = tuple(actuator for actuator in made.actuators if not isinstance(actuator, SignalConfig))
    return msgspec.structs.replace(made, actuators=(signal, *others), **more)


def running(config: NodeConfig) -> Node:
    """A node whose board has just started."""
    node = Node(config, open_clock(config.clock), "0" * 32)
    node.receive([Identity(1, 0, 0, 1, 0, "board-1", 7, 1, 8192), Status(0, 1, 1, 0, 0, 0, 0, 1)])
    return node


def hear(node: Node, events: Iterable[Event], every_ms: int = 10_000) -> None:
    """Tell them as the line does, a STATUS every ``every_ms``, the last one an hour after the last event."""
    heard: list[Heard] = []
    seq, due = 1, every_ms
    for event in events:
        while event.ms > due:
            node.receive([*heard, Status(due, seq, 1, seq - 1, 0, 0, 0, 1)])
            heard.clear()
            due += every_ms
        heard.append(event)
        seq = event.seq + 1
    node.receive([*heard, Status(due, seq, 1, seq - 1, 0, 0, 0, 1)])
    node.receive([Status(due + 3_600_000, seq, 1, seq - 1, 0, 0, 0, 1)])
