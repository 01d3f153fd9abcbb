"""A bundle is tried on this node: the variant that it would run, on its runtime, against the golden vectors."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from wayside.contracts.fit import misfits
from wayside.contracts.node_config import ModelConfig
from wayside.contracts.passport import Passport, Sha256, Variant
from wayside.contracts.rollout import Refusal
from wayside.contracts.task_config import Offer, TaskOffer
from wayside.contracts.wire import ContractError, Document, decode, encode, wire_field
from wayside.durable import replace_file
from wayside.edge import golden
from wayside.edge.runtimes.load import available, load_runtime
from wayside.edge.runtimes.runtime import Runtime, RuntimeLoadError, RuntimeRunError
from wayside.edge.trusted_bundle import Bundle, BundleRefused

MARK = "trial.json"
MAX_TRIES = 2  # of one model that kills the agent


class Trial(Document, frozen=True, kw_only=True):
    """A golden test that has begun, and how often it began without an end."""

    wire: int = wire_field()
    sha256: Sha256  # of the variant
    tries: int


@dataclass(frozen=True)
class ActiveModel:
    """The model that runs. Replaced as a whole by the next one."""

    passport: Passport
    variant: Variant
    runtime: Runtime
    slot: str


def check_fit(passport: Passport, task: TaskOffer, offer: Offer) -> None:
    """Raises: BundleRefused: unsupported, with everything that keeps this node from running it."""
    if wrong := misfits(passport, task, offer):
        raise BundleRefused(Refusal.UNSUPPORTED, "; ".join(misfit.message for misfit in wrong))


def choose(config: ModelConfig, passport: Passport) -> Variant:
    """The variant that a node of ``config`` runs, on the best of its runtimes that the bundle has one for.

    Raises:
        BundleRefused: the bundle has none for it.
    """
    for runtime in runtimes_of(config):
        for variant in passport.variants:
            if variant.precision == config.precision and runtime in variant.runtimes:
                return variant
    offers = "; ".join(f"{v.name} for {', '.join(v.runtimes)}" for v in passport.variants)
    runs = " or ".join(runtimes_of(config)) or "no runtime, for none is installed"
    raise BundleRefused(Refusal.UNSUPPORTED, f"this node runs {config.precision} on {runs}; the bundle has {offers}")


def runtimes_of(config: ModelConfig) -> tuple[str, ...]:
    """The runtimes that a node of ``config`` may take, best first; "auto": all that are installed here."""
    return available() if config.runtime == "auto" else (config.runtime,)


def try_out(config: ModelConfig, bundle: Bundle, variant: Variant) -> tuple[Runtime, golden.GoldenResult]:
    """Load ``variant`` and run the golden windows on it, here.

    Raises:
        BundleRefused: it does not load, has another shape than its task, or answers other than torch did.
    """
    kind = next((name for name in runtimes_of(config) if name in variant.runtimes), config.runtime)
    try:
        runtime = load_runtime(kind, bundle.files[variant.file], threads=config.threads, providers=config.providers)
    except RuntimeLoadError as exc:
        raise BundleRefused(Refusal.LOAD, f"{variant.name}: {exc}") from exc
    task = bundle.passport.task
    shapes = (1, *task.input_shape), (1, *task.output_shape)
    if (runtime.input_shape, runtime.output_shape) != shapes:
        raise BundleRefused(
            Refusal.LOAD, f"{variant.name} maps {runtime.input_shape} to {runtime.output_shape}, the task {shapes}"
        )
    try:
        return runtime, golden.check(runtime, bundle.golden_inputs, bundle.golden_outputs, variant.tolerance)
    except (golden.GoldenMismatch, RuntimeRunError) as exc:
        runtime.close()
        raise BundleRefused(Refusal.GOLDEN, f"{variant.name}: {exc}") from exc


@contextlib.contextmanager
def marked(folder: Path, variant: Variant) -> Iterator[None]:
    """While a trial lasts there is a mark in ``folder``.

    A runtime is native code: a model may kill the process, which restarts and is told to install it again. Power may
    also just fail, so one death is forgiven.

    Raises:
        BundleRefused: load: the process died too often in it.
        OSError: the mark cannot be written.
    """
    mark = folder / MARK
    tries = 0
    with contextlib.suppress(OSError, ContractError):
        before = decode(mark.read_bytes(), Trial)
        tries = before.tries if before.sha256 == variant.sha256 else 0
    if tries >= MAX_TRIES:
        raise BundleRefused(Refusal.LOAD, f"{variant.name}: the agent died {tries} times while testing it")
    replace_file(mark, encode(Trial(sha256=variant.sha256, tries=tries + 1)))
    try:
        yield
    except Exception:
        forgive(folder)
        raise
    forgive(folder)


def forgive(folder: Path) -> None:
    """The trial is over, or the agent ends it by itself: that is no death."""
    (folder / MARK).unlink(missing_ok=True)
