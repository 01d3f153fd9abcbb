"""What a policy is: a module of pure functions that stands on ``contracts`` alone. What is simulated is what runs.

It proposes; the guard judges, and what holds in doubt is the actuator's safe action, not the policy's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from wayside.contracts.action import Action, Answers


class Policy(Protocol):
    """Such a module. It has also ``Settings``, a type of :class:`wayside.contracts.policy_settings.PolicySettings`."""

    @property
    def ACTION(self) -> type[Action]:  # noqa: N802 -- a constant of the module
        """The kind of action that it proposes."""
        ...

    def read(self, answers: Answers, settings: Any) -> Any:
        """What a proposal rests on, in whatever form; None: nothing is known, the actuator's safe action holds.

        Asked only when one of the sites that it reads has an answer, and once a step.
        """
        ...

    def propose(self, seen: Any, settings: Any, limits: Any, in_force: Any) -> Action | None:
        """What it would have carried out after what :meth:`read` gave; None: nothing, the safe action holds.

        ``in_force`` is None while the safe action is. A policy of notices that has nothing to say proposes level 0.
        """
        ...

    def soften(self, action: Any, limits: Any) -> Action | None:
        """What is asked for after ``action`` was refused; None: nothing softer, hold."""
        ...

    def explain(self, seen: Any, settings: Any, limits: Any, action: Any) -> Mapping[str, str | float]:
        """What a decision row says beside ``action``, the proposal: at most 16 fields, words and numbers.

        ``because`` is the reason as a part of a sentence, with other fields in braces: ``"{watched} {unit} are
        expected, {on_at} {unit} are the limit"`` (:func:`wayside.contracts.why.sentence`).
        """
        ...
