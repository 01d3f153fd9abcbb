"""When to ask again: exponential back-off with full jitter.

Full jitter spreads a fleet that lost its hub at one instant evenly over the window (M. Brooker, *Exponential Backoff
and Jitter*, AWS Architecture Blog, 2015); also at the cap, where a clamped jitter would march in step.
"""

from __future__ import annotations

import random


def full_jitter(attempt: int, base_s: float, cap_s: float, draw: random.Random) -> float:
    """Seconds to wait before try number ``attempt`` (0 is the first repetition): uniform in 0 … min(cap, base·2ⁿ)."""
    return draw.uniform(0.0, min(cap_s, base_s * 2.0 ** min(attempt, 32)))
