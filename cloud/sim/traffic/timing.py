"""The timing rule: what an actuated board is told of a phase, from its lanes alone and for every intersection the same.

Quantities and ranges are those of the FHWA Signal Timing Manual (FHWA-HOP-08-024), chapter 5; ADR 0031 says what was
chosen and what it costs. Times are seconds, whole tenths.
"""

from __future__ import annotations

import math
from typing import NamedTuple


class TimingRule(NamedTuple):
    yellow_s: float = 3.0
    min_green_s: float = 5.0
    passage_s: tuple[float, ...] = (2.5, 2.0, 1.5)
    """by the lanes that extend a phase, the last for all more: 5.4.1 has 1 to 4 s. In one lane vehicles leave a
    queue about 2 s apart; the more lanes there are, the less likely is a gap in all of them at once"""
    call_delay_s: float = 8.0
    """6.2.2: of a phase all of whose movements also go, yielding, in another one: most of them find a gap before"""
    blocked_s: float = 25.0
    """so long somebody stands at the stop line of a shared lane before its protected left is called"""
    max_share: float = 1.5
    """5.4.2: the maximum is 1.25 to 1.5 times the green of the fixed-time plan"""
    max_green_s: tuple[float, float] = (15.0, 60.0)
    """… within these: table 5-6 has 15 to 30 s for left turns, 30 to 60 s for through movements"""
    chatter: int = 38
    stuck_s: int = 300
    """of a detector: rising edges in 30 s, and how long one car may stand on it"""
    walk_s: float = 7.0
    """5.3.3"""
    walking_m_s: float = 1.2
    stop_line_m: float = 3.0
    """a driver who waits 1 m behind the line would miss a loop that lies there"""
    middle_m: float = 28.0
    advance_m: float = 120.0
    apart_m: float = 15.0
    """loops that would lie closer to the one before them are left out"""

    def passage(self, lanes: int) -> float:
        return self.passage_s[min(max(lanes, 1), len(self.passage_s)) - 1]

    def maximum(self, green_s: float, pedestrians_s: float = 0.0) -> float:
        low, high = self.max_green_s
        return max(min(max(self.max_share * green_s, low), high), green_s, pedestrians_s)

    def clearance(self, crossing_m: float) -> float:
        """Of a pedestrian who leaves the kerb as walk ends."""
        return math.ceil(crossing_m / self.walking_m_s * 2) / 2


RULE = TimingRule()
