"""The parity gate: every variant, on every runtime that the passport promises, against torch.

Two questions. Are the answers on the golden examples torch's? (``edge.golden``, the node's own test.) Is int8 as
accurate on the held-out examples, overall and in the worst slice? Quantization that is fine on average and bad at
night is the failure that nobody sees. A number beyond its limit refuses; nothing else decides.

What judges. Over all examples the measured loss decides. A slice judges when it has ``slice_min_n`` examples, and

* where the 95 % interval of its loss is narrow (half of it within the slice's limit), the measured loss decides;
* where it is wide, the slice is too noisy for its number to be believed, and it refuses only if the whole interval
  is beyond the limit. So the same model does not pass or fail by which days happened to be held out.

A refused fp32 variant refuses the export. A refused int8 variant is tried again with more layers in float
(:data:`wayside.export.quantize.ATTEMPTS`), then left out, and the number is told. One that is larger than
its fp32 sibling by more than a twentieth is left out without a trial: quantization nodes around few, or unrolled
recurrent, weights cost more than they save.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from wayside.contracts import passport
from wayside.contracts.passport import Accuracy
from wayside.edge import golden
from wayside.edge.errors import EdgeError
from wayside.edge.runtimes.load import load_runtime
from wayside.edge.runtimes.runtime import FORMATS, RuntimeLoadError
from wayside.export import accuracy
from wayside.export.accuracy import Loss, Metric, Slice
from wayside.export.checkpoint import Float32, Heldout, Trained
from wayside.export.errors import GateRefused
from wayside.export.graph import Graph
from wayside.export.quiet import quiet


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The gate's thresholds. Golden differences are relative to the range of torch's golden outputs."""

    fp32_golden: float = 1e-4
    int8_golden: float = 0.10
    int8_loss: float = 0.01  # relative to torch, every metric of the kind, all held-out examples
    int8_slice_loss: float = 0.03  # the same, worst slice
    int8_bytes: float = 1.05  # relative to the fp32 file: beyond, int8 does not pay
    slice_min_n: int = 100  # slices with fewer held-out examples do not judge
    margin: float = 1.5  # the node's tolerance: measured difference × margin + floor
    fp32_floor: float = 1e-4  # other processors round differently
    int8_floor: float = 1 / 255  # … and may land one quantization step away


@dataclass(frozen=True)
class Measured:
    """One variant that passed; differences in output units, worst of its runtimes."""

    graph: Graph
    runtimes: tuple[str, ...]
    max_abs_diff: float
    mean_abs_diff: float
    tolerance: float
    answers: tuple[Float32, ...]  # (N, *output) to each set of held-out examples, on the runtime that errs most
    losses: dict[str, Loss]  # slice → the metric that loses most; int8 only


@dataclass
class Parity:
    golden_outputs: Float32  # (N, *output), torch's
    torch: Float32  # (N, *output) of the held-out examples
    limits: Limits
    measured: list[Measured] = field(default_factory=list)
    accuracy: tuple[Accuracy, ...] = ()
    refused: dict[str, str] = field(default_factory=dict)  # int8 variants: name → the number that failed
    notes: list[str] = field(default_factory=list)


