"""The fleet's TUF repository on disk: takes what the offline keys signed, signs snapshot and timestamp itself.

Layout under ``<data>/tuf`` (TUF specification 1.0.34, §5–6, consistent snapshots)::

    online.key                              the hub's Ed25519 key, 0600: snapshot and timestamp only
    metadata/N.root.json N.targets.json N.models.json N.snapshot.json timestamp.json
    targets/models/<sha256>.<name>          published
    staged/<name>                           uploaded, not yet named by signed metadata

Snapshot and timestamp are numbered by the time of their signature (seconds since 1970, or one more than the last), and
signed anew at each start: whatever copy of itself a hub is restored from, nodes have seen no higher number. The
snapshot names targets and models by hash, too: what is published again under a number that nodes know is fetched anew.

Nothing here is trusted for being on disk: a new role is accepted when the role above it verifies it, its version is
the next, and every file it names is here. Files are written beside and renamed, the timestamp last: a crash leaves
the old repository or the new one, and :meth:`TufRepository.refresh` at the start completes what was interrupted.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
import hashlib
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from securesystemslib.signer import CryptoSigner  # type: ignore[attr-defined]
from tuf.api.exceptions import RepositoryError, UnsignedMetadataError
from tuf.api.metadata import (  # type: ignore[attr-defined]
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)

from wayside.cloud.hub.bundles import read_passport
from wayside.cloud.hub.errors import ConflictError, ContractBrokenError, NotFoundError
from wayside.cloud.hub.online_key import KEY_FILE, online_key
from wayside.contracts.hub_api import OnlineKey
from wayside.contracts.passport import Passport
from wayside.durable import rename, replace_file

DELEGATED = "models"
SNAPSHOT_LIFE = dt.timedelta(days=7)
TIMESTAMP_LIFE = dt.timedelta(days=1)
KEPT_SNAPSHOTS = 8  # a node that has the timestamp of just now may still fetch the snapshot that it names
STAGED_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,95}")
METADATA_NAME = re.compile(r"(?:[1-9][0-9]{0,9}\.(?:root|targets|models|snapshot)|timestamp)\.json")
TARGET_NAME = re.compile(r"models/[0-9a-f]{64}\.[A-Za-z0-9][A-Za-z0-9_.-]{0,95}")
MAX_METADATA_BYTES = 2_000_000


def discard_uploads(data: Path) -> None:
    """Remove what uploads left that a crash cut short. While no process of the hub runs: it may be one's upload."""
    for left in (data / "tuf" / "staged").glob("*.part"):
        left.unlink(missing_ok=True)


