"""Everything that is wrong with a node's file, beside the files that it names and the models that it should run.

Changes nothing. What needs no more than the text is judged in :mod:`wayside.contracts.node_check`, for cards, too.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import httpx
import msgspec

from wayside.contracts.actuator_config import SignalConfig
from wayside.contracts.fit import misfits
from wayside.contracts.mistakes import Mistake, spelled
from wayside.contracts.modbus_config import of_manual
from wayside.contracts.node_check import Python, obstacles
from wayside.contracts.node_config import NodeConfig, read_node_config, with_lines_listed
from wayside.contracts.passport import MAX_BUNDLE_BYTES, Passport
from wayside.contracts.version import VERSION
from wayside.contracts.wire import ContractError, decode, parsed_toml
from wayside.edge.doctor.hub import check_root
from wayside.edge.errors import EdgeError
from wayside.edge.hub_tls import HubTls, TlsError
from wayside.edge.policies.policy import check as policy_mistakes
from wayside.edge.policies.policy import check_beat as beat_mistakes
from wayside.edge.policies.policy import refused as refused_policies
from wayside.edge.runtimes.load import available
from wayside.edge.sensors import video
from wayside.edge.trusted_bundle import open_bundle
from wayside.text import read_toml

ALONE = ("node", "state_dir", "clock", "hub", "model", "board", "modbus", "storage")
"""Sections that are right or wrong whatever the others say."""


class TaskMisfit(NamedTuple):
    """Why a task of the file cannot run a model."""

    task: str
    model: str  # bundle and version
    misses: str  # contracts.fit.Misses
    message: str


class Checked(NamedTuple):
    """``mistakes`` are (field, rule), as the person wrote the field; ``hints`` keep nothing from working."""

    config: NodeConfig | None
    mistakes: tuple[tuple[str, str], ...] = ()
    hints: tuple[str, ...] = ()
    misfits: tuple[TaskMisfit, ...] = ()
    fitting: tuple[str, ...] = ()  # which model fits which task

    @property
    def ok(self) -> bool:
        return not self.mistakes and not self.misfits


def check_file(path: Path, passports: Sequence[Passport] = (), python: Python | None = None) -> Checked:
    """Check the file at ``path``; paths in it begin at its folder.

    Args:
        passports: of models that it should run.
        python: of the node, where that is another computer; None: this one.

    Raises:
        OSError: the file cannot be read.
    """
    file, folder = read_toml(path), path.resolve().parent
    judged_for = python or (sys.version_info[0], sys.version_info[1])
    try:
        loaded = read_node_config(file)
    except ContractError as exc:
        return Checked(None, tuple(dict.fromkeys((*exc.mistakes, *_beside(exc.mistakes, file, folder, judged_for)))))
    config = loaded.config
    mistakes = [*obstacles(config, judged_for)]
    judged = {m.place for m in mistakes}
    if python is None:
        mistakes += _cameras(config)
    mistakes += [
        m
        for m in (*_policies(config), *_beat(config), *_sunspec(config), *_on_this_machine(config, folder))
        if m.place not in judged
    ]
    hints = [*loaded.hints, *refused_policies(), *_manual_numbers(config)]
    if python is None and config.model.runtime not in available():
        hints.append(
            f'$.model.runtime: {config.model.runtime} is not installed on this computer: pip install "wayside[edge]", '
            "unless the file is for another"
        )
    written = tuple(dict.fromkeys((spelled(loaded.as_written(m.place)), m.rule) for m in mistakes))
    return Checked(config, written, tuple(hints), *_fit(config, passports))


def _beside(
    mistakes: Sequence[tuple[str, str]], file: bytes, folder: Path, python: Python
) -> Iterator[tuple[str, str]]:
    """What cannot work in the sections of a file that have no part in its ``mistakes`` and stand alone."""
    broken = {m[1] for field, _ in mistakes if (m := re.match(r"\$\.([A-Za-z0-9_-]+)", field))}
    try:
        given = parsed_toml(file)
        sound = {name: given[name] for name in ALONE if name in given and name not in broken}
        sound = with_lines_listed(sound)
        if isinstance(sound.get("modbus"), list):  # a line to which only actuators belong needs them
            sound["modbus"] = [line for line in sound["modbus"] if "registers" in line or "sunspec" in line]
        config = msgspec.convert({"node": "unnamed", "state_dir": ".", **sound}, NodeConfig)
    except (ContractError, msgspec.ValidationError, RecursionError):
        return
    for mistake in (*obstacles(config, python), *_sunspec(config), *_on_this_machine(config, folder)):
        section = mistake.place[0]
        if section not in broken:
            place = mistake.place if section in sound else ()
            if section == "modbus" and isinstance(given.get("modbus"), dict):
                place = ("modbus", *place[2:])
            yield spelled(place), mistake.rule


def read_passport(path: Path) -> Passport:
    """The passport of a ``passport.json`` or of a bundle.

    Raises:
        EdgeError: it is neither.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        content = file.read(MAX_BUNDLE_BYTES + 1)
    if not content.lstrip().startswith(b"{"):
        return open_bundle(content, agent_version=None).passport
    try:
        return decode(content, Passport)
    except ContractError as exc:
        raise EdgeError(f"is no passport: {exc}") from exc


