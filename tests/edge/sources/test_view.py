"""A camera's troubles: each is seen and ends again; none is seen in streets, light and traffic as they are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageFilter

from tests.simulators.pictures import UInt8, scene, taken
from wayside.contracts.camera_config import ViewConfig
from wayside.contracts.reading import Quality
from wayside.edge.sources.view import LEARNED, PATIENCE, Seen, View

Change = Callable[[UInt8], UInt8]
WIDE = scene(5, 560, 760)


def blurred(picture: UInt8) -> UInt8:
    return np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(6)))


TROUBLES: dict[Quality, Change] = {
    Quality.DARK: lambda p: (p * 0.05).astype(np.uint8),
    Quality.OVEREXPOSED: lambda p: (p.astype(np.uint16) * 6 + 120).clip(0, 255).astype(np.uint8),
    Quality.BLURRED: blurred,
}


class Camera:
    def __init__(self, of: UInt8, seed: int = 0, **limits: float) -> None:
        self.view, self.dice, self.of = View(ViewConfig(**limits)), np.random.default_rng(seed), of
        self.at_s = 0.0

    def see(self, count: int = 1, change: Change = lambda p: p, down: int = 0, across: int = 0, **how: float) -> Seen:
        part = self.of[down : down + 480, across : across + 640]
        for _ in range(count):
            self.at_s += 1
            seen = self.view.judge(change(taken(part, self.dice, **how)), self.at_s)
        return seen


def held(seen: Seen) -> set[Quality]:
    return {quality for quality, holds in seen.troubles.items() if holds}


@pytest.mark.parametrize("quality", TROUBLES)
def test_a_trouble_begins_after_some_pictures_and_ends_after_as_many(quality: Quality) -> None:
    camera = Camera(WIDE)
    assert held(camera.see(LEARNED)) == set()
    assert held(camera.see(PATIENCE - 1, TROUBLES[quality])) == set()
    assert held(camera.see(1, TROUBLES[quality])) == {quality}
    assert held(camera.see(PATIENCE - 1)) == {quality}
    assert held(camera.see(1)) == set()


def test_a_picture_that_never_changes_is_frozen_and_one_that_hardly_does_is_not() -> None:
    camera = Camera(WIDE, frozen_s=60)
    still = taken(WIDE[:480, :640], camera.dice)
    for at_s in range(60):
        assert not camera.view.judge(still, at_s).troubles[Quality.FROZEN]
    frozen = camera.view.judge(still, 60)
    assert frozen.troubles[Quality.FROZEN]
    assert not frozen.changed
    quiet = Camera(WIDE, frozen_s=60)
    assert held(quiet.see(200, vehicles=0, noise=0.5)) == set()
    assert Quality.FROZEN not in held(camera.see(1))


@pytest.mark.parametrize(("down", "across"), [(0, 40), (40, 0), (60, 90)])
def test_a_camera_that_was_pushed_has_moved_until_it_looks_back(down: int, across: int) -> None:
    camera = Camera(WIDE)
    camera.see(2 * LEARNED)
    assert held(camera.see(4 * PATIENCE - 1, down=down, across=across)) == set()
    assert held(camera.see(2, down=down, across=across)) == {Quality.MOVED}
    assert held(camera.see(4 * PATIENCE)) == set()


def test_a_camera_that_looks_at_something_else_has_moved() -> None:
    camera = Camera(WIDE)
    camera.see(2 * LEARNED)
    camera.of = scene(77, 560, 760, 3)  # the edges of a mosaic's parts would be where they were
    assert held(camera.see(10 * PATIENCE)) == {Quality.MOVED}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("scale", [1, 2, 4])
def test_a_day_of_traffic_raises_no_alarm(seed: int, scale: int) -> None:
    """4 x is what 32 pixels become when they are made 128: softer than any lens."""
    camera = Camera(scene(seed, 480, 640, scale), seed)
    alarms: dict[Quality, int] = {}
    for hour in range(24):
        light = 1.0 + 0.4 * np.sin(hour / 6)
        for quality in held(camera.see(3, light=light, noise=1 + 3 * (hour % 3), vehicles=10)):
            alarms[quality] = alarms.get(quality, 0) + 1
    assert alarms == {}


@pytest.mark.parametrize(("height", "width"), [(20, 20), (31, 97), (240, 320), (1080, 1920)])
@pytest.mark.parametrize("fill", [None, 0, 128, 255])
def test_pictures_of_any_size_and_without_anything_on_them_are_judged(
    height: int, width: int, fill: int | None
) -> None:
    view, dice = View(ViewConfig()), np.random.default_rng(0)
    for at_s in range(LEARNED + 2):
        picture = np.full((height, width, 3), fill, np.uint8) if fill is not None else None
        if picture is None:
            picture = dice.integers(0, 256, (height, width, 3)).astype(np.uint8)
        seen = view.judge(picture, at_s)
    assert np.isfinite(seen.sharpness)
    assert seen.troubles[Quality.DARK] is (fill == 0)
    assert seen.troubles[Quality.OVEREXPOSED] is (fill == 255)
