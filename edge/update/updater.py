"""Get a model onto this node: download, verify, test here, switch; or refuse with a reason and keep the old one.

``trusted_bundle`` decides what may be believed, ``golden`` what answers right, ``slots`` what survives a power
cut; this module does the I/O between them and decides which failure is which refusal.

Trust is TUF's (specification 1.0, client workflow §5): a pinned root, offline-signed targets, an online
timestamp that expires. An expired timestamp stops new installs; what is installed runs on for ever.
"""

from __future__ import annotations

import contextlib
import functools
import shutil
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import msgspec
import structlog
import urllib3
from tuf.api import exceptions as tuf
from tuf.api.metadata import TargetFile  # type: ignore[attr-defined]
from tuf.ngclient.config import UpdaterConfig
from tuf.ngclient.updater import Updater as TufClient
from tuf.ngclient.urllib3_fetcher import Urllib3Fetcher

from wayside.contracts.node_config import ModelConfig
from wayside.contracts.passport import MAX_BUNDLE_BYTES, Passport, Sha256, Variant
from wayside.contracts.rollout import Refusal, UpdateState, advance
from wayside.contracts.sync import Desired, Reported
from wayside.contracts.wire import ContractError, Document, decode, encode, wire_field
from wayside.durable import replace_file
from wayside.edge import golden
from wayside.edge.hub_tls import HubTls, TlsError
from wayside.edge.runtimes.load import load_runtime
from wayside.edge.runtimes.runtime import Runtime, RuntimeLoadError, RuntimeRunError
from wayside.edge.trusted_bundle import Bundle, BundleRefused, open_bundle
from wayside.edge.update.slots import Slots

TIMEOUT_S = 20  # without a byte
MAX_REASON = 512  # contracts.sync.Reported.reason
MAX_TRIES = 2  # of one model that kills the agent
log = structlog.get_logger(__name__)


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


