"""A held-out month as a node would have met it: the series, and what the bundle's own int8 file said at every step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from wayside.cloud.evaluate import judge
from wayside.cloud.sim.errors import NothingToReplay
from wayside.cloud.train import datasets
from wayside.cloud.train.grid import Grid
from wayside.cloud.train.taskfile import TaskFile
from wayside.cloud.train.windows import Windows
from wayside.contracts.action import Answer, Answers
from wayside.contracts.reading import GOOD, MISSING
from wayside.contracts.task import TaskSpec
from wayside.contracts.windows import fill_last

Numbers = npt.NDArray[np.float64]
Times = npt.NDArray[np.datetime64]
OnShare = Callable[[float], None]
DEFAULT_LEVELS = (0.5,)


@dataclass(frozen=True, kw_only=True)
class Replay:
    """One site and month, step by step. N steps, H = horizon, Q = quantiles (one, 0.5, where the model has none)."""

    task: TaskSpec
    site: str
    month: str  # 2013-11
    ends: Times  # (N,) local time at which each step ends
    values: Numbers  # (N,) of the output in the step that ended; NaN: missing
    truth: Numbers  # (N, H) what was to be forecast; NaN: never known
    bands: Numbers  # (N, H, Q) what the model said
    before: Numbers  # (M,) values of the steps before the first month that is replayed
    before_ends: Times  # (M,)

    @property
    def highest(self) -> float:
        """Of what was before."""
        return float(np.nanmax(self.before))

    @property
    def step_h(self) -> float:
        return self.task.interval_s / 3600

    @property
    def levels(self) -> tuple[float, ...]:
        return self.task.quantiles or DEFAULT_LEVELS

    def cut(self, first: int, end: int) -> Replay:
        """Only the steps from ``first`` to before ``end``."""
        part = slice(first, end)
        return replace(
            self, ends=self.ends[part], values=self.values[part], truth=self.truth[part], bands=self.bands[part]
        )

    def answers(self, output: str, step: int) -> Answers:
        """What the task's policy is told when ``step`` has ended."""
        value, end = float(self.values[step]), self.ends[step]
        missing = bool(np.isnan(value))
        bands = self.bands[step]
        said = bool(np.isfinite(bands).all())
        middle = self.levels.index(0.5)
        day = end.astype("datetime64[D]")
        answer = Answer(
            None if missing else value,
            MISSING if missing else GOOD,
            bands[:, middle].tolist() if said else (),
            bands.tolist() if said and self.task.quantiles else (),
        )
        return Answers(
            interval_s=self.task.interval_s,
            sites={output: answer},
            quantiles=self.task.quantiles,
            hour=float((end - day).astype("timedelta64[s]").astype(float)) / 3600,
            weekday=float((day.astype(np.int64) + 3) % 7),
        )

    def told(self, bands: Numbers) -> Replay:
        """The same month with other forecasts (N, H, Q)."""
        return replace(self, bands=bands)

    def foretold(self) -> Replay:
        """… with the truth as every quantile; what never came is as it was last."""
        known = np.where(np.isnan(self.truth), self._last()[:, None], self.truth)
        return self.told(np.repeat(known[:, :, None], len(self.levels), axis=2))

    def persistent(self) -> Replay:
        """… with the newest value as every quantile of every step."""
        shape = self.bands.shape
        return self.told(np.broadcast_to(self._last()[:, None, None], shape).copy())

    def constant(self) -> Replay:
        """… with the month's mean forecast, always the same: a model that has learned nothing but the level."""
        mean = np.nanmean(self.bands.reshape(-1, self.bands.shape[2]), axis=0)
        return self.told(np.broadcast_to(mean, self.bands.shape).copy())

    def shuffled(self, seed: int = 0) -> Replay:
        """… with the forecasts of other moments."""
        return self.told(self.bands[np.random.default_rng(seed).permutation(len(self.bands))])

    def _last(self) -> Numbers:
        """(N,) the newest value that was there."""
        column = self.values[None, :, None].copy()
        fill_last(column)
        return np.nan_to_num(column[0, :, 0])


def months(grid: Grid, taskfile: TaskFile) -> list[str]:
    """Whole calendar months of the held-out days, oldest first."""
    days = (grid.ends - np.timedelta64(1, "s")).astype("datetime64[D]")
    first = days[-1] + 1 - taskfile.task.holdout_days
    held = days[days >= first]
    whole = []
    for month in np.unique(held.astype("datetime64[M]")):
        begins, until = month.astype("datetime64[D]"), (month + 1).astype("datetime64[D]")
        if begins >= held[0] and until - 1 <= held[-1]:
            whole.append(str(month))
    return whole


