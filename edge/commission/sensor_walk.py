"""The walk of one sensor: what is asked, what moved, what the technician answered. Sans-I/O.

A detector or button passes when it reacts to the technician and is off again afterwards. If another one reacts instead,
their wires are swapped; if it stays on over an empty lane, it is inverted. On an open road only the technician knows
whether it was their vehicle, so they are asked; a button passes without a question.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Literal, NamedTuple

from wayside.contracts.camera_config import shown
from wayside.contracts.commissioning import SensorCheck
from wayside.contracts.node_config import NodeConfig

QUIET_S = 4.0  # on for so long after the last change: ask whether the lane is empty
REST_S = 1.0  # the same, where the first edge was a falling one
COMPARED = ("register", "value", "camera", "told")  # roles of what shows something, and does not move when asked
JUST_S = 0.7  # a key pressed so soon after a question vanished still answers it


class Target(NamedTuple):
    """A sensor to be walked."""

    datastream: str
    kind: Literal["detector", "contact", "register", "analog", "uart", "camera", "value", "setpoint"]
    role: Literal["detector", "ped_button", "cabinet_door", "register", "value", "camera", "told", "setpoint"]
    channel: int
    where: str

    @property
    def ask(self) -> str:
        return {
            "detector": f"Drive over {self.datastream} now",
            "ped_button": f"Press {self.datastream} now",
            "cabinet_door": f"Move the door of {self.datastream} now",
            "register": f"Compare {self.datastream} with its meter",
            "setpoint": f"Switch {self.datastream}",
            "value": f"Make {self.datastream} change: cover it, breathe on it, or know what it should be",
            "camera": f"Walk through what {self.datastream} looks at",
            "told": f"Let its system tell {self.datastream} now, and compare",
        }[self.role]


def targets(config: NodeConfig) -> tuple[Target, ...]:
    """Every sensor of a node, in the order of its configuration."""
    settings = [t.settings.get("phases") for t in config.tasks]
    phases = {name: phase for each in settings if isinstance(each, dict) for name, phase in each.items()}
    every = [
        Target(d.datastream, "detector", "detector", d.channel, _channel(d.channel, phases.get(d.datastream)))
        for d in config.detectors
    ]
    every += [Target(c.datastream, "contact", c.role, c.pin, f"pin {c.pin}") for c in config.gpio.contacts]
    for line in config.modbus:
        on = f" of {line.name}" if line.name is not None else ""
        for r in line.registers:
            where = f"device {r.device}{on}, {r.table} {r.address}"
            every.append(Target(r.datastream, "register", "register", r.address, where))
        for s in line.sunspec:
            every += [
                Target(
                    p.datastream, "register", "register", s.model, f"device {s.device}{on}, model {s.model} {p.point}"
                )
                for p in s.points
            ]
    every += [Target(a.datastream, "analog", "value", a.channel, f"analogue input {a.channel}") for a in config.analog]
    for i, sensor in enumerate(config.uart):
        every += [Target(v.datastream, "uart", "value", i, f"{sensor.kind.what}, {v.measure}") for v in sensor.values]
    for i, c in enumerate(config.cameras):
        every.append(Target(c.name, "camera", "camera", i, c.folder or shown(c.url or "")))
    for i, v in enumerate(config.manual.values if config.manual else ()):
        every.append(Target(v.datastream, "value", "told", i, f"manual.values, number {i + 1}"))
    return tuple(every)


def _channel(channel: int, phase: int | None) -> str:
    return f"channel {channel}" + (f", phase {phase}" if phase else "")


class State:
    """The present reading of a sensor."""

    def __init__(self) -> None:
        self.level: bool | None = None  # occupied or closed; None: no reading yet
        self.value: str | None = None  # of a register, with its unit
        self.trouble: str | None = None
        self.settled: float | None = None  # what a set-point was read back with, where it holds what it should


class Question(enum.Enum):
    """What the technician can answer now."""

    NOTHING_YET = enum.auto()
    YOURS = enum.auto()  # was that your vehicle?
    RESTS = enum.auto()  # it reads occupied: is the lane empty?
    DOOR = enum.auto()  # it reads open: is it?
    VALUE = enum.auto()  # does the meter show the same?
    CONSENT = enum.auto()  # may this set-point be switched?
    SWITCHED = enum.auto()  # did it?
    FAULT = enum.auto()  # something is wrong: again, or note it


class SensorWalk:
    """One sensor while it is walked. ``check`` is its outcome, None until there is one."""

    def __init__(self, target: Target, states: Mapping[str, State], others: Mapping[str, Target], at_s: float) -> None:
        self.target = target
        self.check: SensorCheck | None = None
        self.fault: str | None = None
        self.remark = ""  # to the last key
        self._states, self._others = states, others
        self._again(at_s)

    def _again(self, at_s: float) -> None:
        self.since_s = self._moved_s = self._now_s = at_s
        self.rises = self.falls = 0
        self._first: bool | None = None  # the first edge's level
        self._asks = self._asked_before = Question.NOTHING_YET
        self._asks_since_s = at_s
        self._stands = False  # the technician says: a vehicle stands there
        self._inverted = False
        self.fault = None
        self.elsewhere: dict[str, int] = {}

    # --- what happens --------------------------------------------------------------------------------------------

    def moved(self, datastream: str, level: bool, at_s: float) -> None:
        """A detector or contact changed its level."""
        if datastream != self.target.datastream:
            if level and datastream in self._others:
                self.elsewhere[datastream] = self.elsewhere.get(datastream, 0) + 1
            return
        if self._first is None:
            self._first = level
        self._moved_s = at_s
        self.rises += level
        self.falls += not level
        if not level:
            self._stands = False

    def tick(self, at_s: float) -> None:
        """Time passes; a button that was pressed and let go has passed."""
        self._now_s = at_s
        self._notice(at_s)
        state = self._states[self.target.datastream]
        if (
            self.check is None
            and self.fault is None
            and self.target.role == "ped_button"
            and self._first is True
            and self.falls
            and state.level is False
        ):
            self._pass("right")

    @property
    def question(self) -> Question:
        role, state = self.target.role, self._states[self.target.datastream]
        if self.fault is not None:
            return Question.FAULT
        if role in COMPARED:
            return Question.VALUE if state.value is not None and state.trouble is None else Question.NOTHING_YET
        if self.rises + self.falls == 0:
            return Question.NOTHING_YET
        if role == "cabinet_door":
            return Question.DOOR
        if state.level and not self._stands and not self._pulses:
            rests = self._now_s - self._moved_s >= (REST_S if self._first is False else QUIET_S)
            return Question.RESTS if rests else Question.NOTHING_YET
        answered = role == "detector" and self.rises and (not state.level or self._pulses)
        return Question.YOURS if answered else Question.NOTHING_YET

    def _notice(self, at_s: float) -> None:
        if self.question is not self._asks:
            self._asked_before, self._asks, self._asks_since_s = self._asks, self.question, at_s

    def _answered(self, at_s: float) -> Question:
        """The question that a key answers: on a road the next vehicle may come while somebody presses it."""
        self._notice(at_s)
        if at_s - self._asks_since_s < JUST_S and self._asked_before is not Question.NOTHING_YET:
            return self._asked_before
        return self._asks

    @property
    def _pulses(self) -> bool:
        """It only ever says that something came."""
        return self.rises >= 2 and self.falls == 0

    # --- what the technician answers -------------------------------------------------------------------------------

    def key(self, key: str, at_s: float) -> None:
        """One of y n w r f; any other key gets a remark."""
        self.remark = ""
        role = self.target.role
        question = Question.FAULT if self.fault is not None else self._answered(at_s)
        if key == "r":
            self._again(at_s)
            self.remark = "again, from nothing"
        elif key == "f":
            self._fail(self.fault or self._what_is_wrong())
        elif key == "w" and self._swapped_with() is not None:
            self.fault = self._swap_said()
        elif key == "y" and question in (Question.YOURS, Question.DOOR, Question.VALUE):
            self._pass("unknown" if self._pulses or question is Question.VALUE else "right")
        elif key == "n" and question is Question.YOURS:
            self._again(at_s)
            self.remark = "not yours: again, from nothing"
        elif key == "y" and question is Question.RESTS:
            self._invert(
                "occupied while nobody is there" if self.target.role == "detector" else "pressed while it is not"
            )
        elif key == "n" and question is Question.RESTS:
            self._stands = True
        elif key == "n" and question is Question.DOOR:
            self._invert("the door the wrong way round")
        elif key == "n" and question is Question.VALUE:
            shown_value = self._states[self.target.datastream].value
            doubt = {
                "register": "the meter does not",
                "camera": "and not what is there",
                "told": "its system does not",
            }
            self.fault = f"shows {shown_value}, {doubt.get(role, 'which cannot be')}"
        elif key in ("y", "n"):
            self.remark = (
                "not yet: nothing to say yes or no to" if question is not Question.FAULT else "mend it: r, or f"
            )
        elif key == "w":
            self.remark = "nothing else has answered"
        else:
            self.remark = f"{key!r} is no key here"

    def skip(self, why: str) -> None:
        self._settle("skipped", why)

    def _invert(self, what: str) -> None:
        self._inverted = True
        self.fault = f"inverted: reads {what}"

    def _swapped_with(self) -> Target | None:
        """The sensor of the same kind that answered instead."""
        moved = {n: times for n, times in self.elsewhere.items() if self._others[n].kind == self.target.kind}
        if self.rises or not moved:
            return None
        return self._others[max(moved, key=moved.__getitem__)]

    def _swap_said(self) -> str:
        other = self._swapped_with()
        assert other is not None  # noqa: S101  (the caller looked)
        wires = f"are the wires of {self.target.where} and {other.where} swapped?"
        return f"{other.datastream} ({other.where}) answered instead: {wires}"

    def _what_is_wrong(self) -> str:
        state = self._states[self.target.datastream]
        if state.trouble is not None:
            return state.trouble
        if self.rises + self.falls == 0:
            return self._swap_said() if self._swapped_with() is not None else "nothing moved"
        return "not as it should be"

    def _pass(self, polarity: Literal["right", "unknown"]) -> None:
        state = self._states[self.target.datastream]
        remark = f"shows {state.value}" if state.value is not None else state.trouble or ""
        self._settle("passed", remark, polarity)

    def _fail(self, remark: str) -> None:
        self._settle("failed", remark, "inverted" if self._inverted else "unknown")

    def _settle(
        self,
        outcome: Literal["passed", "failed", "skipped"],
        remark: str,
        polarity: Literal["right", "inverted", "unknown"] = "unknown",
    ) -> None:
        # On a road other detectors move, too; that counts only where nothing else explains the silence.
        others = tuple(sorted(self.elsewhere)) if outcome == "failed" and not self.rises else ()
        self.check = SensorCheck(
            datastream=self.target.datastream,
            kind=self.target.kind,
            channel=self.target.channel,
            outcome=outcome,
            actuations=self.rises,
            elsewhere=others[:16],
            polarity=polarity,
            said=remark[:300],
        )

    # --- what is shown ---------------------------------------------------------------------------------------------

    def shows(self) -> str:
        state = self._states[self.target.datastream]
        if self.target.role in COMPARED:
            return f"shows {state.value}" if state.value is not None else "shows nothing yet"
        words = {"detector": ("empty", "OCCUPIED"), "ped_button": ("released", "PRESSED")}
        words["cabinet_door"] = ("closed", "OPEN")
        level = "nothing yet" if state.level is None else words[self.target.role][state.level]
        return f"shows {level}, counted {self.rises}"

    def says(self, hint_s: float) -> list[str]:
        """The question, and the observations behind it."""
        state = self._states[self.target.datastream]
        lines: list[str] = []
        if self.elsewhere:
            most = sorted(self.elsewhere.items(), key=lambda item: -item[1])[:3]
            lines.append("others that moved: " + ", ".join(f"{name} ({n})" for name, n in most))
        if state.trouble is not None:
            lines.append(f"! {state.trouble}")
        question = self.question
        if question is Question.FAULT:
            lines += [f"! {self.fault}", "Mend it and press r, or press f to note it as failed."]
        elif question is Question.YOURS:
            lines.append(f"It counted {self.rises}. Was that your vehicle?")
        elif question is Question.RESTS and self.target.role == "detector":
            lines.append("It reads OCCUPIED. Is the lane empty?")
        elif question is Question.RESTS:
            lines.append("It reads PRESSED. Is it released?")
        elif question is Question.DOOR:
            lines.append(
                f"It reads {'OPEN' if state.level else 'CLOSED'}. Is the door {'open' if state.level else 'closed'}?"
            )
        elif question is Question.VALUE:
            asked = {
                "register": f"Does the meter show {state.value}?",
                "camera": f"It says {state.value}. Does that fit what is there?",
                "told": f"Does its system show {state.value}?",
            }
            lines.append(asked.get(self.target.role, f"Can it be {state.value}?"))
        elif self._swapped_with() is not None:
            lines += [self._swap_said(), "Press w if so."]
        elif self.target.role == "detector" and state.level and self.rises:
            lines.append("Now drive off it.")
        elif self._now_s - self.since_s > hint_s:
            lines.append(f"Nothing for {hint_s:g} s: is it wired, powered and sensitive enough? f notes it as failed.")
        if self.remark:
            lines.append(f"({self.remark})")
        return lines

    def keys(self) -> str:
        question = self.question
        words = []
        if question in (Question.YOURS, Question.RESTS, Question.DOOR, Question.VALUE):
            words.append("[y] yes  [n] no")
        if question is not Question.FAULT and self._swapped_with() is not None:
            words.append("[w] wires swapped")
        return "  ".join([*words, "[r] again  [s] skip  [f] failed  [q] stop"])


def outcome(check: SensorCheck) -> str:
    return f"{check.outcome}: {check.said}" if check.said else check.outcome
