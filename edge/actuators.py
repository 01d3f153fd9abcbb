"""Where an allowed action goes: the board's plan, a register that is read back, a notice to people. All sans-I/O.

``carry`` takes what a :class:`wayside.edge.decisions.Decider` lets through; None is the actuator's safe action.
"""

from __future__ import annotations

import re
from typing import Any

from wayside.contracts.action import Action, Greens, Notice, Setpoint
from wayside.contracts.actuator_config import SetpointConfig, SignalConfig
from wayside.contracts.condition import Condition
from wayside.contracts.task_config import TaskConfig
from wayside.edge.guard.check import fixed_plan
from wayside.edge.ledger import Ledger

UNCONFIRMED = "actuator_unconfirmed"
UNCONFIRMED_AFTER = 3  # attempts in a row: one lost answer on a serial line is no fault
NOTICE_CODES = {1: "notice_information", 2: "notice_warning", 3: "notice_alarm"}


class BoardSignal:
    """The plan that the board is given next. A later one replaces one that waits."""

    def __init__(self, config: SignalConfig) -> None:
        self._fixed = fixed_plan(config)
        self.cycle_s = config.cycle_s
        self.plan: dict[int, float] | None = None  # green seconds by phase; the line takes it

    def carry(self, action: Action | None) -> None:
        if not isinstance(action, Greens | None):
            raise TypeError(f"a signal is given green times, not {action!r}")
        self.plan = dict(self._fixed if action is None else action.seconds)

    def take(self) -> dict[int, float] | None:
        """The plan to send now, once."""
        plan, self.plan = self.plan, None
        return plan


class ReadBackSetpoint:
    """A coil, register or pin that is written and read back until it holds what is wanted.

    What it holds when the agent starts nobody knows, so the safe value is written first, whatever has been decided
    meanwhile; at the end, too (:meth:`stop`). Its owner writes what is :meth:`pending`, reads it back and
    tells what it read, or why it could not.
    """

    def __init__(self, config: SetpointConfig, ledger: Ledger) -> None:
        self.config, self._ledger = config, ledger
        self._wanted = config.safe
        self._begun = False  # the safe value was there
        self._confirmed = self._stopped = False
        self._failures = 0
        self.held: float | None = None  # at the last reading back

    def carry(self, action: Action | None) -> None:
        if not isinstance(action, Setpoint | None):
            raise TypeError(f"a set-point is given one, not {action!r}")
        if not self._stopped:
            self._want(self.config.safe if action is None else action.value)

    def pending(self) -> float | None:
        """The value that has to be written, in the actuator's unit; None: it is there."""
        if self._confirmed:
            return None
        return self._wanted if self._begun else self.config.safe

    def confirmed(self, value: float) -> None:
        """The target was read and holds ``value``. Another one than is wanted is written over."""
        target = self._wanted if self._begun else self.config.safe
        self.held = value
        if not self.config.target.same(value, target):
            self.failed(f"it holds {value:g} where {target:g} was written")
            return
        self._begun, self._confirmed = True, target == self._wanted
        self._failures = 0
        self._ledger.end(UNCONFIRMED, self.config.name)

    def failed(self, why: str) -> None:
        """It could not be written or read: it stays pending."""
        self._confirmed = False
        self._failures += 1
        if self._failures >= UNCONFIRMED_AFTER:
            self.give_up(why)

    def give_up(self, why: str) -> None:
        """Say now that it is not confirmed; perhaps nobody will try again."""
        self._ledger.begin(UNCONFIRMED, self.config.name, f"{self.config.name} does not take its value: {why}")

    def shown(self) -> dict[str, Any]:
        """For people at the cabinet: what was read back last, and whether that is what is wanted."""
        return {"name": self.config.name, "held": self.held, "unit": self.config.unit, "confirmed": self._confirmed}

    def conditions(self) -> tuple[Condition, ...]:
        """What is wrong with it now."""
        return tuple(c for c in self._ledger.conditions() if (c.code, c.subject) == (UNCONFIRMED, self.config.name))

    def stop(self) -> None:
        """The agent ends: only the safe value is written from here on, and once more even where it was confirmed."""
        self._want(self.config.safe)
        self._confirmed, self._stopped = False, True

    def _want(self, value: float) -> None:
        self._confirmed = self._confirmed and value == self._wanted
        self._wanted = value


class NoticeBoard:
    """A task's notices, as conditions: an alert row when one begins and one when it is over.

    Each level is a condition of its own, so that a warning which becomes an alarm is told. None of them makes the
    *node* unhealthy.
    """

    def __init__(self, task: TaskConfig, ledger: Ledger) -> None:
        self._task, self._ledger = task.name, ledger

    def carry(self, action: Action | None) -> None:
        if not isinstance(action, Notice):
            raise TypeError(f"a notice begins and ends by name, not by {action!r}")
        subject = f"{self._task}/{re.sub('[^A-Za-z0-9_./-]', '_', action.topic)}"[:64]
        for level, code in NOTICE_CODES.items():
            if level != action.level:
                self._ledger.end(code, subject, why=action.text[:256])
        if action.level in NOTICE_CODES:
            self._ledger.begin(
                NOTICE_CODES[action.level],
                subject,
                action.text,
                severe=False,
                level=action.level,
                value=action.value,
            )