class Updater:
    """The model of one node.

    ``active`` and ``reported`` answer at once; ``install`` blocks on the network and belongs in a thread.
    """

    def __init__(
        self,
        state_dir: Path,
        config: ModelConfig,
        tuf_root: bytes,
        hub_url: str,
        agent_version: str,
        *,
        tls: HubTls | None = None,
    ) -> None:
        """Load the last good model from ``state_dir``, verified and tested again: the runtime, its version or the
        configuration may have changed since. A slot that fails falls back to the other.

        Args:
            tuf_root: the pinned ``root.json``.
            tls: whom to take for the hub; None where it speaks plain HTTP.

        Raises:
            OSError: ``state_dir`` cannot be written.
        """
        self._folder = state_dir / "model"
        self._config, self._root = config, tuf_root
        self._hub = hub_url.rstrip("/")
        self._tls = tls
        self._agent_version = agent_version
        self._slots = Slots(self._folder)
        self._installing = threading.Lock()
        self._reported = self._read_reported()
        self._active = self._load_slots()

    def active(self) -> ActiveModel | None:
        return self._active

    def reported(self) -> Reported:
        return self._reported

    def install(self, desired: Desired) -> Reported:
        """Make ``desired`` the active model, or refuse it; the outcome is durable and returned.

        Only a refusal ``download`` is worth repeating for the same ``desired``.
        """
        with self._installing:
            self._move(UpdateState.DOWNLOADING, attempted=desired.version)
            try:
                self._install(desired)
            except BundleRefused as exc:
                self._refuse(exc.refusal, str(exc))
            except OSError as exc:
                self._refuse(Refusal.STORAGE, f"the disk failed: {exc}")
            self._write_reported()
            return self._reported

    def _install(self, desired: Desired) -> None:
        active = self._active
        if active and (active.passport.bundle, active.passport.version) == (desired.bundle, desired.version):
            for state in (UpdateState.VERIFYING, UpdateState.TESTING, UpdateState.ACTIVE):
                self._move(state)  # it went through them before it became active
            return
        content = self._fetch(desired)
        self._move(UpdateState.VERIFYING)
        bundle = open_bundle(content, agent_version=self._agent_version, bundle=desired.bundle, version=desired.version)
        variant = choose(self._config, bundle.passport)
        self._move(UpdateState.TESTING)
        runtime, result = self._try_out_marked(bundle, variant)
        slot = self._slots.write(content, keep=active.slot if active else None)
        # The old runtime is not closed here: an inference on another thread may be inside it.
        self._active = ActiveModel(bundle.passport, variant, runtime, slot)
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

    def _fetch(self, desired: Desired) -> bytes:
        """Download the target of ``desired`` through TUF.

        Raises:
            BundleRefused: download, metadata, hash, archive (too large) or storage.
            OSError: the disk.
        """
        incoming = self._folder / "incoming.bundle"
        try:
            client = TufClient(
                str(self._folder / "tuf"),
                f"{self._hub}/tuf/metadata/",
                target_base_url=f"{self._hub}/tuf/targets/",
                fetcher=Fetcher(self._hub, self._tls),
                config=UpdaterConfig(max_root_rotations=32),
                bootstrap=self._root,
            )
            client.refresh()
            target = client.get_targetinfo(desired.target)
        except tuf.DownloadLengthMismatchError as exc:
            raise BundleRefused(Refusal.METADATA, f"metadata is endless: {exc}") from exc
        except (tuf.DownloadError, urllib3.exceptions.HTTPError, TlsError) as exc:
            raise BundleRefused(Refusal.DOWNLOAD, f"metadata could not be fetched: {self._why(exc)}") from exc
        except tuf.RepositoryError as exc:
            raise BundleRefused(Refusal.METADATA, f"{type(exc).__name__}: {exc}") from exc
        self._check_target(target, desired)
        assert target is not None  # noqa: S101  (_check_target refused it)
        try:
            client.download_target(target, str(incoming))
            return incoming.read_bytes()
        except (tuf.LengthOrHashMismatchError, tuf.DownloadLengthMismatchError) as exc:
            raise BundleRefused(Refusal.HASH, f"{desired.target} is not what was signed: {exc}") from exc
        except (tuf.DownloadError, urllib3.exceptions.HTTPError) as exc:
            raise BundleRefused(Refusal.DOWNLOAD, f"{desired.target} could not be fetched: {self._why(exc)}") from exc
        finally:
            incoming.unlink(missing_ok=True)

    def _why(self, exc: BaseException) -> str:
        return (self._tls.why(exc) if self._tls is not None else None) or _why(exc)

    def _check_target(self, target: TargetFile | None, desired: Desired) -> None:
        if target is None:
            raise BundleRefused(Refusal.METADATA, f"no signed metadata names {desired.target}")
        custom = target.unrecognized_fields.get("custom")
        signed = (custom.get("bundle"), custom.get("version")) if isinstance(custom, dict) else None
        if signed != (desired.bundle, desired.version):
            raise BundleRefused(
                Refusal.METADATA,
                f"{desired.target} is signed as {signed}, wanted is {desired.bundle} {desired.version}",
            )
        if target.length > MAX_BUNDLE_BYTES:
            raise BundleRefused(
                Refusal.ARCHIVE, f"{desired.target} has {target.length} bytes; the limit is {MAX_BUNDLE_BYTES}"
            )
        free = shutil.disk_usage(self._folder).free
        if free < 2 * target.length + 1_000_000:  # the download and the slot
            raise BundleRefused(Refusal.STORAGE, f"{free} bytes are free, {desired.target} has {target.length}")

    def _try_out_marked(self, bundle: Bundle, variant: Variant) -> tuple[Runtime, golden.GoldenResult]:
        """:meth:`_try_out`, with a mark on disk while it lasts.

        A runtime is native code: a model may kill the process, which restarts and is told to install it again.
        Power may also just fail, so one death is forgiven.
        """
        mark = self._folder / "trial.json"
        tries = 0
        with contextlib.suppress(OSError, ContractError):
            before = decode(mark.read_bytes(), Trial)
            tries = before.tries if before.sha256 == variant.sha256 else 0
        if tries >= MAX_TRIES:
            raise BundleRefused(Refusal.LOAD, f"{variant.name}: the agent died {tries} times while testing it")
        replace_file(mark, encode(Trial(sha256=variant.sha256, tries=tries + 1)))
        try:
            result = try_out(self._config, bundle, variant)
        except BundleRefused:
            mark.unlink(missing_ok=True)
            raise
        mark.unlink(missing_ok=True)
        return result

    def _load_slots(self) -> ActiveModel | None:
        trouble: BundleRefused | None = None
        active = None
        for slot in self._slots.sound():
            try:
                bundle = open_bundle(slot.content, agent_version=self._agent_version)
                variant = choose(self._config, bundle.passport)
                runtime, _ = try_out(self._config, bundle, variant)
            except BundleRefused as exc:
                log.error("slot refused", slot=slot.name, refusal=exc.refusal.value, reason=str(exc))
                trouble = trouble or exc
                continue
            active = ActiveModel(bundle.passport, variant, runtime, slot.name)
            break
        self._reported = self._after_restart(active, trouble)
        return active

    def _after_restart(self, active: ActiveModel | None, trouble: BundleRefused | None) -> Reported:
        was, runs = self._reported, _running(active)
        if (runs.bundle, runs.version) == (was.bundle, was.version):
            # The model of before, and whatever was said of the last attempt; the configuration may be a new one.
            return _with(was, variant=runs.variant, runtime=runs.runtime)
        damaged = [f"slot {name}: {what}" for name, what in self._slots.damaged.items()]
        if active is not None and (was.version is None or not (trouble or damaged)):
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

    def _refuse(self, refusal: Refusal, reason: str) -> None:
        log.error("model refused", refusal=refusal.value, reason=reason, attempted=self._reported.attempted)
        self._move(UpdateState.REFUSED, refusal=refusal, reason=reason[:MAX_REASON])

    def _move(self, to: UpdateState, **news: str | Refusal) -> None:
        now = self._reported
        advance(now.state, to)
        kept = {"attempted": now.attempted} | news
        self._reported = _with(_running(self._active), state=to, **kept)

    def _read_reported(self) -> Reported:
        """What was said before the restart; nothing, if that is lost."""
        try:
            return decode((self._folder / "reported.json").read_bytes(), Reported)
        except FileNotFoundError:
            return Reported()
        except (OSError, ContractError) as exc:
            log.error("update report lost", error=str(exc))
            return Reported()

    def _write_reported(self) -> None:
        try:
            replace_file(self._folder / "reported.json", encode(self._reported))
        except OSError as exc:  # the model itself is safe: the slots say which it is
            log.error("update report not written", error=str(exc))


