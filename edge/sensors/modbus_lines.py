"""All Modbus lines of a node. pymodbus is loaded only where there is one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from wayside.contracts.modbus_config import ModbusConfig, line_named
from wayside.edge.actuators import ReadBackSetpoint

if TYPE_CHECKING:
    from wayside.edge.sensors.modbus import ModbusLine

OnRead = Callable[[int, float | None, float | None], None]
"""Index, raw number, where a counter begins again: :meth:`wayside.edge.sources.values.ValueSource.read`."""
OnFailed = Callable[[int, str], None]


class ModbusLines:
    """Every line of a node; each keeps its own time, and at the end each leaves its set-points safe."""

    def __init__(
        self,
        configs: Sequence[ModbusConfig],
        on_read: OnRead,
        on_failed: OnFailed,
        setpoints: Iterable[ReadBackSetpoint] = (),
    ) -> None:
        """Indices count on from line to line. A set-point whose line there is not says so."""
        of_line: dict[int, list[ReadBackSetpoint]] = {}
        for setpoint in setpoints:
            target = setpoint.config.register
            line = line_named(configs, target.line) if target is not None else None
            if line is not None:
                of_line.setdefault(configs.index(line), []).append(setpoint)
            elif target is not None:
                what = f"no Modbus line {target.line}" if configs and target.line else "no [modbus] line for it"
                setpoint.give_up(f"nothing can write it: the configuration has {what}")
        self.lines: list[ModbusLine] = []
        if not configs:
            return
        from wayside.edge.sensors.modbus import ModbusLine

        first = 0
        for i, config in enumerate(configs):
            read, failed = _counted_from(first, on_read, on_failed)
            self.lines.append(ModbusLine(config, read, failed, of_line.get(i, ())))
            first += len(config.values)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for line in self.lines:
                group.create_task(line.run())


def _counted_from(first: int, on_read: OnRead, on_failed: OnFailed) -> tuple[OnRead, OnFailed]:
    return (
        lambda index, raw, wraps_at: on_read(first + index, raw, wraps_at),
        lambda index, why: on_failed(first + index, why),
    )
