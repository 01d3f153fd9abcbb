"""How far each site of a folder has come: one file each, written whole after every step."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from wayside.contracts.hub_api import TokenText
from wayside.contracts.reading import Name
from wayside.contracts.wire import ContractError, Document, decode, encode, wire_field
from wayside.durable import replace_file
from wayside.firmware_bridge.errors import ProvisionError
from wayside.firmware_bridge.image.seed import hostname
from wayside.firmware_bridge.image.wheels import Sha256
from wayside.text import read_file

UnixMs = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class SiteJournal(Document, frozen=True, kw_only=True):
    """How far a site has come. ``inputs`` is the fingerprint of what its image was made from."""

    wire: int = wire_field()
    node: Name
    state: Literal["token", "image", "done"]
    token: TokenText
    expires_ms: UnixMs | None = None
    inputs: Sha256 | None = None


def journal_path(out: Path, node: str) -> Path:
    return out / "journal" / f"{hostname(node)}.json"


def load_journal(out: Path, node: str) -> SiteJournal | None:
    """What is written down of ``node``; None: nothing yet.

    Raises:
        ProvisionError: it is damaged, or another node's.
    """
    path = journal_path(out, node)
    try:
        journal = decode(read_file(path), SiteJournal)
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise ProvisionError(f"{path}: {exc.strerror}; use another folder with --out") from exc
    except ContractError as exc:
        raise ProvisionError(f"{path} is damaged ({exc}): remove it to give this site a new token") from exc
    if journal.node != node:
        raise ProvisionError(f"{path} is of node {journal.node}, not {node}: use another folder for another list")
    return journal


def note(out: Path, journal: SiteJournal) -> None:
    replace_file(journal_path(out, journal.node), encode(journal), mode=0o600)


def expired(journal: SiteJournal) -> bool:
    """Whether the token expired before an image with it was made."""
    return journal.state == "token" and journal.expires_ms is not None and journal.expires_ms < time.time() * 1000
