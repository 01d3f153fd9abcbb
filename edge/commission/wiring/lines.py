"""A wiring check as lines on a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from wayside.contracts.commissioning import WiringCheck
from wayside.edge.commission.wiring.verdict import next_step


def wiring_lines(check: WiringCheck) -> Iterator[str]:
    """A table, and what to do next."""
    ended = ", ended early" if check.partial else ""
    yield f"  wiring   {check.seconds / 60:.0f} min of events from a {check.source}{ended}"
    for row in check.channels:
        seen = "/".join(str(p) for p in row.seen_phases) or "-"
        remark = f": {row.said}" if row.said else ""
        yield (
            f"  {row.verdict:<9} channel {row.channel:>3}  phase {row.phase} {row.function:<9} seen {seen} "
            f"{row.seen_function or '-'} ({row.vehicles} veh){remark}"
        )
    yield f"  {next_step(check)}"
