"""The wiring check as a step of commissioning: which signal, and which events."""

from __future__ import annotations

import re
from pathlib import Path

from wayside.contracts.actuator_config import SignalConfig
from wayside.contracts.commissioning import WiringCheck
from wayside.contracts.node_config import NodeConfig
from wayside.edge.commission.record import CommissionError
from wayside.edge.commission.wiring.events_file import read_events
from wayside.edge.commission.wiring.listen import listen
from wayside.edge.commission.wiring.verdict import check_wiring
from wayside.edge.doctor.running import agent_runs
from wayside.terminal import Screen

_UNITS_S = {"s": 1, "m": 60, "h": 3600}
LONGEST_S = 4 * 3600.0


def seconds_of(text: str) -> float:
    """``30m``, ``1h`` or ``90s``.

    Raises:
        ValueError: it is none, or longer than what is judged.
    """
    match = re.fullmatch(r"(\d{1,6}(?:\.\d{1,3})?)([smh])", text.strip().lower())
    seconds = float(match[1]) * _UNITS_S[match[2]] if match else 0.0
    if not 0 < seconds <= LONGEST_S:
        raise ValueError(f"{text!r} is no time of at most 4 hours: 30m is half an hour")
    return seconds


def signal_with_loops(config: NodeConfig) -> SignalConfig:
    """Raises: CommissionError: nothing says what the detectors should be."""
    for actuator in config.actuators:
        if isinstance(actuator, SignalConfig) and actuator.loops:
            return actuator
    raise CommissionError(
        "no signal of this node says which detector serves which phase: list them as [[actuators.loops]]"
    )


def wiring_of_file(config: NodeConfig, path: Path) -> WiringCheck:
    """Raises: CommissionError."""
    return check_wiring(signal_with_loops(config), read_events(path).observed(), source="file")


def wiring_of_board(config: NodeConfig, state_dir: Path, seconds: float, console: Screen) -> WiringCheck:
    """Listen, then judge; after Ctrl-C what was heard until then, marked as partial.

    Raises:
        CommissionError: there is no board, or it is silent.
    """
    signal = signal_with_loops(config)
    if config.board is None:
        raise CommissionError("this node has no [board]; give the events as a file: --events FILE")
    if agent_runs(state_dir):
        console.print(
            "An agent runs: for all of this time it gets no more than what the board can hold. "
            "Its log serves as well: `wayside node events CONFIG --out events.csv`, then --events events.csv",
            markup=False,
            soft_wrap=True,
        )
    console.print(
        f"Wiring: {len(signal.loops)} detectors, {seconds / 60:g} min of traffic. "
        "Ctrl-C ends it and keeps what was heard.",
        markup=False,
        soft_wrap=True,
    )
    observer, whole = listen(config.board, seconds, console)
    return check_wiring(signal, observer.observed(), partial=not whole)
