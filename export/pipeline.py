"""Checkpoint to bundle, in stages; each names the stages that must have run before it.

train → graph → quantize → parity → passport → bundle

The first stage does not train: it reads what training left behind, and tells what that says of itself.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec

from wayside.contracts.passport import PASSPORT_FILE, Passport
from wayside.contracts.wire import ContractError, encode
from wayside.durable import replace_file
from wayside.edge.runtimes.load import available
from wayside.edge.runtimes.runtime import FORMATS
from wayside.export import bundle as packing
from wayside.export import card, checkpoint, floor, onnx, tflite
from wayside.export.bundle_file import read_bundle
from wayside.export.checkpoint import Build, Trained
from wayside.export.errors import ConversionError, ExportError, GateRefused
from wayside.export.graph import Graph
from wayside.export.parity import Limits, Parity, parity

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Options:
    formats: tuple[str, ...] = ("onnx", "tflite")
    int8: bool = True
    require_int8: bool = False  # an int8 variant that cannot be made or that the gate refuses fails the export
    bundle: str | None = None  # the task's name unless given
    version: str = "1.0.0"
    runtimes: tuple[str, ...] = field(default_factory=available)  # promised by the passport
    limits: Limits = field(default_factory=Limits)


@dataclass
class Work:
    """What the stages hand to each other."""

    run_dir: Path
    options: Options
    build: Build | None = None
    trained: Trained | None = None
    graphs: list[Graph] = field(default_factory=list)
    parity: Parity | None = None
    passport: Passport | None = None
    bundle: bytes | None = None
    cards: dict[str, str] = field(default_factory=dict)  # file → the model card
    notes: list[str] = field(default_factory=list)

    def left_out(self, variant: str, why: str) -> None:
        """Ship without an int8 ``variant``, unless it was demanded.

        Raises:
            GateRefused: it was.
        """
        if self.options.require_int8:
            raise GateRefused(f"{why}; the export demands int8")
        self.notes.append(f"{variant} is left out: {why}")


def train(work: Work) -> str:
    work.trained = trained = checkpoint.load(work.run_dir, build=work.build)
    broken = trained.not_finite()
    if broken:
        raise GateRefused(
            f"{work.run_dir}: this model cannot be used: {broken}. Its training diverged: train again, with a lower "
            "[fit] rate or with data that have no such values"
        )
    try:
        worse = floor.judge(trained)
    except GateRefused as exc:
        raise GateRefused(f"{work.run_dir}: {exc}") from exc
    work.notes += [worse] if worse else []
    took = trained.report.get("seconds")
    told = trained.report.get("epochs")
    epochs = len(told) if isinstance(told, list) else 0
    training = f"; trained in {took:g} s" if isinstance(took, int | float) and math.isfinite(took) else ""
    training += f", {epochs} epochs" if epochs else ""
    held = len(trained.heldout.x)
    return f"{trained.task.name}, {trained.family}, {trained.parameters} parameters, {held} held-out windows{training}"


def graph(work: Work) -> str:
    trained = _made(work.trained)
    sample = trained.sample()
    for name in work.options.formats:
        if name == "onnx":
            content = onnx.to_onnx(trained.model, sample)
            work.graphs.append(Graph(name, "fp32", content, onnx.ops(content)))
        elif name == "tflite":
            content = tflite.to_tflite(trained.model, sample)
            work.graphs.append(Graph(name, "fp32", content, tflite.ops(content)))
        else:
            raise ExportError(f"there is no format {name!r}; choose of onnx, tflite")
    return _sizes(work.graphs)


def quantize(work: Work) -> str:
    if not work.options.int8:
        return "skipped"
    from wayside.export.quantize import int8  # onnxruntime's tools, a second of imports

    trained = _made(work.trained)
    made = []
    for fp32 in work.graphs:
        try:
            made.append(int8(fp32, trained.calibration))
        except ConversionError as exc:
            work.left_out(f"{fp32.format}-int8", str(exc))
    work.graphs += made
    return f"{_sizes(made) or 'nothing'}; {len(trained.calibration)} calibration windows"


def judge(work: Work) -> str:
    from wayside.export.quantize import softer

    trained, options = _made(work.trained), work.options
    work.parity = result = parity(
        trained,
        work.graphs,
        options.runtimes,
        options.limits,
        softer=lambda fp32: softer(fp32, trained.calibration),
    )
    work.notes += result.notes
    for name, why in result.refused.items():
        work.left_out(name, why)
    chosen = {m.graph.name: m.graph for m in result.measured}
    work.graphs = [chosen.get(graph.name, graph) for graph in work.graphs]
    overall = result.accuracy[0]
    metric, named = ("mae", overall.mae) if overall.mae else next(iter(overall.scores.items()))
    return f"held-out {metric} " + ", ".join(f"{name} {value:.4g}" for name, value in named.items())


def passport(work: Work) -> str:
    trained = _made(work.trained)
    name = work.options.bundle or trained.task.name.replace("_", "-")
    work.passport = packing.passport_of(trained, _made(work.parity), bundle=name, version=work.options.version)
    shipped = packing.golden_shipped(trained.golden)
    work.cards = card.render(work.passport, trained.golden[shipped], _made(work.parity).golden_outputs[shipped])
    return f"{name} {work.options.version}, {len(work.passport.variants)} variants"


def bundle(work: Work) -> str:
    work.bundle = packing.pack(_made(work.passport), packing.files_of(_made(work.trained), _made(work.parity)))
    return f"{len(work.bundle) / 1000:.1f} kB"


class Stage(NamedTuple):
    act: Callable[[Work], str]  # returns what it did, as a sentence
    after: tuple[str, ...]


STAGES: dict[str, Stage] = {
    "train": Stage(train, ()),
    "graph": Stage(graph, ("train",)),
    "quantize": Stage(quantize, ("train", "graph")),
    "parity": Stage(judge, ("train", "graph", "quantize")),
    "passport": Stage(passport, ("train", "parity")),
    "bundle": Stage(bundle, ("train", "parity", "passport")),
}


class Done(NamedTuple):
    stage: str
    did: str
    seconds: float


def plan(until: str) -> list[str]:
    """The stages that ``until`` needs, in order, itself last.

    Raises:
        ExportError: there is no such stage.
    """
    if until not in STAGES:
        raise ExportError(f"there is no stage {until!r}; choose of {', '.join(STAGES)}")
    order: list[str] = []

    def visit(name: str) -> None:
        for before in STAGES[name].after:
            visit(before)
        if name not in order:
            order.append(name)

    visit(until)
    return order


def run(
    run_dir: Path,
    options: Options | None = None,
    *,
    until: str = "bundle",
    build: Build | None = None,
    before: Callable[[str], None] = lambda stage: None,
    after: Callable[[Done], None] = lambda done: None,
) -> Work:
    """Run the stages up to ``until``; ``before`` and ``after`` hear of each.

    Raises:
        ExportError: and its kinds; nothing has been written.
        EdgeError: a runtime could not load a variant.
    """
    options = options or Options()
    if not options.formats or len({*options.formats}) < len(options.formats):
        raise ExportError(f"name each format once: {', '.join(options.formats) or 'none is named'}")
    unknown = [name for name in options.runtimes if name not in FORMATS]
    if unknown:
        raise ExportError(f"there is no runtime {unknown[0]!r}; choose of {', '.join(FORMATS)}")
    work = Work(run_dir, options, build)
    for name in plan(until):
        before(name)
        start = time.perf_counter()
        try:
            did = STAGES[name].act(work)
        except ContractError as exc:
            raise ExportError(f"the passport would break its contract: {exc}") from exc
        after(Done(name, did, time.perf_counter() - start))
    return work


def _made(part: T | None) -> T:
    if part is None:  # plan() runs predecessors first: only a wrong STAGES table comes here
        raise AssertionError("a stage ran before its predecessor")
    return part


def _sizes(graphs: Sequence[Graph]) -> str:
    return ", ".join(f"{g.name} {len(g.content) / 1000:.1f} kB" for g in graphs)


def write(work: Work, out: Path) -> list[Path]:
    """Write what was made into ``out``, each file whole or not at all; the bundle, if any, is the last path.

    Raises:
        ExportError: ``out`` cannot be written.
    """
    refused = set(work.parity.refused) if work.parity else set()
    files = {graph.file: graph.content for graph in work.graphs if graph.name not in refused}
    files |= {name: text.encode() for name, text in work.cards.items()}
    if work.passport:
        files[PASSPORT_FILE] = msgspec.json.format(encode(work.passport), indent=2)
    if work.passport and work.bundle:
        files[f"{work.passport.bundle.replace('/', '-')}-{work.passport.version}.bundle"] = work.bundle
    return put(out, files)


def card_of(path: Path) -> dict[str, str]:
    """The model card of the bundle at ``path``, file → text: what the export wrote, made again.

    Raises:
        BundleError: there is no such file, or it is no sound bundle.
    """
    _, opened = read_bundle(path)
    return card.render(opened.passport, opened.golden_inputs, opened.golden_outputs)


def put(out: Path, files: dict[str, bytes]) -> list[Path]:
    """Write ``files`` into ``out``, each whole or not at all.

    Raises:
        ExportError: ``out`` cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            replace_file(out / name, content)
    except OSError as exc:
        raise ExportError(f"{out} cannot be written: {exc}") from exc
    return [out / name for name in files]
