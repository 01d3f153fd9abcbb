"""Get models onto this node: download, verify, test here, switch; or refuse with a reason and keep the old ones.

``trusted_download`` fetches what was signed, ``trusted_bundle`` decides what may be believed, ``contracts.fit`` what
this node can use, ``golden`` what answers right, ``slots`` what survives a power cut; this module, which failure is
which refusal.
"""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import structlog

from wayside.contracts.node_config import ModelConfig
from wayside.contracts.rollout import FINAL, Refusal
from wayside.contracts.sync import Desired, Reported
from wayside.contracts.task_config import Offer
from wayside.edge.trusted_bundle import BundleRefused
from wayside.edge.update.download import FetchCancelled, RefusedBefore, Request, in_a_process
from wayside.edge.update.installation import Installation
from wayside.edge.update.layout import INCOMING, TrustedMetadata, bundle_folder, move_in

if TYPE_CHECKING:
    from wayside.edge.hub_tls import HubTls

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
        apart: bool = False,
    ) -> None:
        """Load the last good model of each task that ``offer`` names.

        Args:
            root: file of the pinned ``root.json``; read for each install, so that one that is put right is found.
            tls: whom to take for the hub; None where it speaks plain HTTP.
            apart: downloads run in a process of their own, which takes its memory with it.

        Raises:
            OSError: the slots of an earlier version cannot be moved to their place.
        """
        move_in(state_dir, offer.tasks[0].bundle if offer.tasks else None)
        self._state_dir, self._root = state_dir, root
        self._apart = apart
        self._hub, self._tls = hub_url.rstrip("/"), tls
        self.installations = {
            task.bundle: Installation(bundle_folder(state_dir, task.bundle), task, offer, config)
            for task in offer.tasks
        }
        self.trusted = TrustedMetadata(state_dir)
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
        request = Request(
            desired=desired,
            hub_url=self._hub,
            hub=self._tls.hub if self._tls is not None else None,
            ca_folder=str(self._tls.folder.absolute()) if self._tls is not None else "",
            root=str(self._root.absolute()),
            state_dir=str(self._state_dir.absolute()),
            folder=str(place.folder.absolute()),
            known=place.known(desired.version),
        )
        path = place.folder / INCOMING
        if self._apart:
            return in_a_process(request, path, cancel)
        from wayside.edge.update.trusted_download import download

        try:
            return download(request, cancel, self._tls).read_bytes()
        finally:
            path.unlink(missing_ok=True)
