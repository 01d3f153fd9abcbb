"""Commissioning records on their way to the hub: files that wait, one for each record, and what became of them."""

from __future__ import annotations

import contextlib
from pathlib import Path

import structlog

from wayside.contracts.commissioning import SignedCommissioning
from wayside.contracts.wire import ContractError, decode
from wayside.durable import rename
from wayside.edge.hub_client import HubClient, HubRefused
from wayside.text import read_file

FOLDER = "commissioning"
WAITING, SENT, REFUSED = ".json", ".sent", ".refused"
FINAL = (403, 409, 413, 422)
"""Answers of the hub that no repetition changes."""
PUT_BACK = ("key_revoked", "node_retired")
"""But these: people may let this computer in again."""
log = structlog.get_logger(__name__)


def waiting(state_dir: Path) -> list[Path]:
    """The records that the hub has not answered yet, by name."""
    return sorted((state_dir / FOLDER).glob(f"*{WAITING}"))


async def hand_in(client: HubClient, state_dir: Path) -> int:
    """Send what waits; each file is renamed to ``.sent`` when its record is on disk at the hub, or to ``.refused``.

    May be cut off at any moment and repeated: the hub takes a record once.

    Returns:
        How many were taken.

    Raises:
        HubUnreachable, HubRefused: not now; what was not answered waits on.
        OSError: the folder cannot be read or written.
    """
    taken = 0
    for path in waiting(state_dir):
        try:
            signed = decode(read_file(path), SignedCommissioning)
            await client.commission(signed)
        except ContractError as exc:
            log.error("no commissioning record", file=str(path), error=str(exc))
            _become(path, REFUSED)
        except HubRefused as exc:
            if exc.status not in FINAL or exc.code in PUT_BACK:
                raise
            log.error("commissioning record refused", file=str(path), error=str(exc))
            _become(path, REFUSED)
        except FileNotFoundError:  # somebody else handed it in
            continue
        else:
            log.info("commissioning record handed in", file=path.name)
            _become(path, SENT)
            taken += 1
    return taken


def _become(path: Path, suffix: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        rename(path, path.with_suffix(suffix))
