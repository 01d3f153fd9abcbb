"""Scalars of a run, and the picture of its forecast beside the truth: TensorBoard always, Weights & Biases on request.

``WANDB_MODE`` decides: ``offline`` writes beside the run and sends nothing (`wandb sync OUT/wandb/…` would), ``online``
sends; unset or ``disabled``, wandb is not even imported.
"""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from msgspec import to_builtins

from wayside.cloud.train import ranks
from wayside.cloud.train.datasets import Array, Windows
from wayside.cloud.train.errors import TrackingError
from wayside.cloud.train.fitted import Epoch
from wayside.cloud.train.taskfile import TaskFile
from wayside.contracts.task import TaskSpec


class Tracker:
    """Tracks one run while it is open, into ``folder/tensorboard``; `tensorboard --logdir OUT` shows it.

    Of several processes the first tracks, the others do nothing.
    """

    def __init__(self, folder: Path, taskfile: TaskFile, seed: int) -> None:
        self._tensorboard: Any = None
        self._wandb: Any = None
        if ranks.rank():
            return
        from torch.utils.tensorboard import SummaryWriter  # a second of imports

        try:
            self._tensorboard = SummaryWriter(str(folder / "tensorboard"))
        except UnicodeEncodeError as exc:
            name = ascii(str(folder.parent))
            raise TrackingError(
                f"{name} is not UTF-8, and TensorBoard takes no such name: choose another --out"
            ) from exc
        if os.environ.get("WANDB_MODE", "disabled") != "disabled":
            self._wandb = _weights_and_biases(folder, taskfile, seed)

    def __enter__(self) -> Tracker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._tensorboard:
            self._tensorboard.close()
        if self._wandb:
            self._wandb.finish(exit_code=0 if kind is None else 1)

    def epoch(self, epoch: Epoch) -> None:
        names = {"train": epoch.train, "validation": epoch.validation}
        if epoch.validation != epoch.validation:  # NaN: nobody watched, the weights are being fitted to all days
            names = {"refit": epoch.train}
        self._scalars({f"{name}/loss": value for name, value in names.items()}, epoch.number)

    def result(self, split: str, comparison: dict[str, Any]) -> None:
        """``comparison`` as ``evaluate.compare`` returns it."""
        scores = comparison["scores"].items()
        self._scalars({f"{split}/{measure}/{name}": v for name, of in scores for measure, v in of.items()}, 0)

    def figure(self, figure: Figure) -> None:
        if self._tensorboard:
            self._tensorboard.add_figure("forecast", figure, close=False)

    def _scalars(self, values: dict[str, float], step: int) -> None:
        if self._tensorboard:
            for name, value in values.items():
                self._tensorboard.add_scalar(name, value, step)
        if self._wandb:
            # Its own step only ever rises; ours starts again with the second fit.
            self._wandb.log(values | {"epoch": step})


def _weights_and_biases(folder: Path, taskfile: TaskFile, seed: int) -> Any:
    try:
        import wandb
    except ModuleNotFoundError as exc:
        raise TrackingError(
            f"WANDB_MODE is {os.environ['WANDB_MODE']}, and wandb is not installed: "
            'pip install "wayside[tracking]", or unset WANDB_MODE'
        ) from exc
    return wandb.init(
        project=os.environ.get("WANDB_PROJECT", "wayside"),
        name=f"{taskfile.task.name} {taskfile.fit.family} {seed}",
        config={"task": taskfile.task.name, "seed": seed, "fit": to_builtins(taskfile.fit)},
        dir=os.environ.get("WANDB_DIR", str(folder)),
        # What it would gather of this machine by itself is nobody's business.
        settings=wandb.Settings(silent=True, console="off", disable_git=True, disable_code=True, x_disable_stats=True),
    )


def draw(windows: Windows, forecast: Array, task: TaskSpec, sites: tuple[str, ...], title: str) -> Figure:
    """Truth, forecast (N, H; the first step is shown) and the naive floor at the busiest site."""
    y = windows.y[:, 0]  # (N,)
    busiest = int(np.argmax(np.bincount(windows.site, weights=y)))
    here = windows.site == busiest
    figure = Figure(figsize=(12, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    at = windows.end[here]
    axes.plot(at, windows.naive[here, 0], color="0.75", linewidth=0.8, label="naive: the value before")
    axes.plot(at, y[here], color="black", linewidth=1.0, label="observed")
    axes.plot(at, forecast[here, 0], color="tab:orange", linewidth=1.2, label="forecast")
    axes.set_ylabel(f"{task.output}, {task.output_unit} per {task.interval_s / 60:g} min")
    axes.set_title(f"{title}: {sites[busiest]}, held-out days", loc="left")
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, frameon=False)  # above: nothing to hide
    axes.margins(x=0)
    return figure
