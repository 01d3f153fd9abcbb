"""What the node can move, and who decides about it."""

from __future__ import annotations

from collections.abc import Sequence

from wayside.contracts.actuator_config import ActuatorConfig, NoticeConfig, SetpointConfig, SignalConfig
from wayside.contracts.task_config import TaskConfig
from wayside.edge.actuators import BoardSignal, NoticeBoard, RegisterSetpoint
from wayside.edge.decisions import Changes, Decider
from wayside.edge.ledger import Ledger


class Outputs:
    """The actuators of a configuration; a task's proposals reach its own through a :class:`Decider`."""

    def __init__(self, actuators: Sequence[ActuatorConfig], ledger: Ledger) -> None:
        self._ledger = ledger
        self._configs = {a.name: a for a in actuators}
        self._changes = {a.name: Changes(a, ledger) for a in actuators}
        self._signal_deciders: list[Decider] = []
        self.signal = next((BoardSignal(a) for a in actuators if isinstance(a, SignalConfig)), None)
        self.setpoints = {a.name: RegisterSetpoint(a, ledger) for a in actuators if isinstance(a, SetpointConfig)}

    def decider(self, task: TaskConfig) -> Decider | None:
        """None: the task proposes nothing.

        Raises:
            PolicyError: task, policy and actuator do not fit together.
        """
        config = None if task.actuator is None else self._configs.get(task.actuator)
        match config:
            case SignalConfig() if self.signal is not None:
                decider = Decider(task, config, self.signal.carry, self._ledger, changes=self._changes[config.name])
                self._signal_deciders.append(decider)
                return decider
            case SetpointConfig():
                carry = self.setpoints[config.name].carry
            case NoticeConfig():
                carry = NoticeBoard(task, self._ledger).carry
            case _:
                return None
        return Decider(task, config, carry, self._ledger, changes=self._changes[config.name])

    def board_reverted(self) -> None:
        """The board follows its own plan again."""
        for decider in self._signal_deciders:
            decider.board_reverted()
