"""Frames that cameras gave → closed steps and conditions: how many were looked at, and whether they can be believed.

Sans-I/O, and without pictures: of each frame only what :mod:`~wayside.edge.sources.view` says of it comes here. What
the frames show is counted by the tasks (:mod:`wayside.edge.tasks.picture`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from wayside.contracts.camera_config import CameraConfig
from wayside.contracts.reading import GOOD, Quality
from wayside.contracts.task_config import FRAMES
from wayside.edge.clock import Clock
from wayside.edge.ledger import Ledger
from wayside.edge.sources.beat import Beat
from wayside.edge.sources.quality import worst
from wayside.edge.sources.step import Closed, Extra, Grid, Step
from wayside.edge.sources.view import Seen

TROUBLES = (
    ("camera_dark", Quality.DARK, "the picture is dark: no light, or something covers the lens"),
    ("camera_overexposed", Quality.OVEREXPOSED, "more than half of the picture is white"),
    ("camera_blurred", Quality.BLURRED, "the picture is blurred: dirt, water or focus"),
    ("camera_frozen", Quality.FROZEN, "the same picture again and again"),
    ("camera_moved", Quality.MOVED, "the camera looks elsewhere than before; its region may be wrong"),
)
CAMERA_CONDITIONS = (*(code for code, _, _ in TROUBLES), "camera_silent", "camera_refuses", "frames_dropped")


class Eye:
    """One camera during the open step, and what outlives it."""

    def __init__(self, config: CameraConfig) -> None:
        self.config = config
        self.frames = 0  # looked at in the open step
        self.dropped: dict[str, int] = {}  # in the open step, by reason
        self.doubtful: dict[Quality, int] = {}  # frames of the open step, by trouble
        self.seen_ms: int | None = None  # the last frame
        self.seen: Seen | None = None
        self.size: tuple[int, int] | None = None  # width, height
        self.trouble: str | None = None  # why none comes
        self.total_dropped = 0
        self.done: tuple[int, str] = (0, "")  # time and name of the last picture of a folder

    @property
    def quality(self) -> Quality:
        """Of the last frame."""
        if self.seen is None:
            return Quality.MISSING
        held = [quality for quality, holds in self.seen.troubles.items() if holds]
        quality = GOOD
        for each in held:
            quality = worst(quality, each)
        return Quality.STALE if self.trouble is not None else quality

    def close(self) -> tuple[float | None, Quality, int]:
        """End the step: ``(frames, quality, frames)``. A trouble counts that half of the frames have."""
        n, quality = self.frames, GOOD
        for each, frames in self.doubtful.items():
            if frames * 2 >= n:
                quality = worst(quality, each)
        self.frames, self.doubtful, self.dropped = 0, {}, {}
        if not n:
            return None, Quality.MISSING if self.seen_ms is None else Quality.STALE, 0
        return float(n), quality, n


class FrameSource:
    """All cameras of a node, on its own clock."""

    name = "frames"

    def __init__(self, configs: Sequence[CameraConfig], clock: Clock, grid: Grid, ledger: Ledger) -> None:
        self.each = tuple(Eye(c) for c in configs)
        self.datastreams = tuple(c.stream() for c in configs)
        self._clock, self._ledger = clock, ledger
        self._beat = Beat(clock, grid)
        self._closed: Closed = []

    def see(self, camera: int, seen: Seen, size: tuple[int, int], done: tuple[int, str] = (0, "")) -> None:
        """A frame of ``camera`` came; ``size`` is width and height, ``done`` its time and name in a folder."""
        ms = self._beat.now_ms()
        self.pass_time(ms)
        eye = self.each[camera]
        eye.frames += 1
        eye.seen_ms, eye.seen, eye.size, eye.done, eye.trouble = ms, seen, size, done, None
        name, ledger = eye.config.name, self._ledger
        ledger.end("camera_silent", name)
        for code, quality, what in TROUBLES:
            holds = seen.troubles.get(quality)
            if holds:
                eye.doubtful[quality] = eye.doubtful.get(quality, 0) + 1
                ledger.begin(
                    code, name, what, severe=False, brightness=seen.brightness, sharpness=round(seen.sharpness, 3)
                )
            elif holds is False:
                ledger.end(code, name)

    def fail(self, camera: int, why: str) -> None:
        """``camera`` gives no picture."""
        eye = self.each[camera]
        eye.trouble = why[:200]
        self._ledger.begin("camera_silent", eye.config.name, why[:256], severe=False)

    def refuse(self, camera: int, why: str | None) -> None:
        """Something in its folder is no picture that can be looked at; None: no longer."""
        name = self.each[camera].config.name
        if why is None:
            self._ledger.end("camera_refuses", name)
        else:
            self._ledger.begin("camera_refuses", name, why[:256], severe=False)

    def drop(self, camera: int, frames: int, reason: str) -> None:
        """``frames`` of ``camera`` were not looked at."""
        self.pass_time(self._beat.now_ms())
        eye = self.each[camera]
        eye.dropped[reason] = eye.dropped.get(reason, 0) + frames
        eye.total_dropped += frames
        self._ledger.begin(
            "frames_dropped", eye.config.name, f"frames are not looked at: {reason}", severe=False, frames=frames
        )

    def pass_time(self, ms: int | None = None) -> None:
        """The node's clock reads ``ms``, or whatever it reads now."""
        if not self.each:
            return
        ms = self._beat.now_ms() if ms is None else ms
        for ended in self._beat.pass_time(ms):
            extras: list[Extra] = []
            for eye in self.each:
                if eye.dropped:
                    lost = sum(eye.dropped.values())
                    why: dict[str, str | float | int | bool | None] = dict(eye.dropped)
                    extras.append(Extra(f"{eye.config.name}/dropped", float(lost), FRAMES, GOOD, lost, detail=why))
                else:
                    self._ledger.end("frames_dropped", eye.config.name)
            closed = [eye.close() for eye in self.each]
            self._closed.append(
                Step(
                    ended.grid,
                    ended.start_ms * 1_000_000,
                    ended.end_ms * 1_000_000,
                    0,
                    [value for value, _, _ in closed],
                    [quality for _, quality, _ in closed],
                    [n for _, _, n in closed],
                    extras,
                )
            )

    def status(self) -> list[dict[str, Any]]:
        """For people at the cabinet: of each camera what is known, in numbers and words."""
        now_ms = self._beat.now_ms()
        return [
            {
                "camera": eye.config.name,
                "quality": eye.quality.value,
                "frames": eye.frames,
                "dropped": eye.total_dropped,
                "size": None if eye.size is None else list(eye.size),
                "age_s": None if eye.seen_ms is None else (now_ms - eye.seen_ms) / 1000,
                "brightness": None if eye.seen is None else eye.seen.brightness,
                "sharpness": None if eye.seen is None else round(eye.seen.sharpness, 3),
                "trouble": eye.trouble,
            }
            for eye in self.each
        ]

    def closed(self) -> Closed:
        closed, self._closed = self._closed, []
        return closed

    def next_number(self, grid: int) -> None:
        self._beat.next_number(grid)

    def state(self) -> dict[str, Any]:
        each = {}
        for e in self.each:
            doubtful = {q.value: n for q, n in e.doubtful.items()}
            each[e.config.name] = [e.frames, e.dropped, doubtful, e.seen_ms is not None, e.total_dropped, *e.done]
        return self._beat.state() | {"each": each}

    def restore(self, state: Mapping[str, Any]) -> None:
        same = self._beat.restore(state)
        for eye in self.each:
            known = state["each"].get(eye.config.name)
            if known is None:
                continue
            eye.total_dropped = int(known[4])
            eye.done = int(known[5]), str(known[6])
            if known[3]:
                eye.seen_ms = self._beat.now_ms()
            if same:
                eye.frames = int(known[0])
                eye.dropped = {str(why): int(n) for why, n in known[1].items()}
                eye.doubtful = {Quality(q): int(n) for q, n in known[2].items()}
