"""From scores to alarms, streaming: how surprising is this one, for this series, now?

A score of 7 is nothing here and unheard-of there. So a series is held against its own past: the surprise of a score is
−log₁₀ of the share of earlier ones at or above it (the tail probability of Ahmad et al., "Unsupervised real-time
anomaly detection for streaming data", Neurocomputing 2017, by ranks instead of a normal distribution). Beside the
model's score may stand two memories: how far the value, and the mean of the last rows, are from everything seen before
in this series (one nearest neighbour, in the spirit of Burnaev & Ishimtsev, "Conformalized density- and distance-based
anomaly detection", 2016). The most surprising of the three counts, a little more if others agree. What seemed new while
a series was being learned is no measure for later. What a new series lacks of a past the bundle may bring: the scores
that were usual in training.

An alarm begins where the surprise reaches a level and is the highest of a rest period; it ends when the surprise has
stayed low for a while. The same code runs on a node, one row at a time, and judges a detector in the cloud.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from wayside.contracts.past import PastScores, PastValues, float32
from wayside.contracts.wire import Document

WARNING, ALARM = 1, 2
AGREE = 4  # order of the norm that joins the three: 1 adds them up, ∞ takes the highest
OVER = 0.75  # of a fixed limit
WARM = 50  # rows of the past without which nothing is surprising
Rows = Annotated[int, msgspec.Meta(ge=0, le=100_000)]
Decades = Annotated[float, msgspec.Meta(gt=0, le=100)]
Weight = Annotated[float, msgspec.Meta(ge=0, le=1)]


class AlarmSpec(Document, frozen=True, kw_only=True):
    """The alarm stage of a score task. Rows are its intervals; surprises are in decades: 2 is one row in 100."""

    smooth: Annotated[int, msgspec.Meta(ge=1, le=1024)] = 1  # rows whose mean score is judged
    trust: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1.0  # in the score's surprise
    novelty: Weight = 0.0  # in the surprise at a value, and at a mean, unlike all before; 0: they are not looked at
    mean: Annotated[int, msgspec.Meta(ge=1, le=1024)] = 20  # rows of that mean
    learn: Rows = 0  # rows at the beginning that later ones are not held against
    memory: Annotated[int, msgspec.Meta(ge=1000, le=1_000_000)] = 20_000  # rows: then all of the past counts half
    usual: Annotated[tuple[float, ...], msgspec.Meta(max_length=64)] = ()
    """table of the scores of training's validation days (:func:`contracts.past.usual_scores`), which training writes"""
    usual_rows: Annotated[int, msgspec.Meta(ge=0, le=500_000)] = 0  # of the past that it stands for; 0: none is made
    rest: Rows = 8  # rows in which only what is more surprising begins another alarm
    warning: Decades = 2.3  # surprise at which an alarm begins
    alarm: Decades = 3.0  # … and is more than a warning
    over: Decades = 1.0  # below it a row is quiet
    hold: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 2  # quiet rows, or missing ones, in a row that end an alarm

    def __post_init__(self) -> None:
        if not self.over <= self.warning <= self.alarm:
            raise ValueError("over <= warning <= alarm")
        if not all(map(math.isfinite, self.usual)) or list(self.usual) != sorted(self.usual):
            raise ValueError("usual scores are finite, and rise")
        if self.usual_rows > self.memory / 2:
            raise ValueError("usual_rows are at most half of the memory")

    def at_pace(self, steps: int) -> AlarmSpec:
        """The same for a node that answers ``steps`` times an interval."""
        if steps == 1:
            return self
        names = ("smooth", "mean", "learn", "memory", "usual_rows", "rest", "hold")
        rows = {name: getattr(self, name) * steps for name in names}
        return msgspec.structs.replace(self, **rows)


class Moment(NamedTuple):
    """What was judged of one row."""

    value: float | None
    score: float
    smoothed: float
    threshold: float | None  # of ``smoothed``: above it the score alone is an alarm; None: nothing would be yet
    surprise: float  # decades
    by: Literal["score", "value", "mean"]  # what was most surprising


