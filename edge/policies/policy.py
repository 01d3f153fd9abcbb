"""Where a policy is looked up, and how its part of the configuration is read (:mod:`wayside.contracts.policy`)."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, cast

import msgspec

from wayside.contracts.action import Action, Greens, Notice, Setpoint
from wayside.contracts.actuator_config import ActuatorConfig, NoticeConfig, SetpointConfig, SignalConfig
from wayside.contracts.beat import BeatPolicy
from wayside.contracts.policy import Policy
from wayside.contracts.policy_settings import PolicySettings
from wayside.contracts.task_config import TaskConfig
from wayside.edge.policies import (
    abatement,
    actuated_plus,
    capacity_notice,
    coordinated,
    horizon,
    incident_notice,
    load_shift,
    outside,
    picture_notice,
    setpoint_threshold,
    signal_timing,
    threshold_warning,
)

KINDS: dict[type[ActuatorConfig], type[Action]] = {
    SignalConfig: Greens,
    SetpointConfig: Setpoint,
    NoticeConfig: Notice,
}
WORDS: dict[type[Action], str] = {Greens: "green times", Setpoint: "a set-point", Notice: "notices"}


class SettingsError(ValueError):
    """A task's policy is none, does not fit its actuator, or its settings are wrong. ``mistakes`` are sentences."""

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("; ".join(mistakes))
        self.mistakes = mistakes


class Chosen(NamedTuple):
    policy: Policy
    settings: PolicySettings


class ChosenBeat(NamedTuple):
    policy: BeatPolicy
    settings: PolicySettings


_BEATS: dict[str, BeatPolicy] = {"actuated_plus": actuated_plus, "coordinated": coordinated, "horizon": horizon}
"""Those with the beat of the line."""
_SHIPPED: dict[str, Policy] = {
    "abatement": abatement,
    "capacity_notice": capacity_notice,
    "incident_notice": incident_notice,
    "load_shift": load_shift,
    "picture_notice": picture_notice,
    "setpoint_threshold": setpoint_threshold,
    "signal_timing": signal_timing,
    "threshold_warning": threshold_warning,
}


def names() -> tuple[str, ...]:
    return tuple(sorted(_SHIPPED))


@functools.cache
def from_outside() -> Mapping[str, outside.Outside]:
    """Policies of other distributions: what is installed is looked at once."""
    return outside.load(names())


def beat_names() -> tuple[str, ...]:
    return tuple(sorted(_BEATS))


def find(name: str) -> Policy | None:
    """A policy that is shipped."""
    return _SHIPPED.get(name)


def source_of(name: str) -> str | None:
    """The distribution and its version that bring the policy; None: it is shipped."""
    return None if name in _SHIPPED else from_outside()[name].source


def refused() -> list[str]:
    """Policies from outside that cannot be had, one sentence each."""
    return [f"the policy {o.name!r} is refused: {o.refused}" for o in from_outside().values() if o.refused]


def settings_type(policy: object) -> type[PolicySettings]:
    return cast(type[PolicySettings], policy.Settings)  # type: ignore[attr-defined]


def check(task: TaskConfig, actuator: ActuatorConfig) -> list[str]:
    """All that is wrong between a task, its policy's settings and its actuator, one sentence each."""
    try:
        choose(task, actuator)
    except SettingsError as exc:
        return exc.mistakes
    return []


def check_beat(signal: SignalConfig) -> list[str]:
    """All that is wrong between a signal and its beat policy, one sentence each."""
    try:
        choose_beat(signal)
    except SettingsError as exc:
        return exc.mistakes
    return []


