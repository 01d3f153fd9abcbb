"""What a feeding system says of one datastream, and why it may not be taken."""

from __future__ import annotations

from typing import NamedTuple

from wayside.edge.errors import EdgeError


class EntryRefused(EdgeError):  # noqa: N818
    """An entry that this node cannot take: its datastream, value or time.

    Attributes:
        passes: the same entry can be taken later.
    """

    def __init__(self, why: str, *, passes: bool = False) -> None:
        super().__init__(why)
        self.passes = passes


class Entry(NamedTuple):
    """Times are Unix milliseconds. No ``value``: a sign of life.

    Of events and a gauge ``from_ms`` says when, None: now; totals have the ``to_ms`` of their interval, too. ``id``
    tells an event from its repetition.
    """

    datastream: str
    value: float | None
    from_ms: int | None = None
    to_ms: int | None = None
    id: str | None = None
