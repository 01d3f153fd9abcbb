"""What an install downloads, and the process of its own that does it.

python-tuf, its signatures and its HTTP take more memory than all of the agent's own code, and are needed for seconds in
months. So the agent lets another process load them, which ends when the bundle is there; what crosses is a request, a
file and an answer. The bytes are believed for what that process says of their hash, and looked at here again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import selectors
import subprocess
import sys
import threading
from pathlib import Path
from typing import Annotated

import msgspec

from wayside.contracts.node_config import HubConfig
from wayside.contracts.passport import Sha256
from wayside.contracts.rollout import Refusal
from wayside.contracts.sync import Desired
from wayside.contracts.wire import ContractError, Document, decode, encode
from wayside.edge.errors import EdgeError
from wayside.edge.trusted_bundle import BundleRefused

POLL_S = 0.2
MAX_REASON = 512  # contracts.sync.Reported.reason
MAX_ANSWER_BYTES = 65_536
PROGRAM = "wayside.edge.update.trusted_download"


class FetchCancelled(EdgeError):  # noqa: N818
    """Somebody else wants it to end: nobody wants the bundle any more, or the agent stops."""


class RefusedBefore(BundleRefused):
    """The same bytes were refused for good, by this software under this configuration."""


class Known(Document, frozen=True, kw_only=True):
    """Bytes that were refused for good."""

    sha256: Sha256
    refusal: Refusal
    reason: str


class Request(Document, frozen=True, kw_only=True):
    """Which bundle, from where, to where. Paths are absolute."""

    desired: Desired
    hub_url: str
    hub: HubConfig | None = None  # how it is reached and verified; None: plain HTTP, as the environment says
    ca_folder: str = ""  # where ``hub.ca`` begins
    root: str  # the pinned trust root
    state_dir: str
    folder: str  # where the bundle is put
    known: tuple[Known, ...] = ()


class Answer(Document, frozen=True, kw_only=True):
    """Of the process: the hash of what it left in the folder, or why it left nothing."""

    sha256: Sha256 | None = None
    refusal: Refusal | None = None
    reason: Annotated[str, msgspec.Meta(max_length=4096)] = ""
    before: bool = False


def in_a_process(request: Request, path: Path, cancel: threading.Event) -> bytes:
    """Have ``request`` carried out by a process of its own, which leaves the bundle at ``path``.

    Raises:
        BundleRefused: as :func:`~wayside.edge.update.trusted_download.download`, or the process ended without a word.
        FetchCancelled: ``cancel`` was set.
        OSError: the disk; or no process can be started.
    """
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    process = subprocess.Popen(
        [sys.executable, "-m", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    )
    try:
        said = _ask(process, encode(request) + b"\n", cancel)
        status = process.wait()
        answer = decode(said, Answer) if said else None
    except ContractError as exc:
        raise BundleRefused(Refusal.DOWNLOAD, f"the process that downloads talks nonsense: {exc}") from exc
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()
    if answer is None:
        raise BundleRefused(
            Refusal.DOWNLOAD, f"the process that downloads ended with status {status}; its log says why"
        )
    if answer.refusal is not None:
        raise (RefusedBefore if answer.before else BundleRefused)(answer.refusal, answer.reason)
    try:
        content = path.read_bytes()
    finally:
        path.unlink(missing_ok=True)
    if hashlib.sha256(content).hexdigest() != answer.sha256:
        raise BundleRefused(Refusal.STORAGE, f"{path} is not what was written there: is the disk dying?")
    return content


def _ask(process: subprocess.Popen[bytes], request: bytes, cancel: threading.Event) -> bytes:
    """Its standard input stays open while it is waited for: the process ends with this one.

    Raises: FetchCancelled.
    """
    assert process.stdin is not None and process.stdout is not None  # noqa: S101
    with contextlib.suppress(BrokenPipeError):  # it has ended: its status says how
        process.stdin.write(request)
        process.stdin.flush()
    said = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while len(said) <= MAX_ANSWER_BYTES:
            if cancel.is_set():
                raise FetchCancelled("cancelled")
            if selector.select(POLL_S):
                part = os.read(process.stdout.fileno(), MAX_ANSWER_BYTES)
                if not part:
                    break
                said += part
    return bytes(said)
