"""Runs as a picture: delay by controller and seed, the queue over time, and the greens of one intersection."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from wayside.cloud.sim.errors import SimulateError
from wayside.cloud.sim.traffic.spec import RunResult

SHOWN_S = 600.0  # of the greens
FORMATS = (".png", ".svg", ".pdf")


def check(path: Path) -> None:
    """Raises: SimulateError: no picture can be written there; said before an hour is simulated."""
    if path.suffix not in FORMATS:
        raise SimulateError(f"{path} is no picture: choose a --plot that ends in {', '.join(FORMATS)}")
    if not path.parent.is_dir():
        raise SimulateError(f"the folder {path.parent} is not there: make it, or choose another --plot")


def plot(path: Path, results: Sequence[RunResult]) -> None:
    """Of the runs of one map. Raises: SimulateError: ``path`` cannot be written."""
    policies = list(dict.fromkeys(r.policy for r in results))
    with _figure(path, len(policies)) as (figure, axes):
        figure.suptitle(f"{results[0].net}, {results[0].seconds / 60:g} minutes from the begin", fontsize=10)
        _delays(axes[0], results, policies)
        _queues(axes[1], results, policies)
        first = results[0].seed
        light = next((green.light for r in results for green in r.greens), "")
        for axis, policy in zip(axes[2:], policies, strict=True):
            _greens(axis, next(r for r in results if r.policy == policy and r.seed == first), light)
        axes[-1].set_xlabel("s after the begin")


def _delays(axis: Any, results: Sequence[RunResult], policies: Sequence[str]) -> None:
    for at, policy in enumerate(policies):
        delays = [r.delay_s for r in results if r.policy == policy]
        axis.barh(at, float(np.mean(delays)), color=f"C{at}", alpha=0.4)
        axis.plot(delays, [at] * len(delays), "o", color=f"C{at}", markersize=4)
        axis.annotate(f"{np.mean(delays):.1f}", (float(np.max(delays)), at), xytext=(6, -3), textcoords="offset points")
    axis.set_yticks(range(len(policies)), policies)
    axis.invert_yaxis()
    axis.set_xlabel("delay of a vehicle, s: the mean, and each seed")


def _queues(axis: Any, results: Sequence[RunResult], policies: Sequence[str]) -> None:
    for at, policy in enumerate(policies):
        series = np.array([r.queue for r in results if r.policy == policy])
        axis.plot(np.arange(series.shape[1]) + 0.5, series.mean(axis=0), color=f"C{at}", label=policy, linewidth=1.2)
    axis.set_xlabel("minutes after the begin")
    axis.set_ylabel("vehicles that wait")
    axis.set_ylim(bottom=0)
    axis.legend(fontsize=8, ncols=3)


def _greens(axis: Any, result: RunResult, light: str) -> None:
    phases = sorted({green.phase for green in result.greens if green.light == light})
    until = min(SHOWN_S, result.seconds)
    for green in result.greens:
        if green.light == light and green.from_s < until:
            axis.broken_barh(
                [(green.from_s, min(green.to_s, until) - green.from_s)], (phases.index(green.phase) - 0.4, 0.8),
                color="tab:green",
            )  # fmt: skip
    axis.set_xlim(0, until)
    axis.set_yticks(range(len(phases)), [str(phase) for phase in phases], fontsize=7)
    axis.invert_yaxis()
    axis.set_title(f"{result.policy}: greens by phase, {light}, seed {result.seed}", loc="left", fontsize=8)


@contextlib.contextmanager
def _figure(path: Path, policies: int) -> Iterator[tuple[Any, Any]]:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    heights = [0.5 + 0.35 * policies, 2.2, *[1.1] * policies]
    figure, axes = plt.subplots(
        len(heights), 1, figsize=(10, sum(heights) + 1.5), height_ratios=heights, layout="constrained"
    )
    try:
        yield figure, axes
        figure.savefig(path, dpi=110)
    except (OSError, ValueError) as exc:
        raise SimulateError(f"{path} cannot be written: {exc}; choose another --plot, such as signals.png") from exc
    finally:
        plt.close(figure)
