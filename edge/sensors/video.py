"""A camera's stream or a video file through PyAV (FFmpeg): V4L2 devices, RTSP, and whatever a file may be.

Only here is ``av`` imported, and only when a camera needs it: 34 MB on the disk, in the extra ``camera``.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

from wayside.contracts.camera_config import SCHEMES, shown
from wayside.contracts.picture import UInt8, check_size
from wayside.contracts.wire import ContractError
from wayside.edge.sensors.folder import CameraError, CameraMissing, Taken
from wayside.paths import placed

WAIT_S = 5.0  # for a connection, and for the next packet
INSTALL = 'PyAV is not installed: pip install "wayside[camera]"'


def available() -> bool:
    try:
        import av  # noqa: F401
    except ImportError:
        return False
    return True


class Video:
    """See the module. The newest frame counts; those in between are decoded, since the next one builds on them."""

    def __init__(self, url: str, folder: Path, every_s: float) -> None:
        """
        Args:
            folder: where relative paths begin.

        Raises:
            CameraMissing: there is nothing to read it with, or no such file or device.
            CameraError: it does not answer.
        """
        try:
            import av
            from av import logging as av_logging
        except ImportError as exc:
            raise CameraMissing(f"{INSTALL} ({exc})") from exc
        av_logging.set_level(None)  # it would print addresses, with their passwords
        self._every_s = every_s
        self._live = url.startswith((*SCHEMES, "/dev/"))
        self._shown = shown(url)
        options, form = {}, None
        if url.startswith(SCHEMES):
            options = {"rtsp_transport": "tcp"}
        elif url.startswith("/dev/"):
            form = "v4l2"
        if not url.startswith(SCHEMES):
            url = str(placed(folder, url))
            if not Path(url).exists():
                raise CameraMissing(f"there is no {self._shown}: plug the camera in, or correct cameras.url")
        try:
            # To FFmpeg "a:b" is a protocol and "%d" a counter; after "file:" a name is a name.
            source = url if self._live else f"file:{url}"
            self._container: Any = av.open(source, format=form, options=options, timeout=(WAIT_S, WAIT_S))
            self._frames = self._decode(self._container)
        except Exception as exc:  # FFmpeg's errors are of many kinds
            raise CameraError(f"{self._shown} cannot be opened: {_why(exc)}") from exc
        self._began_s: float | None = None  # when the file's time 0 was
        self._due_s = 0.0
        self.late = 0

    def read(self) -> Taken | None:
        """The newest frame, ``every_s`` after the one before. Blocks until then, or while the camera says nothing.

        Raises:
            CameraError: the stream broke off, or the file has ended.
        """
        while True:
            try:
                frame = next(self._frames)
            except StopIteration as exc:
                raise CameraError(f"{self._shown} has ended") from exc
            except Exception as exc:
                raise CameraError(f"{self._shown} broke off: {_why(exc)}") from exc
            now_s = time.monotonic()
            if not self._live:
                now_s = self._pace(frame, now_s)
            if now_s < self._due_s:
                continue
            later_s = self._due_s + self._every_s  # what a sleep took too long does not add up
            self._due_s = later_s if later_s > now_s else now_s + self._every_s
            return Taken(self._picture(frame), 0.0)

    def looked(self) -> None:
        pass

    @property
    def refused(self) -> str | None:
        return None

    def take_late(self) -> int:
        return 0

    @property
    def done(self) -> tuple[int, str]:
        return (0, "")

    def close(self) -> None:
        self._frames.close()
        self._container.close()

    def _decode(self, container: Any) -> Generator[Any, None, None]:
        stream = container.streams.video[0]  # IndexError: it has none
        stream.thread_type = "AUTO"
        check_size(stream.codec_context.width or 1, stream.codec_context.height or 1)

        def frames() -> Generator[Any, None, None]:
            yield from container.decode(stream)

        return frames()

    def _picture(self, frame: Any) -> UInt8:
        try:
            check_size(frame.width, frame.height)  # a stream may change it
        except ContractError as exc:
            raise CameraError(f"{self._shown}: {exc}") from exc
        picture: UInt8 = frame.to_ndarray(format="rgb24")
        return picture

    def _pace(self, frame: Any, now_s: float) -> float:
        """A file is shown as fast as it was recorded. Returns its time on this machine's clock."""
        at_s = float(frame.time or 0.0)
        if self._began_s is None:
            self._began_s = now_s - at_s
        due_s = self._began_s + at_s
        if due_s > now_s:
            time.sleep(due_s - now_s)
        return due_s


def _why(exc: BaseException) -> str:
    if isinstance(exc, IndexError):
        return "it has no picture"
    return str(getattr(exc, "strerror", None) or type(exc).__name__)
