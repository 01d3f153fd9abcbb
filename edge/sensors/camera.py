"""A camera in a thread of its own: decode, judge, prepare for each model, hand over. The loop never sees a picture.

What it hands over are numbers (:class:`~wayside.edge.sources.view.Seen`) and frames of a model's size; the picture is
forgotten in the thread that decoded it. One frame is handed over at a time, so that a loop that is held up is not
flooded. The thread is a daemon: a camera that hangs does not keep the agent from ending.
"""

from __future__ import annotations

import asyncio
import math
import resource
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec
import structlog

from wayside.contracts.camera_config import CameraConfig
from wayside.contracts.frames import Frame
from wayside.contracts.picture import prepared
from wayside.contracts.reading import BootId
from wayside.edge.clock import Clock, stamp
from wayside.edge.node import Node
from wayside.edge.sensors.folder import CameraError, CameraMissing, Folder, Taken
from wayside.edge.sources.view import Seen, View
from wayside.paths import placed

RETRY_S = 5.0
HANDED_OVER_S = 10.0  # the loop takes what it is given, or does not live
MIN_SIDE = 20
LATE_S = 5.0  # a folder's picture may be at least so old
log = structlog.get_logger(__name__)


class Reader(Protocol):
    """Where pictures come from. It may block for some seconds."""

    def read(self) -> Taken | None: ...
    def looked(self) -> None: ...
    def take_late(self) -> int: ...
    @property
    def refused(self) -> str | None: ...
    @property
    def done(self) -> tuple[int, str]: ...
    def close(self) -> None: ...


def open_reader(config: CameraConfig, folder: Path, *, late_s: float, after: tuple[int, str] = (0, "")) -> Reader:
    """
    Args:
        folder: where relative paths begin.
        late_s: pictures of a folder that are older are not looked at.

    Raises:
        CameraError: it cannot be opened.
    """
    if config.folder is not None:
        return Folder(placed(folder, config.folder), delete=config.after == "delete", late_s=late_s, after=after)
    from wayside.edge.sensors.video import Video

    return Video(config.url or "", folder, config.every_s)


def first_look(config: CameraConfig, folder: Path, until_s: float) -> tuple[tuple[int, int], Seen | None]:
    """Look once, for a person at the cabinet: width and height, and what can be said of one picture.

    Nothing is deleted, and the picture is forgotten.

    Args:
        until_s: of ``time.monotonic()``.

    Raises:
        CameraError: no picture came.
    """
    config = msgspec.structs.replace(config, every_s=0.05, **({"after": "keep"} if config.folder is not None else {}))
    reader = open_reader(config, folder, late_s=math.inf)
    try:
        while (taken := reader.read()) is None:
            if time.monotonic() > until_s:
                raise CameraError(reader.refused or "no picture came")
            time.sleep(0.1)
    finally:
        reader.close()
    height, width = taken.picture.shape[:2]
    seen = View(config.view).judge(taken.picture, 0.0) if min(height, width) >= MIN_SIDE else None
    return (width, height), seen


async def run_all(cameras: Sequence[Camera]) -> None:
    """Until it is cancelled."""
    async with asyncio.TaskGroup() as group:
        for camera in cameras:
            group.create_task(camera.run())


def forbid_core_dumps() -> None:
    """A core dump of this process would be a file with pictures in it."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


class Camera:
    """Camera number ``which`` of a node."""

    def __init__(
        self, which: int, config: CameraConfig, folder: Path, *, node: Node, clock: Clock, boot: BootId, step_s: float
    ) -> None:
        """``folder``: where relative paths begin."""
        self._which, self._config, self._folder = which, config, folder
        self._node, self._clock, self._boot = node, clock, boot
        self._late_s = max(LATE_S, step_s / clock.speed)
        self._after = node.frames.each[which].done
        self._view = View(config.view)
        self._reader: Reader | None = None
        self._last_s = time.monotonic()  # a picture came
        self._refused: str | None = None
        self._stop = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def run(self) -> None:
        """Until it is cancelled."""
        self._loop = asyncio.get_running_loop()
        thread = threading.Thread(target=self._run, name=f"camera {self._config.name}", daemon=True)
        thread.start()
        try:
            await asyncio.Event().wait()
        finally:
            self._stop.set()

    # --- in the thread ---------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stop.is_set():
            began_s = time.monotonic()
            wait_s = self._config.every_s
            try:
                self._turn()
            except CameraError as exc:
                self._close()
                if isinstance(exc, CameraMissing) or self._silent:
                    self._fail(str(exc))
                wait_s = max(wait_s, RETRY_S)
            except Exception as exc:  # one picture must not end the camera; its message could quote the picture
                log.error("a frame was lost", camera=self._config.name, error=type(exc).__name__)
                self._drop(1, f"it could not be looked at: {type(exc).__name__}")
                if self._reader is not None:
                    self._reader.looked()
            if self._config.folder is not None or self._reader is None:  # a stream waits by itself
                self._stop.wait(max(0.0, wait_s - (time.monotonic() - began_s)))
        self._close()

    def _turn(self) -> None:
        """Raises: CameraError."""
        if self._reader is None:
            self._reader = open_reader(self._config, self._folder, late_s=self._late_s, after=self._after)
        reader = self._reader
        taken = reader.read()
        if taken is not None:
            self._look(taken, reader)
            self._last_s = time.monotonic()
        elif self._silent:
            self._fail(f"no picture for {self._config.silent_s:g} s")
        if reader.refused != self._refused:
            self._refused = reader.refused
            self._tell(self._node.frames.refuse, self._which, self._refused)
        if late := reader.take_late():
            self._drop(late, "too old, or damaged")

    @property
    def _silent(self) -> bool:
        return time.monotonic() - self._last_s > self._config.silent_s

    def _close(self) -> None:
        if self._reader is not None:
            self._after = self._reader.done
            self._reader.close()
            self._reader = None

    def _look(self, taken: Taken, reader: Reader) -> None:
        height, width = taken.picture.shape[:2]
        if min(height, width) < MIN_SIDE:
            self._drop(1, f"smaller than {MIN_SIDE} pixels")
            reader.looked()
            return
        taken_ns = self._clock.mono_ns() - int(taken.age_s * self._clock.speed * 1e9)
        at = stamp(self._clock, self._boot, max(0, taken_ns), 0)
        with Frame(taken.picture, at) as frame:
            seen = self._view.judge(frame.pixels, time.monotonic() - taken.age_s)
            frames = {
                look.task: Frame(prepared(frame.pixels, look.region, look.spec, look.image), at)
                for look in self._node.looks(self._which)
            }
        reader.looked()
        self._tell(self._node.see, self._which, seen, (width, height), frames, reader.done)

    def _fail(self, why: str) -> None:
        self._tell(self._node.frames.fail, self._which, why)

    def _drop(self, frames: int, why: str) -> None:
        self._tell(self._node.frames.drop, self._which, frames, why)

    def _tell(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Have ``function`` called in the loop, and wait until it was."""
        told = threading.Event()

        def call() -> None:
            try:
                function(*arguments)
            finally:
                told.set()

        loop = self._loop
        if loop is None or self._stop.is_set():
            return
        try:
            loop.call_soon_threadsafe(call)
        except RuntimeError:  # the loop ended first
            return
        told.wait(HANDED_OVER_S)
