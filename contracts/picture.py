"""From a picture's bytes to what a model is given: one way, which training and the node both go.

Everything between the decoder and the model is arithmetic on whole numbers, so that the same picture gives the same
float32 on every machine, whatever its linear algebra does. What a *decoder* makes of a picture is said here, too:

- upright: an EXIF orientation is applied, since that is how people saw the picture who labelled it
- three channels, red, green, blue; grey is repeated, a palette is looked up, 16 bits are cut to the upper 8
- transparency is ignored: what is behind it counts as it is stored
- colour profiles are ignored; of a file with several pictures the first counts

JPEG, PNG and BMP alone: every further decoder is one more that hostile bytes can reach.
"""

from __future__ import annotations

import functools
import io
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from wayside.contracts.camera_config import Region
from wayside.contracts.task import PictureSpec
from wayside.contracts.wire import ContractError

if TYPE_CHECKING:
    from PIL.Image import Image

UInt8 = npt.NDArray[np.uint8]
Float32 = npt.NDArray[np.float32]

MAX_SIDE = 8192
MAX_PIXELS = 2**24
"""A picture of more is refused by its header, before one pixel is decoded: 48 MB in memory."""
MAX_BYTES = 2**25
SIGNATURES = {b"\xff\xd8\xff": "JPEG", b"\x89PNG\r\n\x1a\n": "PNG", b"BM": "BMP"}
WHOLE = Region()
_ONE = 2**15  # what the weights of one pixel add up to: 255 of them are exact in float32, and of two passes in float64
_AT_ONCE = 2**20  # numbers that are weighted at a time: a few megabytes
_LUMA = (19595, 38470, 7471)  # ITU-R BT.601 in 65536ths, as libjpeg and Pillow have them


def is_picture(start: bytes) -> bool:
    """Whether a file that begins so says that it is a picture of a kind that is read."""
    return any(start.startswith(signature) for signature in SIGNATURES)


def decoded(content: bytes) -> UInt8:
    """The picture (H, W, 3) that a file holds. Hostile bytes are fine.

    Raises:
        ContractError: it is no picture of the three kinds, too large, or damaged.
    """
    from PIL import Image, ImageOps

    if not is_picture(content[:8]):
        raise ContractError("picture", f"is no {', '.join(SIGNATURES.values())}")
    if len(content) > MAX_BYTES:
        raise ContractError("picture", f"has {len(content)} bytes; more than {MAX_BYTES} are not read")
    try:
        with Image.open(io.BytesIO(content), formats=tuple(SIGNATURES.values())) as image:
            check_size(image.width, image.height)
            upright = ImageOps.exif_transpose(image)
            return _rgb(upright)
    except ContractError:
        raise
    except Exception as exc:  # a decoder raises whatever its author thought of (OSError, SyntaxError, struct.error …)
        raise ContractError("picture", f"cannot be decoded: {str(exc)[:80] or type(exc).__name__}") from exc


def check_size(width: int, height: int) -> None:
    """Raises: ContractError: nobody decodes so large a picture here."""
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE and width * height <= MAX_PIXELS):
        raise ContractError("picture", f"has {width} x {height} pixels; at most {MAX_PIXELS} are decoded")


def _rgb(image: Image) -> UInt8:
    if image.mode.startswith("I;16"):
        grey = np.asarray(image)
        return np.repeat((grey >> 8).astype(np.uint8)[:, :, None], 3, axis=2)
    if image.mode in ("I", "F"):
        raise ContractError("picture", f"has 32 bits a channel (mode {image.mode}); 8 or 16 are read")
    return np.asarray(image.convert("RGB"))