def parity(
    trained: Trained,
    graphs: Sequence[Graph],
    runtimes: Sequence[str],
    limits: Limits | None = None,
    *,
    softer: Callable[[Graph], Iterable[Graph]] = lambda fp32: (),
) -> Parity:
    """Measure ``graphs`` on ``runtimes`` and let pass what is within ``limits``.

    Args:
        softer: further int8 attempts from an fp32 graph, tried in turn when the first is refused.

    Raises:
        GateRefused: an fp32 variant, naming runtime, number and limit; or a format that no runtime here can run.
        RuntimeLoadError: a runtime does not load an fp32 variant.
        ConversionError: a further attempt cannot be made.
    """
    gate = _Gate(trained, runtimes, limits or Limits())
    result = Parity(gate.golden_outputs, trained.heldout_answers, gate.limits)
    fp32 = {graph.format: graph for graph in graphs if graph.precision == "fp32"}
    for graph in graphs:
        if graph.precision == "fp32":
            result.measured.append(gate.judge(graph))
            continue
        beside = fp32.get(graph.format)
        if beside and len(graph.content) > gate.limits.int8_bytes * len(beside.content):
            result.refused[graph.name] = (
                f"{graph.name} has {len(graph.content)} bytes, {beside.name} {len(beside.content)}: int8 does not pay"
            )
            continue
        try:
            result.measured.append(gate.judge(graph))
            continue
        except (GateRefused, RuntimeLoadError) as exc:
            why = str(exc)
        passed = None
        for attempt in softer(beside) if beside else ():
            try:
                passed = gate.judge(attempt)
            except (GateRefused, RuntimeLoadError) as exc:
                why += f"; with {', '.join(attempt.float_layers)} in float {exc}"
                continue
            break
        if passed is None:
            result.refused[graph.name] = why
        else:
            result.measured.append(passed)
            result.notes.append(f"{why}; with {', '.join(passed.graph.float_layers)} in float it passes")
    result.accuracy = _accuracy(gate, result.measured)
    return result


def answers(content: bytes, runtime: str, x: Float32) -> Float32:
    """What a node would answer: the model ``content`` on ``runtime``, ``x`` (N, *input) one by one → (N, *output).

    Raises:
        RuntimeLoadError: the runtime does not load the model.
        RuntimeRunError: it fails when it runs.
    """
    with quiet():  # TFLite announces its delegate
        loaded = load_runtime(runtime, content)
    try:
        return golden.run_all(loaded, np.ascontiguousarray(x, np.float32))
    finally:
        loaded.close()


def breaks(loss: Loss, limits: Limits, *, overall: bool) -> bool:
    """Whether ``loss`` refuses; see the module's rule. A loss that is no number refuses."""
    limit = limits.int8_loss if overall else limits.int8_slice_loss
    if not overall and loss.n < limits.slice_min_n:
        return False
    wide = not overall and (loss.high - loss.low) / 2 > limit
    return not (loss.low if wide else loss.loss) <= limit


class _Judged:
    """Examples that variants are judged by, torch's answers to them, and how they are cut."""

    def __init__(self, trained: Trained, held: Heldout, torch: Float32, cut: list[Slice]) -> None:
        self.held, self.torch, self.slices = held, torch, cut
        self.metrics: list[Metric] = accuracy.metrics(trained.task, held, torch)

    def losses(self, given: Float32) -> dict[str, list[Loss]]:
        return accuracy.losses(self.metrics, self.slices, self.held, self.torch, given)


def _judged_by(trained: Trained) -> Iterator[_Judged]:
    """The held-out examples; of a model that is made for unknown sites, the same of such a one."""
    held = trained.heldout
    yield _Judged(trained, held, trained.heldout_answers, accuracy.slices(trained.task, held))
    if trained.site_dropout:
        unknown = accuracy.at_unknown_site(trained.task, held)
        answers = trained.answers(unknown.x, batch=1024)
        yield _Judged(trained, unknown, answers, [accuracy.unknown_slice(unknown)])


