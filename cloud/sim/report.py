"""A comparison as a table for people, and as a picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich import box
from rich.table import Table
from rich.text import Text

from wayside.cloud.sim.comparison import BEST, NONE, POLICY, Comparison
from wayside.cloud.sim.energy import EnergyMonth
from wayside.cloud.sim.errors import SimulateError
from wayside.cloud.sim.replay import Replay

Totals = Mapping[str, float]
Column = tuple[str, Callable[[Totals], str]]
WEEK_H = 168.0
ENERGY: Sequence[Column] = (
    ("peak kW", lambda t: f"{t['peak_kw']:.0f}"),
    ("cost", lambda t: f"{t['cost']:,.0f}"),
    ("of it demand", lambda t: f"{t['demand_charge']:,.0f}"),
    ("ran h", lambda t: f"{t['ran_h']:.0f}"),
    ("missed h", lambda t: f"{t['missed_h']:.1f}"),
    ("starts", lambda t: f"{t['starts']:.0f}"),
)
WARNINGS: Sequence[Column] = (
    ("warned ahead", lambda t: f"{t['warned_in_advance']:.0%} of {t['episodes']:.0f}"),
    ("hours ahead", lambda t: f"{t['lead_h_median']:.0f} ({t['lead_h_lower']:.0f}–{t['lead_h_upper']:.0f})"),
    ("false alarms", lambda t: f"{t['false_alarms']:.0f} of {t['warnings']:.0f}"),
    ("warning h", lambda t: f"{t['warning_h']:.0f}"),
    ("covered h", lambda t: f"{t['covered_h']:.0f} of {t['over_h']:.0f}"),
)
EQUIPMENT: Sequence[Column] = (
    ("equipment h", lambda t: f"{t['equipment_h']:.0f}"),
    ("starts", lambda t: f"{t['starts']:.0f}"),
    ("avoided ug/m3.h", lambda t: f"{t['avoided']:,.0f}"),
    ("of exposure", lambda t: f"{t['avoided_share']:.1%}"),
    ("per h", lambda t: f"{t['avoided_per_h']:.0f}"),
)


def columns(comparison: Comparison) -> Sequence[Column]:
    """Those that its totals fill."""
    totals = comparison.lines[0].totals
    return ENERGY if "peak_kw" in totals else WARNINGS if "episodes" in totals else EQUIPMENT


def heading(comparison: Comparison) -> list[str]:
    """What it is of, and what was assumed; the first line is the title."""
    where = f" at {', '.join(site for site in comparison.sites if site)}" if any(comparison.sites) else ""
    made = "GENERATED data; " if comparison.generated else ""
    return [
        comparison.title,
        f"{made}months {', '.join(comparison.months)}{where}, held out; model {comparison.model}, int8",
        *comparison.assumptions,
    ]


def table(comparison: Comparison) -> Table:
    """One line a control."""
    shown = columns(comparison)
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    made.add_column("control", no_wrap=True)
    for name, _ in shown:
        made.add_column(name, justify="right", no_wrap=True)
    made.add_column("capture", justify="right", no_wrap=True)
    for line in comparison.lines:
        marked = Text(line.control, "bold" if line.control == POLICY else "")
        made.add_row(marked, *(cell(line.totals) for _, cell in shown), percent(line.capture))
    return made


def percent(capture: float | None) -> str:
    return "–" if capture is None else f"{capture * 100:.1f} %"


def plot(
    path: Path,
    comparison: Comparison,
    replay: Replay,
    courses: Mapping[str, npt.NDArray[np.float64]],
    month: EnergyMonth | None = None,
) -> None:
    """The week with the highest values, under each of no policy, the policy and the best possible.

    Args:
        month: of a load: its powers are drawn.

    Raises:
        SimulateError: ``path`` cannot be written.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    drawn = month.replay if month is not None else replay
    length = min(len(drawn.ends), round(WEEK_H / drawn.step_h))
    level = month.base_kw if month is not None else np.nan_to_num(replay.values)
    first = int(np.argmax(np.convolve(level, np.ones(length), "valid")))
    part = slice(first, first + length)
    figure, axes = plt.subplots(3, 1, figsize=(10, 7), sharex=True, sharey=True, layout="constrained")
    for axis, name in zip(axes, (NONE, POLICY, BEST), strict=True):
        times, on = drawn.ends[part], courses[name][part]
        axis.plot(times, level[part], color="black", linewidth=1)
        if month is not None:
            axis.fill_between(times, level[part], level[part] + month.plant.own_kw * on, step="pre", color="tab:orange")
            axis.set_ylabel("kW")
        else:
            axis.fill_between(times, 0, float(level.max()) * on, step="pre", color="tab:orange", alpha=0.3)
            axis.set_ylabel(replay.task.output_unit)
        axis.set_title(f"{name}: {percent(comparison.line(name).capture)}", loc="left", fontsize=9)
    figure.suptitle(comparison.title, fontsize=10)
    try:
        figure.savefig(path, dpi=110)
    except (OSError, ValueError) as exc:
        raise SimulateError(f"{path} cannot be written: {exc}; choose another --plot, such as effect.png") from exc
    finally:
        plt.close(figure)
