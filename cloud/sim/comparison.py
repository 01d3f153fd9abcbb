"""What a simulation found: each control beside the others, over months and in sum. Also what ``--json`` prints."""

from __future__ import annotations

from wayside.contracts.wire import Document, wire_field

NONE, POLICY, BEST = "no policy", "policy", "best possible"
PERSISTENT, FORETOLD, SHUFFLED = (
    "policy, newest value as forecast",
    "policy, perfect forecast",
    "policy, shuffled forecasts",
)


class Line(Document, frozen=True, kw_only=True):
    """One control. ``capture``: the share of what the best possible gains over no policy; 1 is perfect, below 0 is
    worse than nothing."""

    control: str
    capture: float | None  # None: nothing could be gained
    totals: dict[str, float]
    months: dict[str, float | None]  # "2013-11 Dongsi" → capture
    verdicts: dict[str, int] = {}  # of the guard, for controls that ask it


class Comparison(Document, frozen=True, kw_only=True):
    wire: int = wire_field()
    title: str
    model: str
    generated: bool  # the data are made up
    sites: tuple[str, ...]
    months: tuple[str, ...]
    assumptions: tuple[str, ...]
    lines: tuple[Line, ...]

    def line(self, control: str) -> Line:
        return next(line for line in self.lines if line.control == control)


def capture(gained: float, best: float) -> float | None:
    """The share of ``best``; None where there was nothing to gain."""
    return gained / best if best > 1e-9 else None
