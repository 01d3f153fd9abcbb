"""Get models onto this node: download, verify, test here, switch; or refuse with a reason and keep the old ones.

``trusted_bundle`` decides what may be believed, ``contracts.fit`` what this node can use, ``golden`` what answers
right, ``slots`` what survives a power cut; this module fetches, and decides which failure is which refusal.

Trust is TUF's (specification 1.0, client workflow §5): a pinned root, offline-signed targets, an online
timestamp that expires. An expired timestamp stops new installs; what is installed runs on for ever.
"""

from __future__ import annotations

import hashlib
import shutil
import threading
from pathlib import Path
from typing import NamedTuple

import structlog
from tuf.api import exceptions as tuf
from tuf.api.metadata import TargetFile  # type: ignore[attr-defined]
from tuf.ngclient.config import UpdaterConfig
from tuf.ngclient.updater import Updater as TufClient

from wayside.contracts.node_config import ModelConfig
from wayside.contracts.passport import MAX_BUNDLE_BYTES
from wayside.contracts.rollout import FINAL, Refusal
from wayside.contracts.sync import Desired, Reported
from wayside.contracts.task_config import Offer
from wayside.edge.hub_tls import HubTls, TlsError
from wayside.edge.trusted_bundle import BundleRefused
from wayside.edge.update.fetch import FetchCancelled, Fetcher
from wayside.edge.update.installation import Installation, RefusedBefore
from wayside.edge.update.layout import INCOMING, bundle_folder, make_folder, move_in, tuf_folder

METADATA_BYTES = 1_000_000  # of all metadata together, as far as their deadline is concerned
log = structlog.get_logger(__name__)


class Outcome(NamedTuple):
    reported: Reported
    cancelled: bool = False  # it was broken off: nothing was learnt
    known: bool = False  # a refusal that was told before


