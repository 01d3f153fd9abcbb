"""Frames in, counts out: the privacy contract of everything that has a camera.

A :class:`Frame` is no document. It has no field that a serializer could follow, refuses every way in which Python
would copy it out of the process, and forgets its pixels when the block that looked at it ends. What may leave a node
are the :class:`Counts` of a frame, and of those only numbers.
"""

from __future__ import annotations

from types import TracebackType
from typing import Annotated, Any, NoReturn, SupportsIndex

import msgspec
import numpy as np
import numpy.typing as npt

from wayside.contracts.reading import Name, Stamp
from wayside.contracts.wire import ContractError, Document, wire_field

Pixels = npt.NDArray[Any]


class Counts(Document, frozen=True, kw_only=True):
    """What one frame showed: how many of each class, and nothing else."""

    wire: int = wire_field()
    at: Stamp
    counts: Annotated[dict[Name, Annotated[float, msgspec.Meta(ge=0)]], msgspec.Meta(max_length=64)]


class Frame:
    """A camera's picture, to be looked at inside one ``with`` block and nowhere else.

    >>> with Frame(picture, at) as frame:
    ...     counts = model(frame.pixels)

    Neither pickle, copy, msgspec nor ``str`` gets at the pixels: a test tries each.

    Args:
        picture: (H, W, C), 0–255; copied. Bytes stay bytes, any other number becomes float32.

    Raises:
        ContractError: it is no picture.
    """

    __slots__ = ("_pixels", "at")

    def __init__(self, picture: npt.ArrayLike, at: Stamp) -> None:
        given = np.asarray(picture)
        pixels = np.array(given, np.uint8 if given.dtype == np.uint8 else np.float32)
        if pixels.ndim != 3:
            raise ContractError("frame", f"is height x width x channels, not {pixels.shape}")
        self._pixels: Pixels | None = pixels
        self.at = at

    @property
    def pixels(self) -> Pixels:
        """(H, W, C) uint8 or float32, 0–255.

        Raises:
            ContractError: the block that may look at the frame has ended.
        """
        if self._pixels is None:
            raise ContractError("frame", "is forgotten; look at it inside its with block")
        return self._pixels

    def forget(self) -> None:
        """Overwrite the pixels; those who still hold the array see zeros."""
        if self._pixels is not None:
            self._pixels[:] = 0
            self._pixels = None

    def __enter__(self) -> Frame:
        return self

    def __exit__(self, kind: type[BaseException] | None, of: BaseException | None, at: TracebackType | None) -> None:
        self.forget()

    def __repr__(self) -> str:
        return "Frame(forgotten)" if self._pixels is None else f"Frame{self._pixels.shape}"

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise ContractError("frame", "never leaves the process; send its counts")

    def __copy__(self) -> NoReturn:
        raise ContractError("frame", "never leaves the process; send its counts")

    def __deepcopy__(self, memo: object) -> NoReturn:
        raise ContractError("frame", "never leaves the process; send its counts")
