"""A policy that proposes what a test tells it to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from wayside.contracts.action import Action
from wayside.contracts.policy_settings import PolicySettings
from wayside.contracts.task_config import SiteConfig, TaskConfig
from wayside.edge.policies import policy

TASK = TaskConfig(
    name="t", bundle="b", sites=(SiteConfig(output="d/1"), SiteConfig(output="d/2")), policy="scripted", actuator="a"
)


class Scripted:
    Settings = PolicySettings

    def __init__(self, kind: type[Action]) -> None:
        self.ACTION = kind
        self.seen: Any = ()
        self.proposal: Any = None  # an exception is raised
        self.softer: list[Any] = []
        self.explained: Any = {}

    def read(self, *_: Any) -> Any:
        return self._answer(self.seen)

    def propose(self, *_: Any) -> Any:
        return self._answer(self.proposal)

    def soften(self, *_: Any) -> Any:
        return self._answer(self.softer.pop(0)) if self.softer else None

    def explain(self, *_: Any) -> Any:
        return self._answer(self.explained)

    @staticmethod
    def _answer(answer: Any) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer


@contextmanager
def scripted(kind: type[Action]) -> Iterator[Scripted]:
    """While it lasts, the policy ``scripted`` can be configured."""
    one = Scripted(kind)
    with mock.patch.dict(policy._SHIPPED, {"scripted": one}):
        yield one
