"""What a node looks at, as its TOML says: cameras, and how their pictures are judged."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Literal

import msgspec

from wayside.contracts.mistakes import Mistake, refuse
from wayside.contracts.quantities import Phase, Seconds
from wayside.contracts.task_config import FRAMES, Datastream
from wayside.contracts.wire import Document

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Grey = Annotated[float, msgspec.Meta(ge=0, le=255)]
SCHEMES = ("rtsp://", "rtsps://")


def shown(url: str) -> str:
    """``url`` without the name and password of a user."""
    return re.sub(r"(?<=://)[^/]*@", "", url)


class Region(Document, frozen=True, kw_only=True):
    """The part of the picture that tasks look at, in shares of its width and height from the upper left corner."""

    left: Share = 0.0
    top: Share = 0.0
    right: Share = 1.0
    bottom: Share = 1.0

    def __post_init__(self) -> None:
        refuse(self._mistakes())

    def _mistakes(self) -> Iterator[Mistake]:
        for low, high in (("left", "right"), ("top", "bottom")):
            if getattr(self, high) - getattr(self, low) < 0.01:
                yield Mistake((low,), f"{low} + 0.01 <= {high}")


class ViewConfig(Document, frozen=True, kw_only=True):
    """When a picture is not to be believed (docs/cameras.md says what each measures)."""

    dark_below: Grey = 30.0  # 95 % of its pixels are darker
    overexposed_above: Grey = 250.0  # half of its pixels are brighter
    blurred_below: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.055  # sharpness
    frozen_s: Seconds = 60.0  # the same picture again and again, for so long
    moved_over: Annotated[float, msgspec.Meta(ge=0, le=0.5)] = 0.04  # of a side, from where it looked before


class CameraConfig(Document, frozen=True, kw_only=True):
    """A folder that pictures come into, or a stream. The camera's name is that of its datastream."""

    name: Annotated[
        str,
        msgspec.Meta(
            pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$",
            extra={"rule": "is 1 to 32 letters, digits, _ and -, a letter or digit first"},
        ),
    ]
    folder: Annotated[str, msgspec.Meta(min_length=1, max_length=512)] | None = None
    after: Literal["delete", "keep"] | None = None  # what becomes of a folder's picture that was looked at
    url: Annotated[str, msgspec.Meta(min_length=1, max_length=512)] | None = None
    """``/dev/video0``, ``rtsp://…``, or a video file, relative to the configuration"""
    every_s: Annotated[float, msgspec.Meta(ge=0.05, le=3600)] = 1.0  # real seconds from one look to the next
    silent_s: Seconds = 60.0  # real seconds without a picture that are a condition
    region: Region = Region()
    phase: Phase | None = None  # of the board: the signal heads that it sees
    view: ViewConfig = ViewConfig()

    @property
    def live(self) -> bool:
        """Frames that are not taken are gone; a folder's wait."""
        return self.url is not None

    def stream(self) -> Datastream:
        """Frames looked at in a step."""
        return Datastream(name=self.name, unit=FRAMES, aggregate="sum")

    def __post_init__(self) -> None:
        refuse(self._mistakes())

    def _mistakes(self) -> Iterator[Mistake]:
        if (self.folder is None) == (self.url is None):
            yield Mistake((), "has either a folder or a url")
        if self.folder is not None and self.after is None:
            yield Mistake(
                (), 'says what becomes of a picture that was looked at: add after = "delete" (it is private) or "keep"'
            )
        if self.url is not None:
            if self.after is not None:
                yield Mistake(("after",), "is for a folder")
            if "://" in self.url and not self.url.startswith(SCHEMES):
                yield Mistake(("url",), f"begins with {' or '.join(SCHEMES)}, or is a path")
