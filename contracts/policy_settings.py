"""The base of every policy's settings."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, ClassVar

from wayside.contracts.task_config import TaskConfig
from wayside.contracts.wire import Document


class PolicySettings(Document, frozen=True, kw_only=True):
    """A policy's part of the configuration: typed, defaulted, bounded."""

    from_constants: ClassVar[tuple[str, ...]] = ()
    """fields (datastream → number) that come from the constants of the task's sites, not from ``settings``"""

    def sites(self) -> Collection[str] | None:
        """Outputs of the task's sites that the policy reads; None: all of them."""
        return None

    def looks_back(self) -> int:
        """How many earlier steps the policy wants to see (:attr:`contracts.action.Answers.before`)."""
        return 0

    def mistakes(self, task: TaskConfig, limits: Any) -> Iterator[str]:
        """What of these settings cannot work with this task and this actuator, one sentence each."""
        yield from ()

    def beat_mistakes(self, limits: Any) -> Iterator[str]:
        """The same of a policy with the beat of the line, which has no task; ``limits`` are the signal's."""
        yield from ()
