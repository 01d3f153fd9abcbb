"""A bundle that lies on disk, read as a node would read it. Without torch: whoever releases has none."""

from __future__ import annotations

from pathlib import Path

from wayside.contracts.passport import MAX_BUNDLE_BYTES
from wayside.edge.trusted_bundle import Bundle, BundleRefused, open_bundle
from wayside.export.errors import BundleError
from wayside.text import read_file


def read_bundle(path: Path) -> tuple[bytes, Bundle]:
    """The file's bytes, and what a node would believe of them.

    Raises:
        BundleError: no file, one that is larger than a node accepts, or one that a node would refuse.
    """
    try:
        content = read_file(path, MAX_BUNDLE_BYTES)
        return content, open_bundle(content, agent_version=None)
    except OSError as exc:
        raise BundleError(f"the bundle {path} cannot be read: {exc.strerror or exc}") from exc
    except BundleRefused as exc:
        raise BundleError(f"{path} would be refused by every node: {exc}; `wayside export` writes a good one") from exc
