"""Many sites in one go: a token, an image and a label each, written down step by step in the output folder.

Every site has a journal of its own, written whole after each step, so that a run that was killed goes on where it was.
A site whose token is written down gets no second one. The hub answers and the journal is written a moment later: a kill
in that moment leaves a token at the hub that nobody knows and that expires.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import httpx
import msgspec

from wayside.contracts.hub_api import TokenReply, TokenRequest, TokenText
from wayside.contracts.reading import Name
from wayside.contracts.sync import ErrorReply
from wayside.contracts.wire import ContractError, Document, decode, encode, wire_field
from wayside.durable import finish_file, replace_file
from wayside.firmware_bridge.errors import ImageError, ProvisionError
from wayside.firmware_bridge.image.build import ImageManifest, PlainBase, Progress, build, copy_base, load_built
from wayside.firmware_bridge.image.files import Personality, personality
from wayside.firmware_bridge.image.wheels import Sha256
from wayside.firmware_bridge.provision.labels import label_png, sheet_pdf
from wayside.firmware_bridge.provision.site_list import Site, SiteRow, read_sites

UnixMs = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
_UNKNOWN_TOKEN = "x" * 43  # stands for one while rows are checked


class SiteJournal(Document, frozen=True, kw_only=True):
    """How far a site has come. ``inputs`` is the fingerprint of what its image was made from."""

    wire: int = wire_field()
    node: Name
    state: Literal["token", "image", "done"]
    token: TokenText
    expires_ms: UnixMs | None = None
    inputs: Sha256 | None = None


class BaseJournal(Document, frozen=True, kw_only=True):
    wire: int = wire_field()
    name: str
    size: int
    modified_ns: int
    sha256: Sha256


class Common(NamedTuple):
    """What all sites share."""

    root: bytes
    wheels: Path
    hub_ca: bytes | None = None
    ssh_key: str | None = None
    network: str | None = None


class Hub(NamedTuple):
    """Where tokens come from; ``url`` None: where each node's own configuration points."""

    url: str | None
    operator_token: str | None
    ttl_s: float = 30 * 86_400.0


class _Work(NamedTuple):
    common: Common
    hub: Hub
    progress: Progress


class Outcome(NamedTuple):
    made: list[str]  # nodes
    kept: list[str]  # were done already
    labels: Path


def provision(
    sites_csv: Path,
    template: Path | None,
    base: Path,
    out: Path,
    *,
    common: Common,
    hub: Hub,
    progress: Progress,
    say: Callable[[str], None],
) -> Outcome:
    """Make everything that is not made yet.

    Raises:
        ProvisionError: a row is wrong (nothing was made), the hub refuses, or another run has this folder.
        ImageError: an image cannot be made.
    """

    def person(row: SiteRow, text: str) -> Personality:
        return _personality(common, row, text, row.token or _UNKNOWN_TOKEN)

    sites = read_sites(sites_csv, template, person)
    made: list[str] = []
    kept: list[str] = []
    manifests: list[ImageManifest] = []
    work = _Work(common, hub, progress)
    try:
        out.mkdir(parents=True, exist_ok=True)
        with _alone(out):
            journals = out / "journal"
            journals.mkdir(mode=0o700, exist_ok=True)
            stock = _Base(base, out, progress)
            for number, site in enumerate(sites, 1):
                say(f"{number} of {len(sites)}: {site.row.node}")
                manifest, new = _one(site, out, stock, work)
                manifests.append(manifest)
                (made if new else kept).append(site.row.node)
            labels = out / "labels.pdf"
            replace_file(labels, sheet_pdf(manifests))
            stock.put_away()
    except OSError as exc:
        raise ProvisionError(f"{exc.filename or out}: {exc.strerror}; the same command goes on from here") from exc
    return Outcome(made, kept, labels)


def _personality(common: Common, row: SiteRow, text: str, token: str) -> Personality:
    return personality(
        text,
        common.root,
        token=token,
        hub_ca=common.hub_ca,
        site=row.site,
        ssh_key=common.ssh_key,
        network=common.network,
    )


def _one(site: Site, out: Path, base: _Base, work: _Work) -> tuple[ImageManifest, bool]:
    """Finish one site. Returns whether anything had to be done."""
    common, progress = work.common, work.progress
    path = out / "journal" / f"{site.slug}.json"
    image = out / f"{site.slug}.img"
    journal = _journal(path, site.row.node)
    if journal is None or (site.row.token and site.row.token != journal.token) or _expired(journal):
        progress("asking the hub for a token", 0, 0)
        journal = _token(site, work.hub, common)
        _note(path, journal)
    who = _personality(common, site.row, site.config_text, journal.token)
    if who.config.node != site.row.node:
        raise ProvisionError(f'line {site.line}: the template names the node {who.config.node}; write node = "$node"')
    inputs = _inputs(who, base, common)
    whole = journal.state != "token" and journal.inputs == inputs and _whole(image)
    if whole and journal.state == "done":
        return load_built(image)[0], False
    if not whole:
        build(base.plain(), image, who, common.wheels, progress)
        journal = msgspec.structs.replace(journal, state="image", inputs=inputs)
        _note(path, journal)
    manifest = load_built(image)[0]
    replace_file(image.with_suffix(".png"), label_png(manifest))
    _note(path, msgspec.structs.replace(journal, state="done"))
    return manifest, True


