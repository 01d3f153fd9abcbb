"""Frames for counting: the counts are true, frames repeat, and no picture of one stretch is in another."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from wayside.cloud.train import datasets, frames
from wayside.cloud.train.errors import DataError
from wayside.cloud.train.fit import fit
from wayside.cloud.train.taskfile import Data, Fit, TaskFile
from wayside.contracts.task import Input, TaskSpec

TASK = TaskSpec(
    name="lamps",
    domain="safety",
    kind="count",
    inputs=(Input(name="pixel", unit="1", low=0, high=255),),
    output="lamps",
    output_unit="1",
    window=1,
    horizon=1,
    interval_s=1,
    season=1,
    image=(36, 36, 3),
    classes=("lamp",),
)
TASKFILE = TaskFile(
    task=TASK,
    data=Data(layout="frames", files=("lamps.npz",), blocks=5),
    fit=Fit(
        family="count",
        sizes={"stem": 8, "stages": [[16, 1]], "head": 16},
        loss="family",
        epochs=4,
        steps=8,
        rate=0.01,
        schedule="onecycle",
        average=0.9,
        patience=0,
    ),
)


@pytest.fixture
def lamps(tmp_path: Path) -> Path:
    """Small pictures: grey ones, a little different each, and ones with a white disc."""
    rng = np.random.default_rng(0)
    x = rng.integers(60, 90, (300, 12, 12, 3)).astype(np.uint8)
    y = np.repeat([0, 1], 150).astype(np.uint8)
    far = np.hypot(*np.mgrid[-5.5:6, -5.5:6])
    x[y == 1] = np.where(far[:, :, None] < 4, 255, x[y == 1])
    np.savez(tmp_path / "lamps.npz", x=x, y=y)
    return tmp_path / "lamps.npz"


def test_frames_show_as_many_as_they_say_and_repeat(lamps: Path) -> None:
    found = frames.read(TASKFILE, [lamps])
    x, y = found.take(np.arange(60))
    assert x.shape == (60, 36, 36, 3)
    assert x.min() >= 0
    assert x.max() <= 255
    assert np.array_equal(y, found.y[:60])
    assert set(y[:, 0]) == set(range(frames.MOST + 1))
    bright = (x.mean(axis=3) > 0.8 * x.max(axis=(1, 2, 3))[:, None, None]).sum(axis=(1, 2))
    several = y[:, 0] > 0
    assert np.corrcoef(bright[several], y[several, 0])[0, 1] > 0.8
    again, _ = found.take([59, 3])
    assert np.array_equal(again, x[[59, 3]])
    assert len(found.site) == len(found.naive) == len(found) == 300


def test_stretches_share_no_picture(lamps: Path) -> None:
    parts = frames.split(frames.read(TASKFILE, [lamps]), TASKFILE)
    seen = [{p.tobytes() for p in part.pictures.pictures} for part in parts.values()]
    assert not seen[0] & seen[1] | seen[0] & seen[2] | seen[1] & seen[2]
    assert sum(map(len, seen)) == 300


def test_a_file_without_things_or_without_background_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.random.default_rng(0).integers(0, 255, (9, 12, 12, 3), np.uint8), y=np.ones(9))
    with pytest.raises(DataError, match="no picture of class 0"):
        frames.read(TASKFILE, [tmp_path / "a.npz"])
    with pytest.raises(DataError, match="takes uint8 8 x 8 x 3"):
        frames.read(_with_side(24), [tmp_path / "a.npz"])


def test_counting_is_learnt_from_counts_alone(lamps: Path) -> None:
    source, taskfile = datasets.load(TASKFILE, lamps)
    data = datasets.split(source, taskfile)
    fitted = fit(taskfile.fit, taskfile.task, data)
    assert fitted.epochs[-1].validation < fitted.epochs[0].validation / 2


def _with_side(side: int) -> TaskFile:
    import msgspec

    return msgspec.structs.replace(TASKFILE, task=msgspec.structs.replace(TASK, image=(side, side, 3)))