class TufRepository:
    """Blocking; safe to call from several threads, and for several processes over one folder."""

    def __init__(self, data: Path, now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC)) -> None:
        """Raises ConfigurationError: the online key is missing or not an Ed25519 key."""
        home = data / "tuf"
        self.metadata_dir = home / "metadata"
        self.targets_dir = home / "targets"
        self.staged_dir = home / "staged"
        self._now = now
        self._lock = threading.Lock()
        for folder in (self.metadata_dir, self.targets_dir / DELEGATED, self.staged_dir):
            folder.mkdir(parents=True, exist_ok=True)
        self._signer = CryptoSigner(online_key(home / KEY_FILE))
        self._read: tuple[int, int] | None = None
        self._load()

    def _load(self) -> None:
        """Learn what is on disk, where another process of the hub has changed it: each change writes the timestamp."""
        with contextlib.suppress(FileNotFoundError):  # nothing is published
            there = (self.metadata_dir / "timestamp.json").stat()
            if self._read == (there.st_ino, there.st_mtime_ns):
                return
            self._read = (there.st_ino, there.st_mtime_ns)
        self._root = self._newest("root", Root)
        self._targets = self._newest("targets", Targets)
        self._models = self._newest(DELEGATED, Targets)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else changes the repository meanwhile, in no process; what others changed is known."""
        with self._lock, (self.metadata_dir.parent / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._read = None  # also what a crash left without a new timestamp
            self._load()
            yield

    @property
    def online_key(self) -> OnlineKey:
        key = self._signer.public_key
        return OnlineKey(keyid=key.keyid, keytype=key.keytype, scheme=key.scheme, public=str(key.keyval["public"]))

    @property
    def published(self) -> dict[str, TargetFile]:
        self._load()
        return dict(self._models.signed.targets) if self._models else {}

    def check_published(self, target: str, bundle: str, version: str) -> None:
        """Raises ConflictError: the signed metadata does not name ``target``, or says it is something else."""
        file = self.published.get(target)
        if file is None:
            raise _not_published(target)
        custom = file.unrecognized_fields.get("custom") or {}
        signed = {"bundle": custom.get("bundle", bundle), "version": custom.get("version", version)}
        if signed != {"bundle": bundle, "version": version}:
            raise ConflictError("not_that_version", f"{target} is signed as {signed['bundle']} {signed['version']}")

    def find(self, bundle: str, version: str) -> str | None:
        """The published target that is signed as this version of this bundle."""
        for path, target in self.published.items():
            custom = target.unrecognized_fields.get("custom") or {}
            if (custom.get("bundle"), custom.get("version")) == (bundle, version):
                return path
        return None

    def passport(self, target: str) -> Passport:
        """What a published bundle is.

        Raises:
            ConflictError: not published, not a bundle, or not what the signed metadata says.
        """
        signed = self.published.get(target)
        if signed is None:
            raise _not_published(target)
        folder, _, name = target.rpartition("/")
        passport = read_passport(self.targets_dir / folder / f"{signed.hashes['sha256']}.{name}")
        self.check_published(target, passport.bundle, passport.version)
        return passport

    def staged_file(self, name: str) -> Path:
        """Where an uploaded file waits.

        Raises:
            ContractBrokenError: not a plain file name.
        """
        if not STAGED_NAME.fullmatch(name) or name.endswith(".part"):
            raise ContractBrokenError("name", "is 1 to 96 of letters, digits and _ . -", "name")
        return self.staged_dir / name

    def publish(self, role: str, data: bytes) -> int:
        """Take signed metadata of ``root``, ``targets`` or ``models``. The same bytes again change nothing.

        Returns:
            Its version.

        Raises:
            ContractBrokenError: not metadata of this role.
            ConflictError: signatures, version, expiry, order or files do not allow it.
        """
        with self._alone():
            if role == "root":
                self._take_root(data)
            elif role == "targets":
                self._take_targets(data)
            else:
                self._take_models(data)
            self._refresh(force=True)
            return self.versions[role]

    @property
    def versions(self) -> dict[str, int]:
        """Of the roles that operators sign, as far as they are published."""
        self._load()
        signed = (("root", self._root), ("targets", self._targets), (DELEGATED, self._models))
        return {role: metadata.signed.version for role, metadata in signed if metadata is not None}

    def expiries(self) -> dict[str, dt.datetime]:
        """When each role that is published expires."""
        self._load()
        signed = (("root", self._root), ("targets", self._targets), (DELEGATED, self._models))
        mine = (("snapshot", self._newest("snapshot", Snapshot)), ("timestamp", self._timestamp()))
        return {role: metadata.signed.expires for role, metadata in (*signed, *mine) if metadata is not None}

    def refresh(self, *, anew: bool = False) -> bool:
        """Sign snapshot and timestamp where needed: changed roles, half their life is over, or ``anew``."""
        with self._alone():
            return self._refresh(force=anew, anew=anew)

    def metadata_file(self, name: str) -> Path:
        """Raises NotFoundError."""
        return _existing(self.metadata_dir, name, METADATA_NAME)

    def target_file(self, path: str) -> Path:
        """Raises NotFoundError."""
        return _existing(self.targets_dir, path, TARGET_NAME)

    # --- what comes in -------------------------------------------------------------------------

    def _take_root(self, data: bytes) -> None:
        new = _parse(data, Root)
        if self._is_repeated("root", self._root, new, data):
            return
        for above in (self._root, new):  # the new root by the threshold of the old one and by its own
            if above is not None:
                _verify(above.signed, "root", new)
        for role in ("snapshot", "timestamp"):
            if self._signer.public_key.keyid not in new.signed.roles[role].keyids:
                raise ConflictError("online_key", f"the root does not give {role} to this hub's online key")
        if not new.signed.consistent_snapshot:
            raise ConflictError("consistent_snapshot", "the root asks for no consistent snapshots; nodes need them")
        if self._targets is not None:
            _verify(new.signed, "targets", self._targets)
        self._store("root", new, data)
        self._root = new

    def _take_targets(self, data: bytes) -> None:
        new = _parse(data, Targets)
        if self._is_repeated("targets", self._targets, new, data):
            return
        if self._root is None:
            raise ConflictError("order", "the root comes first, then targets, then models")
        _verify(self._root.signed, "targets", new)
        delegations = new.signed.delegations
        if delegations is None or DELEGATED not in (delegations.roles or {}):
            raise ConflictError("delegation", f"targets delegates nothing to {DELEGATED!r}")
        if new.signed.targets:
            raise ConflictError("delegation", f"targets names files itself; here only {DELEGATED!r} does")
        if self._models is not None:
            _verify(new.signed, DELEGATED, self._models)
        self._store("targets", new, data)
        self._targets = new

    def _take_models(self, data: bytes) -> None:
        new = _parse(data, Targets)
        if self._is_repeated(DELEGATED, self._models, new, data):
            return
        if self._targets is None:
            raise ConflictError("order", "the root comes first, then targets, then models")
        _verify(self._targets.signed, DELEGATED, new)
        moves = [self._place(path, target) for path, target in new.signed.targets.items()]
        for staged, published in moves:
            if staged is not None:
                published.parent.mkdir(parents=True, exist_ok=True)
                rename(staged, published)
        self._store(DELEGATED, new, data)
        self._models = new

    def _place(self, path: str, target: TargetFile) -> tuple[Path | None, Path]:
        """Where the target's file is now (None: in place) and where it belongs."""
        sha256 = target.hashes.get("sha256", "")
        folder, _, name = path.rpartition("/")
        place = f"{folder}/{sha256}.{name}"
        if not TARGET_NAME.fullmatch(place):
            raise ConflictError("target_path", f"{path!r} is not models/NAME with a sha256", path)
        published = self.targets_dir / place
        for file, candidate in ((None, published), (self.staged_dir / name, self.staged_dir / name)):
            if candidate.is_file() and candidate.stat().st_size == target.length and _sha256(candidate) == sha256:
                return file, published
        raise ConflictError(
            "missing_file", f"{path} with hash {sha256[:12]}… and {target.length} bytes is not here", path
        )

    def _is_repeated(self, role: str, old: Metadata[Any] | None, new: Metadata[Any], data: bytes) -> bool:
        if old is None:
            if role != "root" and new.signed.version != 1:
                raise ConflictError("version", f"the first version of {role} is 1, not {new.signed.version}")
        elif new.signed.version == old.signed.version and self._path(role, old).read_bytes() == data:
            return True
        elif new.signed.version != old.signed.version + 1:
            raise ConflictError("version", f"{role} is {old.signed.version}: the next is {old.signed.version + 1}")
        if new.signed.is_expired(self._now()):
            raise ConflictError("expired", f"this {role} has expired already ({new.signed.expires:%Y-%m-%d})")
        return False

    # --- what the hub signs --------------------------------------------------------------------

    def _refresh(self, *, force: bool, anew: bool = False) -> bool:
        if self._root is None or self._targets is None or self._models is None:
            return False
        now = self._now().replace(microsecond=0)
        snapshot, timestamp = self._newest("snapshot", Snapshot), self._timestamp()
        meta = {f"{role}.json": self._named(role, metadata) for role, metadata in self._roles()}
        stale = anew or snapshot is None or snapshot.signed.meta != meta or not self._ours("snapshot", snapshot)
        if snapshot is None or stale or snapshot.signed.expires - now < SNAPSHOT_LIFE / 2:
            version = self._next(snapshot)
            snapshot = Metadata(Snapshot(version=version, expires=now + SNAPSHOT_LIFE, meta=meta))
            self._sign("snapshot", snapshot)
            self._store("snapshot", snapshot, snapshot.to_bytes())
        elif (
            timestamp is not None
            and timestamp.signed.snapshot_meta.version == snapshot.signed.version
            and timestamp.signed.expires - now > TIMESTAMP_LIFE / 2
            and self._ours("timestamp", timestamp)
            and not force
        ):
            return False
        fresh = Metadata(
            Timestamp(
                version=self._next(timestamp),
                expires=now + TIMESTAMP_LIFE,
                snapshot_meta=MetaFile(version=snapshot.signed.version),
            )
        )
        self._sign("timestamp", fresh)
        replace_file(self.metadata_dir / "timestamp.json", fresh.to_bytes())
        for old in self._versions("snapshot")[:-KEPT_SNAPSHOTS]:
            (self.metadata_dir / f"{old}.snapshot.json").unlink(missing_ok=True)
        return True

    def _next(self, last: Metadata[Any] | None) -> int:
        return max(int(self._now().timestamp()), last.signed.version + 1 if last else 1)

    def _named(self, role: str, metadata: Metadata[Any]) -> MetaFile:
        content = self._path(role, metadata).read_bytes()
        hashes = {"sha256": hashlib.sha256(content).hexdigest()}
        return MetaFile(version=metadata.signed.version, length=len(content), hashes=hashes)

    def _roles(self) -> list[tuple[str, Metadata[Targets]]]:
        return [(r, m) for r, m in (("targets", self._targets), (DELEGATED, self._models)) if m is not None]

    def _ours(self, role: str, metadata: Metadata[Any]) -> bool:
        """Whether the present root still accepts it: the online key may have been rotated."""
        try:
            _verify(self._root.signed if self._root else Root(), role, metadata)
        except ConflictError:
            return False
        return True

    def _sign(self, role: str, metadata: Metadata[Any]) -> None:
        metadata.sign(self._signer)
        if not self._ours(role, metadata):
            raise ConflictError("online_key", f"the root no longer accepts this hub's key for {role}")

    # --- files ---------------------------------------------------------------------------------

    def _path(self, role: str, metadata: Metadata[Any]) -> Path:
        return self.metadata_dir / f"{metadata.signed.version}.{role}.json"

    def _store(self, role: str, metadata: Metadata[Any], data: bytes) -> None:
        replace_file(self._path(role, metadata), data)

    def _newest(self, role: str, kind: type[Any]) -> Metadata[Any] | None:
        versions = self._versions(role)
        return _parse((self.metadata_dir / f"{versions[-1]}.{role}.json").read_bytes(), kind) if versions else None

    def _versions(self, role: str) -> list[int]:
        """Rising."""
        return sorted(int(f.name.split(".")[0]) for f in self.metadata_dir.glob(f"[1-9]*.{role}.json"))

    def _timestamp(self) -> Metadata[Timestamp] | None:
        file = self.metadata_dir / "timestamp.json"
        return _parse(file.read_bytes(), Timestamp) if file.exists() else None


def _not_published(target: str) -> ConflictError:
    return ConflictError("not_published", f"{target} is not published: `wayside release publish` it first")


def _existing(folder: Path, name: str, pattern: re.Pattern[str]) -> Path:
    if not pattern.fullmatch(name) or not (file := folder / name).is_file():
        raise NotFoundError("file", "there is no such file in the repository")
    return file


def _parse(data: bytes, kind: type[Any]) -> Metadata[Any]:
    try:
        metadata: Metadata[Any] = Metadata.from_bytes(data)
    except (RepositoryError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as exc:
        raise ContractBrokenError("metadata", f"is not signed TUF metadata: {exc}", "$") from exc
    if not isinstance(metadata.signed, kind):
        raise ContractBrokenError("metadata", f"is {metadata.signed.type!r}, not {kind.type!r}", "signed._type")
    return metadata


def _verify(above: Root | Targets, role: str, metadata: Metadata[Any]) -> None:
    try:
        above.verify_delegate(role, metadata.signed_bytes, metadata.signatures)
    except (UnsignedMetadataError, ValueError) as exc:
        raise ConflictError("signatures", f"{role} {metadata.signed.version}: {exc}") from exc


def _sha256(file: Path) -> str:
    with file.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()
