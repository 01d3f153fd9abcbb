"""A decision as one plain sentence: what was done at what, because of what, and what the guard said.

Every number in it stands in the row. A policy gives its reason as a text with fields of the row in braces (``because``:
:meth:`wayside.contracts.policy.Policy.explain`), so a new policy is explained here without a line about it. Rows come
from anywhere: nothing of them is evaluated, an unknown field is a question mark.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from wayside.contracts.summary import Summary

Scalar = str | float | int | bool | None
LEVELS = {1: "information", 2: "warning", 3: "alarm"}
_UNITS = {"1": "", "ug/m3": "µg/m³", "mg/m3": "mg/m³", "Cel": "°C", "[ppb]": "ppb", "[ppm]": "ppm"}
_UNITS |= {"{veh}": "vehicles", "{vehicle}": "vehicles", "{person}": "persons", "{patient}": "patients"}
_FIELD = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]{0,63})\}")


def sentence(row: Summary) -> str:
    """What a row of kind *decision* says, for people."""
    return told(row.datastream, row.detail, row.model)


def told(actuator: str, detail: Mapping[str, Scalar], model: str | None) -> str:
    """As :func:`sentence`, of a row's parts."""
    done, wanted, holds = _action(actuator, detail)
    because = _filled(detail)
    verdict, why = detail.get("verdict"), _text(detail.get("why"))
    at = f"At {_text(detail['local'])} " if detail.get("local") else ""
    match verdict:
        case "allowed":
            within = f" within its limits: {_text(detail['limits'])}" if detail.get("limits") else ""
            text = f"{at}{done}{_because(because)}; the guard allowed it{within}"
        case "refused":
            text = f"{at}it was proposed {wanted}{_because(because)}; the guard refused: {why or 'no reason given'}"
        case "beat":
            text = _beat(actuator, detail)
        case "driven":
            text = f"{at}the guard itself saw to it: {done}, because {why}"
        case _:
            text = f"{at}{holds}: {why or 'no reason given'}"
    rule = [f"rule {_text(detail['policy'])}"] if detail.get("policy") and verdict != "beat" else []
    rule += [f"of {_text(detail['policy_from'])}"] if detail.get("policy_from") else []
    rule += [f"model {model}"] if model else []
    text = _tidy(text) + (f" ({_tidy(', '.join(rule))})" if rule else "") + "."
    return text if text.startswith(actuator) else text[:1].upper() + text[1:]  # a name is written as it is


def shown(value: Scalar) -> str:
    """A field as it stands in a sentence."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and math.isfinite(value):
        return str(int(value)) if value == int(value) and abs(value) < 1e15 else f"{value:.6g}"
    return _text(value)


def unit_word(unit: str) -> str:
    """A UCUM code as people write it."""
    return _UNITS.get(unit, unit.strip("{}[]"))


def _action(actuator: str, detail: Mapping[str, Scalar]) -> tuple[str, str, str]:
    """What was done, what was proposed, and what holds."""
    if "setpoint" in detail:
        unit = unit_word(_text(detail.get("actuator_unit") or "1"))
        value = f"{shown(detail['setpoint'])} {unit}".strip()
        runs = detail.get("runs")
        word = f"{'on' if runs else 'off'} (set to {value})" if isinstance(runs, bool) else f"to {value}"
        verb = "switch" if isinstance(runs, bool) else "set"
        return (
            f"{actuator} was {'switched' if verb == 'switch' else 'set'} {word}",
            f"to {verb} {actuator} {word}",
            f"{actuator} is {word if verb == 'switch' else f'at {value}'}",
        )
    if "greens" in detail:
        plan = ", ".join(
            f"phase {phase} {green} s"
            for phase, _, green in (p.partition(":") for p in _text(detail["greens"]).split())
        )
        return (
            f"{actuator} was given the green times {plan}",
            f"to give {actuator} the green times {plan}",
            f"{actuator} keeps the green times {plan}",
        )
    if "topic" in detail:
        topic, notice = _text(detail["topic"]), _text(detail.get("notice"))
        level = detail.get("level")
        if level == 0:
            return (
                f'the notice "{topic}" to {actuator} was ended ("{notice}")',
                f'to end the notice "{topic}" to {actuator}',
                f'the notice "{topic}" to {actuator} is over',
            )
        word = LEVELS.get(level, "notice") if isinstance(level, int) else "notice"
        return (
            f'{actuator} got the {word} "{notice}"',
            f'to send {actuator} the {word} "{notice}"',
            f'the {word} "{notice}" to {actuator} stays',
        )
    return (f"{actuator} was left as it is", f"a change of {actuator}", f"{actuator} is told nothing")


_ASKED = (
    ("asked_hold", "to hold a green"),
    ("asked_force_off", "to end one"),
    ("asked_call", "to serve a phase next"),
    ("asked_omit", "to pass over one"),
    ("asked_ped_call", "for a walk"),
    ("asked_release", "to take a request back"),
    ("asked_maxima", "for other maximum greens"),
)
_STATES = (
    ("in_force_s", "was in force for {} s"),
    ("rests_s", "rested for {} s to be compared with the board alone"),
    ("let_go_s", "was let go for {} s"),
    ("away_s", "was away for {} s after it had failed"),
    ("blind_s", "could not be asked for {} s"),
)


def _beat(actuator: str, detail: Mapping[str, Scalar]) -> str:
    """Of a summary interval in which a policy spoke once a second."""
    was = ", ".join(text.format(shown(detail[name])) for name, text in _STATES if detail.get(name))
    text = f"at {actuator} the policy {_text(detail.get('policy'))} {was or 'was not asked'}"
    text += f" of {shown(detail.get('seconds'))} s"
    asked = ", ".join(f"{shown(detail[name])} times {what}" for name, what in _ASKED if detail.get(name))
    text += f"; the guard let it ask {asked}" if asked else "; it asked for nothing"
    if detail.get("refused"):
        text += f" and refused {shown(detail['refused'])} requests, the first because {_text(detail['first_refused'])}"
    if detail.get("released_by_guard"):
        text += f"; {shown(detail['released_by_guard'])} times the guard took a request back"
    delays = [
        f"{shown(detail[name])} s {when}"
        for name, when in (("delay_in_force_s", "with it"), ("delay_rests_s", "without it"))
        if detail.get(name) is not None
    ]
    text += f"; a vehicle waited {' and '.join(delays)}, as the loops see it" if delays else ""
    return text + (f"; now {_text(detail['why'])}" if detail.get("why") else "")


def _filled(detail: Mapping[str, Scalar]) -> str:
    def value(match: re.Match[str]) -> str:
        name = match[1]
        if name not in detail:
            return "?"
        field = detail[name]
        return unit_word(field) if "unit" in name and isinstance(field, str) else shown(field)

    return _FIELD.sub(value, _text(detail.get("because")))


def _because(reason: str) -> str:
    return f", because {reason}" if reason else ""


def _text(value: Scalar) -> str:
    return "" if value is None else str(value)


def _tidy(text: str) -> str:
    """One line, without the holes that empty fields leave."""
    return re.sub(r" +([,;:.)])", r"\1", re.sub(r"\s+", " ", text)).strip()
