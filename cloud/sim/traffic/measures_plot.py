"""Purdue coordination diagram and split monitor of a run's events, as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wayside.cloud.sim.errors import SimulateError
from wayside.cloud.sim.traffic.measures import Event
from wayside.edge.measures.layout import Layout

GREEN, YELLOW, RED, ON = 1, 8, 10, 82
ENDS = {4: ("gap-out", "tab:green"), 5: ("max-out", "tab:red"), 6: ("force-off", "tab:blue")}


def plot(path: Path, events: Sequence[Event], layout: Layout, title: str) -> None:
    """Raises: SimulateError: ``path`` cannot be written."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    coordinated = sorted(layout.by_phase(layout.advance))
    figure, axes = plt.subplots(
        len(coordinated) + 1,
        1,
        figsize=(10, 2.6 * len(coordinated) + 3),
        layout="constrained",
        squeeze=False,
        sharex=True,
    )
    figure.suptitle(title, fontsize=10)
    for axis, phase in zip(axes[:-1, 0], coordinated, strict=True):
        _coordination(axis, events, phase, {c for c, phases in layout.advance.items() if phase in phases})
    _splits(axes[-1, 0], events)
    axes[-1, 0].set_xlabel("minutes after the begin")
    try:
        figure.savefig(path, dpi=110)
    except (OSError, ValueError) as exc:
        raise SimulateError(f"{path} cannot be written: {exc}; choose another --plot, such as signal.png") from exc
    finally:
        plt.close(figure)


def _coordination(axis: Any, events: Sequence[Event], phase: int, detectors: set[int]) -> None:
    """Each dot is a vehicle: when in the run, and how long after the beginning of red."""
    red: int | None = None
    dots: list[tuple[float, float]] = []
    begins: dict[int, list[tuple[float, float]]] = {GREEN: [], YELLOW: [], RED: []}
    for ms, code, parameter in events:
        if code in begins and parameter == phase:
            if red is not None:
                begins[code].append((red / 60_000, (ms - red) / 1000))
            if code == RED:
                red = ms
        elif code == ON and parameter in detectors and red is not None:
            dots.append((ms / 60_000, (ms - red) / 1000))
    axis.plot(*_columns(dots), ".", color="black", markersize=2.5, alpha=0.6)
    for code, colour, name in (
        (GREEN, "tab:green", "green"),
        (YELLOW, "gold", "yellow"),
        (RED, "tab:red", "red again"),
    ):
        axis.plot(*_columns(begins[code]), color=colour, linewidth=1.2, label=name, drawstyle="steps-post")
    axis.set_ylabel("s from red", fontsize=8)
    axis.set_ylim(bottom=0)
    axis.set_title(f"phase {phase}: arrivals in the cycle", loc="left", fontsize=8)
    axis.legend(fontsize=7, ncols=3, loc="lower right", bbox_to_anchor=(1, 1), borderpad=0.1, frameon=False)


def _splits(axis: Any, events: Sequence[Event]) -> None:
    """Each dot is a green: how long it was, and why it ended."""
    since: dict[int, int] = {}
    why: dict[int, int] = {}
    dots: dict[int, list[tuple[float, float]]] = {code: [] for code in ENDS}
    phases = sorted({parameter for _, code, parameter in events if code == GREEN})
    for ms, code, phase in events:
        if code in ENDS:
            why[phase] = code
        elif code == GREEN:
            since[phase] = ms
        elif code == YELLOW and phase in since and phase in why:
            at = phases.index(phase) + 0.8 * min(1.0, (ms - since.pop(phase)) / 60_000)
            dots[why.pop(phase)].append((ms / 60_000, at))
    for code, (name, colour) in ENDS.items():
        axis.plot(*_columns(dots[code]), ".", color=colour, markersize=4, label=name)
    for at in range(len(phases)):
        axis.axhline(at, color="0.8", linewidth=0.8)
    axis.set_yticks(range(len(phases)), [f"phase {phase}" for phase in phases], fontsize=7)
    axis.set_title("greens: the height above the line is the length, 0 to 60 s", loc="left", fontsize=8)
    axis.legend(fontsize=7, ncols=3, loc="lower right", bbox_to_anchor=(1, 1), borderpad=0.1, frameon=False)


def _columns(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]
