"""`wayside doctor`: every check of a node at its cabinet, in order, each with what to do about a failure.

Changes nothing and needs no network, except to ask the hub. Beside a running agent the status file of the agent stands
for what only one program can have at a time, the board's port above all.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from wayside.contracts.mistakes import spelled
from wayside.contracts.node_check import obstacles
from wayside.contracts.node_config import NodeConfig
from wayside.edge.doctor.cameras import check_cameras
from wayside.edge.doctor.conditions import check_conditions
from wayside.edge.doctor.finding import Finding, looked_at
from wayside.edge.doctor.hub import check_enrolment, check_hub, check_notices, check_proxy, check_root
from wayside.edge.doctor.machine import Machine, check_disk, check_power, check_temperature, check_time
from wayside.edge.doctor.manual import check_manual
from wayside.edge.doctor.meters import check_lines, check_relays
from wayside.edge.doctor.model import check_models
from wayside.edge.doctor.running import check_agent, running_agent
from wayside.edge.doctor.sensors import check_board, check_sensors
from wayside.paths import placed, settled


def check_configuration(config: NodeConfig) -> Iterator[Finding]:
    """What the file asks for and no node can do; it is valid, or nothing would be examined."""
    for obstacle in obstacles(config):
        yield Finding("configuration", "fail", f"{spelled(obstacle.place)}: {obstacle.rule}", "correct the node's file")


def examine(
    config: NodeConfig, folder: Path, *, machine: Machine | None = None, listen_s: float = 3.0
) -> Iterator[Finding]:
    """Every check of a node whose configuration lies in ``folder``, as it is made.

    Args:
        listen_s: how long to wait for the board.
    """
    machine = machine or Machine()
    state_dir = settled(folder, config.state_dir)
    agent = running_agent(state_dir)
    yield from check_configuration(config)
    yield check_time(config, agent)
    yield looked_at("disk", lambda: check_disk(config, state_dir))
    yield check_power(machine)
    yield check_temperature(machine)
    yield check_agent(agent, state_dir)
    yield from check_conditions(agent)
    if config.board is not None:
        yield from check_board(config.board, agent, listen_s)
    yield from check_lines(config, agent)
    yield from check_relays(config, agent)
    if config.uart:
        from wayside.edge.doctor.uart import check_uart

        yield from check_uart(config.uart, agent, listen_s)
    yield from check_cameras(config.cameras, folder, agent, listen_s)
    if config.manual is not None:
        yield from check_manual(config.manual, folder, config.clock.timezone, agent)
    if config.detectors or config.gpio.contacts:
        yield check_sensors(config, agent)
    if config.hub is not None:
        yield check_hub(config, folder, agent)
        if config.hub.proxy is None and (proxies := check_proxy()) is not None:
            yield proxies
        yield looked_at("enrolment", lambda: check_enrolment(config, state_dir, agent))
        yield check_notices(agent)
        yield check_root(placed(folder, config.model.tuf_root))
    yield from check_models(config, state_dir, agent)