def _whole(image: Path) -> bool:
    try:
        return image.stat().st_size == load_built(image)[0].size
    except (OSError, ImageError):
        return False


def _expired(journal: SiteJournal) -> bool:
    """Whether the token expired before an image with it was made."""
    return journal.state == "token" and journal.expires_ms is not None and journal.expires_ms < time.time() * 1000


def _journal(path: Path, node: str) -> SiteJournal | None:
    try:
        journal = decode(path.read_bytes(), SiteJournal)
    except FileNotFoundError:
        return None
    except ContractError as exc:
        raise ProvisionError(f"{path} is damaged ({exc}): remove it to give this site a new token") from exc
    if journal.node != node:
        raise ProvisionError(f"{path} is of node {journal.node}, not {node}: use another folder for another list")
    return journal


def _note(path: Path, journal: SiteJournal) -> None:
    replace_file(path, encode(journal), mode=0o600)


def _inputs(who: Personality, base: _Base, common: Common) -> str:
    wheels = [p.read_bytes() for p in sorted(common.wheels.glob("cp*/wheels.json"))]
    parts = [who.config_text.encode(), who.root, who.hub_ca or b"", (who.ssh_key or "").encode()]
    parts += [(who.network or "").encode(), (who.site or "").encode(), base.sha256.encode(), *wheels]
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


def _token(site: Site, hub: Hub, common: Common) -> SiteJournal:
    """The row's own token, or a new one of the hub, bound to this node."""
    node = site.row.node
    if site.row.token:
        return SiteJournal(node=node, state="token", token=site.row.token)
    if not hub.operator_token:
        raise ProvisionError(
            f"{node} has no token: set WAYSIDE_OPERATOR_TOKEN to what the hub's operator.token holds, "
            "or give the list a column 'token'"
        )
    url = hub.url or _personality(common, site.row, site.config_text, _UNKNOWN_TOKEN).hub
    request = encode(TokenRequest(node=node, site=site.row.site, ttl_s=hub.ttl_s))
    try:
        trust: ssl.SSLContext | bool = True
        if common.hub_ca is not None and url.startswith("https:"):
            trust = ssl.create_default_context(cadata=common.hub_ca.decode("ascii", "ignore"))
        with httpx.Client(timeout=15.0, trust_env=False, verify=trust) as client:
            headers = {"Authorization": f"Bearer {hub.operator_token}"}
            answer = client.post(f"{url.rstrip('/')}/api/v1/tokens", content=request, headers=headers)
    except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError) as exc:
        reason = f"the hub at {url} does not answer: {exc or type(exc).__name__}"
        raise ProvisionError(f"{reason}; --hub names another. The same command goes on from here") from exc
    try:
        if answer.status_code == httpx.codes.CREATED:
            reply = decode(answer.content[:65_536], TokenReply)
            return SiteJournal(node=node, state="token", token=reply.token, expires_ms=reply.expires_ms)
        refusal = decode(answer.content[:65_536], ErrorReply)
    except ContractError as exc:
        raise ProvisionError(f"{url} answers {answer.status_code}, but not as a hub does ({exc})") from exc
    if answer.status_code in (401, 403):
        raise ProvisionError("the hub refuses the operator's token: set WAYSIDE_OPERATOR_TOKEN to its operator.token")
    raise ProvisionError(f"the hub refuses a token for {node}: {refusal.message or refusal.error}")


class _Base:
    """The stock image: read and hashed once per folder, unpacked only while an image has to be made."""

    def __init__(self, base: Path, out: Path, progress: Progress) -> None:
        self._base, self._progress = base, progress
        self._journal = out / "journal" / "base.json"
        self._unpacked = out / ".base.img"
        try:
            facts = base.stat()
        except OSError as exc:
            raise ProvisionError(f"{base}: {exc.strerror}") from exc
        about = BaseJournal(name=base.name, size=facts.st_size, modified_ns=facts.st_mtime_ns, sha256="0" * 64)
        try:
            known = decode(self._journal.read_bytes(), BaseJournal)
        except (FileNotFoundError, ContractError):
            known = about
        if msgspec.structs.replace(known, sha256=about.sha256) == about and known != about:
            self.sha256 = known.sha256
        else:
            self._journal.unlink(missing_ok=True)
            self._unpacked.unlink(missing_ok=True)
            self.sha256 = self._read()
            replace_file(self._journal, encode(msgspec.structs.replace(about, sha256=self.sha256)))

    def plain(self) -> PlainBase:
        if self._base.suffix != ".xz":
            return PlainBase(self._base, self._base.name, self.sha256)
        if not self._unpacked.exists() and self._read() != self.sha256:
            raise ProvisionError(f"{self._base} changed while it was read: run the command again")
        return PlainBase(self._unpacked, self._base.name, self.sha256)

    def _read(self) -> str:
        if self._base.suffix != ".xz":
            self._progress("reading the base", 0, 0)
            with self._base.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        part = self._unpacked.with_name(f"{self._unpacked.name}.part")
        part.write_bytes(b"")
        sha256 = copy_base(self._base, part, self._progress)
        finish_file(part, self._unpacked)
        return sha256

    def put_away(self) -> None:
        self._unpacked.unlink(missing_ok=True)


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """One run per folder: the lock is the kernel's and dies with its process."""
    fd = os.open(out / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip() or "another"
            raise ProvisionError(f"already in progress: process {holder} works on {out}") from None
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(fd)