class _Gate:
    """What is measured once and serves every variant."""

    def __init__(self, trained: Trained, runtimes: Sequence[str], limits: Limits) -> None:
        self.trained, self.runtimes, self.limits = trained, runtimes, limits
        self.golden_outputs = trained.golden_answers
        if not np.ptp(self.golden_outputs):
            raise GateRefused("torch answers all golden windows with one number; the model was not trained")
        self.judged = list(_judged_by(trained))

    def judge(self, graph: Graph) -> Measured:
        """Raises: GateRefused, RuntimeLoadError."""
        names = tuple(name for name in self.runtimes if FORMATS[name] == graph.format)
        if not names:
            raise GateRefused(f"{graph.name}: no runtime for {graph.format} is here, so nothing can be promised")
        spread, fp32 = float(np.ptp(self.golden_outputs)), graph.precision == "fp32"
        allowed = (self.limits.fp32_golden if fp32 else self.limits.int8_golden) * spread
        results, runs = [], []
        for name in names:
            result, given = self._run(graph, name, allowed)
            worst = {} if fp32 else self._judge_int8(f"{graph.name} on {name}", given)
            results.append(result)
            runs.append((worst["all"].loss if worst else 0.0, given, worst))
        max_abs_diff = max(result.max_abs_diff for result in results)
        _, given, worst = max(runs, key=lambda run: run[0])
        return Measured(
            graph=graph,
            runtimes=names,
            max_abs_diff=max_abs_diff,
            mean_abs_diff=max(result.mean_abs_diff for result in results),
            tolerance=self.limits.margin * max_abs_diff
            + (self.limits.fp32_floor if fp32 else self.limits.int8_floor) * spread,
            answers=given,
            losses=worst,
        )

    def _run(self, graph: Graph, name: str, allowed: float) -> tuple[golden.GoldenResult, tuple[Float32, ...]]:
        """The golden test on the runtime ``name``, and its answers to each set of held-out examples."""
        with quiet():  # TFLite announces its delegate
            runtime = load_runtime(name, graph.content)
        try:
            result = golden.check(runtime, self.trained.golden, self.golden_outputs, allowed)
            given = tuple(golden.run_all(runtime, each.held.x) for each in self.judged)
        except EdgeError as exc:
            raise GateRefused(f"{graph.name}: {exc}") from exc
        finally:
            runtime.close()
        for each in given:
            bad = int((~np.isfinite(each)).reshape(len(each), -1).any(axis=1).sum())
            if bad:
                raise GateRefused(f"{graph.name}: {name}: {bad} of {len(each)} held-out windows give no finite number")
        return result, given

    def _judge_int8(self, where: str, given: Sequence[Float32]) -> dict[str, Loss]:
        """Slice → the metric that loses most.

        Raises:
            GateRefused: the slice furthest beyond its limit, with its number.
        """
        every: dict[str, list[Loss]] = {}
        for each, answers in zip(self.judged, given, strict=True):
            every |= each.losses(answers)
        broken = [
            (name != "all", -loss.loss, name, loss)
            for name, each in every.items()
            for loss in each
            if breaks(loss, self.limits, overall=name == "all")
        ]
        if broken:
            overall, _, name, loss = min(broken, key=lambda b: b[:3])
            limit = self.limits.int8_slice_loss if overall else self.limits.int8_loss
            unit = "" if loss.metric in ("accuracy", "auc", "rank") else f" {self.trained.task.output_unit}"
            more = f" ({len(broken) - 1} more)" if len(broken) > 1 else ""
            raise GateRefused(
                f"{where}: held-out {loss.metric}, {name}: {loss.value:.4f}{unit} is {loss.loss:.2%} worse than "
                f"torch's {loss.base:.4f}; the limit is {limit:.2%}{more}"
            )
        return {name: max(each, key=lambda loss: loss.loss) for name, each in every.items() if each}


def _accuracy(gate: _Gate, measured: Sequence[Measured]) -> tuple[Accuracy, ...]:
    return tuple(
        row
        for number, judged in enumerate(gate.judged)
        for row in _rows(judged, {m.graph.name: m.answers[number] for m in measured}, measured)
    )


def _rows(judged: _Judged, answers: dict[str, Float32], measured: Sequence[Measured]) -> list[Accuracy]:
    held = judged.held
    floors = {"naive": held.naive, "seasonal": held.seasonal}  # of forecasts alone
    every = {"torch": judged.torch} | {name: floor for name, floor in floors.items() if floor is not None} | answers
    rows = []
    for each, here in zip(judged.slices, accuracy.values(judged.metrics, judged.slices, every), strict=True):
        rounded = {metric: {k: round(v, 6) for k, v in named.items()} for metric, named in here.items()}
        rows.append(
            Accuracy(
                slice=each.name,
                n=int(each.pick.sum()),
                mae=rounded.pop("mae", {}),
                scores=rounded,
                losses={m.graph.name: _told(m.losses[each.name]) for m in measured if each.name in m.losses},
            )
        )
    return rows


def _told(loss: Loss) -> passport.Loss:
    return passport.Loss(metric=loss.metric, loss=round(loss.loss, 6), low=round(loss.low, 6), high=round(loss.high, 6))
