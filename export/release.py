"""Releases: the offline side of TUF. Keys here sign what may run; the hub's own key signs only what is newest.

root (2 of 3 offline keys) names everybody's keys; targets (offline) delegates ``models/*`` to the role ``models``
(offline), which lists the bundles; snapshot and timestamp are the hub's online key. A hub that is broken into
can withhold releases, not make them. TUF specification 1.0, roles in §2 and §4.
"""

from __future__ import annotations

import datetime
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
from securesystemslib.signer import SSlibKey
from tuf.api import exceptions as tuf
from tuf.api.metadata import DelegatedRole, Delegations, Metadata, Root, TargetFile, Targets
from tuf.ngclient import Updater
from tuf.ngclient.fetcher import FetcherInterface

from wayside.contracts.hub_address import hub_address, rules_broken
from wayside.contracts.hub_api import OnlineKey, RolloutPreview
from wayside.contracts.sync import ErrorReply
from wayside.contracts.wire import ContractError, decode
from wayside.durable import replace_file
from wayside.errors import ExitStatus
from wayside.export.bundle_file import read_bundle
from wayside.export.errors import ReleaseError
from wayside.export.keys import ROOT_KEYS, ROOT_THRESHOLD, signer
from wayside.hub_http.client import TokenError, TrustError, bearer, client
from wayside.hub_http.failure import FAULTS, failure, unexpected
from wayside.hub_http.proxy import ProxyError, route
from wayside.text import TextError, decode_unicode, read_file

ROLE = "models"
ROOT_DAYS, TARGETS_DAYS = 365, 365
TIMEOUT_S = 30
MAX_METADATA_BYTES = 8 << 20  # of a role: ten thousand releases
ORDER = ("root", "targets", ROLE)


class Hub:
    """Where releases go. ``token`` is the operator's; reading needs none."""

    def __init__(self, url: str, token: str | None = None) -> None:
        """Raises: ReleaseError: ``url`` is no address, or a proxy or file of authorities on its way cannot be used."""
        try:
            self._address = hub_address(url)
            self._way = route(self._address)
            self._client = client(self._address, headers=bearer(token), timeout_s=TIMEOUT_S)
        except ContractError as exc:
            raise ReleaseError(f"--hub {url[:128]!r} is no address of a hub: {rules_broken(exc)}") from exc
        except (ProxyError, TrustError, TokenError) as exc:
            raise ReleaseError(str(exc)) from exc
        self.url = self._address.url

    def call(self, method: str, path: str, content: bytes | None = None) -> httpx.Response:
        """One request.

        Raises:
            ReleaseError: the hub is not there, or refused; in its own words.
        """
        try:
            reply = self._client.request(method, path, content=content)
        except FAULTS as exc:
            why = failure(exc, self._address, self._way, "--hub")
            raise ReleaseError(f"the hub at {self.url} does not answer: {why}") from exc
        if reply.is_error:
            raise HubRefused(reply.status_code, f"the hub refused {method} {path}: {_words(reply)}")
        if reply.is_redirect:
            why = unexpected(reply.status_code, reply.headers.get("location"), self._address, self._way, "--hub")
            raise ReleaseError(f"{self.url} {why}")
        return reply

    def chunks(self, url: str) -> Iterator[bytes]:
        """The content of an absolute ``url`` below :attr:`url`.

        Raises:
            tuf.DownloadError: python-tuf's, which its client takes from whoever fetches for it.
        """
        try:
            with self._client.stream("GET", url) as reply:
                if reply.status_code != httpx.codes.OK:
                    raise tuf.DownloadHTTPError(f"HTTP status {reply.status_code}", reply.status_code)
                yield from reply.iter_bytes()
        except FAULTS as exc:
            raise tuf.DownloadError(str(failure(exc, self._address, self._way, "--hub"))) from exc


class _Fetcher(FetcherInterface):
    """python-tuf's own one has its own idea of proxies."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def _fetch(self, url: str) -> Iterator[bytes]:
        return self._hub.chunks(url)


class HubRefused(ReleaseError):  # noqa: N818
    exit_status = ExitStatus.REFUSED

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Release:
    """One published bundle."""

    target: str
    bundle: str
    version: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Shelf:
    """What the hub offers, verified: releases, and each role's version and expiry."""

    releases: tuple[Release, ...]
    roles: dict[str, tuple[int, datetime.datetime]]


