"""Every decision of every policy is one sentence, and each number in it stands in the row."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conformance.test_policies import CASES
from tests.edge.test_decisions import Scene
from tests.edge.test_guard import SIGNAL
from wayside.contracts.action import Answer, Answers
from wayside.contracts.actuator_config import ActuatorConfig
from wayside.contracts.reading import Quality
from wayside.contracts.summary import Kind, Summary
from wayside.contracts.task_config import TaskConfig
from wayside.contracts.why import sentence, shown, told, unit_word
from wayside.edge.policies import policy as policies

pytestmark = pytest.mark.usefixtures("shared_greens")
NUMBER = re.compile(r"(?<![A-Za-z0-9_./-])\d+(?:\.\d+)?")
QUANTILES = (0.1, 0.5, 0.9)
each_case = pytest.mark.parametrize(
    ("config", "actuator"), CASES, ids=lambda c: c.policy if isinstance(c, TaskConfig) else ""
)


def answers(config: TaskConfig, level: float, *, clock: bool = True, fresh: bool = True) -> Answers:
    band = [level * 0.9, level, level * 1.2]
    answer = Answer(
        level,
        Quality.GOOD,
        [level] * config.horizon,
        [band] * config.horizon,
        score=level if config.kind == "score" else None,
        counts={"car": level, "bus": min(1.0, level / 10)} if config.kind in ("classify", "count") else None,
        residual=level,
        expected=level / 2,
        by_head={"green": {"red": level * 10, "green": 1.0}},
    )
    sites = {site.output: answer for site in config.sites}
    return Answers(900.0, sites, QUANTILES, clock, fresh, 14.0 if clock else None, 2.0, unit="ug/m3")


def decided(config: TaskConfig, actuator: ActuatorConfig) -> list[Summary]:
    """Rows of a day in which everything happens: on, off, too soon, stale, no clock, no answer."""
    scene = Scene(config, actuator)
    levels = [0.5, 12.0, 90.0, 400.0, 12.0, 2.5, 0.5, 0.4, 300.0, 200.0]
    for i, level in enumerate(levels * 2):
        doubt = {"clock": i != 14, "fresh": i != 15}
        why_none = "no model, because none has come" if i == 16 else None
        given_ = answers(config, level, **doubt)
        if why_none:
            given_ = given_._replace(sites={s: Answer(1.0, Quality.GOOD) for s in given_.sites})
        scene.decider.decide(given_, scene.ledger.now(), model="pm25 1.0.0", why_none=why_none)
        scene.wait(200 if i % 3 else 1800)
    return [row for row in scene.ledger.rows if row.kind is Kind.DECISION]


def numbers_of(row: Summary) -> set[str]:
    """All that a sentence may name: the row's fields but for the template itself."""
    fields = [shown(v) for name, v in row.detail.items() if name != "because"]
    return set(NUMBER.findall(" ".join([*fields, row.model or "", row.datastream]))) | set(fields)


@each_case
def test_every_number_of_every_sentence_stands_in_the_row(config: TaskConfig, actuator: ActuatorConfig) -> None:
    rows = decided(config, actuator)
    assert rows
    for row in rows:
        said = sentence(row)
        assert said.endswith(".")
        assert "\n" not in said
        assert "?" not in said, said
        assert "{" not in said, said
        strange = [n for n in NUMBER.findall(said) if n not in numbers_of(row)]
        assert not strange, (said, row.detail)
        assert str(row.detail["policy"]) in said


@pytest.mark.parametrize("name", policies.names())
def test_each_policy_is_allowed_and_held_in_these_days_and_says_its_reason(name: str) -> None:
    rows = [row for config, actuator in CASES if config.policy == name for row in decided(config, actuator)]
    verdicts = {row.detail["verdict"] for row in rows}
    assert {"allowed", "held"} <= verdicts
    for row in rows:
        if row.detail["verdict"] in ("allowed", "refused"):
            because = str(row.detail["because"])
            assert len(because) < 256, "it is not cut"
            assert ", because " in sentence(row)


def test_a_refused_and_a_softened_decision_are_told_as_such() -> None:
    (config, _) = CASES[0]
    rows = [row for row in decided(config, SIGNAL) if row.detail["verdict"] == "refused"]
    assert any(row.detail["attempt"] for row in rows)
    assert all("the guard refused: " in sentence(row) and str(row.detail["why"]) in sentence(row) for row in rows)


def test_a_load_that_the_guard_runs_says_so() -> None:
    detail = {"verdict": "driven", "setpoint": 1.0, "runs": True, "why": "it has to run for 60 s more by 06:00"}
    said = told("boiler", detail, None)
    assert said == (
        "The guard itself saw to it: boiler was switched on (set to 1), because it has to run for 60 s more by 06:00."
    )


def test_a_sentence_is_what_a_mayor_reads() -> None:
    detail: dict[str, Any] = {
        "verdict": "allowed",
        "local": "14:00",
        "setpoint": 1.0,
        "runs": True,
        "policy": "abatement",
        "expected": 92.0,
        "unit": "ug/m3",
        "because": "the model expects {expected} {unit} by 18:00",
    }
    assert told("fan", detail, "pm25 1.0.0") == (
        "At 14:00 fan was switched on (set to 1), because the model expects 92 µg/m³ by 18:00; the guard allowed it "
        "(rule abatement, model pm25 1.0.0)."
    )
    assert unit_word("{parcel}") == "parcel"


scalar = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
names = st.sampled_from(
    [
        "verdict",
        "setpoint",
        "greens",
        "topic",
        "level",
        "notice",
        "runs",
        "because",
        "why",
        "local",
        "policy",
        "x",
        "unit",
    ]
)


@given(detail=st.dictionaries(names, scalar), because=st.text(alphabet="{}x! .[]unit0", max_size=30))
@settings(max_examples=200, deadline=None)
def test_no_row_keeps_a_sentence_from_being_said_and_nothing_of_it_is_evaluated(
    detail: dict[str, Any], because: str
) -> None:
    assert told("a", {**detail, "because": because}, None).endswith(".")
    assert told("a", {"verdict": "allowed", "because": "{0.__class__} {x!r} {unknown}"}, None).count("?") == 1
