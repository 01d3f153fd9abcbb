"""Every shipped task against every kind of node: accepted where it can be fed, refused with both sides named."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.simulators import node_kinds
from tests.simulators.node_kinds import KINDS, best, offer, passport, passport_of, tables
from wayside.cloud.train.taskfile import task_names
from wayside.contracts.fit import MAX_STEPS, UNKNOWN_SITE, feed, misfits, numbers
from wayside.contracts.passport import Accuracy, Passport
from wayside.contracts.task import Input, TaskSpec
from wayside.contracts.task_config import Datastream, Offer, SiteConfig, TaskOffer
from wayside.export.needs import needs

VEHICLES = {"intersection", "road station"}
RUNS: dict[str, set[str]] = {
    "auckland": {"footpath"},
    "beijing_1": {"air station"},
    "beijing_6": {"air station"},
    "beijing_24": {"air station"},
    "beijing_day": {"air station"},
    "corner_vehicles": {"camera corner"},
    "dutch": {"kiosk, kW"},
    "ed_arrivals": {"hospital"},
    "etth1_96": {"test bench"},
    "etth1_720": {"test bench"},
    "forecourt_arrivals": {"hospital", "hospital, no calendar"},
    "gtsrb": {"camera corner"},
    "i94": {"road station"},
    "junctions": VEHICLES,
    "kiosk_load": {"kiosk, kW"},
    "lights": {"camera corner"},
    "los_15": {"speed, mph"},
    "los_30": {"speed, mph"},
    "los_60": {"speed, mph"},
    "mast_pm25": {"air station"},
    "melbourne": {"footpath"},
    "nab": {"test bench"},
    "pems_5": VEHICLES,
    "pjm": {"kiosk, MW"},
    "scats_15": VEHICLES,
    "scats_30": VEHICLES,
    "scats_60": VEHICLES,
    "scats_incidents": VEHICLES,
    "traffic_flow": VEHICLES,
    "traffic_score": VEHICLES,
    "vehicle_count": {"camera corner"},
    "vehicles": {"camera corner"},
    "victoria": {"kiosk, MW"},
}
"""Written by hand from the task files' units and the nodes' sensors, not from the function under test."""
WERE_FED_VEHICLES = ("los_15", "los_30", "los_60", "etth1_96", "etth1_720")
"""Their inputs are the output, the clock and the site: a node that compares only names gives them vehicle counts."""
DOCS = Path(__file__).parents[2] / "docs"

LANES = Input(name="lanes", unit="1", low=1, high=12)
HOLIDAY = Input(name="holiday", unit="1", low=0, high=1, ahead=True)
RAIN = Input(name="rain", unit="mm", low=0, high=100)
SPEC = TaskSpec(
    name="flow",
    domain="traffic",
    inputs=(
        Input(name="volume", unit="{veh}", low=0, high=400),
        Input(name="hour", unit="h", low=0, high=24),
        Input(name="site", unit="1", low=0, high=4095),
        LANES,
        HOLIDAY,
        RAIN,
    ),
    output="volume",
    output_unit="{veh}",
    window=8,
    horizon=4,
    interval_s=900,
    season=672,
    sites=("Main St, northbound", "5th Ave"),
)
TASK = TaskOffer(
    name="flow",
    bundle="flow",
    interval_s=900,
    step_s=300,
    horizon=1,
    sites=(SiteConfig(output="detector/2/volume", site="5th Ave", constants={"lanes": 2}),),
    inputs={"rain": "roof/rain"},
)
NODE = Offer(
    agent="1.0.0",
    runtime="onnxruntime",
    precision="int8",
    datastreams=(
        Datastream(name="detector/2/volume", unit="{veh}", aggregate="sum"),
        Datastream(name="radar/speed", unit="km/h", aggregate="mean"),
        Datastream(name="roof/rain", unit="mm", aggregate="sum", observes="rain"),
    ),
    days=("holiday",),
    tasks=(TASK,),
)
MODEL = passport_of(SPEC)


def changed(thing, **fields):
    return msgspec.structs.replace(thing, **fields)


def at(**fields) -> TaskOffer:
    return changed(TASK, sites=(changed(TASK.sites[0], **fields),))


def stream(name: str, **fields) -> Offer:
    return changed(NODE, datastreams=tuple(changed(d, **fields) if d.name == name else d for d in NODE.datastreams))


def model(**fields) -> Passport:
    return passport_of(changed(SPEC, **fields))


def sole(passport: Passport = MODEL, task: TaskOffer = TASK, node: Offer = NODE) -> tuple[str, str]:
    (misfit,) = misfits(passport, task, node)
    return misfit.misses, misfit.message


class TestShippedTasks:
    def test_every_shipped_task_is_in_the_table(self):
        assert set(RUNS) == set(task_names())

    @pytest.mark.parametrize("kind", KINDS)
    def test_a_node_takes_exactly_the_models_that_it_can_feed(self, kind):
        assert {task for task in RUNS if not best(task, kind)} == {task for task, on in RUNS.items() if kind in on}

    @pytest.mark.parametrize("task", WERE_FED_VEHICLES)
    def test_a_model_of_another_quantity_is_not_fed_vehicle_counts(self, task):
        for table in tables(passport(task), offer("intersection")):
            assert [m.misses for m in misfits(passport(task), table, offer("intersection"))] == ["quantity"]

    @pytest.mark.parametrize("task", sorted(set(RUNS) - {"traffic_flow"}))
    def test_no_other_model_passes_as_the_traffic_nodes_own(self, task):
        """Under the name of its bundle too: something else than the name keeps it away, unless it is of the kind."""
        node = offer("intersection")
        own = next(iter(tables(passport("traffic_flow"), node)))
        assert "bundle" in {m.misses for m in misfits(passport(task), own, node)}
        renamed = changed(passport(task), bundle="traffic-flow")
        assert misfits(renamed, own, node)

    def test_the_page_is_current(self):
        assert (DOCS / "fit.md").read_text() == node_kinds.markdown() + "\n", (
            "run `python -m tests.simulators.node_kinds > docs/fit.md`"
        )


class TestMisfits:
    def test_what_fits_has_none(self):
        assert misfits(MODEL, TASK, NODE) == []

    def test_another_bundle(self):
        misses, said = sole(changed(MODEL, bundle="pm25-24h"))
        assert misses == "bundle"
        assert "pm25-24h" in said
        assert "takes flow and no other" in said

    @pytest.mark.parametrize(
        ("task", "does"), [("vehicles", "classifies pictures"), ("vehicle_count", "counts"), ("dutch", "unusual power")]
    )
    def test_another_kind(self, task, does):
        misses, said = sole(changed(passport(task), bundle="flow"))
        assert misses == "kind"
        assert does in said
        assert "the task flow forecasts detector/2/volume" in said

    def test_pictures_on_a_node_without_a_camera(self):
        task = changed(TASK, kind="classify")
        misses, said = sole(changed(passport("vehicles"), bundle="flow"), task)
        assert (misses, said) == ("input", "this model looks at pictures; this node has no source of pictures")

    def test_another_interval(self):
        misses, said = sole(model(interval_s=3600.0))
        assert misses == "interval"
        assert "3600 s" in said
        assert "900 s" in said

    def test_another_lead(self):
        misses, said = sole(model(lead=4))
        assert misses == "lead"
        assert "4 intervals ahead, the task wants 1" in said

    def test_a_horizon_that_is_too_short(self):
        misses, said = sole(task=changed(TASK, horizon=5))
        assert misses == "horizon"
        assert "4 intervals, the task needs 5" in said

    def test_a_window_that_is_longer_than_a_node_remembers(self):
        day = changed(TASK, interval_s=86400.0, step_s=1.0)
        misses, said = sole(model(interval_s=86400.0), day)
        assert misses == "window"
        assert str(MAX_STEPS) in said

    def test_the_finest_step_of_all_tasks_says_how_many_steps_a_window_has(self):
        weekly = model(interval_s=86400.0)
        day = changed(TASK, interval_s=86400.0, step_s=None)
        assert misfits(weekly, day, changed(NODE, tasks=(day,))) == []
        beside = changed(TASK, name="fast", interval_s=60.0, step_s=1.0)
        assert sole(weekly, day, changed(NODE, tasks=(day, beside)))[0] == "window"

    def test_an_output_that_no_source_gives(self):
        misses, said = sole(task=at(output="detector/9/volume"))
        assert misses == "output"
        assert "detector/9/volume" in said

    def test_another_quantity(self):
        misses, said = sole(task=at(output="radar/speed"))
        assert misses == "quantity"
        assert "volume in {veh} (vehicles); radar/speed is speed, km/h" in said

    def test_a_quantity_that_the_unit_does_not_tell(self):
        misses, said = sole(node=stream("roof/rain", observes="snow"))
        assert misses == "quantity"
        assert "wants rain; roof/rain observes snow" in said

    def test_a_mean_where_a_sum_is_wanted(self):
        misses, said = sole(node=stream("detector/2/volume", aggregate="mean"))
        assert misses == "quantity"
        assert "added up" in said
        assert "averaged" in said

    def test_a_sum_where_a_mean_is_wanted(self):
        fast = model(inputs=(*SPEC.inputs, Input(name="radar/speed", unit="km/h", low=0, high=200)))
        assert misfits(fast, TASK, NODE) == []
        assert sole(fast, node=stream("radar/speed", aggregate="sum"))[0] == "quantity"

    def test_another_unit_of_the_same_quantity(self):
        misses, said = sole(node=stream("roof/rain", unit="cm"))
        assert misses == "unit"
        assert "in mm; roof/rain is in cm" in said

    def test_a_passport_whose_output_is_in_two_units(self):
        """The column that is fed is compared too, not only what is said of the answer."""
        odd = model(inputs=(changed(SPEC.inputs[0], unit="km/h"), *SPEC.inputs[1:]))
        assert sole(odd)[0] == "quantity"

    def test_an_input_that_no_source_gives(self):
        misses, said = sole(task=changed(TASK, inputs={}))
        assert (misses, said) == ("input", "the model wants 'rain' (mm), which no source of this node gives")

    def test_a_constant_beyond_what_the_model_knows(self):
        misses, said = sole(task=at(constants={"lanes": 40}))
        assert misses == "input"
        assert "lanes = 40 at detector/2/volume; the model knows 1 to 12" in said

    def test_days_ahead_without_a_calendar(self):
        misses, said = sole(node=changed(NODE, days=()))
        assert misses == "calendar"
        assert "'holiday' of the days ahead" in said

    def test_a_calendar_where_the_model_wants_more_than_yes_or_no(self):
        numbered = changed(HOLIDAY, high=11.0)
        misses, said = sole(model(inputs=(*SPEC.inputs[:4], numbered, RAIN)))
        assert misses == "calendar"
        assert "from 0 to 11" in said

    def test_a_site_of_another_name(self):
        misses, said = sole(task=at(site="5th avenue"))
        assert misses == "site"
        assert "'5th avenue'" in said
        assert "it knows Main St, northbound, 5th Ave" in said

    def test_no_site_where_the_passport_does_not_say_how_good_the_model_is_there(self):
        misses, said = sole(task=at(site=None))
        assert misses == "site"
        assert "names no site" in said

    @pytest.mark.parametrize(("error", "fits"), [(7.8, True), (10.7, False), (16.8, False)])
    def test_no_site_is_enough_where_the_model_was_measured_there_and_is_better_than_naive(self, error, fits):
        measured = Accuracy(slice=UNKNOWN_SITE, n=100, mae={"naive": 10.7, "onnx-int8": error, "tflite-int8": 7.8})
        passport = changed(MODEL, accuracy=(*MODEL.accuracy, measured))
        found = misfits(passport, at(site=None), NODE)
        assert (found == []) == fits
        if not fits:
            assert f"{error:.4g} {{veh}}, no better than 10.7" in found[0].message

    @pytest.mark.parametrize(("area", "fits"), [(0.9, True), (0.5, False)])
    def test_a_score_that_ranks_at_random_at_unknown_sites_needs_a_name(self, area, fits):
        measured = Accuracy(slice=UNKNOWN_SITE, n=100, mae={}, scores={"auc": {"torch": 0.9, "onnx-int8": area}})
        passport = changed(model(kind="score"), accuracy=(measured,))
        assert (misfits(passport, changed(at(site=None), kind="score"), NODE) == []) == fits

    def test_a_runtime_that_the_bundle_was_not_tried_on(self):
        misses, said = sole(node=changed(NODE, runtime="abacus"))
        assert misses == "runtime"
        assert "int8 on abacus" in said
        assert "onnx-int8 for onnxruntime" in said

    def test_a_precision_that_the_bundle_does_not_have(self):
        whole = changed(MODEL, variants=tuple(v for v in MODEL.variants if v.precision == "fp32"))
        assert sole(whole)[0] == "runtime"

    def test_an_agent_that_is_too_old(self):
        misses, said = sole(changed(MODEL, min_agent="1.2.0"))
        assert misses == "agent"
        assert "this agent is 1.0.0; the model needs 1.2.0" in said


class TestWhatIsNotRefused:
    def test_a_model_that_answers_further_ahead_than_is_needed(self):
        assert misfits(MODEL, changed(TASK, horizon=4), NODE) == []

    def test_constants_mappings_and_sites_that_the_model_does_not_ask_for(self):
        plain = model(inputs=SPEC.inputs[:2], sites=())
        assert misfits(plain, TASK, NODE) == []

    def test_an_input_that_is_known_ahead_from_a_constant(self):
        assert misfits(MODEL, at(constants={"lanes": 2, "holiday": 0}), changed(NODE, days=())) == []

    def test_a_number_from_a_table_of_dates_that_is_not_wanted_ahead(self):
        today = changed(HOLIDAY, ahead=False)
        assert misfits(model(inputs=(*SPEC.inputs[:4], today, RAIN)), TASK, NODE) == []

    def test_a_model_without_lags_of_its_output(self):
        beside = model(inputs=SPEC.inputs[1:], lead=0, horizon=1)
        assert misfits(beside, changed(TASK, lead=0), NODE) == []
        assert sole(beside)[0] == "lead"

    def test_a_score_has_neither_lead_nor_horizon(self):
        score = model(kind="score", lead=3, horizon=1)
        assert misfits(score, changed(TASK, kind="score", horizon=9), NODE) == []

    def test_an_agent_whose_version_has_fewer_numbers(self):
        assert misfits(changed(MODEL, min_agent="1.0.0"), TASK, changed(NODE, agent="1.0")) == []

    def test_a_site_may_feed_an_input_from_its_own_datastream(self):
        task = at(inputs={"rain": "roof/rain"}, constants={"lanes": 2})
        assert misfits(MODEL, changed(task, inputs={"rain": "radar/speed"}), NODE) == []


class TestFeed:
    def test_a_constant_is_before_a_calendar_and_a_calendar_before_a_datastream(self):
        site = at(constants={"holiday": 1.0}).sites[0]
        assert feed(HOLIDAY, TASK, site, ("holiday",)) == ("constant", "holiday")
        assert feed(HOLIDAY, TASK, TASK.sites[0], ("holiday",)) == ("calendar", "holiday")
        assert feed(RAIN, TASK, TASK.sites[0], ()) == ("datastream", "roof/rain")
        assert feed(RAIN, TASK, at(inputs={"rain": "own/rain"}).sites[0], ()) == ("datastream", "own/rain")
        assert feed(RAIN, changed(TASK, inputs={}), TASK.sites[0], ()) == ("datastream", "rain")


class TestNeeds:
    def test_they_name_every_thing_that_is_compared(self):
        text = "\n".join(f"{n.what}: {n.needed}" for n in needs(MODEL))
        for part in (
            'bundle = "flow", interval_s = 900, lead = 1, horizon up to 4',
            "output: a datastream of volume, in {veh} (vehicles), added up over each interval",
            "input lanes: a datastream in 1 or a constant from 1 to 12",
            "input holiday: a [calendar] table of dates or a constant from 0 to 1",
            "input rain: a datastream in mm (length) or a constant",
            "clock: hour in the local time",
            "site: one of Main St, northbound, 5th Ave; no other",
            "gaps: filled by the model",
            "runtime, int8: tflite-runtime or ai-edge-litert",
            "agent: 0.1.0 or newer",
        ):
            assert part in text

    def test_every_shipped_model_has_some(self):
        for task in task_names():
            assert needs(passport(task))

    def test_the_error_at_an_unknown_site_is_told(self):
        measured = Accuracy(slice=UNKNOWN_SITE, n=9, mae={"naive": 10.7, "onnx-int8": 7.83})
        (site,) = (n for n in needs(changed(MODEL, accuracy=(measured,))) if n.what == "site")
        assert "naive 10.7, onnx-int8 7.83" in site.needed


# --- whatever passport, whatever node ------------------------------------------------------------------------------

NAMES = st.sampled_from(["volume", "rain", "holiday", "lanes", "site", "hour", "roof/rain", "detector/2/volume", "x"])
UNITS = st.sampled_from(["{veh}", "km/h", "[mi_i]/h", "kW", "MW", "mm", "1", "h", "odd", "ug/m3"])
KIND = st.sampled_from(["forecast", "score", "classify", "count"])
BOUND = st.sampled_from([(0.0, 1.0), (0.0, 400.0), (-50.0, 50.0)])
VERSION = st.one_of(st.just("1.0.0"), st.integers(0, 10**40).map(lambda n: f"{n}.0.0"), st.just("9" * 5000 + ".0.0"))


@st.composite
def passports(draw) -> Passport:
    names = draw(st.lists(NAMES, min_size=1, max_size=6, unique=True))
    kind, output = draw(KIND), draw(NAMES)
    pictures = kind in ("classify", "count")
    lead = draw(st.integers(0, 4))
    if kind == "forecast":
        names = [n for n in names if n != output] + ([output] if lead else [])
        if not names:
            names, lead = [output], max(lead, 1)
    inputs = []
    for name in names:
        low, high = draw(BOUND)
        inputs.append(Input(name=name, unit=draw(UNITS), low=low, high=high, ahead=draw(st.booleans())))
    horizon = draw(st.integers(1, 8))
    spec = TaskSpec(
        name="flow",
        domain="any",
        kind=kind,
        inputs=tuple(inputs),
        output=output,
        output_unit=draw(UNITS),
        window=draw(st.integers(8, 1024)),
        horizon=horizon,
        lead=lead,
        interval_s=draw(st.sampled_from([300.0, 900.0, 3600.0])),
        season=1,
        sites=tuple(draw(st.lists(st.text(max_size=8), max_size=3))) if "site" in names and not pictures else (),
        image=(8, 8, 1) if pictures else None,
        classes=("car",) if pictures else (),
    )
    mae = draw(st.dictionaries(st.sampled_from(["naive", "onnx-int8"]), st.floats(0, 100), max_size=2))
    accuracy = (Accuracy(slice=UNKNOWN_SITE, n=1, mae=mae),) if draw(st.booleans()) else ()
    return passport_of(spec, accuracy=accuracy, min_agent=draw(VERSION))


@st.composite
def offers(draw) -> Offer:
    names = draw(st.lists(NAMES, max_size=6, unique=True))
    streams = [
        Datastream(
            name=n,
            unit=draw(UNITS),
            aggregate=draw(st.sampled_from(["sum", "mean"])),
            observes=draw(st.none() | NAMES),
        )
        for n in names
    ]
    sites = [
        SiteConfig(
            output=output,
            site=draw(st.none() | st.text(min_size=1, max_size=8)),
            inputs=draw(st.dictionaries(NAMES, NAMES, max_size=2)),
            constants=draw(st.dictionaries(NAMES, st.floats(-1e9, 1e9), max_size=2)),
        )
        for output in draw(st.lists(NAMES, min_size=1, max_size=3, unique=True))
    ]
    task = TaskOffer(
        name="flow",
        bundle=draw(st.sampled_from(["flow", "other"])),
        kind=draw(KIND),
        interval_s=900.0,
        step_s=draw(st.sampled_from([None, 1.0, 300.0])),
        lead=draw(st.integers(0, 4)),
        sites=tuple(sites),
        inputs=draw(st.dictionaries(NAMES, NAMES, max_size=2)),
    )
    agent = draw(st.sampled_from(["", "1", "1.0", "9" * 64, "dev", "1.0.0rc1"]))
    return Offer(
        agent=agent,
        runtime="onnxruntime",
        precision="int8",
        datastreams=tuple(streams),
        days=tuple(draw(st.lists(NAMES, max_size=2, unique=True))),
        tasks=(task,),
    )


@given(passports(), offers())
def test_no_passport_and_no_node_make_it_raise(passport: Passport, node: Offer):
    found = misfits(passport, node.tasks[0], node)
    assert all(m.message for m in found)
    assert len(set(found)) == len(found)
    assert needs(passport)


@given(UNITS, KIND, st.sampled_from([300.0, 900.0]))
def test_the_output_is_accepted_in_its_own_unit_kind_and_interval_alone(unit: str, kind: str, interval: float):
    task = changed(TASK, kind=kind, interval_s=interval, step_s=None)
    fits = not misfits(MODEL, task, stream("detector/2/volume", unit=unit))
    assert fits == ((unit, kind, interval) == ("{veh}", "forecast", 900.0))


BREAKS = {
    "kind": lambda p, t, n: (p, changed(t, kind="score"), n),
    "interval": lambda p, t, n: (p, changed(t, interval_s=t.interval_s * 2), n),
    "bundle": lambda p, t, n: (p, changed(t, bundle="another"), n),
    "unit": lambda p, t, n: (p, t, changed(n, datastreams=tuple(changed(d, unit="odd") for d in n.datastreams))),
    "calendar": lambda p, t, n: (p, t, changed(n, days=())),
    "site": lambda p, t, n: (p, changed(t, sites=(changed(t.sites[0], site="elsewhere"),)), n),
    "runtime": lambda p, t, n: (p, t, changed(n, runtime="another")),
    "agent": lambda p, t, n: (p, t, changed(n, agent="0.0.9")),
    "input": lambda p, t, n: (p, t, changed(n, datastreams=n.datastreams[:1])),
}


@given(
    st.sampled_from([300.0, 900.0, 3600.0]),
    st.integers(1, 64),
    st.integers(1, 24),
    st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=4, unique=True),
    st.sampled_from(sorted(BREAKS)),
)
def test_a_node_that_fits_stops_fitting_when_one_thing_is_changed(interval, window, horizon, sites, broken):
    made = model(interval_s=interval, window=max(window, horizon), horizon=horizon, sites=tuple(f"s{s}" for s in sites))
    fitting = changed(at(site=f"s{sites[0]}"), interval_s=interval, step_s=None)
    assert misfits(made, fitting, NODE) == []
    assert misfits(*BREAKS[broken](made, fitting, NODE))


def test_versions_are_compared_as_numbers():
    assert numbers("1.10.0") > numbers("1.9.9")
    assert numbers("2") == (2, 0, 0)
    assert numbers("unknown") == (0, 0, 0)
    assert numbers("9" * 5000) > numbers("1.0.0")
