"""Everything that is wrong with a node's file, beside the files that it names and the models that it should run.

Changes nothing. What needs no more than the text is judged in :mod:`wayside.contracts.node_check`, for cards, too.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import httpx

from wayside.contracts.actuator_config import SetpointConfig
from wayside.contracts.fit import misfits
from wayside.contracts.hub_address import hub_address
from wayside.contracts.mistakes import Mistake, Place, spelled
from wayside.contracts.modbus_config import of_manual
from wayside.contracts.node_check import Sound, obstacles
from wayside.contracts.node_config import (
    HubConfig,
    Loaded,
    NodeConfig,
    NodeSections,
    Python,
    loaded,
    read_draft,
    runtimes_for,
)
from wayside.contracts.passport import MAX_BUNDLE_BYTES, Passport
from wayside.contracts.version import VERSION
from wayside.contracts.wire import ContractError, decode
from wayside.edge.configuration import state_dir
from wayside.edge.doctor.hub import check_root
from wayside.edge.errors import EdgeError
from wayside.edge.hub_tls import HubTls, TlsError
from wayside.edge.policies.node_file import mistakes as policies_mistakes
from wayside.edge.policies.policy import refused as refused_policies
from wayside.edge.runtimes.load import available
from wayside.edge.sensors import video
from wayside.edge.trusted_bundle import open_bundle
from wayside.hub_http.proxy import ProxyError, route
from wayside.hub_http.proxy import mistakes as proxy_mistakes
from wayside.paths import homeless, placed
from wayside.text import TextError, decode_unicode, read_file, read_toml


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
    try:
        draft = read_draft(file)
    except ContractError as exc:
        return Checked(None, exc.mistakes)
    judged_for = python or (sys.version_info[0], sys.version_info[1])
    sound = Sound(draft)
    config = sound.config
    mistakes: dict[Place, Mistake] = {}
    for mistake in (
        *obstacles(config, judged_for),
        *(() if python else _cameras(config)),
        *_sunspec(config),
        *policies_mistakes(config),
        *_on_this_machine(config, folder, elsewhere=python is not None),
    ):
        mistakes.setdefault(mistake.place, mistake)
    proven = sound.proven(mistakes.values())
    if draft.mistakes:
        return Checked(None, draft.refusal(proven).mistakes)
    node = loaded(draft)
    written = tuple(dict.fromkeys((spelled(node.as_written(m.place)), m.rule) for m in proven))
    hints = (*node.hints, *_hints(node, elsewhere=python is not None))
    if python is None and ("state_dir",) not in mistakes:
        hints += tuple(f"$.state_dir: {whose}" for whose in state_dir.hints(placed(folder, config.state_dir)))
    return Checked(node.config, written, hints, *_fit(node.config, passports, runtimes_for(judged_for)))


def _hints(node: Loaded, *, elsewhere: bool) -> Iterator[str]:
    """What keeps nothing from working, and is perhaps not what was meant."""
    config = node.config
    yield from refused_policies()
    yield from _manual_numbers(config)
    if config.hub is not None and config.hub.proxy is None:
        yield from proxy_mistakes()
    if not elsewhere:
        yield from (f"{spelled(node.as_written(p))}: {said}" for p, path in config.paths() if (said := homeless(path)))
    if not elsewhere and config.model.runtime == "auto" and not available():
        yield '$.model.runtime: this computer has none, so no model runs here: pip install "wayside[edge]"'
    elif not elsewhere and config.model.runtime not in ("auto", *available()):
        yield (
            f'$.model.runtime: {config.model.runtime} is not installed on this computer: pip install "wayside[edge]", '
            "unless the file is for another"
        )


def read_passport(path: Path) -> Passport:
    """The passport of a ``passport.json`` or of a bundle.

    Raises:
        EdgeError: it is neither.
        OSError: it cannot be read.
    """
    content = read_file(path, MAX_BUNDLE_BYTES)
    if content.startswith(b"PK"):
        return open_bundle(content, agent_version=None).passport
    try:
        return decode(decode_unicode(content).encode(), Passport)
    except (ContractError, TextError) as exc:
        raise EdgeError(f"is no passport: {exc}") from exc


def _fit(
    config: NodeConfig, passports: Sequence[Passport], runtimes: Sequence[str]
) -> tuple[tuple[TaskMisfit, ...], tuple[str, ...]]:
    offer = config.offer(VERSION, runtimes)
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


def _cameras(config: NodeSections) -> Iterator[Mistake]:
    for i, camera in enumerate(config.cameras):
        if camera.url is not None and not video.available():
            yield Mistake(("cameras", i, "url"), f"cannot be read here: {video.INSTALL}")


def _manual_numbers(config: NodeConfig) -> Iterator[str]:
    """Register addresses that may be copied from a manual, which counts from 1 behind a digit for the table."""
    named: list[tuple[Place, int]] = []
    for i, line in enumerate(config.modbus):
        named += [(("modbus", i, "registers", j), register.address) for j, register in enumerate(line.registers)]
    for i, actuator in enumerate(config.actuators):
        if isinstance(actuator, SetpointConfig) and actuator.register is not None:
            named.append((("actuators", i, "register"), actuator.register.address))
    for place, address in named:
        manual = of_manual(address)
        if manual is not None and (manual[0] == "holding" or place[0] == "modbus"):  # what is set is written
            write = f'address = {manual[1]}, table = "{manual[0]}"'
            yield f"{spelled((*place, 'address'))}: if {address} is the manual's number, write {write}"


def _sunspec(config: NodeSections) -> Iterator[Mistake]:
    if not any(line.sunspec for line in config.modbus):
        return
    from wayside.edge.sensors.sunspec_model import mistakes

    for i, line in enumerate(config.modbus):
        for j, device in enumerate(line.sunspec):
            yield from (m._replace(place=("modbus", i, "sunspec", j, *m.place)) for m in mistakes(device))


def _hub_http(hub: HubConfig) -> Iterator[Mistake]:
    """What the client itself refuses of an address and a proxy that are spelled well."""
    try:
        address = hub_address(hub.url)
        _ = httpx.URL(address.url).host
        route(address, hub.proxy)
    except ContractError:
        return  # judged with the text
    except (httpx.InvalidURL, UnicodeError) as exc:  # UnicodeError: a name that stands for no letters
        yield Mistake(("hub", "url"), f"is no URL that can be used: {exc}")
    except ProxyError as exc:
        if hub.proxy is not None:
            yield Mistake(("hub", "proxy"), str(exc).removeprefix("hub.proxy="))


def _on_this_machine(config: NodeSections, folder: Path, *, elsewhere: bool) -> Iterator[Mistake]:
    """What the file names and this computer has not, or has twice."""
    if config.hub is not None:
        yield from _hub_http(config.hub)
        root = check_root(placed(folder, config.model.tuf_root))
        if root.state == "fail":
            yield Mistake(("model", "tuf_root"), f"there is no trust root: {root.said}; {root.fix}")
        try:
            HubTls(config.hub, folder).context()
        except TlsError as exc:
            yield Mistake(("hub", "ca"), str(exc).removeprefix("hub.ca: "))
    for rule in state_dir.mistakes(placed(folder, config.state_dir), elsewhere=elsewhere):
        yield Mistake(("state_dir",), rule)
    if not elsewhere:
        yield from _inputs(config, folder)
    taken = {os.path.realpath(config.board.port): "the board"} if config.board and "\0" not in config.board.port else {}
    for i, line in enumerate(config.modbus):
        port = os.path.realpath(line.port) if "\0" not in line.port else ""
        if port in taken and Path(port).exists():
            yield Mistake(("modbus", i, "port"), f"is {taken[port]}'s by another name: both are {port}")
        taken.setdefault(port, line.label)


def _inputs(config: NodeSections, folder: Path) -> Iterator[Mistake]:
    """A folder where a file should be, or a file in place of a folder; what is not there yet may come."""
    for i, camera in enumerate(config.cameras):
        if camera.folder is not None and os.path.isfile(placed(folder, camera.folder)):  # noqa: PTH113 -- raises nothing
            yield Mistake(("cameras", i, "folder"), f"{camera.folder} is a file, and pictures come into a folder")
    for i, file in enumerate(config.manual.files if config.manual else ()):
        if os.path.isdir(placed(folder, file.path)):  # noqa: PTH112 -- as above
            yield Mistake(("manual", "files", i, "path"), f"{file.path} is a folder: name the CSV file")
