"""Checkpoint to bundle, in stages; each names the stages that must have run before it.

load → graph → quantize → parity → passport → bundle
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec

from contracts.passport import PASSPORT_FILE, Passport
from contracts.wire import ContractError, encode
from edge.runtimes.runtime import FORMATS, available
from export import bundle as packing
from export import checkpoint, onnx, tflite
from export.checkpoint import Build, Trained
from export.errors import ConversionError, ExportError
from export.parity import INT8_OPTIONAL, Graph, Limits, Parity, parity

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Options:
    formats: tuple[str, ...] = ("onnx", "tflite")
    int8: bool = True
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
    notes: list[str] = field(default_factory=list)


def load(work: Work) -> str:
    work.trained = checkpoint.load(work.run_dir, build=work.build)
    held = len(work.trained.heldout.x)
    return f"{work.trained.family}, {work.trained.parameters} parameters, {held} held-out windows"


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
    from export.quantize import onnx_int8, tflite_int8  # onnxruntime's tools, a second of imports

    trained = _made(work.trained)
    made = []
    for fp32 in work.graphs:
        act, ops = (onnx_int8, onnx.ops) if fp32.format == "onnx" else (tflite_int8, tflite.ops)
        try:
            content = act(fp32.content, trained.calibration)
        except ConversionError as exc:
            if trained.family not in INT8_OPTIONAL:
                raise
            work.notes.append(f"{fp32.format}-int8: {exc}; it is left out")
            continue
        made.append(Graph(fp32.format, "int8", content, ops(content)))
    work.graphs += made
    return f"{_sizes(made)}; {len(trained.calibration)} calibration windows"


def judge(work: Work) -> str:
    work.parity = result = parity(_made(work.trained), work.graphs, work.options.runtimes, work.options.limits)
    work.notes += [f"{why}; it is left out" for why in result.refused.values()]
    mae = result.accuracy[0].mae
    return "held-out MAE " + ", ".join(f"{name} {value:.3f}" for name, value in mae.items())


def passport(work: Work) -> str:
    trained = _made(work.trained)
    name = work.options.bundle or trained.task.name.replace("_", "-")
    work.passport = packing.passport_of(trained, _made(work.parity), bundle=name, version=work.options.version)
    return f"{name} {work.options.version}, {len(work.passport.variants)} variants"


def bundle(work: Work) -> str:
    work.bundle = packing.pack(_made(work.passport), packing.files_of(_made(work.trained), _made(work.parity)))
    return f"{len(work.bundle) / 1000:.1f} kB"


class Stage(NamedTuple):
    act: Callable[[Work], str]  # returns what it did, as a sentence
    after: tuple[str, ...]


STAGES: dict[str, Stage] = {
    "load": Stage(load, ()),
    "graph": Stage(graph, ("load",)),
    "quantize": Stage(quantize, ("load", "graph")),
    "parity": Stage(judge, ("load", "graph", "quantize")),
    "passport": Stage(passport, ("load", "parity")),
    "bundle": Stage(bundle, ("load", "parity", "passport")),
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
    files = {graph.file: graph.content for graph in work.graphs}
    if work.passport:
        files[PASSPORT_FILE] = msgspec.json.format(encode(work.passport), indent=2)
    if work.passport and work.bundle:
        files[f"{work.passport.bundle.replace('/', '-')}-{work.passport.version}.bundle"] = work.bundle
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            temporary = out / f".{name}.tmp"
            temporary.write_bytes(content)
            temporary.replace(out / name)
    except OSError as exc:
        raise ExportError(f"{out} cannot be written: {exc}") from exc
    return [out / name for name in files]
