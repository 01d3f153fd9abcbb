"""Where bundles lie below a node's state directory.

``model/tuf/`` holds the trust metadata, which all bundles share; ``model/<bundle>/`` the slot pair of one bundle, its
report and what it refused. Earlier versions had one slot pair, in ``model/`` itself.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import structlog
from msgspec import Meta, MsgspecError, Struct, json

from wayside.contracts.passport import MAX_BUNDLE_BYTES
from wayside.contracts.sync import Reported, Trusted
from wayside.contracts.wire import ContractError, decode
from wayside.durable import remove, rename, sync_folder
from wayside.edge.trusted_bundle import BundleRefused, open_bundle
from wayside.edge.update.slots import NAMES
from wayside.edge.update.trial import MARK
from wayside.text import read_file

REPORT, INCOMING = "reported.json", "incoming.bundle"
_TAKEN = ("tuf", REPORT, INCOMING, MARK, *(f"{name}.{suffix}" for name in NAMES for suffix in ("bundle", "json")))
"""Names in ``model/`` that were or are something else than a bundle's folder."""
log = structlog.get_logger(__name__)


def tuf_folder(state_dir: Path) -> Path:
    return state_dir / "model" / "tuf"


class TrustedMetadata:
    """Which versions of the signed metadata this node has verified; read again only where they have changed."""

    def __init__(self, state_dir: Path) -> None:
        self._folder = tuf_folder(state_dir)
        self._read: tuple[tuple[int, ...], Trusted | None] = ((), None)

    def versions(self) -> Trusted | None:
        """None: none yet, or they cannot be read; the next download begins with the pinned root then."""
        files = [self._folder / "root.json", self._folder / "snapshot.json"]
        try:
            changed = tuple(file.stat().st_mtime_ns for file in files)
            if changed != self._read[0]:
                self._read = changed, self._decoded(*(json.decode(read_file(file), type=_Signed) for file in files))
        except (OSError, MsgspecError):
            return None
        return self._read[1]

    @staticmethod
    def _decoded(root: _Signed, snapshot: _Signed) -> Trusted:
        named = {name: meta.version for name, meta in snapshot.signed.meta.items()}
        return Trusted(
            root=root.signed.version, targets=named.get("targets.json", 0), models=named.get("models.json", 0)
        )


class _Meta(Struct):
    version: Annotated[int, Meta(ge=0, le=2**53)]


class _Role(Struct):
    version: Annotated[int, Meta(ge=0, le=2**53)]
    meta: dict[str, _Meta] = {}


class _Signed(Struct):
    signed: _Role


def bundle_folder(state_dir: Path, bundle: str) -> Path:
    name = quote(bundle, safe="")  # it may have slashes
    if name in _TAKEN:
        name = f"%{ord(name[0]):02X}{name[1:]}"
    return state_dir / "model" / name


def slots_folder(state_dir: Path, bundle: str) -> Path:
    """Of ``bundle``'s slots, for those who only look: also before the agent has moved those of an earlier version."""
    folder, old = bundle_folder(state_dir, bundle), state_dir / "model"
    moved = folder.is_dir() or not any((old / f"{name}.json").exists() for name in NAMES)
    return folder if moved else old


def make_folder(folder: Path) -> None:
    """Make ``folder`` and those above it, durably.

    Raises:
        OSError: as mkdir(2).
    """
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def move_in(state_dir: Path, first: str | None) -> None:
    """Bring the one slot pair of earlier versions to the folders of the bundles that are in it.

    May be cut off at any operation and repeated: the record goes first, since the bundle itself says where it goes,
    and the report, which says where an unreadable one goes, goes last.

    Args:
        first: the bundle of the node's first task; what cannot say whose it is goes there.

    Raises:
        OSError: the disk failed.
    """
    old = state_dir / "model"
    report = old / REPORT
    heir = _bundle_of_report(report) or first
    for name in NAMES:
        content, record = old / f"{name}.bundle", old / f"{name}.json"
        if not (content.exists() or record.exists()):
            continue
        bundle = _bundle_of(content) or heir
        if bundle is None:
            continue
        folder = bundle_folder(state_dir, bundle)
        make_folder(folder)
        for path in (record, content):
            if path.exists():
                rename(path, folder / path.name)
        log.info("slot moved", slot=name, bundle=bundle)
    if heir is not None and report.exists():
        folder = bundle_folder(state_dir, heir)
        make_folder(folder)
        rename(report, folder / REPORT)
    for name in (MARK, INCOMING):
        if (old / name).exists():
            remove(old / name)


def _bundle_of(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return open_bundle(file.read(MAX_BUNDLE_BYTES + 1), agent_version=None).passport.bundle
    except (OSError, BundleRefused):
        return None


def _bundle_of_report(path: Path) -> str | None:
    with contextlib.suppress(OSError, ContractError):
        return decode(path.read_bytes(), Reported).bundle
    return None