def initialize(keys: Path, hub: Hub, *, dry_run: bool = False) -> Path:
    """Make the hub's repository: sign root, targets and models, upload them; return the root to pin on nodes.

    What was signed stays in ``keys``, so that an interrupted run continues with the same bytes; on a hub that
    has this repository already nothing changes. A dry run signs in memory and sends nothing.

    Raises:
        ReleaseError: keys, hub, or the hub has a repository made with other keys.
    """
    online = _online_key(hub)
    signed = {role: keys / f"{role}.json" for role in ORDER}
    if dry_run and not signed["root"].exists():
        _first_metadata(keys, online)
        _first_root(keys, online)
        return signed["root"]
    if not signed["root"].exists():
        for role, metadata in _first_metadata(keys, online).items():
            if role != "root":
                replace_file(signed[role], metadata.to_bytes())
        replace_file(signed["root"], _first_root(keys, online).to_bytes())  # last: it marks the set as whole
    pinned = _root(signed["root"])
    root = Metadata[Root].from_bytes(pinned)
    if online.keyid not in root.signed.roles["timestamp"].keyids:
        raise ReleaseError(f"{signed['root']} was made for another hub than {hub.url}; use another keys directory")
    if dry_run:
        return signed["root"]
    conflict: HubRefused | None = None
    for role in ORDER:
        try:
            hub.call("PUT", f"/api/v1/tuf/metadata/{role}", _signed(signed[role], role))
        except HubRefused as exc:
            if exc.status != httpx.codes.CONFLICT:
                raise
            conflict = conflict or exc  # perhaps uploaded by the run that was interrupted
    try:
        _verified(hub, pinned)
    except ReleaseError as exc:
        raise conflict or exc from exc  # the hub has another owner's repository
    return signed["root"]


def publish(bundle: Path, keys: Path, hub: Hub, *, dry_run: bool = False) -> Release:
    """Sign ``bundle`` into the hub's repository under ``models/<bundle>-<version>.bundle``.

    The bundle is opened with the node's own checks first. Uploading can be repeated after an interruption. A dry run
    does all but uploading.

    Raises:
        BundleError: not a bundle.
        ReleaseError: its version is published already, the repository does not verify against the pinned root, or
            the hub refused.
    """
    content, opened = read_bundle(bundle)
    passport = opened.passport
    name = f"{passport.bundle}-{passport.version}.bundle"
    if "/" in name:
        raise ReleaseError(f"a released bundle's name has no slash: {passport.bundle!r}")
    target = f"{ROLE}/{name}"
    models = _verified(hub, _root(keys / "root.json"))[ROLE]
    if target in models.signed.targets:
        raise ReleaseError(f"{passport.bundle} {passport.version} is published already; export with a new --version")
    entry = TargetFile.from_data(target, content, ["sha256"])
    entry.unrecognized_fields["custom"] = {"bundle": passport.bundle, "version": passport.version}
    models.signed.targets[target] = entry
    models.signed.version += 1
    models.signed.expires = _in_days(TARGETS_DAYS)
    models.sign(signer(keys, ROLE))
    if not dry_run:
        hub.call("PUT", f"/api/v1/tuf/files/{target}", content)
        hub.call("PUT", f"/api/v1/tuf/metadata/{ROLE}", models.to_bytes())
    return _release(entry)


def preview(target: str, hub: Hub) -> RolloutPreview | None:
    """Which nodes could take the published ``target``; None: the hub is older than the question.

    Raises:
        ReleaseError: the hub is not there, or refused.
    """
    try:
        reply = hub.call("GET", f"/api/v1/rollouts/preview?target={quote(target)}")
        return decode(reply.content, RolloutPreview)
    except HubRefused as exc:
        if exc.status in (httpx.codes.NOT_FOUND, httpx.codes.METHOD_NOT_ALLOWED, httpx.codes.UNPROCESSABLE_ENTITY):
            return None
        raise
    except ContractError as exc:
        raise ReleaseError(f"the hub's answer on who could take {target} is none: {exc}") from exc


def renew(role: str, keys: Path, hub: Hub, *, dry_run: bool = False) -> tuple[int, datetime.datetime]:
    """Sign ``role`` (root, targets or models) again as the next version, with a new expiry; return both.

    Raises:
        ReleaseError: no such role, keys, or the hub refused.
    """
    if role not in ORDER:
        raise ReleaseError(f"there is no offline role {role!r}; choose of {', '.join(ORDER)}")
    metadata = _verified(hub, _root(keys / "root.json"))[role]
    metadata.signed.version += 1
    metadata.signed.expires = _in_days(ROOT_DAYS if role == "root" else TARGETS_DAYS)
    metadata.signatures.clear()
    for name in ROOT_KEYS if role == "root" else (role,):
        metadata.sign(signer(keys, name), append=True)
    if not dry_run:
        hub.call("PUT", f"/api/v1/tuf/metadata/{role}", metadata.to_bytes())
    return metadata.signed.version, metadata.signed.expires


def show(hub: Hub, root: Path | None = None) -> Shelf:
    """What the hub offers, verified against the pinned ``root``; without one, against the hub's own first root.

    Raises:
        ReleaseError: the repository is absent or does not verify.
    """
    pinned = _root(root) if root else hub.call("GET", "/tuf/metadata/1.root.json").content
    metadata = _verified(hub, pinned)
    roles = {role: (m.signed.version, m.signed.expires) for role, m in metadata.items()}
    return Shelf(tuple(_release(t) for _, t in sorted(metadata[ROLE].signed.targets.items())), roles)


