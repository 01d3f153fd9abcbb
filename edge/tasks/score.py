"""Scores: how unusual the newest interval is, 0 or more, about 1 where it is as usual. Rows are ``TASK/DATASTREAM``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from wayside.contracts.action import Answer
from wayside.contracts.reading import GOOD, MISSING
from wayside.contracts.summary import INTERVAL
from wayside.contracts.task_config import TaskConfig
from wayside.contracts.windows import Float32
from wayside.edge.decisions import Decider
from wayside.edge.tasks.task import Due, Parts, Task

OVER = 0.75  # of the alarm's limit


class ScoreTask(Task):
    """``alert_sigma`` of its table is the score above which an interval is told as unusual."""

    def __init__(self, config: TaskConfig, parts: Parts, decider: Decider | None) -> None:
        super().__init__(config, parts, decider)
        self._names = [f"{self.name}/{s.output}" for s in self.sites]
        self._high = [False] * len(self.sites)

    def _conclude(self, due: Due, answers: Sequence[Float32 | None] | None, why: str | None) -> None:
        scores: list[float | None] = [None] * len(self.sites)
        if answers is not None:
            bad = False
            for i, answer in enumerate(answers):
                if answer is not None:
                    raw = float(answer[0, 0])
                    if math.isfinite(raw):
                        scores[i] = max(0.0, raw)
                    else:
                        bad = True
            self._watch(bad, scores, due.at)
            if bad and all(s is None for s in scores):
                why = "the model's score is not a number"
        if self.label is not None:
            for i, score in enumerate(scores):
                self._row(i, score, due)
        self.done = due.number
        if self.decider is not None:
            sites = {
                s.output: Answer(self._seen.values[i], self._seen.qualities[i], score=scores[i])
                for i, s in enumerate(self.sites)
            }
            self._decide(due, sites, why)

    def _row(self, i: int, score: float | None, due: Due) -> None:
        limit = self.config.alert_sigma
        if score is not None:
            if score > limit and not self._high[i]:
                self._high[i] = True
                what = f"unusual: a score of {score:.3g}, the alarm begins at {limit:g}"
                self._ledger.begin(
                    "score_high", self._names[i], what, at=due.at, severe=False, value=score, model=self.label
                )
            elif self._high[i] and score <= OVER * limit:
                self._high[i] = False
                self._ledger.end("score_high", self._names[i], at=due.at, value=score)
        self._ledger.row(
            INTERVAL,
            self._names[i],
            due.at,
            duration_s=self.config.interval_s,
            value=score,
            unit="1",
            quality=GOOD if score is not None else MISSING,
            n=self._seen.n[i],
            model=self.label,
        )

    def forget_alarms(self) -> None:
        for i, high in enumerate(self._high):
            if high:
                self._ledger.end("score_high", self._names[i])
        self._high = [False] * len(self.sites)

    def state(self) -> dict[str, Any]:
        return super().state() | {"high": [s.output for s, high in zip(self.sites, self._high, strict=True) if high]}

    def restore(self, state: Mapping[str, Any]) -> None:
        super().restore(state)
        self._high = [s.output in state["high"] for s in self.sites]
