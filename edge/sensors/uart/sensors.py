"""All sensors on serial ports of one node, as one routine of the agent."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any

from wayside.contracts.uart_config import UartConfig
from wayside.edge.clock import Clock
from wayside.edge.node import Node
from wayside.edge.sensors.uart.line import Conditions, Told, UartSensor


class UartSensors:
    """One :class:`UartSensor` for each table of the configuration."""

    def __init__(self, configs: Sequence[UartConfig], told: Told, conditions: Conditions) -> None:
        self._sensors: list[UartSensor] = []
        first = 0
        for config in configs:
            self._sensors.append(UartSensor(config, first, told, conditions))
            first += len(config.values)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for sensor in self._sensors:
                group.create_task(sensor.run())

    def status(self) -> list[dict[str, Any]]:
        return [sensor.status() for sensor in self._sensors]


def sensors_of(configs: Sequence[UartConfig], node: Node, clock: Clock) -> UartSensors:
    """Those that feed ``node``."""
    told = Told(
        partial(node.value_read, node.uart),
        partial(node.value_failed, node.uart),
        node.value_now,
        clock.hear_gps,
        clock.mono_ns,
    )
    return UartSensors(configs, told, node.ledger)
