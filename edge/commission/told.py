"""What feeding systems tell while no agent runs: shown to the technician, never confirmed, so that it comes again."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from wayside.contracts.manual_config import ManualConfig
from wayside.contracts.node_config import NodeConfig
from wayside.edge.clock import open_clock
from wayside.edge.commission.sensor_walk import State
from wayside.edge.ledger import Ledger
from wayside.edge.sensors.csv_rows import LineUnreadable
from wayside.edge.sensors.manual import last_row
from wayside.edge.sources.entry import Entry, EntryRefused
from wayside.edge.sources.manual import ManualSource, Taken
from wayside.edge.sources.step import Grid

LOOK_S = 0.5


class ShownOnly:
    """Who listens in the agent's place."""

    def __init__(self, config: NodeConfig, told: ManualConfig, states: Mapping[str, State]) -> None:
        clock = open_clock(config.clock)
        ledger = Ledger(config.node, "0" * 32, clock)
        self.manual = ManualSource(told, clock, Grid(clock, config.step_s), ledger)
        self._units = {v.datastream: v.unit for v in told.values}
        self._states = states

    def told(self, entries: Sequence[Entry]) -> Taken:
        """Raises: EntryRefused, always."""
        self.manual.take(entries)  # says what is wrong with them
        self.show(entries)
        raise EntryRefused("this node is being commissioned: send it again, with the same ids", passes=True)

    def show(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            if entry.value is not None:
                state = self._states[entry.datastream]
                state.value, state.trouble = f"{entry.value:g} {self._units[entry.datastream]}", None


async def watch_told(config: NodeConfig, folder: Path, states: Mapping[str, State]) -> None:
    """Fill ``states`` until cancelled; relative paths of files begin in ``folder``."""
    told = config.manual
    if told is None:
        return
    desk = ShownOnly(config, told, states)
    async with asyncio.TaskGroup() as group:
        if told.port is not None:
            from wayside.edge.sensors.manual_http import serve

            group.create_task(serve(told, desk))
        while told.files:
            for file in told.files:
                try:
                    desk.show(await asyncio.to_thread(last_row, file, folder, config.clock.timezone, told))
                except (OSError, LineUnreadable) as exc:
                    why = (exc.strerror or str(exc)) if isinstance(exc, OSError) else str(exc)
                    for name in file.columns.values():
                        states[name].trouble = f"{file.path}: {why}"
            await asyncio.sleep(LOOK_S)
