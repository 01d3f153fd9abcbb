"""Download a bundle through TUF: refuse what nobody signed for, before and after its bytes are there.

The program of a process of its own (:mod:`wayside.edge.update.download`): it reads a request, writes the bundle, says
one word, and is gone. Trust is TUF's (specification 1.0, client workflow §5): a pinned root, offline-signed targets, an
online timestamp that expires. An expired timestamp stops new installs; what is installed runs on for ever.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import threading
from pathlib import Path

from tuf.api import exceptions as tuf
from tuf.api.metadata import TargetFile  # type: ignore[attr-defined]
from tuf.ngclient.config import UpdaterConfig
from tuf.ngclient.updater import Updater as TufClient

from wayside.contracts.node_config import HubConfig
from wayside.contracts.passport import MAX_BUNDLE_BYTES
from wayside.contracts.rollout import Refusal
from wayside.contracts.wire import ContractError, decode, encode
from wayside.edge.hub_tls import HubTls, TlsError
from wayside.edge.trusted_bundle import BundleRefused
from wayside.edge.update.download import MAX_REASON, Answer, FetchCancelled, RefusedBefore, Request
from wayside.edge.update.fetch import Fetcher, RequestCancelled
from wayside.edge.update.layout import INCOMING, make_folder, tuf_folder
from wayside.hub_http.client import TrustError
from wayside.hub_http.proxy import ProxyError
from wayside.text import TextError, decode_unicode, read_file

METADATA_BYTES = 1_000_000  # of all metadata together, as far as their deadline is concerned


def download(request: Request, cancel: threading.Event, tls: HubTls | None) -> Path:
    """Put the target of ``request`` into its folder.

    Args:
        tls: whom to take for the hub; None where it speaks plain HTTP.

    Returns:
        The file, which is nobody's but the caller's.

    Raises:
        BundleRefused: download, metadata, hash, archive (too large), storage, or what was refused before.
        FetchCancelled: ``cancel`` was set.
        OSError: the disk.
    """
    try:
        fetcher = Fetcher(request.hub or HubConfig(url=request.hub_url), tls, cancel)
    except (ContractError, ProxyError, TrustError, TlsError) as exc:
        raise BundleRefused(Refusal.DOWNLOAD, str(exc)) from exc
    try:
        with fetcher:
            return _Download(request, tls, fetcher).run()
    except RequestCancelled as exc:
        raise FetchCancelled("cancelled") from exc


class _Download:
    def __init__(self, request: Request, tls: HubTls | None, fetcher: Fetcher) -> None:
        self._request, self._tls, self._fetcher = request, tls, fetcher
        self._desired = request.desired
        self._hub = request.hub_url.rstrip("/")
        self._root, self._state_dir = Path(request.root), Path(request.state_dir)

    def run(self) -> Path:
        self._fetcher.allow(METADATA_BYTES)
        client, target = self._look_up()
        self._check_target(target)
        for one in self._request.known:
            if one.sha256 == target.hashes.get("sha256", ""):
                raise RefusedBefore(one.refusal, one.reason)
        self._fetcher.allow(target.length)
        return self._take(client, target)

    def _look_up(self) -> tuple[TufClient, TargetFile]:
        try:
            root = decode_unicode(read_file(self._root)).encode()
        except OSError as exc:
            raise BundleRefused(
                Refusal.METADATA, f"the trust root {self._root}: {exc.strerror}; `wayside release init` writes it"
            ) from exc
        except TextError as exc:
            raise BundleRefused(Refusal.METADATA, f"the trust root {self._root}: {exc}") from exc
        try:
            make_folder(tuf_folder(self._state_dir))
            client = TufClient(
                str(tuf_folder(self._state_dir)),
                f"{self._hub}/tuf/metadata/",
                target_base_url=f"{self._hub}/tuf/targets/",
                fetcher=self._fetcher,
                config=UpdaterConfig(max_root_rotations=32),
                bootstrap=root,
            )
            client.refresh()
            target = client.get_targetinfo(self._desired.target)
        except (RequestCancelled, OSError):
            raise
        except tuf.DownloadLengthMismatchError as exc:
            raise BundleRefused(Refusal.METADATA, f"metadata is endless: {exc}") from exc
        except tuf.DownloadError as exc:
            raise BundleRefused(Refusal.DOWNLOAD, f"metadata could not be fetched: {self._why(exc)}") from exc
        except Exception as exc:  # RepositoryError, and whatever malformed metadata does to its parser
            raise BundleRefused(Refusal.METADATA, f"{type(exc).__name__}: {exc}") from exc
        if target is None:
            raise BundleRefused(Refusal.METADATA, f"no signed metadata names {self._desired.target}")
        return client, target

    def _check_target(self, target: TargetFile) -> None:
        custom = target.unrecognized_fields.get("custom")
        signed = (custom.get("bundle"), custom.get("version")) if isinstance(custom, dict) else None
        desired = self._desired
        if signed != (desired.bundle, desired.version):
            raise BundleRefused(
                Refusal.METADATA,
                f"{desired.target} is signed as {signed}, wanted is {desired.bundle} {desired.version}",
            )
        if target.length > MAX_BUNDLE_BYTES:
            raise BundleRefused(
                Refusal.ARCHIVE, f"{self._desired.target} has {target.length} bytes; the limit is {MAX_BUNDLE_BYTES}"
            )
        free = shutil.disk_usage(self._state_dir).free
        if free < 2 * target.length + 1_000_000:  # the download and the slot
            raise BundleRefused(Refusal.STORAGE, f"{free} bytes are free, {self._desired.target} has {target.length}")

    def _take(self, client: TufClient, target: TargetFile) -> Path:
        folder = Path(self._request.folder)
        make_folder(folder)
        incoming = folder / INCOMING
        try:
            client.download_target(target, str(incoming))
            return incoming
        except BaseException as exc:
            incoming.unlink(missing_ok=True)
            if isinstance(exc, RequestCancelled):
                raise
            if isinstance(exc, tuf.LengthOrHashMismatchError | tuf.DownloadLengthMismatchError):
                reason = f"{self._desired.target} is not what was signed: {exc}"
                raise BundleRefused(Refusal.HASH, reason) from exc
            if isinstance(exc, tuf.DownloadError):
                reason = f"{self._desired.target} could not be fetched: {self._why(exc)}"
                raise BundleRefused(Refusal.DOWNLOAD, reason) from exc
            raise

    def _why(self, exc: BaseException) -> str:
        return (self._tls.why(exc) if self._tls is not None else None) or f"{exc or type(exc).__name__}"


def main() -> int:
    """Carry out the request on standard input; the answer is JSON on standard output."""
    line = b""
    while not line.endswith(b"\n") and (part := os.read(0, 65_536)):
        line += part
    threading.Thread(target=_end_with_the_agent, daemon=True).start()
    request = decode(line, Request)
    tls = HubTls(request.hub, Path(request.ca_folder)) if request.hub is not None else None
    try:
        path = download(request, threading.Event(), tls)
        answer = Answer(sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    except BundleRefused as exc:
        before = isinstance(exc, RefusedBefore)
        answer = Answer(refusal=exc.refusal, reason=str(exc)[:4096], before=before)
    except OSError as exc:
        answer = Answer(refusal=Refusal.STORAGE, reason=f"the disk failed: {exc}"[:MAX_REASON])
    sys.stdout.buffer.write(encode(answer))
    sys.stdout.buffer.flush()
    return 0


def _end_with_the_agent() -> None:
    """Its end of the pipe closes with it, however it ends: two processes on one trust state would be one too many."""
    while os.read(0, 1):  # not through sys.stdin: a thread that waits inside it cannot be left behind
        pass
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
