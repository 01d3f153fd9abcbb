"""What a node's file asks for and no node can do: ``wayside node check`` refuses it, and no card is made of it.

An agent starts all the same: one heater that nothing can switch must not silence the detectors.
"""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Iterator
from urllib.parse import urlsplit

from wayside.contracts.actuator_config import RegisterTarget, SetpointConfig, SignalConfig
from wayside.contracts.mistakes import Mistake, Place, refusal
from wayside.contracts.node_config import Loaded, NodeConfig, read_node_config
from wayside.contracts.sensor_config import BOARD_NAME_BYTES, BOARD_PHASES, is_board_name

Python = tuple[int, int]
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]")
# Last Python that a runtime has wheels for (pyproject.toml); the others have none such.
_LAST_PYTHON: dict[str, Python] = {"tflite-runtime": (3, 11)}


def checked_node_config(file: str | bytes, python: Python | None = None) -> Loaded:
    """Read a node's TOML and refuse what cannot work.

    Args:
        python: of the node; None: not known yet.

    Raises:
        ContractError: naming every mistake by its field, as the person wrote it.
    """
    loaded = read_node_config(file)
    if mistakes := list(obstacles(loaded.config, python)):
        raise refusal([m._replace(place=loaded.as_written(m.place)) for m in mistakes])
    return loaded


def obstacles(config: NodeConfig, python: Python | None = None) -> Iterator[Mistake]:
    """Everything that keeps a valid configuration from working on any node, or on one with this ``python``."""
    yield from _paths(config)
    yield from _hub(config)
    yield from _time_zone(config.clock.timezone)
    if config.board is not None and config.board.identity is not None:
        yield from _identity(config.board.identity)
    last = _LAST_PYTHON.get(config.model.runtime)
    if python is not None and last is not None and python > last:
        rule = f"{config.model.runtime} has no wheel for Python {_version(python)}, {_version(last)} is the last: "
        yield Mistake(("model", "runtime"), f'{rule}write "onnxruntime" or "ai-edge-litert"')
    yield from _actuators(config)


def _paths(config: NodeConfig) -> Iterator[Mistake]:
    paths = {("state_dir",): config.state_dir, ("model", "tuf_root"): config.model.tuf_root}
    if config.hub is not None and config.hub.ca is not None:
        paths["hub", "ca"] = config.hub.ca
    for place, path in paths.items():
        if not path.strip() or "\0" in path:
            yield Mistake(place, "is no path")
    if config.board is not None and not config.board.port.strip():
        yield Mistake(("board", "port"), "is no port")


def _hub(config: NodeConfig) -> Iterator[Mistake]:
    if config.hub is None:
        return
    place = ("hub", "url")
    try:
        parts = urlsplit(config.hub.url)
        host = re.sub(r":\d*$", "", parts.netloc.rpartition("@")[2])
        if parts.port == 0:
            yield Mistake(place, "port 0 is no port that one can reach")
    except ValueError as exc:
        yield Mistake(place, f"is no URL that can be used: {exc}")
        return
    if "@" in parts.netloc:
        yield Mistake(place, "holds a user's name; nodes sign with their key instead: remove it")
    if parts.query or parts.fragment or "?" in config.hub.url or "#" in config.hub.url:
        yield Mistake(place, "ends with the path: a hub's URL has no ? and no #")
    if not config.hub.url.isascii() or not config.hub.url.isprintable():
        yield Mistake(place, "has characters other than printable ASCII: write the name as DNS has it (xn--…)")
    elif not _HOST.fullmatch(host) or not all(map(_spells, host.split("."))):
        yield Mistake(place, f"{host or 'nothing'} is no name or address of a computer")


def _spells(label: str) -> bool:
    """Whether a label of a host's name that stands for other letters (RFC 5891) does so."""
    if not label.lower().startswith("xn--"):
        return True
    try:
        letters = label[4:].encode().decode("punycode")
    except UnicodeError:
        return False
    return not letters.isascii() and all(c.isalnum() or c == "-" for c in letters)


def _time_zone(name: str) -> Iterator[Mistake]:
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        try:
            zoneinfo.ZoneInfo("Europe/London")
        except (zoneinfo.ZoneInfoNotFoundError, OSError):
            return  # this computer knows no time zone at all, so it cannot judge
        yield Mistake(
            ("clock", "timezone"), f"{name!r} is no time zone: write an IANA name, such as America/Los_Angeles"
        )


def _identity(identity: str) -> Iterator[Mistake]:
    if not is_board_name(identity):
        rule = (
            f"no board can be called {identity[:64]!r}: a board's name has 1 to {BOARD_NAME_BYTES} printable ASCII "
            "characters and no space; write the identity that `wayside board watch PORT` shows"
        )
        yield Mistake(("board", "identity"), rule)


def _actuators(config: NodeConfig) -> Iterator[Mistake]:
    written: dict[tuple[str | None, str, int, int], str] = {}
    for i, actuator in enumerate(config.actuators):
        place = ("actuators", i)
        if isinstance(actuator, SignalConfig):
            if config.board is None:
                yield Mistake(place, f"nothing can carry out {actuator.name}: a signal needs a [board]")
            if len(actuator.phases) > BOARD_PHASES:
                yield Mistake((*place, "phases"), f"are {len(actuator.phases)}; a board drives {BOARD_PHASES}")
        elif isinstance(actuator, SetpointConfig) and actuator.register is not None:
            yield from _register(config, actuator.name, actuator.register, place, written)


def _register(
    config: NodeConfig,
    name: str,
    target: RegisterTarget,
    place: Place,
    written: dict[tuple[str | None, str, int, int], str],
) -> Iterator[Mistake]:
    if not config.modbus:
        yield Mistake(place, f"nothing can carry out {name}: a register needs a [modbus] line")
        return
    line = config.line_of(target)
    if line is None:
        names = ", ".join(each.label for each in config.modbus)
        if target.line is None:
            yield Mistake((*place, "register"), f"misses line: there are {names}")
        else:
            rule = f"nothing can carry out {name}: there is no line {target.line}; there is {names}"
            yield Mistake((*place, "register", "line"), rule)
        return
    if not line.takes(target.device):
        rule = f"a device on a serial line is 1 to 247, not {target.device}"
        yield Mistake((*place, "register", "device"), rule)
    for address in range(target.address, target.address + target.words):
        cell = (line.name, target.table, target.device, address)
        if cell in written:
            yield Mistake((*place, "register"), f"is that of {written[cell]}, too: two would fight over it")
            return
        written[cell] = name


def _version(python: Python) -> str:
    return f"{python[0]}.{python[1]}"
