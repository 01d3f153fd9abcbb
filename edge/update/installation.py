"""One bundle on this node: its slot pair, the model that runs, what is reported of it, what was refused for good."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
import structlog

from wayside.contracts.node_config import ModelConfig
from wayside.contracts.passport import Sha256
from wayside.contracts.rollout import FINAL, Refusal, UpdateState, advance
from wayside.contracts.sync import Desired, Label, Reported
from wayside.contracts.task_config import Offer, TaskOffer
from wayside.contracts.wire import ContractError, Document, decode, encode, wire_field
from wayside.durable import replace_file
from wayside.edge.runtimes.runtime import Runtime
from wayside.edge.trusted_bundle import BundleRefused, open_bundle
from wayside.edge.update.download import FetchCancelled, Known
from wayside.edge.update.layout import REPORT, make_folder
from wayside.edge.update.slots import Slots
from wayside.edge.update.trial import ActiveModel, check_fit, choose, forgive, marked, try_out

REFUSED = "refused.json"
MAX_REASON = 512  # contracts.sync.Reported.reason
MAX_REMEMBERED = 32
log = structlog.get_logger(__name__)
D = TypeVar("D", bound=Document)


class FinalRefusal(Document, frozen=True, kw_only=True):
    """These bytes will not run here, as long as the node is what it was."""

    version: Label
    sha256: Sha256  # of the bundle
    under: Sha256  # of the software and configuration that refused it
    refusal: Refusal
    reason: Annotated[str, msgspec.Meta(max_length=MAX_REASON)]


class FinalRefusals(Document, frozen=True, kw_only=True):
    wire: int = wire_field()
    refused: Annotated[tuple[FinalRefusal, ...], msgspec.Meta(max_length=MAX_REMEMBERED)] = ()  # oldest first


class Installation:
    """The bundle of one task. Changed by one thread at a time; ``active`` and ``reported`` are replaced as a whole."""

    def __init__(self, folder: Path, task: TaskOffer, offer: Offer, config: ModelConfig) -> None:
        """Load the last good model from ``folder``, verified and tested again: the runtime, its version or the
        configuration may have changed since. A slot that fails falls back to the other.
        """
        self.folder, self.task = folder, task
        self._offer, self._config = offer, config
        self._under = hashlib.sha256(encode(config) + encode(offer)).hexdigest()
        self._slots = Slots(folder)
        self._refused = self._read(REFUSED, FinalRefusals, FinalRefusals()).refused
        self.reported = self._read(REPORT, Reported, Reported())
        self.active: ActiveModel | None = None
        self._load_slots()

    # --- asked ----------------------------------------------------------------------------------

    def runs(self, version: str) -> bool:
        return self.active is not None and self.active.passport.version == version

    def refused(self, version: str) -> FinalRefusal | None:
        """What refused the newest bytes of ``version`` for good, if anything did."""
        mine = (r for r in reversed(self._refused) if r.version == version and r.under == self._under)
        return next(mine, None)

    def known(self, version: str) -> tuple[Known, ...]:
        """Bytes of ``version`` that were refused for good, under what the node is now."""
        mine = (r for r in self._refused if (r.version, r.under) == (version, self._under))
        return tuple(Known(sha256=r.sha256, refusal=r.refusal, reason=r.reason) for r in mine)

    def why_none(self) -> str:
        """Why no model runs, for "this task runs no model, because …"."""
        report = self.reported
        if report.refusal is not None:
            fate = "refused" if report.state is UpdateState.REFUSED else "given up"
            return f"{self.task.bundle} {report.attempted} was {fate}: {report.reason}"
        if report.state is UpdateState.ROLLED_BACK:
            return f"{self.task.bundle} {report.attempted} is lost: {report.reason}"
        return f"no {self.task.bundle} has been installed yet; a rollout brings one"

    # --- an install -----------------------------------------------------------------------------

    def begin(self, version: str) -> None:
        self._move(UpdateState.DOWNLOADING, attempted=version)

    def admit(self, content: bytes, desired: Desired, cancel: threading.Event) -> None:
        """Make ``content`` the active model, if it is sound, fits and answers right.

        Raises:
            BundleRefused: it is not, or does not; the old model keeps running.
            FetchCancelled: nobody wants it any more.
            OSError: the disk failed.
        """
        self._move(UpdateState.VERIFYING)
        # The agent's own version is a part of the fit.
        bundle = open_bundle(content, agent_version=None, bundle=desired.bundle, version=desired.version)
        check_fit(bundle.passport, self.task, self._offer)
        variant = choose(self._config, bundle.passport)
        self._move(UpdateState.TESTING)
        make_folder(self.folder)
        with marked(self.folder, variant):
            runtime, result = try_out(self._config, bundle, variant)
        if cancel.is_set():
            runtime.close()
            raise FetchCancelled("cancelled")
        slot = self._slots.write(content, keep=self.active.slot if self.active else None)
        # The old runtime is not closed here: an inference on another thread may be inside it.
        self.active = ActiveModel(bundle.passport, variant, runtime, slot)
        self._move(UpdateState.ACTIVE)
        log.info(
            "model active",
            bundle=desired.bundle,
            version=desired.version,
            variant=variant.name,
            runtime=_label(runtime),
            golden_max_abs_diff=result.max_abs_diff,
            tolerance=variant.tolerance,
        )

    def refuse(self, refusal: Refusal, reason: str, sha256: str | None = None) -> None:
        """Report it; a final one of known bytes is remembered, durably."""
        reason = reason[:MAX_REASON]
        version = self.reported.attempted
        log.error("model refused", refusal=refusal.value, reason=reason, attempted=version)
        if refusal in FINAL and sha256 is not None and version is not None:
            self._remember(version, sha256, refusal, reason)
        self._move(UpdateState.REFUSED, refusal=refusal, reason=reason)

    def recall(self, refused: FinalRefusal) -> None:
        """Report what was refused before: it is wanted once more."""
        report = self.reported
        if (report.attempted, report.refusal, report.reason) == (refused.version, refused.refusal, refused.reason):
            return
        self.begin(refused.version)
        self._move(UpdateState.REFUSED, refusal=refused.refusal, reason=refused.reason)
        self.write_report()

    def settle(self) -> None:
        """What runs is what is wanted: no other attempt concerns anybody any more."""
        if self.reported != _running(self.active):
            self.reported = _running(self.active)
            self.write_report()

    def withdraw(self) -> None:
        """Nothing else is wanted any more: what was still going to be tried again is not."""
        if self.reported.refusal is not None and self.reported.refusal not in FINAL:
            self.settle()

    def restore(self, before: Reported) -> None:
        """The attempt since ``before`` was broken off and says nothing about the bundle."""
        self.reported = before

    def write_report(self) -> None:
        self._write(REPORT, self.reported)

    def forgive_trial(self) -> None:
        forgive(self.folder)

    # --- at the start ---------------------------------------------------------------------------

    def _load_slots(self) -> None:
        trouble: BundleRefused | None = None
        for slot in self._slots.sound():
            version = None
            try:
                bundle = open_bundle(slot.content, agent_version=None)
                version = bundle.passport.version
                check_fit(bundle.passport, self.task, self._offer)
                variant = choose(self._config, bundle.passport)
                runtime, _ = try_out(self._config, bundle, variant)
            except BundleRefused as exc:
                log.error("slot refused", slot=slot.name, refusal=exc.refusal.value, reason=str(exc))
                if exc.refusal in FINAL and version is not None:
                    sha256 = hashlib.sha256(slot.content).hexdigest()
                    self._remember(version, sha256, exc.refusal, str(exc)[:MAX_REASON])
                trouble = trouble or exc
                continue
            self.active = ActiveModel(bundle.passport, variant, runtime, slot.name)
            break
        self.reported = self._after_restart(trouble)

    def _after_restart(self, trouble: BundleRefused | None) -> Reported:
        was, runs = self.reported, _running(self.active)
        if (runs.bundle, runs.version) == (was.bundle, was.version):
            # The model of before, and whatever was said of the last attempt; the configuration may be a new one.
            return _with(was, variant=runs.variant, runtime=runs.runtime)
        damaged = [f"slot {name}: {what}" for name, what in self._slots.damaged.items()]
        if self.active is not None and (was.version is None or not (trouble or damaged)):
            return runs  # the slots know better: power failed between the switch and the report
        reason = str(trouble or "; ".join(damaged) or "both slots are gone")
        log.error("model rolled back", lost=was.version, runs=runs.version, reason=reason)
        return _with(
            runs,
            state=UpdateState.ROLLED_BACK,
            attempted=was.version,
            # A damaged slot is not the bundle's fault: without a refusal the caller installs it again.
            refusal=trouble.refusal if trouble else None,
            reason=reason[:MAX_REASON],
        )

    # --- durable --------------------------------------------------------------------------------

    def _move(self, to: UpdateState, **news: str | Refusal) -> None:
        now = self.reported
        advance(now.state, to)
        kept = {"attempted": now.attempted} | news
        self.reported = _with(_running(self.active), state=to, **kept)

    def _remember(self, version: str, sha256: str, refusal: Refusal, reason: str) -> None:
        one = FinalRefusal(version=version, sha256=sha256, under=self._under, refusal=refusal, reason=reason)
        if one in self._refused:
            return
        others = [r for r in self._refused if (r.version, r.sha256) != (version, sha256)]
        self._refused = (*others[1 - MAX_REMEMBERED :], one)
        self._write(REFUSED, FinalRefusals(refused=self._refused))

    def _read(self, name: str, kind: type[D], otherwise: D) -> D:
        """What was written before the restart; ``otherwise``, if that is lost."""
        try:
            return decode((self.folder / name).read_bytes(), kind)
        except FileNotFoundError:
            return otherwise
        except (OSError, ContractError) as exc:
            log.error("unreadable", file=name, error=str(exc))
            return otherwise

    def _write(self, name: str, document: Document) -> None:
        try:
            make_folder(self.folder)
            replace_file(self.folder / name, encode(document))
        except OSError as exc:  # the model itself is safe: the slots say which it is
            log.error("not written", file=name, error=str(exc))


def _running(active: ActiveModel | None) -> Reported:
    if active is None:
        return Reported()
    return Reported(
        state=UpdateState.ACTIVE,
        bundle=active.passport.bundle,
        version=active.passport.version,
        variant=active.variant.name,
        runtime=_label(active.runtime),
        attempted=active.passport.version,
    )


def _with(reported: Reported, **changes: object) -> Reported:
    return msgspec.structs.replace(reported, **changes)


def _label(runtime: Runtime) -> str:
    return runtime.name if runtime.provider == "cpu" else f"{runtime.name}/{runtime.provider}"
