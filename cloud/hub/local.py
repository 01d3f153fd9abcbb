"""Work on a data directory without a hub: by whoever may read and write it, who is the hub's owner."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa

from wayside.cloud.hub import audit
from wayside.cloud.hub.engine import transaction


@contextlib.contextmanager
def changing(data: Path, database: str | None = None) -> Iterator[sa.Connection]:
    """One transaction; whoever changes something records it (``audit.local()``). The hub may run.

    Raises: as :func:`wayside.cloud.hub.engine.transaction`.
    """
    with transaction(data, database) as connection:
        yield connection
    audit.committed(data, connection)
