"""Dry contacts → closed steps and conditions: how often each button was pressed, and whether a door is open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from wayside.contracts.node_config import PRESSES
from wayside.contracts.reading import Quality
from wayside.contracts.sensor_config import ContactConfig
from wayside.contracts.task_config import Datastream
from wayside.edge.clock import Clock
from wayside.edge.ledger import Ledger
from wayside.edge.sources.beat import Beat
from wayside.edge.sources.step import Closed, Grid, Step


class ContactSource:
    """The configured contacts of a node, on its own clock."""

    name = "contacts"

    def __init__(self, configs: Sequence[ContactConfig], clock: Clock, grid: Grid, ledger: Ledger) -> None:
        self._buttons = [c.datastream for c in configs if c.role == "ped_button"]
        self.datastreams = tuple(Datastream(name=name, unit=PRESSES, aggregate="sum") for name in self._buttons)
        self._ledger = ledger
        self._beat = Beat(clock, grid)
        self._presses = dict.fromkeys(self._buttons, 0)  # in the open step
        self._closed: Closed = []
        self.closures: dict[str, int] = {}  # of each contact since the start: for people at the cabinet

    def change(self, contact: ContactConfig, closed: bool) -> None:
        """A button was pressed or let go, a door was opened or closed."""
        name = contact.datastream
        self.closures[name] = self.closures.get(name, 0) + closed
        if contact.role == "ped_button":
            self.pass_time()
            self._presses[name] += closed
        elif closed:
            self._ledger.begin("door_open", name, "the cabinet door is open", severe=False)
        else:
            self._ledger.end("door_open", name)

    def pass_time(self) -> None:
        if not self._buttons:
            return
        for ended in self._beat.pass_time(self._beat.now_ms()):
            presses = list(self._presses.values())
            self._presses = dict.fromkeys(self._buttons, 0)
            self._closed.append(
                Step(
                    ended.grid,
                    ended.start_ms * 1_000_000,
                    ended.end_ms * 1_000_000,
                    0,
                    [float(n) for n in presses],
                    [Quality.GOOD] * len(presses),
                    presses,
                )
            )

    def closed(self) -> Closed:
        closed, self._closed = self._closed, []
        return closed

    def next_number(self, grid: int) -> None:
        self._beat.next_number(grid)

    def state(self) -> dict[str, Any]:
        return self._beat.state() | {"presses": self._presses}

    def restore(self, state: Mapping[str, Any]) -> None:
        if "machine" in state:  # else from an agent that closed them with the board's steps
            self._beat.restore(state)
        self._presses.update({k: v for k, v in state["presses"].items() if k in self._presses})
