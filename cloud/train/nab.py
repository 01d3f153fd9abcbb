"""The Numenta Anomaly Benchmark: its files, its score, and a run of a detector over them.

Lavin & Ahmad, "Evaluating real-time anomaly detection algorithms: the Numenta anomaly benchmark", ICMLA 2015. One
alarm early in a labelled window is what counts: it earns up to 1, later ones in the same window nothing, a window
without alarm costs ``fn``, an alarm outside costs ``fp``, less so shortly after a window. The first 15 % of a series
(of at most 5,000 rows) are probation and not judged. The sum is normalized so that a detector that never raises an
alarm has 0 and a perfect one 100. As the benchmark does, one threshold serves all series; it is the best one of the
profile unless another is given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from wayside.cloud.train import alarms
from wayside.cloud.train.errors import DataError
from wayside.cloud.train.table import Table
from wayside.cloud.train.taskfile import Column, Data
from wayside.cloud.train.vus import vus_pr
from wayside.contracts.alarm import Alarm, AlarmSpec
from wayside.text import loads_json, read_file

Floats = npt.NDArray[np.float64]
Span = tuple[np.datetime64, np.datetime64]

PROBATION, PROBATION_ROWS = 0.15, 5000


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What a profile of the benchmark pays for a window found, a false alarm, and a window missed."""

    tp: float
    fp: float
    fn: float


PROFILES = {
    "standard": Costs(tp=1.0, fp=0.11, fn=1.0),
    "reward_low_FP_rate": Costs(tp=1.0, fp=0.22, fn=1.0),
    "reward_low_FN_rate": Costs(tp=1.0, fp=0.11, fn=2.0),
}


@dataclass(frozen=True, kw_only=True)
class Series:
    """One file: stamps in order, not necessarily regular, and values."""

    name: str  # folder/file.csv
    times: npt.NDArray[np.datetime64]  # (N,)
    values: Floats  # (N,)

    @property
    def probation(self) -> int:
        """Rows at the beginning that are not judged."""
        return int(PROBATION * min(len(self.values), PROBATION_ROWS))


def read_series(folder: Path) -> dict[str, Series]:
    """Every CSV ``timestamp,value`` below ``folder``, named by the last folder and the file.

    Raises:
        DataError: there is none, or one of them is something else.
    """
    series, layout = {}, Data(layout="nab", time=("timestamp",))
    for path in sorted(folder.rglob("*.csv")):
        name = f"{path.parent.name}/{path.name}"
        table = Table(path, layout, ["timestamp", "value"])
        table.learn_decimal(["value"])
        times = table.seconds(1).astype("datetime64[s]")
        series[name] = Series(name=name, times=times, values=table.numbers("value", Column()).values)
    if not series:
        raise DataError(f"{folder}: holds no series; give the folder with the benchmark's CSV files")
    return series


def read_windows(path: Path) -> dict[str, list[Span]]:
    """Labelled windows by series: the benchmark's ``combined_windows.json``, both ends inside.

    Raises:
        DataError: the file is no such JSON.
    """
    try:
        content = loads_json(read_file(path))
        # The benchmark writes microseconds that its series do not have.
        return {
            name: sorted((np.datetime64(a, "s"), np.datetime64(b, "s")) for a, b in spans)
            for name, spans in content.items()
        }
    except (OSError, ValueError, AttributeError, TypeError, RecursionError) as exc:
        raise DataError(f"{path}: is no JSON of windows by series like combined_windows.json: {exc}") from exc


@dataclass(frozen=True, kw_only=True)
class Truth:
    """One series, ready to be judged."""

    series: Series
    window: npt.NDArray[np.int64]  # (N,) index of the window that the row is in, −1 outside
    windows: int  # those that reach beyond probation
    gain: Floats  # (N,) of an alarm there, before the profile's weights: (0, 1] inside, [−1, 0) outside

    @property
    def judged(self) -> npt.NDArray[np.bool_]:
        """(N,)"""
        return np.arange(len(self.gain)) >= self.series.probation