class Raised(NamedTuple):
    """An alarm: when it began, and what made it."""

    level: int  # the highest that it has reached
    since: int  # row, counted from 0
    began: Moment
    peak: Moment  # the most surprising row so far


class Judgement(NamedTuple):
    """Of one row."""

    moment: Moment | None  # None: it has no score
    news: float  # surprise that is the highest of the rest period; else 0
    change: Literal["begins", "rises", "ends"] | None
    raised: Raised | None  # that is in force, or ends with this row

    @property
    def level(self) -> int:
        """In force after this row: 0 none, 1 warning, 2 alarm."""
        return 0 if self.raised is None or self.change == "ends" else self.raised.level


NOTHING = Judgement(None, 0.0, None, None)


class Alarm:
    """The alarm stage of one series."""

    def __init__(self, spec: AlarmSpec) -> None:
        self.spec = spec
        self._row = 0
        self._scores: deque[float] = deque(maxlen=spec.smooth)
        self._past = PastScores(spec.memory)
        if spec.usual and spec.usual_rows:
            self._past.begin(spec.usual, spec.usual_rows)
        self._novelties = (_Novelty(spec, 1), _Novelty(spec, spec.mean)) if spec.novelty else ()
        self._rest: deque[tuple[int, float]] = deque()  # row, surprise; falling: the first is the rest period's highest
        self._quiet = 0  # rows in a row
        self.raised: Raised | None = None

    def step(self, value: float | None, score: float | None) -> Judgement:
        """Judge the next row. One without a score, or whose score is no number, is missing: it raises nothing."""
        if score is None or not math.isfinite(score):
            return self.skip(1)
        row, spec, past = self._row, self.spec, self._past
        self._row += 1
        if value is not None and not math.isfinite(value):
            value = None
        self._scores.append(float32(score))
        smoothed = float32(sum(self._scores) / len(self._scores)) if spec.smooth > 1 else self._scores[0]
        learning = row < spec.learn
        known = past.total >= WARM
        surprise = spec.trust * past.surprise(smoothed) if known else 0.0
        threshold = past.threshold(spec.warning / spec.trust) if known else None
        if not learning:
            past.add(smoothed)
        by: Literal["score", "value", "mean"] = "score"
        if self._novelties and value is not None:
            of_value, of_mean = (n.surprise(float32(value), row, learning) for n in self._novelties)
            if max(of_value, of_mean) > surprise:
                by = "value" if of_value >= of_mean else "mean"
            surprise = (surprise**AGREE + of_value**AGREE + of_mean**AGREE) ** (1 / AGREE)
        moment = Moment(value, score, smoothed, threshold, surprise, by)
        return self._judge(row, moment, self._news(row, surprise))

    def skip(self, rows: int) -> Judgement:
        """``rows`` have no score: time passes, and what nobody confirms is over after a while."""
        self._row += rows
        self._quiet += rows
        if self.raised is None or self._quiet < self.spec.hold:
            return NOTHING._replace(raised=self.raised)
        raised, self.raised = self.raised, None
        return Judgement(None, 0.0, "ends", raised)

    def forget(self) -> None:
        """The alarm in force is none any more: nobody judges. The past is kept."""
        self.raised, self._quiet = None, 0

    def _news(self, row: int, surprise: float) -> float:
        rest = self._rest
        while rest and rest[0][0] < row - self.spec.rest:
            rest.popleft()
        news = surprise if not rest or surprise > rest[0][1] else 0.0
        while rest and rest[-1][1] <= surprise:
            rest.pop()
        rest.append((row, surprise))
        return news

    def _judge(self, row: int, moment: Moment, news: float) -> Judgement:
        spec, raised, surprise = self.spec, self.raised, moment.surprise
        self._quiet = self._quiet + 1 if surprise < spec.over else 0
        if raised is None:
            if news < spec.warning:
                return Judgement(moment, news, None, None)
            self.raised = Raised(ALARM if surprise >= spec.alarm else WARNING, row, moment, moment)
            return Judgement(moment, news, "begins", self.raised)
        if self._quiet >= spec.hold:
            self.raised = None
            return Judgement(moment, news, "ends", raised)
        rises = surprise >= spec.alarm and raised.level < ALARM
        if surprise > raised.peak.surprise:
            self.raised = raised = raised._replace(level=ALARM if rises else raised.level, peak=moment)
        return Judgement(moment, news, "rises" if rises else None, raised)

    # --- durable state --------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """What a restart needs, as plain JSON values."""
        return {
            "row": self._row,
            "scores": list(self._scores),
            "past": self._past.state(),
            "novelties": [n.state() for n in self._novelties],
            "rest": [list(pair) for pair in self._rest],
            "quiet": self._quiet,
            "raised": self.raised,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where :meth:`state` was taken, by an alarm of the same specification.

        Raises:
            ValueError, KeyError, TypeError: it is no such state; the alarm is as it was.
        """
        again = Alarm(self.spec)
        again._row, again._quiet = int(state["row"]), int(state["quiet"])
        again._scores.extend(_number(s) for s in state["scores"])
        again._past.restore(state["past"])
        for novelty, kept in zip(again._novelties, state["novelties"], strict=True):
            novelty.restore(kept)
        again._rest.extend((int(row), _number(surprise)) for row, surprise in state["rest"])
        again.raised = msgspec.convert(state["raised"], Raised | None)
        self.__dict__.update(again.__dict__)


class Limit:
    """The rule of a model without an alarm stage: above ``limit`` it begins, at ``OVER`` of it it ends."""

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self._row = 0
        self.raised: Raised | None = None

    def step(self, value: float | None, score: float | None) -> Judgement:
        if score is None or not math.isfinite(score):
            return self.skip(1)
        row, raised, limit = self._row, self.raised, self.limit
        self._row += 1
        moment = Moment(value, score, score, limit, 0.0, "score")
        if raised is None and score > limit:
            self.raised = Raised(WARNING, row, moment, moment)
            return Judgement(moment, 0.0, "begins", self.raised)
        if raised is not None and score <= OVER * limit:
            self.raised = None
            return Judgement(moment, 0.0, "ends", raised)
        if raised is not None and score > raised.peak.score:
            self.raised = raised._replace(peak=moment)
        return Judgement(moment, 0.0, None, self.raised)

    def skip(self, rows: int) -> Judgement:
        self._row += rows
        return NOTHING._replace(raised=self.raised)

    def forget(self) -> None:
        self.raised = None

    def state(self) -> dict[str, Any]:
        return {"row": self._row, "raised": self.raised}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Raises: ValueError, KeyError, TypeError: it is no such state; nothing has changed."""
        row, raised = int(state["row"]), msgspec.convert(state["raised"], Raised | None)
        self._row, self.raised = row, raised


class _Novelty:
    """How surprisingly far the mean of the newest rows is from all means before."""

    def __init__(self, spec: AlarmSpec, rows: int) -> None:
        self._weight, self._few = spec.novelty, spec.mean
        self._newest: deque[float] = deque(maxlen=rows)
        self._values, self._past = PastValues(), PastScores(spec.memory)

    def surprise(self, value: float, row: int, learning: bool) -> float:
        self._newest.append(value)
        mean = float32(sum(self._newest) / len(self._newest)) if len(self._newest) > 1 else value
        distance = float32(self._values.distance(mean)) if row > self._few else 0.0
        self._values.add(mean)
        surprise = self._weight * self._past.surprise(distance) if self._past.total >= WARM else 0.0
        if not learning:
            self._past.add(distance)
        return surprise

    def state(self) -> dict[str, Any]:
        return {"newest": list(self._newest), "values": self._values.state(), "past": self._past.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._newest.extend(_number(v) for v in state["newest"])
        self._values.restore(state["values"])
        self._past.restore(state["past"])


def _number(given: Any) -> float:
    """Raises: ValueError, TypeError: it is none."""
    number = float(given)
    if not math.isfinite(number):
        raise ValueError("not a number")
    return number
