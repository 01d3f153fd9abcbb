"""What stands on a card beside the node's configuration, each file read with its own reader before a card is made."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar

from wayside.firmware_bridge.errors import ImageError, ProvisionError
from wayside.firmware_bridge.image import credentials
from wayside.firmware_bridge.image.network import Network, read_network
from wayside.text import TextError, decode_unicode, read_file

MAX_BYTES = 1 << 20  # of a file that a person writes or copies
_T = TypeVar("_T")


class CardFiles(NamedTuple):
    """The files of one card, or of all cards of a run."""

    root: bytes | None  # None: it could not be read, or is none
    hub_ca: bytes | None = None
    ssh_key: str | None = None
    network: Network | None = None
    hints: tuple[str, ...] = ()  # what works and should be known
    wrong: tuple[str, ...] = ()  # what cannot be used, a sentence each


def read_card_files(
    root: Path, hub_ca: Path | None = None, ssh_key: Path | None = None, network_config: Path | None = None
) -> CardFiles:
    """Read every file that a person named, whichever of them is wrong."""
    wrong: list[str] = []
    hints: list[str] = []
    files = CardFiles(None)
    with noted(wrong):
        trust = of_file("--root", root, credentials.root_of)
        files = files._replace(root=trust.content)
        hints += trust.hints
    if hub_ca is not None:
        with noted(wrong):
            authority = of_file("--hub-ca", hub_ca, credentials.authority_of)
            files = files._replace(hub_ca=authority.content)
            hints += authority.hints
    if ssh_key is not None:
        with noted(wrong):
            files = files._replace(ssh_key=of_file("--ssh-key", ssh_key, credentials.ssh_key_of))
    if network_config is not None:
        with noted(wrong):
            network = of_file("--network-config", network_config, read_network)
            files = files._replace(network=network)
            hints += [f"--network-config: {hint}" for hint in network.hints]
    return files._replace(hints=tuple(hints), wrong=tuple(wrong))


def of_file(option: str, path: Path, read: Callable[[bytes], _T]) -> _T:
    """What ``read`` makes of the file that ``option`` names. Raises: ImageError: naming both."""
    data = read_named(path, option)
    try:
        return read(data)
    except (ImageError, TextError) as exc:
        raise ImageError(f"{option} {path}: {exc}") from exc


@contextlib.contextmanager
def noted(mistakes: list[str]) -> Iterator[None]:
    """What cannot be used inside is written down in ``mistakes``, so that the next thing is looked at, too."""
    try:
        yield
    except (ImageError, ProvisionError) as exc:
        mistakes.append(str(exc))


def read_named(path: Path, what: str, limit: int = MAX_BYTES) -> bytes:
    """A small file that a person named; ``what`` is the option, or what the file is.

    Raises:
        ImageError: unreadable, no file, or far too large to be it.
    """
    try:
        return read_file(path, limit)
    except OSError as exc:
        raise ImageError(f"{what}: cannot read {path}: {exc.strerror}; name the right file") from exc


def read_named_text(path: Path, what: str, limit: int = MAX_BYTES) -> str:
    """The same, of text in UTF-8, or in UTF-16 with its mark; its lines end in ``\\n``.

    Raises:
        ImageError: as :func:`read_named`, or it is no such text.
    """
    try:
        return decode_unicode(read_named(path, what, limit)).replace("\r\n", "\n")
    except TextError as exc:
        raise ImageError(f"{what} {path}: {exc}") from exc
