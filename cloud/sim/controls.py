"""Every control of a scenario on the same months: none, a schedule, the policy with several forecasts, the best."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from wayside.cloud.sim import air, course, energy
from wayside.cloud.sim.comparison import (
    BEST,
    FORETOLD,
    NONE,
    PERSISTENT,
    POLICY,
    SHUFFLED,
    Comparison,
    Line,
    capture,
)
from wayside.cloud.sim.errors import ScenarioError
from wayside.cloud.sim.model import Model
from wayside.cloud.sim.replay import Replay
from wayside.cloud.sim.scenario import Acting, AirScenario, EnergyScenario, acting
from wayside.cloud.sim.tariff import Tariff
from wayside.contracts.actuator_config import NoticeConfig, SetpointConfig

Numbers = npt.NDArray[np.float64]
Tell = Callable[[str, float], None]
Courses = dict[str, list[Numbers]]
WHOLE = "best possible, on or off"
TIMER, BEST_TIMER, FIXED = "timer at {}", "best timer of the year before", "fixed schedule"
FORECASTS: Mapping[str, Callable[[Replay], Replay]] = {
    POLICY: lambda replay: replay,
    PERSISTENT: Replay.persistent,
    SHUFFLED: Replay.shuffled,
    FORETOLD: Replay.foretold,
}


def energy_comparison(
    scenario: EnergyScenario, tariff: Tariff, model: Model, replays: Sequence[Replay], tell: Tell, *, generated: bool
) -> tuple[Comparison, Sequence[energy.EnergyMonth], Courses]:
    """A load that is shifted.

    Raises:
        ScenarioError: no task of the scenario drives a set-point with a deadline.
    """
    chosen = acting(scenario, SetpointConfig)
    if len(chosen) != 1:
        raise ScenarioError(f"the file has {len(chosen)} tasks whose policy drives a set-point; one is simulated")
    (own,) = chosen
    assert isinstance(own.limits, SetpointConfig)  # noqa: S101  (acting chose by it)
    months = [energy.month_of(replay, scenario.plant, own.limits, tariff) for replay in replays]
    timer = TIMER.format(scenario.plant.timer)
    hour = int(scenario.plant.timer[:2]) + int(scenario.plant.timer[3:]) / 60
    courses: Courses = {
        NONE: [month.at_once() for month in months],
        timer: [month.timed(hour) for month in months],
    }
    best_hour = energy.best_timer(replays[0], scenario.plant, own.limits, tariff)
    courses[BEST_TIMER] = [month.timed(best_hour) for month in months]
    verdicts = _policies(courses, own, [m.replay for m in months], model, tell, without=PERSISTENT)
    courses[WHOLE] = [month.best_whole() for month in months]
    courses[BEST] = [month.best() for month in months]
    results = {name: [m.result(on) for m, on in zip(months, each, strict=True)] for name, each in courses.items()}
    costs = {name: [result.cost for result in each] for name, each in results.items()}
    totals = {
        name: {
            "peak_kw": max(r.peak_kw for r in each),
            "cost": sum(r.cost for r in each),
            "energy_charge": sum(r.energy for r in each),
            "demand_charge": sum(r.demand for r in each),
            "ran_h": sum(r.own_h for r in each),
            "missed_h": sum(r.missed_h for r in each),
            "starts": float(sum(r.starts for r in each)),
        }
        for name, each in results.items()
    }
    plant = scenario.plant
    comparison = _comparison(
        f"{own.task.name}: {own.task.policy} under the tariff {tariff.name!r} ({tariff.currency})",
        model,
        replays,
        values={name: [-c for c in each] for name, each in costs.items()},
        totals=totals,
        verdicts=verdicts,
        assumptions=(
            f"the site's other load is that of the data, its highest before the month scaled to {plant.peak_kw:g} kW",
            f"the own load of {plant.own_kw:g} kW has to run {own.limits.must_run_s or 0:g} s by {own.limits.by} of "
            "each day; without a policy it runs at once",
            f"the best timer of the year before begins at {best_hour:g} h",
            "the best possible knows the truth, throttles the load as it likes, and leaves out the guard's limits: "
            "a bound that nothing passes",
        ),
        generated=generated,
    )
    return comparison, months, courses


def air_comparisons(
    scenario: AirScenario, model: Model, replays: Sequence[Replay], tell: Tell, *, generated: bool
) -> list[tuple[Comparison, Courses]]:
    """Warnings, and equipment, each task of the scenario by itself.

    Raises:
        ScenarioError: no task warns or drives anything.
    """
    found = []
    plant = scenario.plant
    for own in acting(scenario, NoticeConfig):
        courses: Courses = {
            NONE: [np.zeros(len(r.ends)) for r in replays],
            FIXED: [air.fixed_warnings(r, plant) for r in replays],
        }
        verdicts = _policies(courses, own, replays, model, tell)
        courses[BEST] = [air.best_warnings(r, plant) for r in replays]
        warned = {n: [air.warned(r, plant, on) for r, on in zip(replays, c, strict=True)] for n, c in courses.items()}
        comparison = _comparison(
            f"{own.task.name}: {own.task.policy}, over {plant.threshold:g} {model.taskfile.task.output_unit}",
            model,
            replays,
            values={n: [w.gain for w in each] for n, each in warned.items()},
            totals={n: _of_warnings(each) for n, each in warned.items()},
            verdicts=verdicts,
            assumptions=(
                f"an hour over the threshold is covered when the warning has stood for {plant.notice_h} h; an hour "
                f"under warning costs {plant.cost_loss:g} of an hour that is not covered",
                f"fixed schedule: a warning stands in the months {', '.join(map(str, plant.fixed_months))}",
                f"episodes with at most {plant.gap_h} h between them are one",
            ),
            generated=generated,
        )
        found.append((comparison, courses))
    for own in acting(scenario, SetpointConfig):
        courses = {
            NONE: [np.zeros(len(r.ends)) for r in replays],
            FIXED: [air.fixed_abatement(r, plant) for r in replays],
        }
        verdicts = _policies(courses, own, replays, model, tell)
        courses[BEST] = [air.best_abatement(r, plant) for r in replays]
        abated = {n: [air.abated(r, plant, on) for r, on in zip(replays, c, strict=True)] for n, c in courses.items()}
        comparison = _comparison(
            f"{own.task.name}: {own.task.policy}",
            model,
            replays,
            values={n: [w.gain for w in each] for n, each in abated.items()},
            totals={n: _of_equipment(each) for n, each in abated.items()},
            verdicts=verdicts,
            assumptions=(
                f"equipment takes {plant.effect:.0%} of the pollution away once it has run for {plant.lag_h} h; an "
                f"hour of it is worth while over {plant.hour_cost:g} {model.taskfile.task.output_unit} taken away",
                f"fixed schedule: rush hours {_spans(plant.fixed_hours)} in the months "
                f"{', '.join(map(str, plant.fixed_months))}",
            ),
            generated=generated,
        )
        found.append((comparison, courses))
    if not found:
        raise ScenarioError("no task of the file has a policy whose actuator is a notice or a set-point")
    return found


def _policies(
    courses: Courses, own: Acting, replays: Sequence[Replay], model: Model, tell: Tell, *, without: str = ""
) -> dict[str, Counter[str]]:
    """The task's policy and guard with each kind of forecast, into ``courses``; returns the guard's verdicts."""
    verdicts: dict[str, Counter[str]] = {}
    kinds = {name: told for name, told in FORECASTS.items() if name != without}
    for number, (name, told) in enumerate(kinds.items()):
        courses[name], verdicts[name] = [], Counter()
        for replay in replays:
            tell(f"{own.task.name}: {name}, {replay.month}", number / len(kinds))
            ran = course.run(
                own.policy, own.settings, own.limits, told(replay), output=own.task.sites[0].output, zone=model.zone
            )
            courses[name].append(ran.on)
            verdicts[name] += ran.verdicts
    return verdicts


def _comparison(
    title: str,
    model: Model,
    replays: Sequence[Replay],
    *,
    values: Mapping[str, Sequence[float]],
    totals: Mapping[str, dict[str, float]],
    verdicts: Mapping[str, Counter[str]],
    assumptions: tuple[str, ...],
    generated: bool,
) -> Comparison:
    """``values``: what each control is worth in each month; more is better."""
    none, best = np.array(values[NONE]), np.array(values[BEST])
    labels = [f"{r.month} {r.site}".strip() for r in replays]
    lines = []
    for name, each in values.items():
        gained = np.array(each) - none
        lines.append(
            Line(
                control=name,
                capture=capture(float(gained.sum()), float((best - none).sum())),
                totals=totals[name],
                months={
                    label: capture(float(g), float(b)) for label, g, b in zip(labels, gained, best - none, strict=True)
                },
                verdicts=dict(verdicts.get(name, {})),
            )
        )
    return Comparison(
        title=title,
        model=model.label,
        generated=generated,
        sites=tuple(dict.fromkeys(r.site for r in replays)),
        months=tuple(dict.fromkeys(r.month for r in replays)),
        assumptions=assumptions,
        lines=tuple(lines),
    )


def _of_warnings(months: Sequence[air.WarningResult]) -> dict[str, float]:
    leads = np.array([lead for month in months for lead in month.leads_h])
    ahead = leads[leads > 0]
    quartiles = np.quantile(ahead, (0.25, 0.5, 0.75)) if len(ahead) else np.zeros(3)
    return {
        "episodes": float(len(leads)),
        "warned_in_advance": float(len(ahead)) / len(leads) if len(leads) else 0.0,
        "lead_h_lower": float(quartiles[0]),
        "lead_h_median": float(quartiles[1]),
        "lead_h_upper": float(quartiles[2]),
        "over_h": float(sum(m.over_h for m in months)),
        "covered_h": float(sum(m.covered_h for m in months)),
        "warning_h": sum(m.hours for m in months),
        "warnings": float(sum(m.warnings for m in months)),
        "false_alarms": float(sum(m.false_alarms for m in months)),
    }


def _of_equipment(months: Sequence[air.AbatementResult]) -> dict[str, float]:
    exposure, avoided = sum(m.exposure for m in months), sum(m.avoided for m in months)
    hours = sum(m.hours for m in months)
    return {
        "equipment_h": hours,
        "starts": float(sum(m.starts for m in months)),
        "avoided": avoided,
        "avoided_share": avoided / exposure if exposure else 0.0,
        "avoided_per_h": avoided / hours if hours else 0.0,
    }


def _spans(hours: Sequence[tuple[float, float]]) -> str:
    return ", ".join(f"{a:g}–{b:g} h" for a, b in hours)
