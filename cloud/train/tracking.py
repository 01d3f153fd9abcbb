"""TensorBoard scalars of a run, and the picture of its forecast beside the truth."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from cloud.train.datasets import Array, Windows
from cloud.train.fit import Epoch
from contracts.task import TaskSpec


class Tracker:
    """Writes TensorBoard events into ``folder`` while it is open; `tensorboard --logdir OUT` shows them."""

    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter  # a second of imports

        self._writer = SummaryWriter(str(folder))

    def __enter__(self) -> Tracker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()

    def epoch(self, epoch: Epoch) -> None:
        self._writer.add_scalar("train/mse", epoch.train_mse, epoch.number)
        self._writer.add_scalar("validation/rmse", epoch.validation_rmse, epoch.number)

    def result(self, split: str, comparison: dict[str, Any]) -> None:
        """``comparison`` as ``evaluate.compare`` returns it."""
        for name, numbers in comparison["scores"].items():
            for measure, value in numbers.items():
                self._writer.add_scalar(f"{split}/{measure}/{name}", value, 0)

    def figure(self, figure: Figure) -> None:
        self._writer.add_figure("forecast", figure, close=False)


def draw(windows: Windows, forecast: Array, task: TaskSpec, detectors: tuple[str, ...], title: str) -> Figure:
    """Truth, forecast (N, H; the first step is shown) and the naive floor at the busiest detector."""
    busiest = int(np.argmax(np.bincount(windows.detector, weights=windows.y[:, 0])))
    here = windows.detector == busiest
    figure = Figure(figsize=(12, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    at = windows.end[here]
    axes.plot(at, windows.naive[here, 0], color="0.75", linewidth=0.8, label="naive: the value before")
    axes.plot(at, windows.y[here, 0], color="black", linewidth=1.0, label="observed")
    axes.plot(at, forecast[here, 0], color="tab:orange", linewidth=1.2, label="forecast")
    axes.set_ylabel(f"{task.output}, {task.output_unit} per {task.interval_s / 60:g} min")
    axes.set_title(f"{title}: detector {detectors[busiest]}, held-out days", loc="left")
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, frameon=False)  # above: nothing to hide
    axes.margins(x=0)
    return figure
