"""Scores: how unusual the newest interval is, 0 or more, about 1 where it is as usual. Rows are ``TASK/DATASTREAM``.

When a score is an alarm, the alarm stage of the model's bundle says (:mod:`wayside.contracts.alarm`), for each site by
its own past; of a bundle without one, ``alert_sigma`` of the task's table.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from wayside.contracts.action import Answer
from wayside.contracts.alarm import ALARM, Alarm, Judgement, Limit, Moment, Raised
from wayside.contracts.reading import GOOD, MISSING, Stamp
from wayside.contracts.summary import INTERVAL
from wayside.contracts.task_config import TaskConfig
from wayside.contracts.windows import Float32
from wayside.edge.decisions import Decider
from wayside.edge.history import NOTHING
from wayside.edge.ledger import Detail
from wayside.edge.tasks.task import Due, Model, Parts, Task


class ScoreTask(Task):
    """``alert_sigma`` of its table is the score above which an interval is told as unusual, if the model's bundle does
    not say when."""

    def __init__(self, config: TaskConfig, parts: Parts, decider: Decider | None) -> None:
        super().__init__(config, parts, decider)
        self._names = [f"{self.name}/{s.output}" for s in self.sites]
        self._stages: list[Alarm | Limit] = []
        self._stages_of: str | None = None  # label of their model
        self._kept_stages: Mapping[str, Any] | None = None  # of before the restart, until their model is here

    # --- model ----------------------------------------------------------------------------------

    def _adopt(self, model: Model) -> None:
        super()._adopt(model)
        if self.label == self._stages_of:
            return
        kept, self._kept_stages = self._kept_stages, None
        if kept is None or kept["model"] != self.label:
            self.forget_alarms()  # its scores are not those of the model before
            kept = {"sites": {}}
        spec = model.passport.task.alarm
        if spec is not None:
            spec = spec.at_pace(self._steps // self._every)
        self._stages_of = self.label
        self._stages = [Limit(self.config.alert_sigma) if spec is None else Alarm(spec) for _ in self.sites]
        for i, (site, stage) in enumerate(zip(self.sites, self._stages, strict=True)):
            if site.output not in kept["sites"]:
                continue
            try:
                stage.restore(kept["sites"][site.output])
            except (ValueError, KeyError, TypeError) as exc:
                why = f"after the restart the past of its scores could not be read and begins anew: {exc!r}"
                self._ledger.alert(self._names[i], why)
                self._end(i)

    # --- a step ---------------------------------------------------------------------------------

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
        levels = self._judge(due, scores)
        self.done = due.number
        if self.decider is not None:
            sites = {
                s.output: Answer(self._seen.values[i], self._seen.qualities[i], score=scores[i], alarm=levels[i])
                for i, s in enumerate(self.sites)
            }
            self._decide(due, sites, why)

    def _judge(self, due: Due, scores: Sequence[float | None]) -> Sequence[int | None]:
        """Each site's row and conditions, and the level of its alarm; None where the bundle has no alarm stage."""
        levels: list[int | None] = [None] * len(self.sites)
        if self.label is None:
            return levels
        lost = -((self.done - due.number) // self._every) - 1 if self.done != NOTHING else 0  # steps that never came
        for i, (stage, score) in enumerate(zip(self._stages, scores, strict=True)):
            if lost > 0:
                self._tell(i, stage.skip(lost), 0, due.at)
            before = 0 if stage.raised is None else stage.raised.level
            judgement = stage.step(self._seen.values[i], score)
            self._tell(i, judgement, before, due.at)
            detail: Detail | None = None
            if isinstance(stage, Alarm):
                levels[i] = judgement.level
                detail = _shown(judgement)
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
                detail=detail,
            )
        return levels

    def _tell(self, i: int, judgement: Judgement, before: int, at: Stamp) -> None:
        """What begins, rises or ends with a row; ``before`` it the alarm had that level."""
        raised, moment = judgement.raised, judgement.moment
        if judgement.change is None or raised is None:
            return
        if judgement.change == "ends":
            self._end(i, at, value=None if moment is None else moment.score, level=raised.level, **_values(raised.peak))
            return
        assert moment is not None  # noqa: S101  (a row without a score raises nothing)
        name, score, what = self._names[i], moment.score, _sentence(moment)
        detail = {"level": raised.level, **_values(moment)}
        if not before:
            self._ledger.begin(
                "score_high", name, f"unusual: {what}", at=at, severe=False, value=score, model=self.label, **detail
            )
        if before < raised.level == ALARM:
            self._ledger.begin(
                "score_alarm",
                name,
                f"very unusual: {what}",
                at=at,
                severe=False,
                value=score,
                model=self.label,
                **detail,
            )

    def _end(self, i: int, at: Stamp | None = None, **detail: Any) -> None:
        for code in ("score_high", "score_alarm"):
            self._ledger.end(code, self._names[i], at=at, **detail)

    def forget_alarms(self) -> None:
        for i, stage in enumerate(self._stages):
            stage.forget()
            self._end(i)

    # --- durable state --------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        kept = self._kept_stages
        if self._stages_of is not None:
            each = {s.output: stage.state() for s, stage in zip(self.sites, self._stages, strict=True)}
            kept = {"model": self._stages_of, "sites": each}
        return super().state() | {"alarms": kept}

    def restore(self, state: Mapping[str, Any]) -> None:
        super().restore(state)
        self._kept_stages = _of_older(state) if "high" in state else state["alarms"]


def _values(moment: Moment) -> dict[str, float | str | None]:
    """What made an alarm, for people."""
    return {
        "score": moment.score,
        "smoothed": moment.smoothed,
        "threshold": moment.threshold,
        "surprise": round(moment.surprise, 2),
        "observed": moment.value,
        "by": moment.by,
    }


def _shown(judgement: Judgement) -> Detail:
    """What an interval's row says beside the score."""
    moment = judgement.moment
    detail: Detail = {} if moment is None else {"threshold": moment.threshold, "surprise": round(moment.surprise, 2)}
    return detail | {"level": judgement.level} if judgement.level else detail


def _sentence(moment: Moment) -> str:
    usual = "" if moment.threshold is None else f", the alarm begins at {moment.threshold:.3g}"
    if moment.by == "score":
        return f"a score of {moment.smoothed:.3g}{usual}"
    what = "a value" if moment.by == "value" else "a mean of the last values"
    return f"{what} unlike all before, a score of {moment.smoothed:.3g}{usual}"


def _of_older(state: Mapping[str, Any]) -> Mapping[str, Any]:
    """The state of an agent that knew only a fixed limit: which sites were above it."""
    moment = Moment(None, 0.0, 0.0, None, 0.0, "score")
    raised = Raised(1, 0, moment, moment)
    health = state["health"]
    sites = {output: {"row": 0, "raised": raised} for output in state["high"]}
    return {"model": None if health is None else health["model"], "sites": sites}