def truth(series: Series, spans: Iterable[Span]) -> Truth:
    """Place ``spans`` on ``series``, and say what an alarm at each row would earn.

    Raises:
        DataError: a span contains no row of the series.
    """
    n = len(series.values)
    inside = np.full(n, -1)
    gain = np.full(n, -1.0)
    rows = np.arange(n)
    count = 0
    for first, last in sorted(spans):
        held = np.flatnonzero((series.times >= first) & (series.times <= last))
        if not len(held):
            raise DataError(f"{series.name}: no row between {first} and {last}; are these windows of another series?")
        left, right = held[0], held[-1]
        width = right - left + 1
        past = np.minimum((rows - right) / max(width - 1, 1), 3.0)
        gain = np.where(rows > right, np.where(past < 3, _sigmoid(past), -1.0), gain)
        gain[left : right + 1] = _sigmoid((held - right - 1) / width) / _sigmoid(-1.0)
        if right >= series.probation:
            inside[left : right + 1] = count
            count += 1
    return Truth(series=series, window=inside, windows=count, gain=gain)


def _sigmoid(position: Any) -> Any:
    return 2 / (1 + np.exp(5 * np.asarray(position, float))) - 1


@dataclass(frozen=True, kw_only=True)
class Result:
    """A detector on several series at one threshold."""

    profile: str
    score: float  # 0: never an alarm; 100: perfect
    threshold: float  # an alarm is a score at or above it
    windows: int
    found: int
    false_alarms: int
    precision: float  # alarms inside windows among all alarms
    recall: float  # windows found


def judge(
    truths: Iterable[Truth],
    scores: Mapping[str, npt.ArrayLike],
    *,
    profile: str = "standard",
    threshold: float | None = None,
) -> Result:
    """Score ``scores`` (series → (N,)), at ``threshold`` or at the best one.

    Raises:
        DataError: a series has no scores, or not one for each row.
    """
    costs = PROFILES[profile]
    value, change, inside, fresh = [], [], [], []
    total = 0
    for t in truths:
        given = np.asarray(scores.get(t.series.name, ()), float)
        if given.shape != t.gain.shape:
            raise DataError(f"{t.series.name}: {given.size} scores for {t.gain.size} rows; score every row")
        rows = np.flatnonzero(t.judged)
        order = rows[np.argsort(-given[rows], kind="stable")]
        delta = t.gain[order] * costs.fp
        new = np.zeros(len(order), bool)
        for w in range(t.windows):
            at = np.flatnonzero(t.window[order] == w)
            best = np.maximum.accumulate(t.gain[order][at] * costs.tp)
            delta[at] = np.diff(best, prepend=-costs.fn)
            new[at[:1]] = True
        value.append(given[order])
        change.append(delta)
        inside.append(t.window[order] >= 0)
        fresh.append(new)
        total += t.windows
    every = np.concatenate(value)
    order = np.argsort(-every, kind="stable")
    every = every[order]
    sums = np.cumsum(np.concatenate(change)[order]) - costs.fn * total
    hits = np.cumsum(np.concatenate(inside)[order])
    caught = np.cumsum(np.concatenate(fresh)[order])
    last = np.append(every[1:] != every[:-1], True)  # of each group of equal scores
    ends = np.flatnonzero(last & np.isfinite(every))
    if threshold is not None:
        ends = ends[every[ends] >= threshold][-1:]
    elif len(ends):
        ends = ends[[np.argmax(sums[ends])]]
    if not len(ends) or (threshold is None and sums[ends[0]] < -costs.fn * total):
        never = float("inf") if threshold is None else threshold
        return Result(
            profile=profile,
            score=0.0,
            threshold=never,
            windows=total,
            found=0,
            false_alarms=0,
            precision=0.0,
            recall=0.0,
        )
    end = ends[0]
    raw = (sums[end] + costs.fn * total) / (total * (costs.tp + costs.fn)) if total else 0.0
    return Result(
        profile=profile,
        score=100 * float(raw),
        threshold=float(every[end]) if threshold is None else threshold,
        windows=total,
        found=int(caught[end]),
        false_alarms=int(end + 1 - hits[end]),
        precision=float(hits[end] / (end + 1)),
        recall=float(caught[end] / total) if total else 0.0,
    )


