"""NumPy's ``.npz`` archives of people: what they hold, or why it cannot be read."""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from wayside.cloud.train.errors import DataError
from wayside.text import open_file

MAX_BYTES = 8 << 30
"""Of all arrays of a file, unpacked."""
_UNSOUND = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, LookupError, TypeError, SyntaxError,
    NotImplementedError, RuntimeError, MemoryError, ArithmeticError,
)  # fmt: skip
"""What zipfile and NumPy raise where an archive, or the head of an array in it, is damaged, encrypted or absurd."""


def read(path: Path, *names: str, optional: tuple[str, ...] = ()) -> dict[str, npt.NDArray[Any]]:
    """The arrays ``names`` of an archive, and those of ``optional`` that it has.

    Raises:
        DataError: it is no such archive, or lacks one of ``names``.
    """
    try:
        with open_file(path) as file, zipfile.ZipFile(file) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size <= MAX_BYTES:
            with np.load(path, allow_pickle=False) as arrays:
                has = list(arrays.files)
                loaded = {name: arrays[name] for name in (*names, *optional) if name in has}
    except OSError as exc:
        raise DataError(f"{path}: cannot be read: {exc.strerror or exc}") from exc
    except _UNSOUND as exc:
        raise DataError(f"{path}: is no sound .npz file: {exc}") from exc
    if size > MAX_BYTES:
        raise DataError(f"{path}: unpacks to {size >> 30} GiB, more than the {MAX_BYTES >> 30} that are read")
    for name in names:
        if name not in loaded:
            raise DataError(f"{path}: has no array {name}; its arrays are {', '.join(has[:8]) or 'none'}")
    return loaded