class Fetcher(Urllib3Fetcher):
    """tuf's own, over connections that verify the hub as the sync does."""

    def __init__(self, url: str, tls: HubTls | None) -> None:
        """Raises: TlsError."""
        super().__init__(socket_timeout=TIMEOUT_S)
        pool: Any = self._proxy_env  # only its request() is used
        if (context := tls.context() if tls is not None else None) is not None:
            proxy = getproxies().get("https")
            if proxy is None or proxy_bypass(urlsplit(url).hostname or ""):
                pool = urllib3.PoolManager(ssl_context=context)
            else:
                pool = urllib3.ProxyManager(proxy, ssl_context=context)
        # The hub sends nobody elsewhere; who does is not the hub, and plain HTTP would be verified by nobody.
        pool.request = functools.partial(pool.request, retries=urllib3.Retry(3, redirect=0))
        self._proxy_env = pool


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


def _why(exc: BaseException) -> str:
    """The exception and what it was made from: tuf's own often says only that a download failed."""
    cause = exc.__cause__
    return f"{exc or type(exc).__name__}" + (f" ({cause})" if cause else "")


def choose(config: ModelConfig, passport: Passport) -> Variant:
    """The variant that a node of ``config`` runs.

    Raises:
        BundleRefused: the bundle has none for it.
    """
    for variant in passport.variants:
        if variant.precision == config.precision and config.runtime in variant.runtimes:
            return variant
    offers = "; ".join(f"{v.name} for {', '.join(v.runtimes)}" for v in passport.variants)
    raise BundleRefused(
        Refusal.UNSUPPORTED, f"this node runs {config.precision} on {config.runtime}; the bundle has {offers}"
    )


def try_out(config: ModelConfig, bundle: Bundle, variant: Variant) -> tuple[Runtime, golden.GoldenResult]:
    """Load ``variant`` and run the golden windows on it, here.

    Raises:
        BundleRefused: it does not load, has another shape than its task, or answers other than torch did.
    """
    try:
        runtime = load_runtime(
            config.runtime, bundle.files[variant.file], threads=config.threads, providers=config.providers
        )
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