ScoreFn = Callable[[npt.NDArray[np.float32]], npt.ArrayLike]
"""Windows (n, T, 1) → scores (n,) or (n, 1): a torch module, or the int8 file of one, behind a function."""

BATCH = 2048
BUFFER = 100  # rows, of VUS-PR


def evaluate_nab(
    score_fn: ScoreFn,
    series_dir: Path,
    windows_json: Path,
    *,
    window: int,
    spec: AlarmSpec,
    interval_s: float = 300.0,
    held_out: Iterable[str] = (),
) -> dict[str, Any]:
    """Run a detector over the labelled series of ``series_dir``, and judge it.

    Args:
        score_fn: the model, on windows of ``window`` rows.
        spec: of the alarm stage that makes surprises of its scores.
        interval_s: for which false alarms are counted by the week.
        series_dir: only series of ``windows_json`` are judged, and there only those that are below it.
        held_out: patterns of series that training never saw; where some of them have labels, they alone are what the
            result is about.

    Returns:
        ``nab``: the benchmark's score in the standard profile at its best threshold; ``precision`` of alarms and
        ``recall`` of windows there; ``vus_pr``, mean over the series with windows; ``threshold``; ``fixed``: at
        the warning of ``spec``, which has seen none of realTraffic; ``profiles``, ``folders`` (each at its own best
        threshold) and ``series`` (at the best threshold): the same in detail; ``alarms``: :func:`alarms.judge`.

    Raises:
        DataError: a file is broken, or no series of ``windows_json`` is there.
    """
    labels = read_windows(windows_json)
    series = {name: s for name, s in read_series(series_dir).items() if name in labels}
    if not series:
        raise DataError(f"{series_dir}: has none of the series that {windows_json.name} labels")
    unseen = {n: s for n, s in series.items() if labels[n] and any(fnmatch(n, p) for p in held_out)}
    series = unseen or series
    raw = {name: detect(s, score_fn, window) for name, s in series.items()}
    truths = {name: truth(s, labels[name]) for name, s in series.items()}
    many = {
        name: alarms.Series(s.values, raw[name], truths[name].window + 1, truths[name].judged)
        for name, s in series.items()
    }
    scores = {name: surprises(spec, s) for name, s in many.items()}
    results = {p: judge(truths.values(), scores, profile=p) for p in PROFILES}
    best = results["standard"]
    folders: dict[str, list[Truth]] = {}
    for name, t in truths.items():
        folders.setdefault(name.split("/")[0], []).append(t)
    areas = [
        vus_pr(t.window[t.judged] >= 0, scores[n][t.judged], buffer=BUFFER) for n, t in truths.items() if t.windows
    ]
    return {
        "nab": best.score,
        "precision": best.precision,
        "recall": best.recall,
        "vus_pr": float(np.mean(areas)) if areas else None,
        "threshold": best.threshold,
        "fixed": asdict(judge(truths.values(), scores, threshold=spec.warning)),
        "profiles": {p: asdict(r) for p, r in results.items()},
        "folders": {f: asdict(judge(ts, scores)) for f, ts in folders.items()},
        "series": {n: asdict(judge([t], scores, threshold=best.threshold)) for n, t in truths.items()},
        "alarms": alarms.judge(spec, interval_s, list(many.values())),
        "n": sum(len(s.values) for s in series.values()),
    }


def detect(series: Series, score_fn: ScoreFn, window: int) -> Floats:
    """(N,) the model's score of the window that ends at each row."""
    padded = np.concatenate([np.full(window - 1, np.nan), series.values]).astype(np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(padded, window)[:, :, None]  # (N, T, 1)
    parts = [
        np.asarray(score_fn(np.ascontiguousarray(windows[a : a + BATCH])), float).ravel()
        for a in range(0, len(windows), BATCH)
    ]
    return np.concatenate(parts)


def surprises(spec: AlarmSpec, series: alarms.Series) -> Floats:
    """(N,) how surprising each row is to the alarm stage, 0 where it is not or something before it is more so."""
    return np.array([judgement.news for judgement in alarms.judgements(Alarm(spec), series)])
