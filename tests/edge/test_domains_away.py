"""A whole node of each domain, from its file: model, clock or sensor is taken away, and the actuator is safe.

There is no network to take away: a node that decides has none. It is never told of a hub here.
"""

from __future__ import annotations

from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import pytest

from tests.edge.tasks.test_tasks import BASE, STEP_MS, Made
from tests.edge.test_ledger import Hand
from wayside.contracts.node_config import load_node_config
from wayside.contracts.reading import ClockState
from wayside.contracts.summary import Kind
from wayside.edge.clock import Wall
from wayside.edge.node import Node

FAN = """
[[actuators]]
kind = "setpoint"
name = "load"
register = { device = 3, table = "coil", address = 1 }
low = 0
high = 1
safe = 0
by = "06:00"
"""


class Domain(NamedTuple):
    policy: str
    settings: str
    actuator: str = "load"
    kind: str = "forecast"


DOMAINS = {
    "energy, a load": Domain("load_shift", 'prefer = "quiet", hours = 24'),
    "energy, waste": Domain("incident_notice", 'direction = "above", warn_above = 2', "people"),
    "environment, equipment": Domain("abatement", "threshold = 5, within = 1"),
    "environment, warning": Domain(
        "threshold_warning", 'within = 1, levels = [{ above = 5, name = "smog", level = 2 }]', "people"
    ),
    "health": Domain("capacity_notice", "hours = 0.25", "people"),
    "traffic, incident": Domain("incident_notice", "warn_above = 3", "people", "score"),
}


class Mast:
    """A node with one gauge that is polled once a minute."""

    def __init__(self, domain: Domain) -> None:
        text = f"""
[[tasks]]
name = "t"
bundle = "m"
kind = "{domain.kind}"
interval_s = 900
sites = [{{ output = "mast/rain", constants = {{ places = 3 }}, inputs = {{ rain = "mast/rain" }} }}]
policy = "{domain.policy}"
actuator = "{domain.actuator}"
settings = {{ {domain.settings} }}
"""
        self.config = load_node_config(BASE + text + FAN)
        assert self.config.hub is None
        self.clock = Hand()
        self.clock._start_ms = 1704067200_000
        self.node = Node(self.config, self.clock, "0" * 32)
        self.domain, self.ms = domain, 0
        quantiles: dict[str, Any] = {"kind": "score"} if domain.kind == "score" else {"quantiles": (0.1, 0.5, 0.9)}
        self.model = Made("m", self.answer, inputs=("rain",), output="rain", output_unit="mm", **quantiles)

    def answer(self, x: Any) -> Any:
        if self.domain.kind == "score":
            return 9.0
        last = float(np.nan_to_num(x[0, -1, 0]))
        return [[[0.8 * last, last, 1.2 * last]]]

    def step(self, rain: float | None) -> None:
        for minute in range(15):
            self.clock.now_ns = (self.ms + minute * 60_000) * 1_000_000
            if rain is not None:
                self.node.value_read(self.node.registers, 0, rain)
            self.node.pass_time()
        self.ms += STEP_MS
        self.clock.now_ns = self.ms * 1_000_000
        self.node.pass_time()

    @property
    def acts(self) -> bool:
        if self.domain.actuator == "people":
            return any(c.code.startswith("notice_") for c in self.node.ledger.conditions())
        return self.node.outputs.setpoints["load"]._wanted != 0.0

    @property
    def held(self) -> str:
        rows = [r.detail for r in self.node.ledger.rows if r.kind is Kind.DECISION and r.detail["verdict"] == "held"]
        return str(rows[-1]["why"]) if rows else ""


def acting(name: str) -> Mast:
    mast = Mast(DOMAINS[name])
    mast.node.set_model("m", mast.model)
    assert [t.why for t in mast.node.task_states()] == [None]
    for rain in (6.0, 6.0, 6.0, 60.0):
        mast.step(rain)
    assert mast.acts, [r.detail for r in mast.node.ledger.rows if r.kind is Kind.DECISION]
    return mast


@pytest.mark.parametrize("name", DOMAINS)
def test_without_its_model_the_actuator_of_each_domain_is_safe(name: str) -> None:
    mast = acting(name)
    mast.node.set_model("m", None, "it was withdrawn")
    mast.step(60.0)
    assert not mast.acts
    assert "no model, because it was withdrawn" in mast.held


@pytest.mark.parametrize("name", DOMAINS)
def test_without_its_sensor_the_actuator_of_each_domain_is_safe(name: str) -> None:
    mast = acting(name)
    for _ in range(8):
        mast.step(None)
    assert not mast.acts, mast.held


@pytest.mark.parametrize("name", [name for name, domain in DOMAINS.items() if domain.actuator == "load"])
def test_without_a_clock_a_set_point_is_safe(name: str) -> None:
    mast = acting(name)
    with mock.patch.object(mast.clock, "wall", lambda _: Wall(None, ClockState.UNKNOWN, None)):
        mast.step(60.0)
        mast.step(60.0)
    assert not mast.acts, mast.held