def _fit(config: NodeConfig, passports: Sequence[Passport]) -> tuple[tuple[TaskMisfit, ...], tuple[str, ...]]:
    offer = config.offer(VERSION)
    wrong: list[TaskMisfit] = []
    fitting: list[str] = []
    for passport in passports:
        model = f"{passport.bundle} {passport.version}"
        tasks = [task for task in offer.tasks if task.bundle == passport.bundle]
        if not tasks:
            bundles = ", ".join(sorted({task.bundle for task in offer.tasks})) or "none"
            wrong.append(TaskMisfit("", model, "bundle", f"no task takes {passport.bundle}; the tasks take {bundles}"))
        for task in tasks:
            reasons = misfits(passport, task, offer)
            wrong += [TaskMisfit(task.name, model, m.misses, m.message) for m in reasons]
            if not reasons:
                fitting.append(f"{model} fits the task {task.name}")
    return tuple(wrong), tuple(fitting)


def _cameras(config: NodeConfig) -> Iterator[Mistake]:
    for i, camera in enumerate(config.cameras):
        if camera.url is not None and not video.available():
            yield Mistake(("cameras", i, "url"), f"cannot be read here: {video.INSTALL}")


def _policies(config: NodeConfig) -> Iterator[Mistake]:
    actuators = {a.name: a for a in config.actuators}
    for i, task in enumerate(config.tasks):
        if task.policy is None or task.actuator is None:
            continue
        for sentence in policy_mistakes(task, actuators[task.actuator]):
            rule = sentence.removeprefix(f"task {task.name}, policy {task.policy}: ").removeprefix(
                f"task {task.name}: "
            )
            setting = rule.removeprefix("settings.").split(":")[0].split(".")[0].split("[")[0]
            if rule.startswith("settings.") and setting in task.settings:
                yield Mistake(("tasks", i, "settings", setting), rule.removeprefix(f"settings.{setting}").lstrip(": "))
            else:
                yield Mistake(("tasks", i, "policy"), f"{task.policy}: {rule}")


def _beat(config: NodeConfig) -> Iterator[Mistake]:
    for i, actuator in enumerate(config.actuators):
        if not isinstance(actuator, SignalConfig) or actuator.beat is None:
            continue
        place = ("actuators", i, "beat")
        policy, settings = actuator.beat.policy, actuator.beat.settings
        for sentence in beat_mistakes(actuator):
            rule = sentence.removeprefix(f"{actuator.name}, policy {policy}: ").removeprefix(f"{actuator.name}: ")
            setting = rule.removeprefix("settings.").split(":")[0].split(".")[0].split("[")[0]
            if rule.startswith("settings.") and setting in settings:
                told = rule.removeprefix(f"settings.{setting}").lstrip(": ")
                yield Mistake((*place, "settings", setting), told)
            else:
                yield Mistake((*place, "policy"), rule)


def _manual_numbers(config: NodeConfig) -> Iterator[str]:
    """Register addresses that may be copied from a manual, which counts from 1 behind a digit for the table."""
    for i, line in enumerate(config.modbus):
        for j, register in enumerate(line.registers):
            manual = of_manual(register.address)
            if manual is not None:
                where = spelled(("modbus", i, "registers", j, "address"))
                write = f'address = {manual[1]}, table = "{manual[0]}"'
                yield f"{where}: if {register.address} is the manual's number, write {write}"


def _sunspec(config: NodeConfig) -> Iterator[Mistake]:
    if not any(line.sunspec for line in config.modbus):
        return
    from wayside.edge.sensors.sunspec_model import mistakes

    for i, line in enumerate(config.modbus):
        for j, device in enumerate(line.sunspec):
            yield from (m._replace(place=("modbus", i, "sunspec", j, *m.place)) for m in mistakes(device))


def _on_this_machine(config: NodeConfig, folder: Path) -> Iterator[Mistake]:
    """What the file names and this computer has not, or has twice."""
    if config.hub is not None:
        try:
            _ = httpx.URL(config.hub.url).host
        except (httpx.InvalidURL, UnicodeError) as exc:  # UnicodeError: a name that stands for no letters
            yield Mistake(("hub", "url"), f"is no URL that can be used: {exc}")
        root = check_root(folder / config.model.tuf_root)
        if root.state == "fail":
            yield Mistake(("model", "tuf_root"), f"there is no trust root: {root.said}; {root.fix}")
        try:
            HubTls(config.hub, folder).context()
        except TlsError as exc:
            yield Mistake(("hub", "ca"), str(exc).removeprefix("hub.ca: "))
    state_dir = folder / config.state_dir
    try:
        there = next(p for p in (state_dir, *state_dir.parents) if p.exists())
        if not there.is_dir():
            yield Mistake(("state_dir",), f"{there} is a file, so there can be no such folder")
    except (OSError, ValueError) as exc:
        yield Mistake(("state_dir",), f"cannot be looked at: {getattr(exc, 'strerror', None) or exc}")
    taken = {os.path.realpath(config.board.port): "the board"} if config.board and "\0" not in config.board.port else {}
    for i, line in enumerate(config.modbus):
        port = os.path.realpath(line.port) if "\0" not in line.port else ""
        if port in taken and Path(port).exists():
            yield Mistake(("modbus", i, "port"), f"is {taken[port]}'s by another name: both are {port}")
        taken.setdefault(port, line.label)
