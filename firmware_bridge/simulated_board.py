"""The compiled core in this process (``firmware/hal_sim.c``): what a simulation drives and its rules are tested on."""

from __future__ import annotations

import ctypes
import functools
from pathlib import Path
from typing import NamedTuple

from wayside.firmware_bridge.line.messages import EventKind, ResetCause
from wayside.firmware_bridge.native import BUILD, build_library

NV_BYTES = 512
_READ_BYTES = 4096


class Heads(NamedTuple):
    """What is shown; bits are rows of the plan table, or overlaps. What is not named is red and don't walk."""

    green: int
    yellow: int
    walk: int
    ped_clear: int
    flash: int
    overlap_green: int
    overlap_yellow: int


@functools.cache
def _library(path: Path) -> ctypes.CDLL:
    library = ctypes.CDLL(str(path))
    library.sim_new.restype = ctypes.c_void_p
    library.sim_write.restype = library.sim_read.restype = ctypes.c_size_t
    library.sim_edge.restype = ctypes.c_bool
    library.sim_nv.restype = ctypes.c_void_p
    return library


class SimulatedBoard:
    """One board; a process may have many, in one thread. Its clock is where :meth:`run` has brought it.

    Raises:
        BuildError: the library is not built yet and cannot be.
    """

    def __init__(self, name: str = "board", out: Path = BUILD, boot: int = 1) -> None:
        self._c = _library(build_library(out).resolve())
        self._board = ctypes.c_void_p(self._c.sim_new())
        if not self._board:
            raise MemoryError("no memory for a board")
        self._name = name.encode("ascii")
        self.ms = 0
        self.start(boot)

    def start(self, boot: int, cause: ResetCause = ResetCause.POWER_ON) -> None:
        """The power comes, or comes again; the clock begins at 0 and the memory keeps its plan table."""
        self.ms = 0
        self._c.sim_start(self._board, self._name, ctypes.c_uint32(boot), ctypes.c_uint8(cause))

    def close(self) -> None:
        if self._board:
            self._c.sim_free(self._board)
            self._board = ctypes.c_void_p(None)

    def write(self, data: bytes) -> int:
        """Bytes of the host. Returns how many were taken; they are read with the next :meth:`run`."""
        return int(self._c.sim_write(self._board, data, ctypes.c_size_t(len(data))))

    def read(self) -> bytes:
        """All bytes that the board has sent."""
        buffer, parts = ctypes.create_string_buffer(_READ_BYTES), []
        while n := self._c.sim_read(self._board, buffer, ctypes.c_size_t(_READ_BYTES)):
            parts.append(buffer.raw[:n])
        return b"".join(parts)

    def edge(self, ms: int, channel: int, value: int, kind: EventKind = EventKind.DETECTOR) -> None:
        """An input changes at ``ms``.

        Raises:
            ValueError: before the clock or the edge above it, or more than 4,096 wait.
        """
        taken = self._c.sim_edge(
            self._board, ctypes.c_uint64(ms), ctypes.c_uint8(kind), ctypes.c_uint8(channel), ctypes.c_uint16(value)
        )
        if not taken:
            raise ValueError(f"an edge at {ms} ms is out of order, or too many wait")

    def run(self, to_ms: int) -> None:
        """Time passes up to ``to_ms``."""
        self._c.sim_run(self._board, ctypes.c_uint64(to_ms))
        self.ms = max(self.ms, to_ms)

    def line_down(self) -> None:
        """The line hung up."""
        self._c.sim_line_down(self._board)

    @property
    def heads(self) -> Heads:
        buffer = ctypes.create_string_buffer(len(Heads._fields) + 3)
        self._c.sim_heads(self._board, buffer)
        return Heads(*buffer.raw[: len(Heads._fields)])

    @property
    def memory(self) -> bytes:
        """What the board keeps without power."""
        return ctypes.string_at(self._c.sim_nv(self._board), NV_BYTES)

    @memory.setter
    def memory(self, kept: bytes) -> None:
        ctypes.memmove(self._c.sim_nv(self._board), kept.ljust(NV_BYTES, b"\xff"), NV_BYTES)