def prepared(picture: UInt8, region: Region, spec: PictureSpec, image: tuple[int, int, int]) -> Float32:
    """The model's input (height, width, channels) of a picture (H, W, 3): whole numbers from 0 to 255 as float32.

    Crop, thin out, grey, resize, in this order. A region of exactly the model's size is passed on as it is.

    Args:
        image: height, width, channels of the model.

    Raises:
        ContractError: the picture is no array of that kind.
    """
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or not picture.size:
        raise ContractError("picture", f"is uint8 height x width x 3, not {picture.dtype} {picture.shape}")
    height, width, _ = image
    rows, columns = bounds((picture.shape[0], picture.shape[1]), region, spec, (height, width))
    part = _thinned(picture[rows, columns], height, width)
    if spec.colours == "grey":
        part = _grey(part)
    if part.shape[:2] == (height, width):
        return part.astype(np.float32)
    channels = part.shape[2]
    down = _resized(part.reshape(part.shape[0], -1), height, "f4")  # (height, w * C)
    turned = np.empty((part.shape[1], channels, height), np.float32)
    for channel in range(channels):
        turned[:, channel] = down[:, channel::channels].T
    both = _resized(turned.reshape(part.shape[1], -1), width, "f8")  # (width, C * height)
    whole = np.floor((both + _ONE * _ONE // 2) / (_ONE * _ONE))
    return np.ascontiguousarray(whole.reshape(width, channels, height).transpose(2, 0, 1), np.float32)


def bounds(size: tuple[int, int], region: Region, spec: PictureSpec, to: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns of a picture of ``size`` (height, width) that ``region`` is, at least one pixel each."""
    rows = _between(size[0], region.top, region.bottom)
    columns = _between(size[1], region.left, region.right)
    if spec.fit == "stretch":
        return rows, columns
    height, width = rows.stop - rows.start, columns.stop - columns.start
    # The longer side is cut to the ratio of ``to``; whole numbers: round(height * to[1] / to[0]), halves up.
    if width * to[0] > height * to[1]:
        return rows, _middle(columns, (2 * height * to[1] + to[0]) // (2 * to[0]))
    return _middle(rows, (2 * width * to[0] + to[1]) // (2 * to[1])), columns


def _thinned(picture: UInt8, height: int, width: int) -> UInt8:
    """Of a picture more than four times as large every second row, or third, … is left, twice as many as are needed.

    Otherwise most of a node's time would go into averaging pixels; what is left is averaged still.
    """
    down, across = (max(1, side // (2 * to)) for side, to in zip(picture.shape, (height, width), strict=False))
    return picture[down // 2 :: down, across // 2 :: across]


def _between(side: int, low: float, high: float) -> slice:
    start = min(int(low * side + 0.5), side - 1)
    return slice(start, max(start + 1, int(high * side + 0.5)))


def _middle(of: slice, length: int) -> slice:
    length = max(1, min(length, of.stop - of.start))
    start = of.start + (of.stop - of.start - length) // 2
    return slice(start, start + length)


def _grey(picture: UInt8) -> UInt8:
    red, green, blue = (picture[:, :, c].astype(np.uint32) * weight for c, weight in enumerate(_LUMA))
    luma: UInt8 = ((red + green + blue + 2**15) >> 16).astype(np.uint8)
    return luma[:, :, None]


def _resized(rows: npt.NDArray[Any], to: int, kind: str) -> npt.NDArray[Any]:
    """(side, n) of whole numbers → (to, n) of NumPy's ``kind``, each :data:`_ONE` times as large.

    Every product and partial sum is a whole number that the float type holds, so that the order of adding them up,
    which depends on the machine, makes no difference.
    """
    which, weights = _weights(rows.shape[0], to, kind)
    each = max(1, _AT_ONCE // (which.shape[1] * rows.shape[1]))
    parts = [
        np.einsum("kt,ktn->kn", weights[k : k + each], rows[which[k : k + each]].astype(kind))
        for k in range(0, to, each)
    ]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


@functools.lru_cache(maxsize=16)
def _weights(side: int, to: int, kind: str) -> tuple[npt.NDArray[np.intp], npt.NDArray[Any]]:
    """Of each of ``to`` pixels, (to, T): which of ``side`` it is made of, and whole weights that add up to _ONE.

    A triangle around the pixel's centre, as wide as one pixel of the smaller of both (Pillow's BILINEAR does the same,
    with other rounding). Distances are counted in 2 x to parts of a pixel, so that they are whole numbers, too.
    """
    reach = 2 * max(to, side)
    most = -(-reach // to) + 1
    which, weights = np.zeros((to, most), np.intp), np.zeros((to, most), kind)
    for k in range(to):
        centre = (2 * k + 1) * side
        first = max(0, (centre - reach) // (2 * to))
        last = min(side, first + most)
        triangle = [max(0, reach - abs((2 * i + 1) * to - centre)) for i in range(first, last)]
        total = sum(triangle)
        whole = [(2 * part * _ONE + total) // (2 * total) for part in triangle]
        whole[whole.index(max(whole))] += _ONE - sum(whole)
        which[k, : len(whole)], weights[k, : len(whole)] = range(first, last), whole
    return which, weights
