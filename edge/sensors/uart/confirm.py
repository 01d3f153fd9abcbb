"""A value is believed when the frames around it do not contradict it: the median of seven.

The checksums of these sensors are weak, so now and then a damaged frame passes. Three among seven cannot move the
median beyond what the four good ones say. It costs a delay of three frames. A frame of another identity is set aside,
until seven have it: then the sensor was exchanged. Frames that break a rule are believed in nothing: one alone is
damage and is set aside, seven in a row are a sensor that should be told of.
"""

from __future__ import annotations

from collections import deque
from statistics import median

from wayside.edge.sensors.uart.decoder import Frame

FRAMES = 7


class Confirmation:
    """Of one sensor."""

    def __init__(self) -> None:
        self.set_aside = 0
        """Accepted frames that broke a rule or came from another sensor."""
        self._identity: bytes | None = None
        self._strange: deque[bytes] = deque(maxlen=FRAMES)
        self._good: deque[Frame] = deque(maxlen=FRAMES)
        self._doubted: deque[Frame] = deque(maxlen=FRAMES)

    def clear(self) -> None:
        """The frames before are too old to vouch for one to come."""
        self._good.clear()
        self._doubted.clear()
        self._strange.clear()

    def take(self, frame: Frame) -> Frame | None:
        """What may be said now; None: nothing yet."""
        if self._identity is None:
            self._identity = frame.identity  # if it is damaged, the next seven say so
        if frame.identity != self._identity:
            self._strange.append(frame.identity)
            self.set_aside += 1
            if self._strange.count(frame.identity) < FRAMES:
                return None
            self.clear()
            self._identity = frame.identity
        self._strange.clear()
        frames = self._good if frame.doubt is None else self._doubted
        frames.append(frame)
        if frame.doubt is not None:
            self.set_aside += 1
            if len(frames) < FRAMES:
                return None
            self._good.clear()
        else:
            self._doubted.clear()
            if len(frames) < FRAMES:
                return None
        common = set.intersection(*(set(f.values) for f in frames))
        return frame._replace(
            values={name: median(f.values[name] for f in frames) for name in frame.values if name in common}
        )
