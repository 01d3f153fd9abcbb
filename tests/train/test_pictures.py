"""Pictures: what belongs together stays together, equal pictures are counted, a test file is judged as it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.train.taskfiles import taskfile
from wayside.cloud.train import datasets
from wayside.cloud.train.errors import DataError
from wayside.cloud.train.images import Images
from wayside.cloud.train.taskfile import TaskFile


def task(data: str = "", *, classes: tuple[str, ...] = ("no", "yes")) -> TaskFile:
    return taskfile(f'layout = "images"\n{data}', kind="classify", image=[4, 4, 3], classes=list(classes), window=1)


def write(path: Path, x: np.ndarray, y: list[int], **more: np.ndarray) -> Path:
    np.savez(path, x=x.astype(np.uint8), y=np.array(y, np.uint8), **more)
    return path


def pictures(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 4, 4, 3))


def read(taskfile: TaskFile, path: Path, **how: object) -> Images:
    images = datasets.load(taskfile, path)[0]
    assert isinstance(images, Images)
    return images


def test_a_track_is_never_in_two_stretches(tmp_path: Path) -> None:
    track = np.repeat(np.arange(12), 5)
    path = write(tmp_path / "a.npz", pictures(120), [0] * 60 + [1] * 60, track=np.tile(track, 2))
    images = read(task('group = "track"'), path)
    parts = datasets.split(images, task('group = "track"'))
    groups = [set(np.asarray(p.group).tolist()) for p in (parts.train, parts.validation, parts.holdout)]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 24
    assert [len(g) for g in groups] == [16, 4, 4]
    assert all(set(np.asarray(p.y).tolist()) == {0, 1} for p in (parts.train, parts.validation, parts.holdout))


def test_neighbours_in_the_file_stay_together_where_there_are_no_tracks(tmp_path: Path) -> None:
    path = write(tmp_path / "a.npz", pictures(50), [0] * 40 + [1] * 10)
    images = read(task("blocks = 5"), path)
    assert images.order.tolist() == [*np.repeat(range(5), 8), *np.repeat(range(5), 2)]
    assert images.quality.groups == 10
    parts = datasets.split(images, task("blocks = 5"))
    assert (len(parts.train), len(parts.validation), len(parts.holdout)) == (30, 10, 10)
    with pytest.raises(DataError, match="too few groups"):
        datasets.split(read(task("blocks = 2"), path), task("blocks = 2"))


def test_equal_pictures_are_one_in_training_and_themselves_in_a_test(tmp_path: Path) -> None:
    x = pictures(10)
    x[3], x[7] = x[0], x[5]
    path = write(tmp_path / "a.npz", x, [0] * 6 + [1] * 4)
    images = read(task("blocks = 5"), path)
    assert (images.quality.duplicates, images.quality.contradicting, len(images)) == (1, 2, 7)
    assert any("1 pictures → one kept; 2 contradicting → left out" in line for line in images.quality.lines())
    judged = datasets.test_windows(task("blocks = 5"), task().task, [path])
    assert len(judged) == 10
    x, y = judged.take(np.arange(2))
    assert (x.shape, x.dtype, y.tolist()) == ((2, 4, 4, 3), np.dtype(np.float32), [0, 0])


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"x": np.zeros((3, 4, 4, 3), np.uint8)}, "has no array y; its arrays are x"),
        ({"x": np.zeros((3, 5, 4, 3), np.uint8), "y": np.zeros(3)}, "takes uint8 4 x 4 x 3"),
        ({"x": np.zeros((3, 4, 4, 3), np.uint8), "y": np.zeros(2)}, "3, 2 and 2 entries"),
        ({"x": np.zeros((3, 4, 4, 3), np.uint8), "y": np.full(3, 2)}, "class 2 is none of the 2"),
    ],
)
def test_a_bad_file_of_pictures_is_refused_by_array_and_rule(
    arrays: dict[str, np.ndarray], said: str, tmp_path: Path
) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError, match=r"a\.npz") as refusal:
        datasets.load(task(), tmp_path / "a.npz")
    assert said in str(refusal.value)
