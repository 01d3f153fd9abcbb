"""How much of what arrives on a line may be unreadable before it is a fault.

A few damaged frames are normal: half a frame when the line opens, a spike in the cabinet. More than
:data:`MAX_ERRORS` frames and 1 % of all within a minute is noise: a broken shield, a loose ground, a wrong baud rate,
or firmware that sends what this software does not know.
"""

from __future__ import annotations

WINDOW_S = 60.0
MAX_ERRORS = 20  # frames in a window
MAX_SHARE = 0.01  # of all frames in a window


class ErrorBudget:
    """Judges counters that begin at 0 and only grow. Sans-I/O: the caller brings the time."""

    def __init__(self) -> None:
        self.noisy = False
        self._ends_s: float | None = None
        self._errors_at_start = self._frames_at_start = 0
        self.errors = 0  # in this window
        self.quiet = False  # a whole window has passed with few enough

    def observe(self, now_s: float, errors: int, frames: int) -> bool:
        """Whether the line is noisy: from the error that is too many, to the end of the next window without one.

        Args:
            now_s: seconds of a monotonic clock.
            errors: frames so far that could not be read or understood.
            frames: all frames so far.
        """
        if self._ends_s is None:
            self._ends_s = now_s + WINDOW_S
        elif now_s >= self._ends_s:
            self.quiet = not self._exceeded(errors, frames)
            if self.quiet:
                self.noisy = False
            self._ends_s = now_s + WINDOW_S
            self._errors_at_start, self._frames_at_start = errors, frames
        self.errors = errors - self._errors_at_start
        self.noisy = self.noisy or self._exceeded(errors, frames)
        self.quiet = self.quiet and not self.noisy
        return self.noisy

    def _exceeded(self, errors: int, frames: int) -> bool:
        errors, frames = errors - self._errors_at_start, frames - self._frames_at_start
        return errors > MAX_ERRORS and errors > MAX_SHARE * frames
