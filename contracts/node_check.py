"""What a node's file asks for and no node can do: ``wayside node check`` refuses it, and no card is made of it.

An agent starts all the same: one heater that nothing can switch must not silence the detectors.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from wayside.contracts.actuator_config import RegisterTarget, SetpointConfig, SignalConfig
from wayside.contracts.hub_address import NO_PROXY, hub_address, proxy_rule
from wayside.contracts.local_time import ambiguous_form
from wayside.contracts.mistakes import Mistake, Place, mistakes_of_value
from wayside.contracts.node_config import (
    RUNTIME_PYTHONS,
    Draft,
    Loaded,
    NodeSections,
    Python,
    loaded,
    read_draft,
    section_of,
)
from wayside.contracts.sensor_config import BOARD_NAME_BYTES, BOARD_PHASES, is_board_name
from wayside.contracts.wire import ContractError


def checked_node_config(
    file: str | bytes,
    python: Python | None = None,
    also: Callable[[NodeSections], Iterable[Mistake]] = lambda _: (),
) -> Loaded:
    """Read a node's TOML and refuse what cannot work.

    Args:
        python: of the node; None: not known yet.
        also: finds further mistakes, by what contracts do not know.

    Raises:
        ContractError: naming every mistake by its field, as the person wrote it.
    """
    draft = read_draft(file)
    sections = Sound(draft)
    if mistakes := sections.proven([*obstacles(sections.config, python), *also(sections.config)]):
        raise draft.refusal(mistakes)
    return loaded(draft)


class Sound:
    """What is right in a file with mistakes, so that one of them hides no other.

    Attributes:
        config: its sections; a wrong key is left out where it has a default, a section where it has none.
    """

    def __init__(self, draft: Draft) -> None:
        self._wrong = [m.place for m in draft.mistakes]
        self._left_out: set[str] = set()
        hints = typing.get_type_hints(NodeSections, include_extras=True)
        wrong = {section_of(m) for m in draft.mistakes if not m.compares}
        sections: dict[str, Any] = {}
        for name, value in draft.raw.items():
            if name in wrong:
                value = _without(value, [p[1:] for p in self._wrong if p[:1] == (name,) and len(p) > 1])  # noqa: PLW2901
            if name in hints and not mistakes_of_value(value, hints[name], (name,)):
                sections[name] = value
            else:
                self._left_out.add(name)
        self.config = msgspec.convert({"node": "unnamed", "state_dir": "."} | sections, NodeSections)

    def proven(self, mistakes: Iterable[Mistake]) -> list[Mistake]:
        """Those that have another cause than what was left out."""
        return [
            m
            for m in mistakes
            if not (m.compares | {str(m.place[0])}) & self._left_out
            and not any(m.place[: len(p)] == p or p[: len(m.place)] == m.place for p in self._wrong if p)
        ]


def _without(value: Any, places: Iterable[Place]) -> Any:
    """A copy of ``value`` in which the keys at ``places`` are absent."""
    within: dict[str | int, list[Place]] = {}
    for place in places:
        within.setdefault(place[0], []).append(place[1:])
    if isinstance(value, dict):
        kept = {k: v for k, v in value.items() if () not in within.get(k, [])}
        return {k: _without(v, within[k]) if k in within else v for k, v in kept.items()}
    if isinstance(value, list):
        return [_without(v, [p for p in within.get(i, []) if p]) if i in within else v for i, v in enumerate(value)]
    return value


def obstacles(config: NodeSections, python: Python | None = None) -> Iterator[Mistake]:
    """Everything that keeps a valid configuration from working on any node, or on one with this ``python``."""
    yield from _paths(config)
    yield from _hub(config)
    if config.board is not None and config.board.identity is not None:
        yield from _identity(config.board.identity)
    _, last = RUNTIME_PYTHONS.get(config.model.runtime, (None, None))
    if python is not None and last is not None and python > last:
        rule = f"{config.model.runtime} has no wheel for Python {_version(python)}, {_version(last)} is the last: "
        yield Mistake(("model", "runtime"), f'{rule}write "auto", "onnxruntime" or "ai-edge-litert"')
    yield from _bounds(config)
    yield from _written_times(config)
    yield from _actuators(config)


def _paths(config: NodeSections) -> Iterator[Mistake]:
    for place, path in config.paths():
        if not path.strip() or "\0" in path:
            yield Mistake(place, "is no path")
    if config.board is not None and not config.board.port.strip():
        yield Mistake(("board", "port"), "is no port")


def _hub(config: NodeSections) -> Iterator[Mistake]:
    if config.hub is None:
        return
    place = ("hub", "url")
    try:
        hub_address(config.hub.url)
    except ContractError as exc:
        yield from (Mistake(place, rule) for _, rule in exc.mistakes)
    if config.hub.ca is not None and not config.hub.url.startswith("https:"):
        yield Mistake(("hub", "ca"), "is for a url that begins with https:")
    proxy = config.hub.proxy
    if proxy is not None and proxy != NO_PROXY and (rule := proxy_rule(proxy)):
        yield Mistake(("hub", "proxy"), rule)


def _bounds(config: NodeSections) -> Iterator[Mistake]:
    """Values that could never be within their bounds."""
    within: list[tuple[Place, tuple[float, float]]] = []
    for i, line in enumerate(config.modbus):
        within += [(("modbus", i, "registers", j), r.bounds) for j, r in enumerate(line.registers)]
        for j, device in enumerate(line.sunspec):
            within += [(("modbus", i, "sunspec", j, "points", k), p.bounds) for k, p in enumerate(device.points)]
    for i, sensor in enumerate(config.uart):
        within += [(("uart", i, "values", j), v.bounds) for j, v in enumerate(sensor.values)]
    within += [(("analog", i), a.bounds) for i, a in enumerate(config.analog)]
    told = config.manual.values if config.manual else ()
    within += [(("manual", "values", i), v.bounds) for i, v in enumerate(told)]
    for place, (low, high) in within:
        if low >= high:
            yield Mistake(place, f"nothing is within {low:g} and {high:g}, its low and high: correct them, or its unit")
    for i, each in enumerate(config.analog):
        (low, high), (least, most) = each.bounds, each.reach
        if low < high and (least > high or most < low):
            rule = f"reads {least:g} to {most:g}, none of which is within {low:g} and {high:g}: correct scale, offset"
            yield Mistake(("analog", i), f"{rule}, low or high")


def _written_times(config: NodeSections) -> Iterator[Mistake]:
    for i, file in enumerate(config.manual.files if config.manual else ()):
        if file.time_format is not None and (rule := ambiguous_form(file.time_format, file.interval_s)):
            yield Mistake(("manual", "files", i, "time_format"), rule)


def _identity(identity: str) -> Iterator[Mistake]:
    if not is_board_name(identity):
        rule = (
            f"no board can be called {identity[:64]!r}: a board's name has 1 to {BOARD_NAME_BYTES} printable ASCII "
            "characters and no space; write the identity that `wayside board watch PORT` shows"
        )
        yield Mistake(("board", "identity"), rule)


def _actuators(config: NodeSections) -> Iterator[Mistake]:
    written: dict[tuple[str | None, str, int, int], str] = {}
    for i, actuator in enumerate(config.actuators):
        place = ("actuators", i)
        if isinstance(actuator, SignalConfig):
            if config.board is None:
                rule = f"nothing can carry out {actuator.name}: a signal needs a [board]"
                yield Mistake(place, rule, frozenset({"board"}))
            if len(actuator.phases) > BOARD_PHASES:
                yield Mistake((*place, "phases"), f"are {len(actuator.phases)}; a board drives {BOARD_PHASES}")
        elif isinstance(actuator, SetpointConfig) and actuator.register is not None:
            yield from _register(config, actuator.name, actuator.register, place, written)


def _register(
    config: NodeSections,
    name: str,
    target: RegisterTarget,
    place: Place,
    written: dict[tuple[str | None, str, int, int], str],
) -> Iterator[Mistake]:
    lines = frozenset({"modbus"})
    if not config.modbus:
        yield Mistake(place, f"nothing can carry out {name}: a register needs a [modbus] line", lines)
        return
    line = config.line_of(target)
    if line is None:
        names = ", ".join(each.label for each in config.modbus)
        if target.line is None:
            yield Mistake((*place, "register"), f"misses line: there are {names}", lines)
        else:
            rule = f"nothing can carry out {name}: there is no line {target.line}; there is {names}"
            yield Mistake((*place, "register", "line"), rule, lines)
        return
    if not line.takes(target.device):
        rule = f"a device on a serial line is 1 to 247, not {target.device}"
        yield Mistake((*place, "register", "device"), rule, lines)
    for address in range(target.address, target.address + target.words):
        cell = (line.name, target.table, target.device, address)
        if cell in written:
            yield Mistake((*place, "register"), f"is that of {written[cell]}, too: two would fight over it")
            return
        written[cell] = name


def _version(python: Python) -> str:
    return f"{python[0]}.{python[1]}"
