"""Forecasts: what was said of an interval is compared with what it was, once it has come.

The first forecast task of a datastream writes that datastream's rows; a further one writes ``TASK/DATASTREAM``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from math import isfinite
from typing import Any, NamedTuple

from wayside.contracts.action import Answer
from wayside.contracts.reading import GOOD, MISSING, Stamp
from wayside.contracts.summary import INTERVAL
from wayside.contracts.task_config import SumConfig, TaskConfig
from wayside.contracts.windows import Float32
from wayside.edge.decisions import Decider
from wayside.edge.journal import KeptAnswers
from wayside.edge.sources.quality import USABLE, worst
from wayside.edge.tasks.task import Due, Parts, Task

OVER = 0.75  # of the alarm's limit: below that a strange datastream is itself again


class Past(NamedTuple):
    """What was known when a forecast was made: the values of then, and the forecasts."""

    values: Sequence[float | None]
    forecasts: Sequence[float | None]
    model: str | None
    bands: Sequence[Sequence[float] | None] | None = None  # outer quantiles, if the model gives them


class ForecastTask(Task):
    def __init__(
        self,
        config: TaskConfig,
        parts: Parts,
        decider: Decider | None,
        taken: Collection[str] = (),
        sums: Sequence[SumConfig] = (),
    ) -> None:
        """
        Args:
            taken: datastreams whose rows another task writes.
            sums: of this task's own datastreams; it writes their rows.
        """
        super().__init__(config, parts, decider)
        self.own = [s.output not in taken for s in self.sites]
        self._names = [
            s.output if own else f"{self.name}/{s.output}" for s, own in zip(self.sites, self.own, strict=True)
        ]
        at = {s.output: i for i, s in enumerate(self.sites)}
        self._sums = [(one.name, [at[name] for name in one.of]) for one in sums]
        self._made: dict[int, Past] = {}  # by the number of the first target
        self._none: Sequence[float | None] = (None,) * len(self.sites)
        self._residuals: list[float | None] = [None] * len(self.sites)
        self._expected: list[float | None] = [None] * len(self.sites)
        self._strange = [False] * len(self.sites)

    # --- what has come ---------------------------------------------------------------------------

    def _closed(self, due: Due) -> None:
        if not due.told and (self._window is None or self._window.shift):
            self._rows(due, self._made.pop(due.number, None))

    def _rows(self, due: Due, past: Past | None) -> None:
        number, at = due.number, due.at
        made = self._made
        while made and (oldest := next(iter(made))) <= number:  # of a hole
            del made[oldest]
        seconds = self._seconds(number, 0)
        for i in range(len(self._names)):
            if i and self._one_source is None:
                seconds = self._seconds(number, i)
            self._row(i, seconds, at, past)
        for name, members in self._sums:
            self._sum_row(name, members, seconds, at, past)

    def _seconds(self, number: int, site: int) -> float:
        recent = self._one_source or self._parts.recents[self.sites[site].source]
        return recent.seconds(number, self._steps, self._base_s)

    def _row(self, i: int, seconds: float, at: Stamp, past: Past | None) -> None:
        seen = self._seen
        value, quality = seen.values[i], seen.qualities[i]
        forecast = naive = anomaly = band = None
        model = self._model
        if past is not None:
            forecast, naive = past.forecasts[i], past.values[i]
            band = past.bands[i] if past.bands else None
            believed = value is not None and (quality is GOOD or quality in USABLE)
            if forecast is not None and value is not None and believed and model is not None:
                anomaly = abs(value - forecast) / model.passport.residual_std
                self._judge(i, value, forecast, anomaly, at)
                if naive is not None and self._health is not None:
                    self._health.compared(value, forecast, naive)
        self._residuals[i], self._expected[i] = anomaly, forecast
        self._ledger.row(
            INTERVAL,
            self._names[i],
            at,
            duration_s=seconds,
            value=value,
            unit=self.sites[i].unit,
            quality=quality,
            n=seen.n[i],
            forecast=forecast,
            naive=naive,
            anomaly=anomaly,
            model=None if past is None or forecast is None else past.model,
            detail={"low": band[0], "high": band[1]} if band else None,
        )

    def _judge(self, i: int, value: float, forecast: float, anomaly: float, at: Stamp) -> None:
        limit = self.config.alert_sigma
        if anomaly > limit:
            if not self._strange[i]:
                self._strange[i] = True
                self._ledger.begin(
                    "forecast_strange",
                    self._names[i],
                    "unlike the forecast",
                    at=at,
                    severe=False,
                    value=value,
                    forecast=forecast,
                    anomaly=anomaly,
                    model=self.label,
                )
        elif self._strange[i] and anomaly <= OVER * limit:
            self._strange[i] = False
            self._ledger.end("forecast_strange", self._names[i], at=at, value=value, anomaly=anomaly)

    def _sum_row(self, name: str, members: Sequence[int], seconds: float, at: Stamp, past: Past | None) -> None:
        seen, quality, n = self._seen, GOOD, 0
        for i in members:
            quality = worst(quality, seen.qualities[i])
            n += seen.n[i]
        value = _sum([seen.values[i] for i in members])
        forecast = _sum([past.forecasts[i] for i in members]) if past else None
        self._ledger.row(
            INTERVAL,
            name,
            at,
            duration_s=seconds,
            value=value,
            unit=self.sites[members[0]].unit,
            quality=quality if value is not None else MISSING,
            n=n,
            forecast=forecast,
            naive=_sum([past.values[i] for i in members]) if past else None,
            model=past.model if past is not None and forecast is not None else None,
            derived=True,
        )

    # --- what is said ----------------------------------------------------------------------------

    def _conclude(self, due: Due, answers: Sequence[Float32 | None] | None, why: str | None) -> None:
        window, model = self._window, self._model
        firsts: Sequence[float | None] = self._none
        bands: Sequence[Sequence[float] | None] | None = None
        if answers is not None and model is not None:
            spec = model.passport.task
            if spec.quantiles:
                firsts, bands = self._quantiles(answers, spec.median)
            else:
                firsts = [None if answer is None else answer.item(0) for answer in answers]
            bad, negative = _faults(firsts)
            if bad:
                firsts = [None if y is None or not isfinite(y) else y for y in firsts]
                if firsts == list(self._none):
                    why = "the model's forecast is not a number"
            self._watch(bad, firsts, due.at)
            if negative:  # of what is counted there is never less than none
                firsts = [y if y is None or mean else max(0.0, y) for y, mean in zip(firsts, self._means, strict=True)]
        past = Past(self._seen.values, firsts, self.label, bands)
        shift = window.shift if window is not None else self._steps
        if shift:
            self._made[due.number + shift] = past
        else:  # the interval of the answer has come already
            self._rows(due, past._replace(values=self._look(due.number - self._steps).values))
        self.done = due.number
        if self._parts.foretell is not None:
            outputs = [s.output for s in self.sites]
            self._parts.foretell(dict(zip(outputs, firsts, strict=True)), self.config.interval_s)
        self._parts.journal.answers(self.key, due.number, shift, past)
        if self.decider is not None:
            self._decide(due, self._answers(answers, firsts), why, model.passport.task.quantiles if model else ())

    def _quantiles(
        self, answers: Sequence[Float32 | None], median: int
    ) -> tuple[list[float | None], list[list[float] | None]]:
        """The median of each site's first answer, and its outer quantiles."""
        raw: list[float | None] = []
        bands: list[list[float] | None] = []
        for answer, mean in zip(answers, self._means, strict=True):
            if answer is None:
                raw.append(None)
                bands.append(None)
                continue
            first = answer[0, 0].tolist()
            low, high = first[0], first[-1]
            raw.append(first[median])
            if not isfinite(low + high):
                bands.append(None)
            else:
                bands.append([low, high] if mean else [max(0.0, low), max(0.0, high)])
        return raw, bands

    def _answers(self, answers: Sequence[Float32 | None] | None, firsts: Sequence[float | None]) -> dict[str, Answer]:
        spec = self._model.passport.task if self._model is not None else None
        (values, qualities, _), residuals = self._seen, self._residuals
        sites: dict[str, Answer] = {}
        for i, site in enumerate(self.sites):
            first = firsts[i]
            answer = None if answers is None else answers[i]
            ahead: list[float] = []
            bands: list[list[float]] = []
            if first is None or answer is None or spec is None:
                pass
            elif spec.quantiles:
                over = answer[0] if site.mean else answer[0].clip(0.0)
                ahead, bands = over[:, spec.median].tolist(), over.tolist()
            elif spec.horizon == 1:
                ahead = [first]
            else:
                ahead = answer[0].tolist()
                if not site.mean:
                    ahead = [max(0.0, y) for y in ahead]
            sites[site.output] = Answer(
                values[i], qualities[i], ahead, bands, None, None, residuals[i], expected=self._expected[i]
            )
        return sites

    # --- durable state ---------------------------------------------------------------------------

    def forget_alarms(self) -> None:
        for i, strange in enumerate(self._strange):
            if strange:
                self._ledger.end("forecast_strange", self._names[i])
        self._strange = [False] * len(self.sites)

    def state(self) -> dict[str, Any]:
        strange = [s.output for s, strange in zip(self.sites, self._strange, strict=True) if strange]
        return super().state() | {"strange": strange}

    def restore(self, state: Mapping[str, Any]) -> None:
        super().restore(state)
        self._strange = [s.output in state["strange"] for s in self.sites]

    def restore_answers(self, kept: KeptAnswers) -> None:
        shift = self._steps if kept.shift is None else kept.shift  # an older agent's lead was one interval
        target = kept.number + shift
        if shift and target > self.done and len(kept.values) == len(self.sites):
            self._made[target] = Past(kept.values, kept.forecasts, kept.model, kept.bands)


def _faults(answers: Sequence[float | None]) -> tuple[bool, bool]:
    """Whether one of them is no number, and whether one is negative."""
    bad = negative = False
    for y in answers:
        if y is not None:
            if not isfinite(y):
                bad = True
            elif y < 0.0:
                negative = True
    return bad, negative


def _sum(values: Sequence[float | None]) -> float | None:
    total = 0.0
    for value in values:
        if value is None:
            return None
        total += value
    return total