def _verified(hub: Hub, pinned: bytes) -> dict[str, Metadata[Any]]:
    """The hub's current metadata by role, through the same client workflow as on a node."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            updater = Updater(folder, f"{hub.url}/tuf/metadata/", bootstrap=pinned, fetcher=_Fetcher(hub))
            updater.refresh()
            updater.get_targetinfo(f"{ROLE}/any")  # loads the delegated role
            return {
                role: Metadata.from_file(str(Path(folder) / f"{role}.json"))
                for role in (*ORDER, "snapshot", "timestamp")
            }
        except tuf.DownloadError as exc:
            why = exc.__cause__ or exc
            raise ReleaseError(
                f"the repository at {hub.url} cannot be fetched ({type(why).__name__}): "
                "is the hub running, and was `wayside release init` run?"
            ) from exc
        except (tuf.RepositoryError, OSError) as exc:
            raise ReleaseError(f"the repository at {hub.url} does not verify: {type(exc).__name__}: {exc}") from exc


def _first_root(keys: Path, online: SSlibKey) -> Metadata[Root]:
    root = Root(version=1, expires=_in_days(ROOT_DAYS), consistent_snapshot=True)
    signers = [signer(keys, name) for name in ROOT_KEYS]
    for each in signers:
        root.add_key(each.public_key, "root")
    root.roles["root"].threshold = ROOT_THRESHOLD
    root.add_key(signer(keys, "targets").public_key, "targets")
    for role in ("snapshot", "timestamp"):
        root.add_key(online, role)
    metadata = Metadata(root)
    for each in signers:
        metadata.sign(each, append=True)
    return metadata


def _first_metadata(keys: Path, online: SSlibKey) -> dict[str, Metadata[Targets]]:
    models_key = signer(keys, ROLE).public_key
    role = DelegatedRole(ROLE, [models_key.keyid], 1, terminating=True, paths=[f"{ROLE}/*"])
    delegations = Delegations({models_key.keyid: models_key}, {ROLE: role})
    targets = Metadata(Targets(version=1, expires=_in_days(TARGETS_DAYS), delegations=delegations))
    targets.sign(signer(keys, "targets"))
    models = Metadata(Targets(version=1, expires=_in_days(TARGETS_DAYS)))
    models.sign(signer(keys, ROLE))
    return {"targets": targets, ROLE: models}


def _online_key(hub: Hub) -> SSlibKey:
    reply = hub.call("GET", "/api/v1/tuf/online-key")
    try:
        online = decode(reply.content, OnlineKey)
        key = SSlibKey(online.keyid, online.keytype, online.scheme, {"public": online.public})
        if (key.keytype, key.scheme) != ("ed25519", "ed25519") or len(bytes.fromhex(online.public)) != 32:
            raise ReleaseError(f"the hub's online key is {key.keytype}, not ed25519")
    except (ContractError, ValueError) as exc:
        raise ReleaseError(f"the hub's answer is not an online key: {exc}") from exc
    return key


def _release(entry: TargetFile) -> Release:
    custom = entry.unrecognized_fields.get("custom", {})
    return Release(
        entry.path, custom.get("bundle", ""), custom.get("version", ""), entry.length, entry.hashes["sha256"]
    )


def _root(path: Path) -> bytes:
    """The trust root in the file ``path``, as it is written there.

    Raises:
        ReleaseError: no file, or it is no root.
    """
    return _signed(path, "root")


def _signed(path: Path, role: str) -> bytes:
    """The metadata of ``role`` in the file ``path``; who signed them is for the hub and the nodes to judge.

    Raises:
        ReleaseError: no file, one that is far too large, or something else.
    """
    try:
        content = decode_unicode(read_file(path, MAX_METADATA_BYTES)).encode()
        kind = Metadata.from_bytes(content).signed.type
    except OSError as exc:
        why = exc.strerror or exc
        raise ReleaseError(f"{path} cannot be read ({why}); `wayside release init` writes it") from exc
    except (tuf.RepositoryError, TextError, RecursionError) as exc:
        raise ReleaseError(f"{path} is not TUF metadata: {exc}; `wayside release init` writes it") from exc
    if kind != ("root" if role == "root" else "targets"):
        raise ReleaseError(f"{path} is TUF metadata of the role {kind}, not of {role}")
    return content


def _in_days(days: int) -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC).replace(microsecond=0) + datetime.timedelta(days=days)


def _words(reply: httpx.Response) -> str:
    try:
        error = decode(reply.content, ErrorReply)
    except ContractError:
        return f"HTTP {reply.status_code}"
    if error.error in ("credentials", "operator"):
        return "it needs the operator's token: set WAYSIDE_OPERATOR_TOKEN to what the hub's operator.token holds"
    return f"{error.message} ({error.error}, HTTP {reply.status_code})"
