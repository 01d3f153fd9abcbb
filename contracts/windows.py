"""What training and node must do alike with a window before a model sees it. Pure functions on arrays."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]

MAX_MISSING = 0.5
"""A window of whose output column a larger share is missing gets no answer."""


def fill_last(x: Float32) -> int:
    """Put the last value of each column where one is missing, in place; what is missing at the oldest row stays so.

    Args:
        x: (..., T, F), oldest row first, NaN where missing.

    Returns:
        How many values were filled.
    """
    absent = np.isnan(x)
    if not absent.any():
        return 0
    rows = np.arange(x.shape[-2])[:, None]
    last = np.maximum.accumulate(np.where(absent, 0, rows), axis=-2)  # of each row, the newest that has a value
    x[...] = np.take_along_axis(x, last, axis=-2)
    return int(absent.sum() - np.isnan(x).sum())
