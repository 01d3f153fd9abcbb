"""What the node can move, and who decides about it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from wayside.contracts.actuator_config import ActuatorConfig, NoticeConfig, SetpointConfig, SignalConfig
from wayside.contracts.task_config import TaskConfig
from wayside.edge.actuators import BoardSignal, NoticeBoard, ReadBackSetpoint
from wayside.edge.beat import SignalBeat
from wayside.edge.decisions import POLICY_FAILED, Decider, PolicyError
from wayside.edge.guard.pace import Pace
from wayside.edge.ledger import Ledger


class Outputs:
    """The actuators of a configuration; a task's proposals reach its own through a :class:`Decider`."""

    def __init__(self, actuators: Sequence[ActuatorConfig], ledger: Ledger, timezone: str = "UTC") -> None:
        """
        Args:
            timezone: of deadlines; there is such a one.
        """
        self._ledger = ledger
        self._configs = {a.name: a for a in actuators}
        self._paces = {a.name: Pace(a, timezone) for a in actuators}
        self._signal_deciders: list[Decider] = []
        self._setpoint_deciders: list[Decider] = []
        self._unfit: dict[str, str] = {}  # task → why its policy cannot be asked
        self.beat: SignalBeat | None = None
        self.signal = next((BoardSignal(a) for a in actuators if isinstance(a, SignalConfig)), None)
        self.setpoints = {a.name: ReadBackSetpoint(a, ledger) for a in actuators if isinstance(a, SetpointConfig)}

    def decider(self, task: TaskConfig) -> Decider | None:
        """None: the task proposes nothing, or its policy does not fit: then the safe action holds, and it is told."""
        try:
            return self._decider(task)
        except PolicyError as exc:  # one wrong setting must not keep the node from sensing
            self._unfit[task.name] = str(exc)
            return None

    def make_beat(self, make: Callable[[], SignalBeat], signal: str) -> SignalBeat | None:
        """None: its policy does not fit; then the board is alone, and it is told."""
        try:
            self.beat = make()
        except PolicyError as exc:
            self._unfit[signal] = str(exc)
        return self.beat

    def pass_time(self) -> None:
        """Loads stop and start by their limits. Say whose policy does not fit; only now, since a condition of before a
        restart is not said again."""
        for decider in self._setpoint_deciders:
            decider.pass_time()
        for task, why in self._unfit.items():
            self._ledger.begin(POLICY_FAILED, task, why)

    def _decider(self, task: TaskConfig) -> Decider | None:
        """Raises: PolicyError: task, policy and actuator do not fit together."""
        config = None if task.actuator is None else self._configs.get(task.actuator)
        deciders: list[Decider] = []
        match config:
            case SignalConfig() if self.signal is not None:
                carry, deciders = self.signal.carry, self._signal_deciders
            case SetpointConfig():
                carry, deciders = self.setpoints[config.name].carry, self._setpoint_deciders
            case NoticeConfig():
                carry = NoticeBoard(task, self._ledger).carry
            case _:
                return None
        decider = Decider(task, config, carry, self._ledger, pace=self._paces[config.name])
        deciders.append(decider)
        return decider

    def board_reverted(self) -> None:
        """The board follows its own plan again."""
        for decider in self._signal_deciders:
            decider.board_reverted()
        if self.beat is not None:
            self.beat.forget()
