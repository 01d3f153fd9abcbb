"""A notice of what a camera sees for long enough: a stopped vehicle, too many, a signal that is dark or wrong.

Three things may be watched, each where its settings say so; the worst one is told. Each has to last for ``steps`` steps
in a row, so one strange frame is no alarm. Counts come from a picture task: no picture is ever here.

- *stopped*: ``stopped_class`` is seen in at least ``share`` of the frames (of a task that counts: that many a frame);
- *capacity*: the mean of ``of_class`` is over ``capacity``;
- *signal*: of the frames while the board drove a colour, at least ``share`` show it dark, or a class that is not one of
  ``shows`` for that colour.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, NamedTuple

import msgspec

from wayside.contracts.action import Action, Answer, Answers, Notice
from wayside.contracts.actuator_config import NoticeConfig
from wayside.contracts.policy_settings import PolicySettings
from wayside.contracts.reading import Name
from wayside.contracts.task_config import TaskConfig

ACTION = Notice
WARNING, ALARM = 2, 3
LEVELS = {"capacity": WARNING, "stopped": WARNING, "dark": ALARM, "contrary": ALARM}
UNDRIVEN = ("dark", "unknown")  # what a head shows then is no contradiction
Class = Annotated[str, msgspec.Meta(max_length=64)]


class Settings(PolicySettings, frozen=True, kw_only=True):
    stopped_class: Class = ""
    of_class: Class = ""
    capacity: Annotated[float, msgspec.Meta(ge=0, le=1e6)] | None = None
    shows: Annotated[
        dict[Class, Annotated[tuple[Class, ...], msgspec.Meta(max_length=64)]], msgspec.Meta(max_length=16)
    ] = {}  # colour that the board drives → classes that are right for it
    dark_class: Class = "dark"
    share: Annotated[float, msgspec.Meta(ge=0.01, le=1)] = 0.8
    steps: Annotated[int, msgspec.Meta(ge=1, le=96)] = 3
    frames: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 5  # fewer, while a colour was driven, say nothing
    only: Annotated[tuple[Name, ...], msgspec.Meta(max_length=256)] = ()  # outputs of sites; none: all of them

    def __post_init__(self) -> None:
        if (self.capacity is None) != (not self.of_class):
            raise ValueError("of_class says what is counted where there is a capacity, and only there")

    def sites(self) -> Collection[str] | None:
        return self.only or None

    def looks_back(self) -> int:
        return self.steps - 1

    def mistakes(self, task: TaskConfig, limits: NoticeConfig) -> Iterator[str]:
        if task.kind not in ("classify", "count"):
            yield f"it needs counts of pictures, the task's kind is {task.kind!r}"
        if not (self.stopped_class or self.of_class or self.shows):
            yield "it watches nothing: set stopped_class, or of_class with capacity, or shows"


class Sight(NamedTuple):
    """Something that a site shows in one step."""

    value: float  # share of frames, or mean count
    frames: float  # that it is a share of; 0: not known
    colour: str = ""  # that was driven


class Seen(NamedTuple):
    lasting: Mapping[tuple[str, str], Sight]  # topic, site → in the newest step; those that lasted long enough
    now: Mapping[tuple[str, str], Sight]  # in the newest step, whether it lasted or not


def read(answers: Answers, settings: Settings) -> Seen | None:
    """What is strange, and since how many steps; None where no site has counts."""
    steps = [*answers.before[max(0, len(answers.before) - settings.looks_back()) :], answers.sites]
    if settings.looks_back() == 0:
        steps = [answers.sites]
    if not any(a.counts is not None or a.by_head for a in answers.sites.values()):
        return None
    each = [_sights(sites, settings) for sites in steps]
    now = each[-1]
    lasting = {k: v for k, v in now.items() if len(each) >= settings.steps and all(k in step for step in each)}
    return Seen(lasting, now)


def propose(seen: Seen, settings: Settings, limits: NoticeConfig, in_force: Action | None) -> Notice | None:
    """The notice that should be in force. One that is open stays while any site still shows what it is about."""
    worst = _worst(seen, in_force)
    open_ = in_force if isinstance(in_force, Notice) else None
    if worst is None:
        topic = open_.topic if open_ else "stopped"
        return Notice(topic, 0, "not seen any more", None)
    (topic, site), sight = worst
    if open_ and open_.topic == topic:
        return open_
    return Notice(topic, LEVELS[topic], _text(topic, site, sight, settings)[:200], _finite(sight.value))


def soften(action: Notice, limits: NoticeConfig) -> Notice | None:
    """There is nothing between saying it and not saying it."""
    return None


def explain(seen: Seen, settings: Settings, limits: NoticeConfig, action: Notice) -> Mapping[str, str | float]:
    """What a decision row says beside the action: what was seen where, in how many frames, for how long."""
    worst = next(((k, s) for k, s in seen.now.items() if k[0] == action.topic), None)
    if worst is None or not action.level:
        return {"topic_before": action.topic, "because": "what it was about ({topic_before}) is not seen any more"}
    (topic, site), sight = worst
    fields: dict[str, str | float] = {"site": site, "steps": settings.steps}
    if topic == "capacity":
        assert settings.capacity is not None  # noqa: S101  (there is no such sight without one)
        fields |= {"of_class": settings.of_class, "mean_count": round(sight.value, 1), "capacity": settings.capacity}
        because = "{mean_count} {of_class} were seen at {site}, over the capacity of {capacity}, {steps} times in a row"
        return fields | {"because": because}
    fields |= {"seen_percent": _percent(sight.value), "share_percent": _percent(settings.share)}
    if topic == "stopped":
        fields["of_class"] = settings.stopped_class
        what = "{of_class} was seen at {site} in {seen_percent} % of the frames"
    elif topic == "dark":
        fields |= {"driven": sight.colour, "frames": sight.frames}
        what = "the signal at {site} was dark in {seen_percent} % of {frames} frames while the board drove {driven}"
    else:
        fields |= {"driven": sight.colour, "frames": sight.frames}
        what = "the signal at {site} showed something else than {driven}, which the board drove, "
        what += "in {seen_percent} % of {frames} frames"
    return fields | {"because": what + ", {steps} times in a row; the limit is {share_percent} %"}


def _worst(seen: Seen, in_force: Action | None) -> tuple[tuple[str, str], Sight] | None:
    """Of what lasted, and of what is told already and goes on, the one with the highest level."""
    told = in_force.topic if isinstance(in_force, Notice) else None
    there = {**{k: v for k, v in seen.now.items() if k[0] == told}, **seen.lasting}
    return max(there.items(), key=lambda item: (LEVELS[item[0][0]], item[0][0] == told, item[1].value), default=None)


def _sights(sites: Mapping[str, Answer], settings: Settings) -> dict[tuple[str, str], Sight]:
    sights: dict[tuple[str, str], Sight] = {}
    for site, answer in sites.items():
        if settings.only and site not in settings.only:
            continue
        counts = answer.counts or {}
        if settings.stopped_class:
            value = counts.get(settings.stopped_class, 0.0)
            if value >= settings.share and math.isfinite(value):
                sights["stopped", site] = Sight(value, 0.0)
        if settings.capacity is not None:
            value = counts.get(settings.of_class, 0.0)
            if value > settings.capacity and math.isfinite(value):
                sights["capacity", site] = Sight(value, 0.0)
        for colour, frames in (answer.by_head or {}).items():
            right = settings.shows.get(colour)
            total = math.fsum(max(0.0, n) for n in frames.values() if math.isfinite(n) and n < 1e12)
            if right is None or colour in UNDRIVEN or total < settings.frames:
                continue
            for topic, wrong in (
                ("dark", [settings.dark_class]),
                ("contrary", [c for c in frames if c not in right and c != settings.dark_class]),
            ):
                value = math.fsum(max(0.0, n) for c in wrong if math.isfinite(n := frames.get(c, 0.0)) and n < 1e12)
                if value / total >= settings.share and settings.dark_class not in right:
                    sights[topic, site] = Sight(value / total, total, colour)
    return sights


def _text(topic: str, site: str, sight: Sight, settings: Settings) -> str:
    seen = f"in {_percent(sight.value)} % of the frames"
    match topic:
        case "stopped":
            return f"{site}: {settings.stopped_class} stands there, seen {seen}"
        case "capacity":
            return f"{site}: {sight.value:.1f} {settings.of_class}, the capacity is {settings.capacity:g}"
        case "dark":
            return f"{site}: the signal is dark {seen} while the board drives {sight.colour}"
    return f"{site}: the signal shows something else than {sight.colour}, which the board drives, {seen}"


def _percent(share: float) -> int:
    return round(min(100.0, share * 100))


def _finite(value: float) -> float:
    return max(-1e12, min(1e12, value))
