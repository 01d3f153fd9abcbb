"""Drawings of vehicles from behind, and of a road without one, where no photographs are at hand; from a stated seed."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]
SIDE, FINER = 32, 2  # pixels of a picture; drawn so many times finer, then averaged, so that edges are soft
_down, _across = np.mgrid[0 : SIDE * FINER, 0 : SIDE * FINER] / (SIDE * FINER)  # 0–1 of the sides


def pictures(n: int, seed: int) -> dict[str, npt.NDArray[Any]]:
    """Drawings of 32 × 32 pixels, as ``images/vehicles32_train*.npz`` have photographs: every second a vehicle seen
    from behind (``y`` 1), the others road, verge, sky, marks, posts and boards (0). What recognizes them has not been
    shown to recognize a vehicle on a street."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    x = np.stack([_drawn(bool(vehicle), rng) for vehicle in y])
    return {"x": x, "y": y, "source": np.full(n, "drawn")}


def _drawn(vehicle: bool, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    grey = rng.uniform(60, 150)
    picture = np.empty((*_down.shape, 3))
    picture[:] = grey + rng.normal(0, 8, 3)
    horizon = rng.uniform(-0.3, 0.5)
    picture[horizon > _down] = rng.uniform([60, 80, 40], [190, 200, 220])  # verge, wall or sky
    for _ in range(rng.integers(0, 3)):  # marks on the road
        slope, at, width = rng.uniform(-0.8, 0.8), rng.uniform(0, 1), rng.uniform(0.02, 0.06)
        mark = (np.abs(_across - at - slope * (_down - 0.5)) < width) & (horizon < _down)
        picture[mark] = rng.uniform(180, 245)
    for _ in range(rng.integers(0, 3 if vehicle else 5)):  # posts, boards, shadows
        left, top = rng.uniform(-0.2, 1, 2)
        wide, high = rng.uniform(0.05, 0.7), rng.uniform(0.05, 0.7)
        picture[_box(left, top, left + wide, top + high)] = rng.uniform(20, 235, 3)
    if vehicle:
        _vehicle(picture, rng)
    light = rng.uniform(0.5, 1.2) * (1 + rng.uniform(-0.3, 0.3) * (_across - 0.5))
    picture = picture * light[:, :, None]
    small = picture.reshape(SIDE, FINER, SIDE, FINER, 3).mean(axis=(1, 3))
    return np.clip(small + rng.normal(0, rng.uniform(2, 9), small.shape), 0, 255).astype(np.uint8)


def _vehicle(picture: Numbers, rng: np.random.Generator) -> None:
    """Shadow, wheels, body, cabin with its window, two lamps and a plate, from behind."""
    wide, high = rng.uniform(0.5, 0.85), rng.uniform(0.45, 0.8)
    middle, bottom = 0.5 + rng.uniform(-0.12, 0.12), min(0.97, 0.5 + high / 2 + rng.uniform(-0.06, 0.1))
    left, right, top = middle - wide / 2, middle + wide / 2, bottom - high
    waist = top + high * rng.uniform(0.38, 0.55)
    colour = rng.uniform(15, 240, 3) * 0.4 + rng.uniform(15, 240) * 0.6
    picture[_box(left - 0.04, bottom - 0.06, right + 0.04, bottom + 0.03)] *= 0.3
    for at in (left + 0.03, right - 0.15):
        picture[_box(at, bottom - 0.14, at + 0.12, bottom)] = 18
    inset = wide * rng.uniform(0.03, 0.16)
    slope = inset * np.clip((waist - _down) / max(waist - top, 1e-6), 0, 1)
    cabin = (_across > left + slope) & (_across < right - slope) & (top < _down) & (waist >= _down)
    picture[cabin] = picture[_box(left, waist, right, bottom - 0.05)] = colour
    glass = rng.uniform(20, 90) + rng.uniform(0, 60) * (_down - top)
    window = cabin & (_across > left + slope + 0.07 * wide) & (_across < right - slope - 0.07 * wide)
    window &= (top + 0.12 * high < _down) & (waist - 0.03 * high > _down)
    picture[window] = glass[window][:, None]
    lamp = rng.uniform([130, 10, 10], [255, 70, 60])
    low, size = waist + 0.06 * high, rng.uniform(0.08, 0.16) * wide
    for at in (left, right - size):
        picture[_box(at, low, at + size, low + 0.13 * high)] = lamp
    plate = waist + 0.28 * high
    picture[_box(middle - 0.13 * wide, plate, middle + 0.13 * wide, plate + 0.09 * high)] = rng.uniform(170, 250)


def _box(left: float, top: float, right: float, bottom: float) -> tuple[slice, slice]:
    at = [max(0, round(edge * SIDE * FINER)) for edge in (top, bottom, left, right)]
    return slice(*at[:2]), slice(*at[2:])
