"""The time that a GNSS receiver tells, once it has told it steadily. Sans-I/O.

A sentence is sent within the second that it names, so the receiver's time is late by 0 to 1 s: of the last ten the one
that was least late counts. Ten in a row have to agree to within a second; one damaged date starts the count anew.
"""

from __future__ import annotations

from collections import deque

STEADY = 10  # frames


class GpsTime:
    ERROR_MS = 1000

    def __init__(self) -> None:
        self._offsets: deque[int] = deque(maxlen=STEADY)  # Unix ms - monotonic ms

    def clear(self) -> None:
        self._offsets.clear()

    def take(self, unix_ms: int, mono_ns: int) -> int | None:
        """Unix time in ms at ``mono_ns``, with an error of at most :attr:`ERROR_MS`; None: it is not steady.

        Args:
            unix_ms: what a frame said that was received at ``mono_ns``.
        """
        offset = unix_ms - mono_ns // 1_000_000
        if self._offsets and abs(offset - self._offsets[-1]) > self.ERROR_MS:
            self._offsets.clear()
        self._offsets.append(offset)
        if len(self._offsets) < STEADY or max(self._offsets) - min(self._offsets) > self.ERROR_MS:
            return None
        return max(self._offsets) + mono_ns // 1_000_000
