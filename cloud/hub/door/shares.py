"""Each node's share of the hub's computing time: what an enrolled node sends costs the others nothing that they notice.

A request is bounded by its size; a node that sends costly ones without a pause is bounded here. What is refused counts
for many times what it took: a node that goes by the contract is refused now and then, and one that does not always.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from wayside.cloud.hub.door.limits import Bucket, Rate
from wayside.cloud.hub.errors import HubError, TooOftenError

SHARE = Rate(burst=2.0, per_s=0.01)  # seconds of one core: two hundred thousand rows at once, then a thousand a second
REFUSED = 20.0  # times what it took


class Shares:
    """The event loop's. Asked only after a node's signature: nobody else can use its share up."""

    def __init__(
        self, clock_s: Callable[[], float] = time.monotonic, cpu_s: Callable[[], float] = time.thread_time
    ) -> None:
        self._clock_s, self._cpu_s = clock_s, cpu_s
        self._left: dict[int, Bucket] = {}

    @contextmanager
    def charged(self, node: int) -> Iterator[None]:
        """What the block computes, without awaiting, is ``node``'s.

        Raises:
            TooOftenError: its share is used up; the block does not run.
        """
        now = self._clock_s()
        bucket = self._left.get(node)
        if bucket is None:
            bucket = self._left[node] = Bucket(SHARE.burst, now)
        if (left := bucket.fill(SHARE, now)) < 0:
            wait = max(1, math.ceil(-left / SHARE.per_s))
            what = "this node has used up its share of the hub's time"
            raise TooOftenError("too_often", f"{what}: come again in {wait} s", retry_s=wait)
        began, weight = self._cpu_s(), 1.0
        try:
            yield
        except HubError:
            weight = REFUSED
            raise
        finally:
            bucket.left -= weight * (self._cpu_s() - began)
