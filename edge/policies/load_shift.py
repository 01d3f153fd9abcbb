"""A load that runs in the cheapest, or least loaded, intervals until its deadline, under a cap on the peak.

A charger, a boiler, a pump: it needs some hours a day, and when is open. Of the intervals until the deadline the
policy picks as many as are still needed, the best first, and runs now if this one is among them. An interval is open
where the upper quantile of the load that is forecast, with the load's own ``power`` on top, stays under ``cap``.
Beyond the forecast's horizon the tariff alone ranks them, and load is taken as the mean of what is forecast.
The hours needed and the deadline are the actuator's (``must_run_s``, ``by``): its guard runs it at the last moment.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Annotated, Literal, NamedTuple

import msgspec

from wayside.contracts.action import Action, Answer, Answers, Setpoint
from wayside.contracts.actuator_config import Number, SetpointConfig, TimeOfDay
from wayside.contracts.policy_settings import PolicySettings
from wayside.contracts.probability import clock, usable, value_at
from wayside.contracts.reading import Name
from wayside.contracts.task_config import TaskConfig
from wayside.contracts.wire import Document

ACTION = Setpoint
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
Price = Annotated[float, msgspec.Meta(ge=-1e6, le=1e6)]
Power = Annotated[float, msgspec.Meta(ge=0, le=1e9)]
MOST = 1e300


class Tariff(Document, frozen=True, kw_only=True):
    """The price between two local times, over midnight where ``to`` is not after ``from``."""

    from_: Annotated[TimeOfDay, msgspec.Meta()] = msgspec.field(name="from", default="00:00")
    to: TimeOfDay = "00:00"
    days: Annotated[tuple[Day, ...], msgspec.Meta(max_length=7)] = DAYS  # on which it begins
    price: Price

    def covers(self, weekday: int, hour: float) -> bool:
        begin, end = hours(self.from_), hours(self.to)
        if begin < end:
            return DAYS[weekday] in self.days and begin <= hour < end
        return (DAYS[weekday] in self.days and hour >= begin) or (DAYS[weekday - 1] in self.days and hour < end)


class Settings(PolicySettings, frozen=True, kw_only=True):
    """``cap`` and ``power`` are in the forecast's unit, ``on`` and ``off`` in the actuator's."""

    prefer: Literal["cheap", "quiet"] = "cheap"  # the lowest price first, or the lowest load
    tariffs: Annotated[tuple[Tariff, ...], msgspec.Meta(max_length=64)] = ()  # the first that covers a time counts
    price: Price = 0.0  # where none does
    hours: Annotated[float, msgspec.Meta(gt=0, le=24)] | None = None  # a day; None: the actuator's must_run_s
    cap: Power | None = None
    power: Power = 0.0  # what the load adds to the forecast while it runs
    quantile: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.9  # of the forecast, against the cap
    on: Number = 1.0
    off: Number | None = None  # None: the actuator's safe value
    only: Annotated[tuple[Name, ...], msgspec.Meta(max_length=256)] = ()  # outputs of sites that are added; none: all

    def sites(self) -> Collection[str] | None:
        return self.only or None

    def mistakes(self, task: TaskConfig, limits: SetpointConfig) -> Iterator[str]:
        if task.kind != "forecast":
            yield f"it needs forecasts, the task's kind is {task.kind!r}"
        if limits.by is None:
            yield f'the actuator {limits.name} has no deadline: add by = "06:00" or another local time to it'
        if self.hours is None and limits.must_run_s is None:
            yield f"settings.hours: how long the load needs a day, or must_run_s of the actuator {limits.name}"
        if self.prefer == "cheap" and not self.tariffs:
            yield 'settings.tariffs: needs prices, or prefer = "quiet"'
        if self.off is not None and limits.runs_at(self.off):
            yield f"settings.off: {self.off:g} is over idle, so the load would run"
        if not limits.runs_at(self.on):
            yield f"settings.on: {self.on:g} is not over idle, so the load would not run"
        for name, value in (("on", self.on), ("off", self.off)):
            if value is not None and not limits.takes(value):
                yield f"settings.{name}: {value:g} is nothing that the actuator {limits.name} can be set to"

    def price_at(self, weekday: int, hour: float) -> float:
        return next((t.price for t in self.tariffs if t.covers(weekday, hour)), self.price)


class Slot(NamedTuple):
    """An interval to come."""

    hour: float  # local, at its beginning
    price: float
    load: float  # the median
    upper: float


class Seen(NamedTuple):
    slots: tuple[Slot, ...]  # until the deadline, the next one first
    interval_s: float
    ran_s: float  # since the last deadline
    unit: str


class Plan(NamedTuple):
    needs: int  # intervals
    chosen: tuple[int, ...]  # of the slots, in their order
    open: int  # slots that stay under the cap


def read(answers: Answers, settings: Settings) -> Seen | None:
    """The intervals until the deadline; None without a forecast, a clock or a deadline."""
    running, hour, weekday = answers.running, answers.hour, answers.weekday
    sites = [a for name, a in answers.sites.items() if not settings.only or name in settings.only]
    if running is None or hour is None or weekday is None or not sites:
        return None
    if not math.isfinite(hour + weekday + running.ran_s + running.left_s):
        return None
    loads = [_load(sites, answers.quantiles, k, settings.quantile) for k in range(min(len(a.forecast) for a in sites))]
    if not loads or not all(math.isfinite(v) for pair in loads for v in pair):
        return None
    mean = (_mean([load for load, _ in loads]), _mean([upper for _, upper in loads]))
    slots = []
    for k in range(max(1, min(96 * 7, math.floor(running.left_s / answers.interval_s + 1e-6)))):
        at = hour + k * answers.interval_s / 3600
        price = settings.price_at(int(weekday + at // 24) % 7, at % 24)
        slots.append(Slot(at % 24, price, *(loads[k] if k < len(loads) else mean)))
    return Seen(tuple(slots), answers.interval_s, running.ran_s, answers.unit)


def propose(seen: Seen, settings: Settings, limits: SetpointConfig, in_force: Action | None) -> Setpoint:
    """``on`` in the chosen intervals, approached by at most ``max_change``."""
    off = limits.safe if settings.off is None else settings.off
    now = in_force.value if isinstance(in_force, Setpoint) else limits.safe
    target = settings.on if 0 in plan(seen, settings, limits).chosen else off
    if limits.max_change is not None:
        target = min(now + limits.max_change, max(now - limits.max_change, target))
    return Setpoint(target)


def soften(action: Setpoint, limits: SetpointConfig) -> Setpoint | None:
    """There is nothing between on and off."""
    return None


def plan(seen: Seen, settings: Settings, limits: SetpointConfig) -> Plan:
    """Which intervals it runs in. Of two that are as good it is the quieter one, then the earlier one."""
    need_s = settings.hours * 3600 if settings.hours is not None else limits.must_run_s or 0.0
    needs = math.ceil(max(0.0, need_s - seen.ran_s) / seen.interval_s - 1e-6)
    open_ = [
        k for k, slot in enumerate(seen.slots) if settings.cap is None or slot.upper + settings.power <= settings.cap
    ]
    quiet = settings.prefer == "quiet"

    def rank(k: int) -> tuple[float, float, int]:
        slot = seen.slots[k]
        return (slot.load, slot.price, k) if quiet else (slot.price, slot.load, k)

    return Plan(needs, tuple(sorted(sorted(open_, key=rank)[:needs])), len(open_))


def explain(seen: Seen, settings: Settings, limits: SetpointConfig, action: Setpoint) -> Mapping[str, str | float]:
    """What a decision row says beside the action: what is still needed, the price now and at the best time to come."""
    plan_, now = plan(seen, settings, limits), seen.slots[0]
    fields: dict[str, str | float] = {
        "needs_h": round(plan_.needs * seen.interval_s / 3600, 2),
        "ran_h": round(seen.ran_s / 3600, 2),
        "by": limits.by or "",
        "price": round(now.price, 4),
        "load": round(now.load, 2),
        "upper_load": round(now.upper, 2),
        "unit": seen.unit,
    }
    if settings.cap is not None:
        fields |= {"cap": settings.cap, "power": settings.power}
    over = settings.cap is not None and now.upper + settings.power > settings.cap
    what = "the least loaded" if settings.prefer == "quiet" else "the cheapest"
    if not plan_.needs:
        because = "it has run for {ran_h} h, all that it needs by {by}"
    elif 0 in plan_.chosen:
        because = f"it needs {{needs_h}} h more by {{by}} and this is among {what} time that is left: "
        because += "price {price}, load {load} {unit}"
    elif over:
        because = "the load may reach {upper_load} {unit}, and with {power} more it would pass the cap of {cap}"
    elif plan_.chosen:
        best = seen.slots[plan_.chosen[0]]
        fields |= {"next": clock(best.hour), "next_price": round(best.price, 4), "next_load": round(best.load, 2)}
        because = (
            "it needs {needs_h} h more by {by}, and the time from {next} is better: "
            "price {next_price} against {price}, load {next_load} against {load} {unit}"
        )
    else:
        because = "until {by} there is no time at which it would stay under the cap of {cap} {unit}"
    return fields | {"because": because}


def hours(of_day: str) -> float:
    hour, minute = of_day.split(":")
    return int(hour) + int(minute) / 60


def _load(sites: list[Answer], quantiles: Sequence[float], k: int, quantile: float) -> tuple[float, float]:
    """Median and upper quantile of the sites' sum; where sites are several, as if all erred together."""
    load = upper = 0.0
    for answer in sites:
        median = answer.forecast[k]
        band = answer.bands[k] if k < len(answer.bands) else ()
        load += median
        upper += max(median, value_at(quantiles, band, quantile)) if usable(quantiles, band) else median
    return load, upper


def _mean(values: list[float]) -> float:
    return math.fsum(v / len(values) for v in values)
