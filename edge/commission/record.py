"""The record of a commissioning on the node: how far a walk is, the signed record at its end, and reading it again.

``STATE_DIR/commissioning/`` holds one file a record, ``ID.json`` until the hub has it, and one ``WALK.walk`` for each
walk that is not at its end. A walk is named by the configuration and the sensors that it is about: another
configuration is another walk. Each file appears whole or not at all.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from wayside.contracts.commissioning import (
    MAX_RECORD_BYTES,
    CommissioningRecord,
    SensorCheck,
    SignedCommissioning,
    WiringCheck,
    commissioning_input,
)
from wayside.contracts.node_config import NodeConfig
from wayside.contracts.reading import Stamp
from wayside.contracts.sync import Board, Key, Label
from wayside.contracts.wire import ContractError, Document, decode, encode, from_builtins, wire_field
from wayside.durable import replace_file
from wayside.edge.clock import DRIFT_PPM, open_clock, stamp
from wayside.edge.doctor.running import running_agent
from wayside.edge.errors import EdgeError
from wayside.edge.identity import KEY_FILE, Identity, load_or_create
from wayside.text import read_file

FOLDER = "commissioning"
BOOT = secrets.token_hex(16)  # of this program: what Stamp calls a boot


class CommissionError(EdgeError):
    """The walk cannot begin or go on; what was walked before is kept."""


class Progress(Document, frozen=True, kw_only=True):
    """An unfinished walk; ``sensors`` are those that have an outcome."""

    wire: int = wire_field()
    id: str  # of the record that it becomes
    by: Label
    site: Label | None = None
    started: Stamp
    config_sha256: Key
    board: Board | None = None
    sensors: tuple[SensorCheck, ...] = ()
    wiring: WiringCheck | None = None


class LoadedRecord(NamedTuple):
    """A record read from the node; ``trouble`` says why it must not be trusted."""

    path: Path
    signed: SignedCommissioning | None
    record: CommissioningRecord | None
    trouble: str | None = None

    @property
    def state(self) -> str:
        """How far it is on its way to the hub, as a sentence."""
        if self.trouble is not None:
            return f"DO NOT BELIEVE IT: {self.trouble}"
        there = {".json": "waits for the hub", ".sent": "is at the hub", ".refused": "was refused by the hub"}
        return f"The signature is right; the record {there.get(self.path.suffix, 'lies here')} ({self.path.name})."


class WalkFile:
    """Where a walk of ``names`` under a configuration is kept."""

    def __init__(self, state_dir: Path, config_sha256: str, names: tuple[str, ...]) -> None:
        walk = hashlib.sha256("\n".join((config_sha256, *names)).encode()).hexdigest()[:16]
        self._folder = state_dir / FOLDER
        self._path = self._folder / f"{walk}.walk"

    def load(self) -> Progress | None:
        """The walk that was begun, None if there is none or it was already made a record.

        Raises:
            CommissionError: it cannot be read.
        """
        try:
            progress = decode(read_file(self._path), Progress)
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise CommissionError(f"{self._path}: {exc.strerror}; run as a user who may read it") from exc
        except ContractError:
            return None  # not from this software: begin anew
        if list(self._folder.glob(f"{progress.id}.*")):  # cut off between the record and the end of its walk
            self.remove()
            return None
        return progress

    def save(self, progress: Progress) -> None:
        """Raises: CommissionError."""
        _write(self._path, encode(progress))

    def remove(self) -> None:
        """Raises: CommissionError."""
        try:
            self._path.unlink(missing_ok=True)
        except OSError as exc:
            raise CommissionError(f"{self._path}: {exc.strerror}") from exc


def may_write(state_dir: Path) -> None:
    """Raises: CommissionError: records cannot be written here; better now than after an hour of walking."""
    probe = state_dir / FOLDER / "probe"
    _write(probe, b"")
    probe.unlink(missing_ok=True)


def key_of(state_dir: Path) -> Identity:
    """The key of the node, which its agent has made.

    Raises:
        CommissionError: there is none; IdentityError: it cannot be read.
    """
    try:
        there = (state_dir / KEY_FILE).exists()
    except OSError as exc:
        raise CommissionError(f"{state_dir}: {exc.strerror}; run as the agent's user or with sudo") from exc
    if not there:
        raise CommissionError(
            f"this node has no key in {state_dir}: its agent makes one at its first start. Start it "
            "(`systemctl start wayside-agent`), then commission"
        )
    return load_or_create(state_dir)


def write_record(state_dir: Path, record: CommissioningRecord, identity: Identity) -> Path:
    """Sign ``record`` and keep it for the agent, which hands it in.

    Raises:
        CommissionError: no room, or the folder may not be written; nothing of it is there.
    """
    body = encode(record)
    if len(body) > MAX_RECORD_BYTES:
        raise CommissionError(f"the record has {len(body)} bytes of at most {MAX_RECORD_BYTES}; walk in parts: --only")
    signed = SignedCommissioning(
        record=body.decode(),
        public_key=identity.public_hex,
        signature=base64.b64encode(identity.sign(commissioning_input(body))).decode(),
    )
    path = state_dir / FOLDER / f"{record.id}.json"
    _write(path, encode(signed))
    with contextlib.suppress(OSError):  # an agent that was faster has renamed it
        _make_newest(path)
    return path


def _make_newest(path: Path) -> None:
    """Of the records here the last one written is the newest, also where the clock went back to 1970 before it."""
    newest = max((p.stat().st_mtime_ns for p in _files(path.parent) if p != path), default=0)
    if path.stat().st_mtime_ns <= newest:
        os.utime(path, ns=(newest + 1, newest + 1))


def verified(signed: SignedCommissioning) -> CommissioningRecord:
    """The record, if its signature is that of the key that it names.

    Raises:
        CommissionError: it was changed, or is no record.
    """
    body = signed.record.encode()
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(signed.public_key))
        key.verify(base64.b64decode(signed.signature, validate=True), commissioning_input(body))
        return decode(body, CommissioningRecord)
    except InvalidSignature as exc:
        raise CommissionError("the signature is not of this record: it was changed") from exc
    except (ContractError, ValueError) as exc:
        raise CommissionError(f"this is no record: {exc}") from exc


def records(state_dir: Path) -> Iterator[LoadedRecord]:
    """Every record that is kept here, the newest file last."""
    files = _files(state_dir / FOLDER)
    public = key_of(state_dir).public_hex if files else ""
    for path in sorted(files, key=lambda p: (p.stat().st_mtime_ns, p.name)):
        signed = None
        try:
            signed = decode(read_file(path), SignedCommissioning)
            record = verified(signed)
        except (OSError, ContractError, CommissionError) as exc:
            yield LoadedRecord(path, signed, None, str(exc))
        else:
            other = None if signed.public_key == public else "signed by a key that this node does not have (any more)"
            yield LoadedRecord(path, signed, record, other)


def _files(folder: Path) -> list[Path]:
    return [p for suffix in ("json", "sent", "refused") for p in folder.glob(f"*.{suffix}")]


def now(config: NodeConfig, state_dir: Path) -> Stamp:
    """The time as it is known here: by this computer, or else by the agent that runs on it."""
    clock = open_clock(config.clock)
    here = stamp(clock, BOOT, clock.mono_ns())
    return here if here.wall_ms is not None else _by_agent(here, running_agent(state_dir) or {}) or here


def _by_agent(here: Stamp, agent: Mapping[str, Any]) -> Stamp | None:
    """``here`` on the clock that hub or receiver have set for the agent: both count the kernel's monotonic time."""
    try:
        there = from_builtins(agent.get("at"), Stamp)
    except ContractError:
        return None
    if there.wall_ms is None or there.mono_ns > here.mono_ns:
        return None
    since_ms = (here.mono_ns - there.mono_ns) // 1_000_000
    error_ms = None if there.error_ms is None else there.error_ms + since_ms * DRIFT_PPM // 1_000_000 + 1
    return Stamp(here.boot, here.mono_ns, there.wall_ms + since_ms, there.clock, error_ms)


def _write(path: Path, content: bytes) -> None:
    try:
        owner = path.parents[1].stat()
        for folder in (path.parent,):
            folder.mkdir(exist_ok=True)
        replace_file(path, content)
        if os.geteuid() == 0 and owner.st_uid != 0:  # with sudo: the agent's user must be able to hand it in
            for made in (path, path.parent):
                os.chown(made, owner.st_uid, owner.st_gid)
    except OSError as exc:
        raise CommissionError(
            f"{path.parent}: {exc.strerror}; make room, or run as a user who may write there (sudo)"
        ) from exc