class Updater:
    """The models of one node, one bundle for each of its tasks.

    ``installations`` answer at once; ``install`` blocks on the network and belongs in a thread.
    """

    def __init__(
        self,
        state_dir: Path,
        config: ModelConfig,
        offer: Offer,
        root: Path,
        hub_url: str,
        *,
        tls: HubTls | None = None,
    ) -> None:
        """Load the last good model of each task that ``offer`` names.

        Args:
            root: file of the pinned ``root.json``; read for each install, so that one that is put right is found.
            tls: whom to take for the hub; None where it speaks plain HTTP.

        Raises:
            OSError: the slots of an earlier version cannot be moved to their place.
        """
        move_in(state_dir, offer.tasks[0].bundle if offer.tasks else None)
        self._state_dir, self._root = state_dir, root
        self._hub, self._tls = hub_url.rstrip("/"), tls
        self.installations = {
            task.bundle: Installation(bundle_folder(state_dir, task.bundle), task, offer, config)
            for task in offer.tasks
        }
        self._installing = threading.Lock()

    def install(self, desired: Desired, cancel: threading.Event | None = None) -> Outcome:
        """Make ``desired`` the active model of its bundle, or refuse it; the outcome is durable and returned.

        Args:
            desired: of a bundle that a task names.
            cancel: when it is set the install ends within about a second; only a golden test is not interrupted.
        """
        place = self.installations[desired.bundle]
        cancel = cancel or threading.Event()
        with self._installing:
            if place.runs(desired.version):
                place.settle()
                return Outcome(place.reported)
            before = place.reported
            place.begin(desired.version)
            sha256: str | None = None
            known = False
            try:
                content = self._fetch(place, desired, cancel)
                sha256 = hashlib.sha256(content).hexdigest()
                place.admit(content, desired, cancel)
            except FetchCancelled:
                place.restore(before)
                return Outcome(before, cancelled=True)
            except BundleRefused as exc:
                known = isinstance(exc, RefusedBefore)
                if exc.refusal not in FINAL and place.refused(desired.version) is not None:
                    log.info("not looked at again", bundle=desired.bundle, version=desired.version, reason=str(exc))
                    place.restore(before)  # it could not be seen whether the bytes are others: what was final stands
                    return Outcome(before, known=True)
                place.refuse(exc.refusal, str(exc), sha256)
            except OSError as exc:
                place.refuse(Refusal.STORAGE, f"the disk failed: {exc}")
            except Exception as exc:  # that nobody foresaw; sensing goes on
                log.exception("install failed", bundle=desired.bundle, version=desired.version)
                # These bytes will do the same again; what fails before there are any may pass.
                refusal = Refusal.DOWNLOAD if sha256 is None else Refusal.LOAD
                place.refuse(refusal, f"this agent fails on it: {exc!r}", sha256)
            place.write_report()
            return Outcome(place.reported, known=known)

    def _fetch(self, place: Installation, desired: Desired, cancel: threading.Event) -> bytes:
        """Download the target of ``desired`` through TUF.

        Raises:
            BundleRefused: download, metadata, hash, archive (too large), storage, or what was refused before.
            FetchCancelled: ``cancel`` was set.
            OSError: the disk.
        """
        try:
            fetcher = Fetcher(self._tls, cancel)
        except TlsError as exc:
            raise BundleRefused(Refusal.DOWNLOAD, str(exc)) from exc
        with fetcher:
            fetcher.allow(METADATA_BYTES)
            client, target = self._look_up(fetcher, desired)
            self._check_target(target, desired)
            place.check_remembered(desired.version, target.hashes.get("sha256", ""))
            fetcher.allow(target.length)
            return self._download(place, client, target, desired)

    def _look_up(self, fetcher: Fetcher, desired: Desired) -> tuple[TufClient, TargetFile]:
        try:
            root = self._root.read_bytes()
        except OSError as exc:
            raise BundleRefused(
                Refusal.METADATA, f"the trust root {self._root}: {exc.strerror}; `wayside release init` writes it"
            ) from exc
        try:
            make_folder(tuf_folder(self._state_dir))
            client = TufClient(
                str(tuf_folder(self._state_dir)),
                f"{self._hub}/tuf/metadata/",
                target_base_url=f"{self._hub}/tuf/targets/",
                fetcher=fetcher,
                config=UpdaterConfig(max_root_rotations=32),
                bootstrap=root,
            )
            client.refresh()
            target = client.get_targetinfo(desired.target)
        except (FetchCancelled, OSError):
            raise
        except tuf.DownloadLengthMismatchError as exc:
            raise BundleRefused(Refusal.METADATA, f"metadata is endless: {exc}") from exc
        except tuf.DownloadError as exc:
            raise BundleRefused(Refusal.DOWNLOAD, f"metadata could not be fetched: {self._why(exc)}") from exc
        except Exception as exc:  # RepositoryError, and whatever malformed metadata does to its parser
            raise BundleRefused(Refusal.METADATA, f"{type(exc).__name__}: {exc}") from exc
        if target is None:
            raise BundleRefused(Refusal.METADATA, f"no signed metadata names {desired.target}")
        return client, target

    def _check_target(self, target: TargetFile, desired: Desired) -> None:
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
        free = shutil.disk_usage(self._state_dir).free
        if free < 2 * target.length + 1_000_000:  # the download and the slot
            raise BundleRefused(Refusal.STORAGE, f"{free} bytes are free, {desired.target} has {target.length}")

    def _download(self, place: Installation, client: TufClient, target: TargetFile, desired: Desired) -> bytes:
        make_folder(place.folder)
        incoming = place.folder / INCOMING
        try:
            client.download_target(target, str(incoming))
            return incoming.read_bytes()
        except FetchCancelled:
            raise
        except (tuf.LengthOrHashMismatchError, tuf.DownloadLengthMismatchError) as exc:
            raise BundleRefused(Refusal.HASH, f"{desired.target} is not what was signed: {exc}") from exc
        except tuf.DownloadError as exc:
            raise BundleRefused(Refusal.DOWNLOAD, f"{desired.target} could not be fetched: {self._why(exc)}") from exc
        finally:
            incoming.unlink(missing_ok=True)

    def _why(self, exc: BaseException) -> str:
        return (self._tls.why(exc) if self._tls is not None else None) or f"{exc or type(exc).__name__}"
