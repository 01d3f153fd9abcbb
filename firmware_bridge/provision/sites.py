"""Many sites in one go: a token, an image and a label each, written down step by step in the output folder.

Every site has a journal of its own, written whole after each step, so that a run that was killed goes on where it was.
A site whose token is written down gets no second one. The hub answers and the journal is written a moment later: a kill
in that moment leaves a token at the hub that nobody knows and that expires.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import ssl
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import msgspec

from wayside.contracts.hub_api import TokenReply, TokenRequest
from wayside.contracts.sync import ErrorReply
from wayside.contracts.wire import ContractError, decode, encode
from wayside.durable import replace_file
from wayside.firmware_bridge.errors import ImageError, ProvisionError
from wayside.firmware_bridge.image.build import ImageManifest, Progress, build, load_built
from wayside.firmware_bridge.image.credentials import UNKNOWN_TOKEN
from wayside.firmware_bridge.image.files import Personality
from wayside.firmware_bridge.provision.check import checked_sites
from wayside.firmware_bridge.provision.given import Common, Hub, person_of, reachable
from wayside.firmware_bridge.provision.journal import SiteJournal, expired, load_journal, note
from wayside.firmware_bridge.provision.labels import label_png, sheet_pdf
from wayside.firmware_bridge.provision.site_list import Site
from wayside.firmware_bridge.provision.stock import StockBase
from wayside.hub_http.client import TokenError, TrustError, bearer, client
from wayside.hub_http.failure import FAULTS, failure
from wayside.hub_http.proxy import route


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

    stock = StockBase(base, out, progress)
    made: list[str] = []
    kept: list[str] = []
    manifests: list[ImageManifest] = []
    work = _Work(common, hub, progress)
    try:
        with contextlib.ExitStack() as folder:
            if stock.packed:  # it is unpacked into the folder to be looked into
                folder.enter_context(_alone(out))
            sites = checked_sites(sites_csv, template, stock, out, common=common, hub=hub, say=say)
            if not stock.packed:
                folder.enter_context(_alone(out))
            (out / "journal").mkdir(mode=0o700, exist_ok=True)
            stock.read()
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


def would_make(
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
    """Check all that :func:`provision` checks, ask for no token and leave ``out`` as it is.

    Raises:
        ProvisionError: a row is wrong.
        ImageError: the base is none.
    """
    with tempfile.TemporaryDirectory(prefix="wayside-dry-run-") as scratch:  # a packed base is unpacked
        stock = StockBase(base, Path(scratch), progress)
        sites = checked_sites(sites_csv, template, stock, out, common=common, hub=hub, say=say)
    made: list[str] = []
    kept: list[str] = []
    for site in sites:
        journal = load_journal(out, site.row.node)
        (kept if journal is not None and journal.state == "done" else made).append(site.row.node)
    return Outcome(made, kept, out / "labels.pdf")


def _one(site: Site, out: Path, base: StockBase, work: _Work) -> tuple[ImageManifest, bool]:
    """Finish one site. Returns whether anything had to be done."""
    common, progress = work.common, work.progress
    image = out / f"{site.slug}.img"
    journal = load_journal(out, site.row.node)
    if journal is None or (site.row.token and site.row.token != journal.token) or expired(journal):
        progress("asking the hub for a token", 0, 0)
        journal = _token(site, work.hub, common)
        note(out, journal)
    who = person_of(common, site.row, site.config_text, journal.token)
    inputs = _inputs(who, base, common)
    whole = journal.state != "token" and journal.inputs == inputs and _whole(image)
    if whole and journal.state == "done":
        return load_built(image)[0], False
    if not whole:
        build(base.plain(), image, who, common.wheels, progress)
        journal = msgspec.structs.replace(journal, state="image", inputs=inputs)
        note(out, journal)
    manifest = load_built(image)[0]
    replace_file(image.with_suffix(".png"), label_png(manifest))
    note(out, msgspec.structs.replace(journal, state="done"))
    return manifest, True


def _whole(image: Path) -> bool:
    try:
        return image.stat().st_size == load_built(image)[0].size
    except (OSError, ImageError):
        return False


def _inputs(who: Personality, base: StockBase, common: Common) -> str:
    wheels = [p.read_bytes() for p in sorted(common.wheels.glob("cp*/wheels.json"))]
    parts = [who.config_text.encode(), who.root, who.hub_ca or b"", (who.ssh_key or "").encode()]
    parts += [
        (who.network.text if who.network else "").encode(),
        (who.site or "").encode(),
        base.sha256.encode(),
        *wheels,
    ]
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


def _token(site: Site, hub: Hub, common: Common) -> SiteJournal:
    """The row's own token, or a new one of the hub, bound to this node."""
    node = site.row.node
    if site.row.token:
        return SiteJournal(node=node, state="token", token=site.row.token)
    url = hub.url or person_of(common, site.row, site.config_text, UNKNOWN_TOKEN).hub
    request = encode(TokenRequest(node=node, site=site.row.site, ttl_s=hub.ttl_s))
    address = reachable(url)
    way = route(address)
    try:
        trust: ssl.SSLContext | None = None
        if common.files.hub_ca is not None and address.secure:
            trust = ssl.create_default_context(cadata=common.files.hub_ca.decode("ascii", "ignore"))
        with client(address, timeout_s=15.0, verify=trust, headers=bearer(hub.operator_token)) as http:
            answer = http.post("/api/v1/tokens", content=request)
    except TokenError as exc:
        raise ProvisionError(str(exc)) from exc
    except (TrustError, ssl.SSLError) as exc:
        raise ProvisionError(f"{address.url}: {exc}. The same command goes on from here") from exc
    except FAULTS as exc:
        why = failure(exc, address, way, "--hub")
        raise ProvisionError(
            f"the hub at {address.url} does not answer: {why}. The same command goes on from here"
        ) from exc
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


@contextlib.contextmanager
def _alone(out: Path) -> Iterator[None]:
    """One run per folder: the lock is the kernel's and dies with its process."""
    out.mkdir(parents=True, exist_ok=True)
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
