"""The walk of one set-point: asked for consent, switched, seen by the technician, back to its safe value. Sans-I/O.

Nothing is written before the technician has said yes. Then :attr:`SetpointWalk.wants` says what its target should hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from wayside.contracts.actuator_config import RegisterTarget, SetpointConfig
from wayside.contracts.commissioning import SensorCheck
from wayside.edge.commission.sensor_walk import Question, State, Target

PATIENCE_S = 15.0  # for a value to be read back


def name_of(config: SetpointConfig) -> str:
    """What it is called in a walk; a datastream may have the actuator's own name."""
    return f"actuator/{config.name}"[:64]


def target_of(config: SetpointConfig) -> Target:
    number = config.register.address if config.register is not None else config.pin.number if config.pin else 0
    return Target(name_of(config), "setpoint", "setpoint", number, config.target.where)


def tried_value(config: SetpointConfig) -> float:
    """What it is switched to: the end of its range that is farther from safe, no farther than one change may go."""
    far = max((config.low, config.high), key=lambda value: abs(value - config.safe))
    if config.max_change is not None and abs(far - config.safe) > config.max_change:
        far = config.safe + (config.max_change if far > config.safe else -config.max_change)
    if isinstance(config.target, RegisterTarget) and not config.target.holds(far):
        far = next(v for v in (config.high, config.low) if v != config.safe)
    return far


class SetpointWalk:
    """One set-point while it is walked. ``check`` is its outcome, None until there is one."""

    def __init__(self, config: SetpointConfig, states: Mapping[str, State], at_s: float) -> None:
        self.target = target_of(config)
        self.check: SensorCheck | None = None
        self.remark = ""
        self.wants: float | None = None  # None: hands off
        self._config, self._states = config, states
        self._test = tried_value(config)
        self._unit = "" if config.unit == "1" else f" {config.unit}"
        self._read_back: float | None = None  # while it was switched
        self._sure = False  # the technician has seen it switch, or not
        self._fault: str | None = None
        self._since_s = self._now_s = at_s

    @property
    def _state(self) -> State:
        return self._states[self.target.datastream]

    @property
    def question(self) -> Question:
        if self._fault is not None and self.wants is None:
            return Question.FAULT
        if self.wants is None:
            return Question.CONSENT if self._state.trouble is None else Question.NOTHING_YET
        there = self.wants == self._test and self._state.settled is not None
        return Question.SWITCHED if there and not self._sure else Question.NOTHING_YET

    def moved(self, datastream: str, level: bool, at_s: float) -> None:
        """Other sensors move; that says nothing of a set-point."""

    def tick(self, at_s: float) -> None:
        """Time passes; what is back at its safe value has an outcome."""
        self._now_s = at_s
        if self.check is not None or self.wants is None:
            return
        settled = self._state.settled
        if self.wants == self._test and settled is not None:
            self._read_back = settled
        if self._sure and settled is not None and self._config.target.same(settled, self._config.safe):
            if self._fault is None:
                self._settle("passed", self._said(f", back to {self._config.safe:g}{self._unit}"))
            else:
                self.wants = None
        elif at_s - self._since_s > PATIENCE_S and (self._sure or self._read_back is None):
            where = "back to its safe value" if self._sure else f"to {self._test:g}{self._unit}"
            self._fault = f"does not go {where}: {self._state.trouble or 'it is not read back'}"
            self.wants = None

    def key(self, key: str, at_s: float) -> None:
        """One of y n r f; any other key gets a remark."""
        self.remark, question = "", self.question
        if key == "y" and question is Question.CONSENT:
            self.wants, self._since_s = self._test, at_s
        elif key in ("y", "n") and question is Question.SWITCHED:
            if key == "n":
                self._fault = self._said(", and nothing switched")
            self._sure, self.wants, self._since_s = True, self._config.safe, at_s
        elif key == "r":
            self.wants, self._sure, self._fault, self._read_back = None, False, None, None
            self.remark = "again, from nothing"
        elif key == "f":
            self._settle("failed", self._fault or self._state.trouble or self._said(", noted as failed"))
        elif key == "n":
            self.remark = "nothing is switched: s skips it, f notes it as failed"
        else:
            self.remark = f"{key!r} is no key now"

    def skip(self, why: str) -> None:
        self._settle("skipped", why)

    def _said(self, more: str) -> str:
        back = "not read back" if self._read_back is None else f"read back {self._read_back:g}{self._unit}"
        return f"switched to {self._test:g}{self._unit}, {back}{more}"

    def _settle(self, outcome: Literal["passed", "failed", "skipped"], said: str) -> None:
        self.wants = None
        self.check = SensorCheck(
            datastream=self.target.datastream,
            kind=self.target.kind,
            channel=self.target.channel,
            outcome=outcome,
            actuations=int(self._read_back is not None),
            said=said[:512],
        )

    def shows(self) -> str:
        settled = self._state.settled
        if self.wants is None:
            return "untouched" if self._read_back is None else "at its safe value"
        return f"goes to {self.wants:g}{self._unit}" if settled is None else f"reads back {settled:g}{self._unit}"

    def says(self, hint_s: float) -> list[str]:
        """The question, and what lies behind it."""
        del hint_s
        question, test, safe = self.question, f"{self._test:g}{self._unit}", f"{self._config.safe:g}{self._unit}"
        lines = [f"! {self._state.trouble}"] if self._state.trouble is not None else []
        if question is Question.CONSENT:
            lines.append(f"Press y to switch it to {test}, and then back to {safe}. Is everybody clear of it?")
        elif question is Question.SWITCHED:
            lines.append(f"It reads back {self._state.settled:g}{self._unit}. Did it switch?")
        elif question is Question.FAULT:
            lines += [f"! {self._fault}", "Mend it and press r, or press f to note it as failed."]
        if self.remark:
            lines.append(f"({self.remark})")
        return lines

    def keys(self) -> str:
        yes = {Question.CONSENT: ["[y] switch it"], Question.SWITCHED: ["[y] yes  [n] no"]}.get(self.question, [])
        return "  ".join([*yes, "[r] again  [s] skip  [f] failed  [q] stop"])
