"""Every policy that is shipped: typed settings, finite proposals that the guard can judge, pure, contracts alone."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grimp
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.edge.shared_greens import NAME
from tests.edge.test_decisions import FLOW, HEAT, HEATER, PEOPLE, SCORE, SITES
from tests.edge.test_guard import FIXED, SIGNAL
from wayside.contracts.action import Action, Answer, Answers, Greens, Notice, Running, Setpoint
from wayside.contracts.actuator_config import ActuatorConfig, RegisterTarget, SetpointConfig
from wayside.contracts.reading import Quality
from wayside.contracts.task_config import SiteConfig, TaskConfig
from wayside.edge.actuators import BoardSignal, NoticeBoard, ReadBackSetpoint
from wayside.edge.guard.check import check
from wayside.edge.guard.verdict import Situation
from wayside.edge.policies import policy as policies

pytestmark = pytest.mark.usefixtures("shared_greens")
PACKAGE = Path(policies.__file__).parent
VALVE = SetpointConfig(
    name="valve",
    register=RegisterTarget(device=1, address=0, table="holding", scale=0.1, offset=-40),
    low=-20,
    high=60,
    safe=20,
    max_change=7,
)


def task(like: TaskConfig, **changes: Any) -> TaskConfig:
    return msgspec.structs.replace(like, **changes)


CASES: list[tuple[TaskConfig, ActuatorConfig]] = [
    (FLOW, SIGNAL),
    (task(FLOW, settings={"phases": {"d/1": 2, "d/2": 2}, "least_veh_h": 36.0}), SIGNAL),
    (SCORE, PEOPLE),
    (task(SCORE, kind="forecast", settings={"only": ["d/2"]}), PEOPLE),
    (HEAT, HEATER),
    (
        task(HEAT, settings={"on": 55.0, "off": -15.0, "below": True, "on_at": 5, "off_at": 5, "within": 2}, horizon=2),
        VALVE,
    ),
    (task(HEAT, kind="count", settings={"watch": "count", "of_class": "car", "on_at": 3}), HEATER),
    (task(HEAT, kind="score", settings={"watch": "score", "on_at": 3}), HEATER),
]
BOILER = SetpointConfig(
    name="boiler",
    register=RegisterTarget(device=1, address=1),
    low=0,
    high=1,
    safe=0,
    by="06:00",
    must_run_s=14_400,
    min_on_s=900,
    min_off_s=900,
    max_run_s=21_600,
)
NIGHT = {"from": "22:00", "to": "06:00", "price": 0.1}
CASES += [
    (
        task(HEAT, policy="load_shift", settings={"tariffs": [NIGHT], "price": 0.3, "cap": 50, "power": 9}, horizon=2),
        BOILER,
    ),
    (task(HEAT, policy="load_shift", settings={"prefer": "quiet", "hours": 3}, horizon=2), BOILER),
    (task(SCORE, kind="forecast", policy="threshold_warning", settings={"within": 2}, horizon=2), PEOPLE),
    (
        task(
            SCORE,
            kind="forecast",
            policy="threshold_warning",
            settings={"within": 1, "levels": [{"above": 2.0, "name": "high", "level": 2}]},
        ),
        PEOPLE,
    ),
    (task(HEAT, policy="abatement", settings={"within": 2, "threshold": 3}, horizon=2), HEATER),
    (task(HEAT, policy="abatement", settings={"within": 1, "threshold": 3, "on": 55.0, "off": -15.0}), VALVE),
    (
        task(
            SCORE,
            kind="forecast",
            policy="capacity_notice",
            settings={"hours": 0.5},
            horizon=2,
            sites=tuple(SiteConfig(output=s.output, constants={"places": 4}) for s in SITES),
        ),
        PEOPLE,
    ),
    (
        task(
            SCORE,
            kind="count",
            policy="picture_notice",
            settings={"stopped_class": "bus", "of_class": "car", "capacity": 2, "steps": 1, "frames": 1}
            | {"shows": {"green": ["green"], "red": ["red"]}},
        ),
        PEOPLE,
    ),
    (task(SCORE, kind="classify", policy="picture_notice", settings={"stopped_class": "car", "steps": 3}), PEOPLE),
]
each_case = pytest.mark.parametrize(
    ("config", "actuator"), CASES, ids=lambda c: c.policy if isinstance(c, TaskConfig) else ""
)
SHIPPED = policies.names()
PARTS_OF_BEAT_POLICIES = ("queues", "rollout", "stages")  # tests/edge/test_horizon.py
each_policy = pytest.mark.parametrize("name", SHIPPED)

number = st.sampled_from([math.nan, math.inf, -math.inf, -1e308, 1e308, 0.0]) | st.floats() | st.floats(0, 3000)
sites_ = st.dictionaries(
    st.sampled_from(["d/1", "d/2", "elsewhere"]),
    st.builds(
        Answer,
        value=st.none() | number,
        quality=st.sampled_from(Quality),
        forecast=st.lists(number, max_size=3),
        bands=st.lists(st.lists(number, min_size=3, max_size=3) | st.lists(number, max_size=4), max_size=3),
        score=st.none() | number,
        counts=st.none() | st.dictionaries(st.sampled_from(["car", "bus"]), number),
        residual=st.none() | number,
        expected=st.none() | number,
        alarm=st.none() | st.integers(-1, 5),
        by_head=st.none()
        | st.dictionaries(
            st.sampled_from(["green", "red", "dark", "unknown"]),
            st.dictionaries(st.sampled_from(["green", "red", "dark"]), number),
        ),
    ),
)
answers_ = st.builds(
    Answers,
    interval_s=st.floats(1, 86_400),
    sites=sites_,
    quantiles=st.sampled_from([(), (0.1, 0.5, 0.9), (0.9, 0.5, 0.1), (0.5,), (0.0, 0.5, 1.0), (math.nan,) * 3]),
    clock_known=st.booleans(),
    fresh=st.booleans(),
    hour=st.none() | st.floats(0, 24) | number,
    weekday=st.none() | st.floats(0, 6) | number,
    before=st.lists(sites_, max_size=2),
    step_s=st.none() | st.floats(1, 86_400),
    running=st.none() | st.builds(Running, number, number),
)


def in_force_of(actuator: ActuatorConfig) -> st.SearchStrategy[Action | None]:
    """Whatever the guard may have allowed before."""
    if actuator is SIGNAL:
        return st.none() | st.floats(-10, 10).map(lambda d: Greens(FIXED | {2: 48 + d, 4: 31 - d}))
    if isinstance(actuator, SetpointConfig):
        return st.none() | st.floats(actuator.low, actuator.high).map(Setpoint)
    return st.none() | st.builds(Notice, st.sampled_from(["incident", "other"]), st.integers(1, 3), st.just("text"))


def test_every_module_of_the_package_is_a_policy_that_can_be_configured_and_is_tested_here() -> None:
    modules = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "policy", "outside", "node_file"}
    of_the_beat = {*policies.beat_names(), *PARTS_OF_BEAT_POLICIES}
    assert modules == {*SHIPPED, *of_the_beat}
    assert {*SHIPPED, NAME} == {c.policy for c, _ in CASES}


def test_policies_and_guard_import_contracts_and_nothing_else_of_the_project() -> None:
    graph = grimp.build_graph("wayside")
    for package in ("wayside.edge.policies", "wayside.edge.guard"):
        modules = {package, *graph.find_descendants(package)}
        assert len(modules) > 3
        reached = {other for module in modules for other in graph.find_upstream_modules(module)} - modules
        # The contracts read TOML by `wayside.text`, whose errors come of the root: both stand on nothing.
        assert {name.split(".")[1] for name in reached} == {"contracts", "errors", "text"}
        own = {other for module in modules for other in graph.find_modules_directly_imported_by(module)} - modules
        assert {name.split(".")[1] for name in own} == {"contracts"}


@each_policy
def test_settings_have_defaults_and_bounds(name: str) -> None:
    kind = policies.settings_type(policies.find(name))  # type: ignore[arg-type]
    kind()
    unbounded = [
        f"{field.name}: {type(inner).__name__}"
        for field in msgspec.inspect.type_info(kind).fields  # type: ignore[union-attr]
        if field.name != "extra"
        for inner in parts(field.type)
        if not bounded(inner)
    ]
    assert not unbounded


def parts(kind: Any) -> Iterator[Any]:
    yield kind
    for name in ("types", "item_type", "key_type", "value_type"):
        inner = getattr(kind, name, ())
        for each in inner if isinstance(inner, tuple) else (inner,):
            if isinstance(each, msgspec.inspect.Type):
                yield from parts(each)


def bounded(kind: Any) -> bool:
    if isinstance(kind, msgspec.inspect.IntType | msgspec.inspect.FloatType):
        return (kind.ge, kind.gt) != (None, None) and (kind.le, kind.lt) != (None, None)
    if isinstance(kind, msgspec.inspect.StrType):
        return kind.max_length is not None or kind.pattern is not None
    if isinstance(kind, msgspec.inspect.VarTupleType | msgspec.inspect.DictType):
        return kind.max_length is not None
    return True


@each_case
def test_a_configuration_that_fits_has_no_mistakes(config: TaskConfig, actuator: ActuatorConfig) -> None:
    assert policies.check(config, actuator) == []


@each_case
@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_a_policy_never_raises_and_its_proposals_are_finite_pure_and_come_to_rest(
    config: TaskConfig, actuator: ActuatorConfig, data: st.DataObject
) -> None:
    policy, chosen = policies.choose(config, actuator)
    answers, in_force = data.draw(answers_), data.draw(in_force_of(actuator))
    before = copy.deepcopy((answers, in_force))
    seen = policy.read(answers, chosen)
    assert repr(policy.read(answers, chosen)) == repr(seen)
    if seen is None:
        assert repr(answers) == repr(before[0])
        return
    kept = copy.deepcopy(seen)
    proposal = policy.propose(seen, chosen, actuator, in_force)
    explained = policy.explain(seen, chosen, actuator, proposal)
    assert repr((answers, in_force, seen)) == repr((*before, kept))
    assert repr(policy.propose(seen, chosen, actuator, in_force)) == repr(proposal)
    assert policy.explain(seen, chosen, actuator, proposal) == explained
    assert all(isinstance(v, str) or math.isfinite(v) for v in explained.values())
    situation = Situation(in_force, fresh=answers.fresh, clock_known=answers.clock_known)
    for _ in range(40):
        if proposal is None:
            return
        assert type(proposal) is policy.ACTION
        assert all(map(math.isfinite, numbers(proposal)))
        verdict = check(proposal, actuator, situation)
        assert verdict == check(proposal, actuator, situation)
        softer = policy.soften(proposal, actuator)
        assert repr(softer) == repr(policy.soften(proposal, actuator))
        if softer == proposal:
            assert check(proposal, actuator, Situation(None)).allowed  # where it rests nothing is wrong with it
            return
        proposal = softer
    pytest.fail(f"softening does not come to rest: {proposal}")


@each_case
def test_a_policy_reads_and_proposes_where_every_site_has_an_answer(
    config: TaskConfig, actuator: ActuatorConfig
) -> None:
    policy, chosen = policies.choose(config, actuator)
    answer = Answer(5.0, Quality.GOOD, [3.0, 4.0], score=3.0, counts={"car": 3.0, "bus": 1.0}, residual=1.0)
    answers = Answers(
        900.0, {site.output: answer for site in config.sites}, hour=14.0, weekday=2.0, running=Running(0.0, 57_600.0)
    )
    seen = policy.read(answers, chosen)
    assert seen is not None
    proposal = policy.propose(seen, chosen, actuator, None)
    assert type(proposal) is policy.ACTION
    assert policy.explain(seen, chosen, actuator, proposal)


def numbers(action: Action) -> list[float]:
    if isinstance(action, Greens):
        return list(action.seconds.values())
    return [] if action.value is None else [action.value]


@each_case
@given(data=st.data())
@settings(max_examples=50, deadline=None)
def test_what_the_guard_allows_the_actuator_takes(
    config: TaskConfig, actuator: ActuatorConfig, data: st.DataObject, ledger_of: Any
) -> None:
    policy, chosen = policies.choose(config, actuator)
    seen = policy.read(data.draw(answers_), chosen)
    proposal = None if seen is None else policy.propose(seen, chosen, actuator, None)
    if proposal is None or not check(proposal, actuator, Situation(None)).allowed:
        return
    if isinstance(proposal, Greens):
        board = BoardSignal(SIGNAL)
        board.carry(proposal)
        assert board.take() == proposal.seconds
    elif isinstance(proposal, Setpoint):
        register = ReadBackSetpoint(actuator, ledger_of())  # type: ignore[arg-type]
        register.confirmed(actuator.safe)  # type: ignore[union-attr]
        register.carry(proposal)
        assert register.pending() == (None if proposal.value == actuator.safe else proposal.value)  # type: ignore[union-attr]
    else:
        ledger = ledger_of()
        NoticeBoard(config, ledger).carry(proposal)
        assert bool(ledger.conditions()) == bool(proposal.level)


@pytest.fixture(scope="module")
def ledger_of() -> Any:
    from tests.edge.test_ledger import BOOT, Hand, Ledger

    return lambda: Ledger("n", BOOT, Hand())


# --- what is wrong is named -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "actuator", "says"),
    [
        (task(FLOW, policy="nobody"), SIGNAL, ["there is no policy 'nobody'; there are abatement, "]),
        (task(FLOW, policy="signal_timing"), SIGNAL, ["is no part of wayside any more: delete policy, actuator and"]),
        (FLOW, HEATER, ["it proposes green times, the actuator heater is of kind 'setpoint'"]),
        (SCORE, SIGNAL, ["it proposes notices, the actuator signal is of kind 'signal'"]),
        (
            task(FLOW, settings={"phases": {"d/1": 3, "d/9": 2}}),
            SIGNAL,
            [
                "settings: d/9 is no site of this task; they are d/1, d/2",
                "settings.phases: d/1 waits for phase 3, which the actuator signal does not have",
            ],
        ),
        (
            task(FLOW, settings={"phases": {"d/1": 17}, "phase": 2, "least_veh_h": "much"}),
            SIGNAL,
            [
                "settings.phases[...]: Expected `int` <= 16",
                "settings.phase: there is no such setting; there are phases, least_veh_h",
                "settings.least_veh_h: Expected `float`, got `str`",
            ],
        ),
        (
            task(FLOW, settings={"lanes": {"d/1": 2}}),
            SIGNAL,
            ["settings.lanes: stands in the constants of the task's sites: constants = { lanes = 2 }"],
        ),
        (
            task(FLOW, sites=(SiteConfig(output="d/1", constants={"lanes": 0}),), settings={}),
            SIGNAL,
            ["settings.lanes"],
        ),
        (task(FLOW, kind="score"), SIGNAL, ["it needs forecasts, the task's kind is 'score'"]),
        (task(SCORE, kind="classify"), PEOPLE, ["it needs scores or forecasts"]),
        (task(SCORE, settings={"warn_above": math.nan}), PEOPLE, ["settings.warn_above: "]),
        (task(SCORE, settings={"end_below": 9.0}), PEOPLE, ["settings: end_below <= warn_above"]),
        (
            task(HEAT, settings={"on": 0.5}),
            HEATER,
            ["settings.on: 0.5 is nothing that the actuator heater can be set to"],
        ),
        (task(HEAT, settings={"within": 5}), HEATER, ["settings.within: 5 intervals; the task's horizon is 1"]),
        (task(HEAT, settings={"watch": "count"}), HEATER, ["settings: of_class says which class"]),
    ],
)
def test_all_mistakes_are_named_by_their_field(config: TaskConfig, actuator: ActuatorConfig, says: list[str]) -> None:
    told = policies.check(config, actuator)
    assert len(told) == len(says), told
    for sentence, part in zip(told, says, strict=True):
        assert sentence.startswith(f"task {config.name}")
        assert part in sentence


def test_lanes_come_from_the_constants_of_the_sites() -> None:
    chosen = policies.choose(FLOW, SIGNAL).settings
    assert chosen.lanes == {s.output: 2.0 for s in SITES}  # type: ignore[attr-defined]


@each_policy
def test_every_setting_is_documented(name: str) -> None:
    page = (Path(__file__).parents[2] / "docs/policies.md").read_text()
    (section,) = [s for s in page.split("\n### ") if s.startswith(f"`{name}`")]
    kind = policies.settings_type(policies.find(name))  # type: ignore[arg-type]
    fields = {f.name for f in msgspec.structs.fields(kind)} - {"extra"}
    assert [f for f in fields if f"`{f}`" not in section and f not in kind.from_constants] == []
