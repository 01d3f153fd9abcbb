"""What a node's file asks of policies that they cannot do, with the field where it stands."""

from __future__ import annotations

from collections.abc import Iterator

from wayside.contracts.actuator_config import SignalConfig
from wayside.contracts.mistakes import Mistake
from wayside.contracts.node_config import NodeSections
from wayside.edge.policies.policy import check, check_beat


def mistakes(config: NodeSections) -> Iterator[Mistake]:
    yield from _tasks(config)
    yield from _beat(config)


def _tasks(config: NodeSections) -> Iterator[Mistake]:
    actuators = {a.name: a for a in config.actuators}
    both = frozenset({"tasks", "actuators"})
    for i, task in enumerate(config.tasks):
        if task.policy is None or task.actuator not in actuators:
            continue
        for sentence in check(task, actuators[task.actuator]):
            rule = sentence.removeprefix(f"task {task.name}, policy {task.policy}: ").removeprefix(
                f"task {task.name}: "
            )
            setting = rule.removeprefix("settings.").split(":")[0].split(".")[0].split("[")[0]
            if rule.startswith("settings.") and setting in task.settings:
                told = rule.removeprefix(f"settings.{setting}").lstrip(": ")
                yield Mistake(("tasks", i, "settings", setting), told, both)
            else:
                yield Mistake(("tasks", i, "policy"), f"{task.policy}: {rule}", both)


def _beat(config: NodeSections) -> Iterator[Mistake]:
    for i, actuator in enumerate(config.actuators):
        if not isinstance(actuator, SignalConfig) or actuator.beat is None:
            continue
        place = ("actuators", i, "beat")
        policy, settings = actuator.beat.policy, actuator.beat.settings
        for sentence in check_beat(actuator):
            rule = sentence.removeprefix(f"{actuator.name}, policy {policy}: ").removeprefix(f"{actuator.name}: ")
            setting = rule.removeprefix("settings.").split(":")[0].split(".")[0].split("[")[0]
            if rule.startswith("settings.") and setting in settings:
                told = rule.removeprefix(f"settings.{setting}").lstrip(": ")
                yield Mistake((*place, "settings", setting), told)
            else:
                yield Mistake((*place, "policy"), rule)