def choose(wanted: str, grid: Grid, taskfile: TaskFile) -> list[str]:
    """The months that ``wanted`` names: ``last``, ``all``, or some, by comma.

    Raises:
        NothingToReplay: not one of them, or one that is not held out whole.
    """
    whole = months(grid, taskfile)
    if not whole:
        raise NothingToReplay(
            f"{grid.source}: the last {taskfile.task.holdout_days} days, which {taskfile.task.name} holds out, "
            "contain no whole calendar month; give longer data"
        )
    if wanted == "last":
        return whole[-1:]
    if wanted == "all":
        return whole
    chosen = [each.strip() for each in wanted.split(",") if each.strip()]
    for each in chosen:
        if each not in whole:
            raise NothingToReplay(f"{each} is no whole month that was held out; there are {', '.join(whole)}")
    if not chosen:
        raise NothingToReplay(f"no month is named; there are {', '.join(whole)}")
    return chosen


def replays(
    grid: Grid,
    taskfile: TaskFile,
    runtime: judge.Runtime,
    *,
    site: str | None,
    wanted: Sequence[str],
    on_share: OnShare = lambda share: None,
) -> list[Replay]:
    """The months ``wanted`` at ``site`` (None: the only one), each window through ``runtime`` by itself.

    Raises:
        NothingToReplay: no such site.
    """
    task = taskfile.task
    if site is None and len(grid.sites) > 1:
        raise NothingToReplay(f"{grid.source} has {len(grid.sites)} sites; name one of {', '.join(grid.sites)}")
    if site is not None and site not in grid.sites:
        raise NothingToReplay(f"{grid.source} has no site {site!r}; there are {', '.join(grid.sites)}")
    d = 0 if site is None else grid.sites.index(site)
    every = datasets.windows(grid, taskfile)
    output = every.output[d].astype(np.float64)
    months_of = (grid.ends - np.timedelta64(1, "s")).astype("datetime64[M]").astype(str)
    begins = int(np.flatnonzero(months_of == wanted[0])[0])
    made = []
    for n, month in enumerate(wanted):
        steps = np.flatnonzero(months_of == month)
        bands = _bands(every, (d, steps), runtime, task, lambda share, n=n: on_share((n + share) / len(wanted)))
        made.append(
            Replay(
                task=task,
                site=grid.sites[d],
                month=month,
                ends=grid.ends[steps],
                values=output[steps],
                truth=_ahead(output, steps, task),
                bands=bands,
                before=output[:begins],
                before_ends=grid.ends[:begins],
            )
        )
    return made


def _ahead(output: Numbers, steps: npt.NDArray[np.int64], task: TaskSpec) -> Numbers:
    at = steps[:, None] + task.lead + np.arange(task.horizon)
    return np.where(at < len(output), output[np.minimum(at, len(output) - 1)], np.nan)


def _bands(
    every: Windows,
    where: tuple[int, npt.NDArray[np.int64]],
    runtime: judge.Runtime,
    task: TaskSpec,
    on_share: OnShare,
) -> Numbers:
    """(N, H, Q) of ``where``, site and steps; NaN where no whole window lies before a step."""
    d, steps = where
    given = np.full((len(steps), task.horizon, max(1, len(task.quantiles))), np.nan)
    for n, newest in enumerate(steps.tolist()):
        first = newest + 1 - task.window
        if first >= 0:
            window = every.rows[d : d + 1, first : newest + 1].copy()  # (1, T, F)
            if every.fill:
                fill_last(window)
            given[n] = np.asarray(runtime.run(window)[0], np.float64).reshape(given.shape[1:])
        if n % 64 == 0:
            on_share(n / len(steps))
    return given


def clock(ends: Times, step_s: float) -> tuple[Numbers, npt.NDArray[np.int64]]:
    """(N,) local hour of day (0–24) and weekday (0: Monday) of the middles of steps that end at ``ends``."""
    middle = ends - np.timedelta64(round(step_s / 2), "s")
    day = middle.astype("datetime64[D]")
    return (middle - day).astype("timedelta64[s]").astype(float) / 3600, (day.astype(np.int64) + 3) % 7