def choose_beat(signal: SignalConfig) -> ChosenBeat:
    """The signal's beat policy with its settings; it has one.

    Raises:
        SettingsError: with all mistakes.
    """
    assert signal.beat is not None  # noqa: S101  (the caller looked)
    name, raw = str(signal.beat.policy), signal.beat.settings
    policy = _BEATS.get(name)
    if policy is None:
        known = ", ".join(beat_names()) or "none"
        raise SettingsError(
            [f"{signal.name}: there is no policy {name!r} with the beat of the line; there are {known}"]
        )
    kind = settings_type(policy)
    mistakes = [*_wrong_fields(kind, raw)]
    settings = None
    if not mistakes:
        try:
            settings = msgspec.convert(raw, kind)
        except msgspec.ValidationError as exc:
            mistakes.append(_sentence("settings", exc))
    if settings is not None:
        mistakes += settings.beat_mistakes(signal)
    if mistakes or settings is None:
        raise SettingsError([f"{signal.name}, policy {name}: {m}"[:1000] for m in mistakes])
    return ChosenBeat(policy, settings)


def choose(task: TaskConfig, actuator: ActuatorConfig) -> Chosen:
    """The task's policy with its settings.

    Raises:
        SettingsError: with all mistakes.
    """
    name = str(task.policy)
    policy = find(name) or _find_outside(name, task.name)
    mistakes = []
    if policy.ACTION is not KINDS[type(actuator)]:
        kind = type(actuator).__struct_config__.tag
        mistakes.append(f"it proposes {WORDS[policy.ACTION]}, the actuator {actuator.name} is of kind {kind!r}")
    kind_of_settings = settings_type(policy)
    mistakes += _wrong_fields(kind_of_settings, task.settings)
    settings = None
    if not any(m.startswith("settings") for m in mistakes):
        try:
            settings = _convert(kind_of_settings, task)
        except msgspec.ValidationError as exc:
            mistakes.append(_sentence("settings", exc))
    if settings is not None:
        outputs = {s.output for s in task.sites}
        for site in settings.sites() or ():
            if site not in outputs:
                mistakes.append(f"settings: {site} is no site of this task; they are {', '.join(sorted(outputs))}")
        if policy.ACTION is KINDS[type(actuator)]:
            mistakes += settings.mistakes(task, actuator)
    if mistakes or settings is None:
        raise SettingsError([f"task {task.name}, policy {name}: {m}"[:1000] for m in mistakes])
    return Chosen(policy, settings)


def _find_outside(name: str, task: str) -> Policy:
    """Raises: SettingsError: there is none of that name, or it is refused."""
    there = from_outside()
    one = there.get(name)
    if one is None:
        known = ", ".join([*names(), *(n for n, each in there.items() if each.policy is not None)])
        raise SettingsError([f"task {task}: there is no policy {name!r}; there are {known}"])
    if one.policy is None:
        raise SettingsError([f"task {task}: the policy {name!r} is refused: {one.refused}"[:1000]])
    return one.policy


def _convert(kind: type[PolicySettings], task: TaskConfig) -> PolicySettings:
    raw = dict(task.settings)
    for name in kind.from_constants:
        raw[name] = {s.output: s.constants[name] for s in task.sites if name in s.constants}
    return msgspec.convert(raw, kind)


def _wrong_fields(kind: type[PolicySettings], raw: dict[str, Any]) -> Iterator[str]:
    """Each field by itself, so that all mistakes are told at once."""
    fields = {f.encode_name: f.type for f in msgspec.structs.fields(kind) if f.name != "extra"}
    own = [name for name in fields if name not in kind.from_constants]
    for name, value in raw.items():
        if name in kind.from_constants:
            yield f"settings.{name}: stands in the constants of the task's sites: constants = {{ {name} = 2 }}"
        elif name not in fields:
            yield f"settings.{name}: there is no such setting; there are {', '.join(own)}"
        else:
            try:
                msgspec.convert(value, fields[name])
            except msgspec.ValidationError as exc:
                yield _sentence(f"settings.{name}", exc)


def _sentence(where: str, exc: msgspec.ValidationError) -> str:
    # msgspec gives the path only inside its message: "<rule> - at `$.a.b`".
    rule, _, path = str(exc).partition(" - at `")
    return f"{where}{path.rstrip('`').removeprefix('$')}: {rule}"
