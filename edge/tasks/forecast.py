"""Forecasts: what was said of an interval is compared with what it was, once it has come.

The first forecast task of a datastream writes that datastream's rows; a further one writes ``TASK/DATASTREAM``.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from wayside.contracts.action import Answer
from wayside.contracts.reading import Quality
from wayside.contracts.summary import Kind
from wayside.contracts.task_config import SumConfig, TaskConfig
from wayside.contracts.windows import Float32
from wayside.edge.decisions import Decider
from wayside.edge.journal import KeptAnswers
from wayside.edge.sources.quality import USABLE, worst
from wayside.edge.sources.recent import Value
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
        self._residuals: list[float | None] = [None] * len(self.sites)
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
        for i, (value, name) in enumerate(zip(self._values, self._names, strict=True)):
            if self._one_source is None:
                seconds = self._seconds(number, i)
            self._row(i, name, value, seconds, at, past)
        for name, members in self._sums:
            self._sum_row(name, members, seconds, at, past)

    def _seconds(self, number: int, site: int) -> float:
        recent = self._one_source or self._parts.recents[self.sites[site].source]
        return recent.seconds(number, self._steps, self._base_s)

    def _row(self, i: int, name: str, seen: Value, seconds: float, at: Any, past: Past | None) -> None:  # noqa: PLR0917
        value, quality, n = seen
        forecast = naive = anomaly = band = None
        model = self._model
        if past is not None:
            forecast, naive = past.forecasts[i], past.values[i]
            band = past.bands[i] if past.bands else None
            believed = value is not None and (quality is Quality.GOOD or quality in USABLE)
            if forecast is not None and value is not None and believed and model is not None:
                anomaly = abs(value - forecast) / model.passport.residual_std
                self._judge(i, value, forecast, anomaly, at)
                if naive is not None and self._health is not None:
                    self._health.compared(value, forecast, naive)
        self._residuals[i] = anomaly
        self._ledger.row(
            Kind.INTERVAL,
            name,
            at,
            duration_s=seconds,
            value=value,
            unit=self.sites[i].unit,
            quality=quality,
            n=n,
            forecast=forecast,
            naive=naive,
            anomaly=anomaly,
            model=past.model if past is not None and forecast is not None else None,
            detail={"low": band[0], "high": band[1]} if band else None,
        )

    def _judge(self, i: int, value: float, forecast: float, anomaly: float, at: Any) -> None:
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

    def _sum_row(self, name: str, members: Sequence[int], seconds: float, at: Any, past: Past | None) -> None:
        quality, n = Quality.GOOD, 0
        for i in members:
            quality = worst(quality, self._values[i].quality)
            n += self._values[i].n
        value = _sum([self._values[i].value for i in members])
        forecast = _sum([past.forecasts[i] for i in members]) if past else None
        self._ledger.row(
            Kind.INTERVAL,
            name,
            at,
            duration_s=seconds,
            value=value,
            unit=self.sites[members[0]].unit,
            quality=quality if value is not None else Quality.MISSING,
            n=n,
            forecast=forecast,
            naive=_sum([past.values[i] for i in members]) if past else None,
            model=past.model if past is not None and forecast is not None else None,
            derived=True,
        )

    # --- what is said ----------------------------------------------------------------------------

    def _conclude(self, due: Due, answers: Sequence[Float32 | None] | None, why: str | None) -> None:
        window, model = self._window, self._model
        firsts: list[float | None] = [None] * len(self.sites)
        bands: list[list[float] | None] | None = None
        values = [v.value for v in self._values]
        if answers is not None and model is not None:
            spec = model.passport.task
            median = spec.median if spec.quantiles else None
            bands = None if median is None else [None] * len(self.sites)
            raw: list[float | None] = list(firsts)
            bad = False
            for i, answer in enumerate(answers):
                if answer is None:
                    continue
                first = answer[0, 0]  # a number, or its quantiles
                y = float(first if median is None else first[median])
                if not math.isfinite(y):
                    bad = True
                    continue
                raw[i] = y
                counts = not self.sites[i].mean  # never less than none
                firsts[i] = max(0.0, y) if counts else y
                if bands is not None:
                    low, high = float(first[0]), float(first[-1])
                    if math.isfinite(low + high):
                        bands[i] = [max(0.0, low), max(0.0, high)] if counts else [low, high]
            self._watch(bad, raw, due.at)
            if bad and all(f is None for f in firsts):
                why = "the model's forecast is not a number"
        past = Past(values, firsts, self.label, bands)
        shift = window.shift if window is not None else self._steps
        if shift == 0:
            earlier = self._parts.recents
            naive = [
                earlier[s.source].interval(s.which, due.number - self._steps, self._steps, mean=s.mean).value
                for s in self.sites
            ]
            self._rows(due, past._replace(values=naive))
        else:
            self._made[due.number + shift] = past
        self.done = due.number
        self._parts.journal.answers(self.key, due.number, shift, past)
        if self.decider is not None:
            self._decide(due, self._answers(answers, firsts), why, model.passport.task.quantiles if model else ())

    def _answers(self, answers: Sequence[Float32 | None] | None, firsts: Sequence[float | None]) -> dict[str, Answer]:
        spec = self._model.passport.task if self._model is not None else None
        sites: dict[str, Answer] = {}
        for i, (site, seen) in enumerate(zip(self.sites, self._values, strict=True)):
            answer = None if answers is None or firsts[i] is None else answers[i]
            if answer is None or spec is None:
                sites[site.output] = Answer(seen.value, seen.quality, residual=self._residuals[i])
                continue
            over = answer[0]
            if not site.mean:
                over = over.clip(0.0)
            sites[site.output] = Answer(
                seen.value,
                seen.quality,
                forecast=(over[:, spec.median] if spec.quantiles else over).tolist(),
                bands=over.tolist() if spec.quantiles else (),
                residual=self._residuals[i],
            )
        return sites

    # --- durable state ---------------------------------------------------------------------------

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


def _sum(values: Sequence[float | None]) -> float | None:
    total = 0.0
    for value in values:
        if value is None:
            return None
        total += value
    return total
