"""Is the model better than none? Its held-out error beside the floor's, before anything is made from it."""

from __future__ import annotations

import numpy as np

from wayside.export.accuracy import middle
from wayside.export.checkpoint import Trained
from wayside.export.errors import GateRefused

WORST = 10.0
"""Times the floor's error. A model that is a little worse than naive may be wanted beside a better one, and is told of;
one that is ten times worse has diverged, or has the weights of another."""


def judge(trained: Trained) -> str | None:
    """Hold the mean absolute held-out error against that of the naive forecast, of a count against that of the mean.

    Returns:
        A note where the model is worse than the floor.

    Raises:
        GateRefused: it is more than `WORST` times worse.
    """
    task, held = trained.task, trained.heldout
    if task.kind not in ("forecast", "count"):
        return None  # classes and scores are bounded: nothing in them explodes
    truth = held.y.astype(np.float64)
    simple = held.naive if held.naive is not None else truth.mean(axis=0, keepdims=True)
    own = float(np.abs(middle(trained.heldout_answers, task) - truth).mean())
    floor = float(np.abs(simple - truth).mean())
    name = "naive" if held.naive is not None else "always the mean"
    told = f"held-out mean error {own:.4g} {task.output_unit}, {name} {floor:.4g}"
    # A series that never changes has a floor of zero: there, a hundredth of what the output can be.
    spans = [i.high - i.low for i in task.inputs if i.name == task.output]
    if own > WORST * (floor or 0.01 * max(spans, default=0.0) or np.inf):
        raise GateRefused(
            f"this model is of no use: {told}, which is {own / (floor or np.nan):.3g} times as much; the limit is "
            f"{WORST:g} times. Its training diverged, or the weights are another model's: train again"
        )
    return f"{told}: this model is worse than none" if own > floor else None
