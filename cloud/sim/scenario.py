"""What is simulated: the task and actuator tables of a node's file, as they would be deployed, and a ``[plant]`` table
of what the node does not know (docs/effect.md)."""

from __future__ import annotations

import importlib.resources
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar

import msgspec

from wayside.cloud.sim.air import AirPlant
from wayside.cloud.sim.energy import EnergyPlant
from wayside.cloud.sim.errors import ScenarioError
from wayside.contracts.actuator_config import ActuatorConfig, NoticeConfig, SetpointConfig
from wayside.contracts.task_config import TaskConfig
from wayside.contracts.wire import ContractError, Document, from_builtins, parsed_toml
from wayside.edge.policies.policy import SettingsError, choose
from wayside.paths import placed
from wayside.text import read_toml

TABLES = ("tasks", "actuators", "plant")


class EnergyScenario(Document, frozen=True, kw_only=True):
    tasks: Annotated[tuple[TaskConfig, ...], msgspec.Meta(min_length=1, max_length=64)]
    actuators: Annotated[tuple[ActuatorConfig, ...], msgspec.Meta(min_length=1, max_length=64)]
    plant: EnergyPlant = EnergyPlant()


class AirScenario(Document, frozen=True, kw_only=True):
    tasks: Annotated[tuple[TaskConfig, ...], msgspec.Meta(min_length=1, max_length=64)]
    actuators: Annotated[tuple[ActuatorConfig, ...], msgspec.Meta(min_length=1, max_length=64)]
    plant: AirPlant = AirPlant()


S = TypeVar("S", EnergyScenario, AirScenario)


class Acting(NamedTuple):
    """A task that decides, with what it decides by and about."""

    task: TaskConfig
    limits: ActuatorConfig
    policy: Any
    settings: Any


def load_energy(name: str | None) -> EnergyScenario:
    """The scenario in a .toml file, a node's own file among others, or one that comes along: ``energy`` (also for
    None), ``energy_time_of_use``.

    Raises:
        ScenarioError: there is none, or it breaks its contract.
    """
    return _load(name or "energy", EnergyScenario)


def load_air(name: str | None) -> AirScenario:
    """The same for air. Raises: ScenarioError."""
    return _load(name or "air", AirScenario)


def _load(name: str, kind: type[S]) -> S:
    folder = importlib.resources.files("wayside.cloud.sim") / "scenarios"
    try:
        file = read_toml(placed(Path(), name)) if name.endswith(".toml") else (folder / f"{name}.toml").read_bytes()
        tables = parsed_toml(file)
        # Of a node's file its other sections are of no interest here; the node checks them.
        return from_builtins({table: tables[table] for table in TABLES if table in tables}, kind)
    except OSError as exc:
        known = ", ".join(sorted(Path(str(f)).stem for f in folder.iterdir() if str(f).endswith(".toml")))
        raise ScenarioError(
            f"{name} cannot be read: {exc.strerror or exc}; known: {known}; or give the path of a .toml file"
        ) from exc
    except ContractError as exc:
        raise ScenarioError(f"{name}: {exc}; docs/effect.md describes the file") from exc


def acting(scenario: EnergyScenario | AirScenario, kind: type[SetpointConfig] | type[NoticeConfig]) -> list[Acting]:
    """The tasks whose policy drives an actuator of ``kind``.

    Raises:
        ScenarioError: a task, its policy's settings and its actuator do not fit together.
    """
    by_name = {a.name: a for a in scenario.actuators}
    chosen = []
    for task in scenario.tasks:
        if task.policy is None:
            continue
        limits = by_name.get(str(task.actuator))
        if limits is None:
            raise ScenarioError(f"task {task.name}: there is no actuator {task.actuator!r} in the file")
        if isinstance(limits, kind):
            try:
                chosen.append(Acting(task, limits, *choose(task, limits)))
            except SettingsError as exc:
                raise ScenarioError(f"{exc}; `wayside node check` says more") from exc
    return chosen
