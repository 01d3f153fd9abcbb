"""May this camera's picture be believed? Rules over a few thousand of its pixels. Pure; pictures come oldest first.

===============  ====================================================================================================
dark             the brightness below which 95 % of the pixels lie is under ``dark_below``
overexposed      the brightness below which half of them lie is over ``overexposed_above``
blurred          sharpness under ``blurred_below``. Of dark, overexposed and even pictures nothing is said.
frozen           every looked-at pixel is as before, for ``frozen_s``: a sensor's noise alone changes some
moved            phase correlation (Kuglin & Hines 1975) with the mean of the pictures so far peaks more than
                 ``moved_over`` of a side away from where it was
===============  ====================================================================================================

*Sharpness* is by how much pixels 3 apart differ more than neighbours do, squared, against pixels 16 apart (of 480
lines; further apart in larger pictures). A sensor's noise is in all three alike and cancels out; contrast and exposure
do, too. Of wholly smooth pictures it is (9 - 1) / (256 - 1) = 0.031, whatever they show.

*Dark*, *overexposed* and *blurred* begin after :data:`PATIENCE` pictures in a row and end after as many without. For
*moved* four times as many are needed, less four for each that says otherwise: a view that has nothing in common with
the mean correlates anywhere, now and then at home. The mean picture is kept in this object and nowhere else: after a
restart the camera is taken to look where it should.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from wayside.contracts.camera_config import ViewConfig
from wayside.contracts.reading import Quality

Float32 = npt.NDArray[np.float32]

PATIENCE = 10
LEARNED = 20
"""Pictures behind the mean before *moved* is asked."""
RENEWED = 8  # pictures after which the mean's spectrum is made anew
SLOW = 200  # pictures that the mean goes back over
SIDE = 64  # of the picture that is correlated
EVEN = 8.0  # squared difference of distant pixels in a picture that shows nothing
LAGS = (1, 3, 16)
LINES = 24  # rows and columns whose sharpness is measured
AT_HOME = 0.7  # of the peak: so high at no shift at all, and it has not moved
_WINDOW = np.outer(np.hanning(SIDE), np.hanning(SIDE)).astype(np.float32)
_SHIFTS = np.hypot(*np.meshgrid(*2 * [np.fft.fftfreq(SIDE)]))  # of a side, at each place of a correlation


class Seen(NamedTuple):
    """What is known of a picture, in numbers."""

    troubles: dict[Quality, bool]
    """of each rule that can say it: whether the trouble holds now"""
    changed: bool  # it is another picture than the one before
    brightness: float  # of the median pixel, 0 to 255
    sharpness: float
    shift: float | None  # of a side; None: nothing can be said


class View:
    """One camera's pictures, as they come."""

    def __init__(self, config: ViewConfig) -> None:
        self._config = config
        self._runs = {q: _Run(PATIENCE, PATIENCE) for q in (Quality.DARK, Quality.OVEREXPOSED, Quality.BLURRED)}
        self._moved = _Run(4 * PATIENCE, 4)
        self._last: bytes | None = None
        self._same_since_s = 0.0
        self._mean: Float32 | None = None
        self._spectrum: Any = None  # of the mean
        self._shape: tuple[int, ...] = ()
        self._behind = 0

    def judge(self, picture: npt.NDArray[np.uint8], at_s: float) -> Seen:
        """
        Args:
            picture: (H, W, 3), not smaller than 20 x 20.
            at_s: when it was taken, on any clock that does not go back.
        """
        config = self._config
        green = picture[:, :, 1]
        steps = [max(1, side // (2 * SIDE)) for side in green.shape]
        some = np.ascontiguousarray(green[:: steps[0], :: steps[1]])  # 128 to 255 of each side
        cumulated = np.cumsum(np.bincount(some.reshape(-1), minlength=256))
        middle, bright = (int(np.searchsorted(cumulated, share * cumulated[-1])) for share in (0.5, 0.95))
        dark, over = bright < config.dark_below, middle > config.overexposed_above
        sharpness, even = _sharpness(green)
        troubles = {
            Quality.DARK: self._runs[Quality.DARK].tell(dark),
            Quality.OVEREXPOSED: self._runs[Quality.OVEREXPOSED].tell(over),
        }
        plain = not (dark or over or even)
        blurred = self._runs[Quality.BLURRED]
        troubles[Quality.BLURRED] = blurred.tell(sharpness < config.blurred_below) if plain else blurred.holds
        troubles[Quality.FROZEN], changed = self._frozen(some, at_s)
        shift = None
        if plain and changed:
            shift = self._shift(some)
            if shift is not None:
                self._moved.tell(shift > config.moved_over)
        if self._behind >= LEARNED:
            troubles[Quality.MOVED] = self._moved.holds
        return Seen(troubles, changed, float(middle), sharpness, shift)

    def _frozen(self, some: npt.NDArray[np.uint8], at_s: float) -> tuple[bool, bool]:
        pixels = some.tobytes()
        changed = pixels != self._last
        if changed:
            self._last, self._same_since_s = pixels, at_s
        return at_s - self._same_since_s >= self._config.frozen_s, changed

    def _shift(self, some: npt.NDArray[np.uint8]) -> float | None:
        """Of a side, from where the mean of the pictures looked; None while that is learned."""
        small = _small(some)
        if self._mean is None or some.shape != self._shape:
            self._mean, self._shape, self._behind, self._spectrum = small, some.shape, 1, None
            return None
        shift = None
        if self._behind >= LEARNED:
            if self._spectrum is None or not self._behind % RENEWED:
                self._spectrum = _spectrum(self._mean)
            shift = _correlated(self._spectrum, small)
        if shift is None or shift <= self._config.moved_over:  # it looks where it should: the mean follows the season
            self._behind += 1
            self._mean += (small - self._mean) / min(self._behind, SLOW)
        return shift


class _Run:
    """Holds after ``patience`` yes, until as many no; each of the other kind between them takes ``back`` away."""

    def __init__(self, patience: int, back: int) -> None:
        self._patience, self._back, self._against = patience, back, 0
        self.holds = False

    def tell(self, yes: bool) -> bool:
        self._against = self._against + 1 if yes != self.holds else max(0, self._against - self._back)
        if self._against >= self._patience:
            self.holds, self._against = yes, 0
        return self.holds


def _sharpness(green: npt.NDArray[np.uint8]) -> tuple[float, bool]:
    """(D(3) - D(1)) / (D(16) - D(1)) of the structure function D along rows and columns, and whether there is nothing
    to be sharp."""
    height, width = green.shape
    unit = max(1, round(min(height, width) / 480))
    rows = green[:: max(1, height // LINES)].astype(np.float32)
    columns = green[:, :: max(1, width // LINES)].T.astype(np.float32)
    near, middle, far = (
        sum(float(np.square(lines[:, lag * unit :] - lines[:, : -lag * unit]).mean()) for lines in (rows, columns))
        for lag in LAGS
    )
    even = far - near < EVEN
    return 0.0 if even else (middle - near) / (far - near), even


def _small(some: npt.NDArray[np.uint8]) -> Float32:
    """Means of blocks, (SIDE, SIDE)."""
    height, width = (side // SIDE for side in some.shape)
    if not height or not width:  # a tiny picture
        rows, columns = (np.arange(SIDE) * side // SIDE for side in some.shape)
        few: Float32 = some[np.ix_(rows, columns)].astype(np.float32)
        return few
    total = np.zeros((SIDE, SIDE), np.uint16)
    for row in range(height):
        for column in range(width):
            total += some[row : SIDE * height : height, column : SIDE * width : width]
    return total.astype(np.float32) / np.float32(height * width)


def _spectrum(small: Float32) -> Any:
    return np.fft.rfft2((small - small.mean()) * _WINDOW)


def _correlated(mean: Any, small: Float32) -> float:
    """How far ``small`` is shifted against the picture of the spectrum ``mean``, of a side."""
    cross = mean * np.conj(_spectrum(small))
    peaks = np.fft.irfft2(cross / (np.abs(cross) + 1e-6), s=(SIDE, SIDE))
    peak = int(peaks.argmax())
    if peaks[0, 0] >= AT_HOME * peaks.flat[peak]:
        return 0.0
    return float(_SHIFTS.flat[peak])
