"""A folder of pictures: oldest first, whole ones only, each once; what is no picture is left there and told."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest

from tests.simulators.pictures import encoded
from wayside.edge.sensors import folder as sensor
from wayside.edge.sensors.folder import CameraMissing, Folder

AGE_S = 10.0


def picture(level: int) -> bytes:
    return encoded(np.full((24, 24, 3), level, np.uint8))


def put(path: Path, content: bytes, age_s: float = AGE_S) -> Path:
    path.write_bytes(content)
    at = time.time() - age_s
    os.utime(path, (at, at))
    return path


def levels(folder: Folder, most: int = 20) -> list[int]:
    """Reads and deals with what there is."""
    seen = []
    for _ in range(most):
        taken = folder.read()
        if taken is not None:
            seen.append(int(taken.picture[0, 0, 0]))
            folder.looked()
    return seen


def deletes(path: Path, late_s: float = 600.0) -> Folder:
    return Folder(path, delete=True, late_s=late_s)


def keeps(path: Path, after: tuple[int, str] = (0, "")) -> Folder:
    return Folder(path, delete=False, late_s=600.0, after=after)


def test_the_oldest_comes_first_and_each_is_deleted_once_it_was_looked_at(tmp_path: Path) -> None:
    for name, level, age_s in (("c", 3, 30), ("a", 1, 10), ("b", 2, 20)):
        put(tmp_path / name, picture(level), age_s)
    folder = deletes(tmp_path)
    taken = folder.read()
    assert taken is not None
    assert taken.age_s == pytest.approx(30, abs=5)
    assert len(list(tmp_path.iterdir())) == 3, "nobody has looked at it yet"
    folder.looked()
    assert levels(folder) == [2, 1]
    assert list(tmp_path.iterdir()) == []


def test_what_is_kept_is_never_read_again_not_even_after_a_restart(tmp_path: Path) -> None:
    put(tmp_path / "a", picture(1), 30)
    put(tmp_path / "b", picture(2), 20)
    folder = keeps(tmp_path)
    assert levels(folder) == [1, 2]
    put(tmp_path / "c", picture(3), 10)
    assert levels(folder) == [3]
    assert levels(keeps(tmp_path, folder.done)) == []
    assert len(list(tmp_path.iterdir())) == 3
    assert folder.take_late() == 0
    put(tmp_path / "late", picture(4), 25)  # older than what was looked at: its turn is over
    assert levels(folder) == []
    assert folder.take_late() == 1


def test_a_file_that_grows_is_waited_for(tmp_path: Path) -> None:
    content = picture(5)
    folder = deletes(tmp_path)
    path = tmp_path / "a"
    for end in (4, len(content) // 2, len(content)):
        path.write_bytes(content[:end])
        assert folder.read() is None
    assert levels(folder) == [5]


def test_a_half_written_picture_that_stalls_is_waited_for_and_then_given_up(tmp_path: Path) -> None:
    whole = encoded(np.random.default_rng(0).integers(0, 256, (24, 24, 3)).astype(np.uint8))
    half = whole[: len(whole) // 2]
    put(tmp_path / "a", half, AGE_S)
    put(tmp_path / "b", picture(7), AGE_S - 5)
    folder = keeps(tmp_path)
    assert levels(folder, 5) == [], "the newer one must not hide the one that is still written"
    put(tmp_path / "a", half, sensor.GIVE_UP_S + 5)
    assert levels(folder) == [7]
    assert folder.take_late() == 1


def test_unfinished_names_are_nobodys_business(tmp_path: Path) -> None:
    for name in (".hidden", "a.part", "b.tmp"):
        put(tmp_path / name, picture(1))
    folder = deletes(tmp_path)
    assert levels(folder) == []
    assert folder.refused is None
    (tmp_path / "a.part").rename(tmp_path / "a.jpg")
    assert levels(folder) == [1]


@pytest.mark.parametrize("kind", ["link", "text", "directory", "fifo", "dangling"])
def test_what_is_no_picture_is_told_and_neither_read_nor_deleted(tmp_path: Path, kind: str) -> None:
    inside = tmp_path / "in"
    inside.mkdir()
    secret = put(tmp_path / "secret.png", picture(9))
    odd = inside / "odd"
    if kind == "link":
        odd.symlink_to(secret)
    elif kind == "dangling":
        odd.symlink_to(tmp_path / "nothing")
    elif kind == "text":
        put(odd, b"a letter to the mayor")
    elif kind == "directory":
        odd.mkdir()
    else:
        os.mkfifo(odd)
    put(inside / "good", picture(8))
    folder = deletes(inside)
    assert levels(folder) == [8]
    assert folder.refused is not None
    assert "'odd'" in folder.refused
    assert "left there" in folder.refused
    assert odd.is_symlink() or odd.exists()
    assert secret.exists()
    if kind != "directory":
        odd.unlink()
        assert levels(folder) == []
        assert folder.refused is None


def test_a_bomb_is_the_cameras_and_is_deleted_without_being_decoded(tmp_path: Path) -> None:
    bomb = bytearray(picture(1))
    bomb[16:24] = (60000).to_bytes(4, "big") * 2
    put(tmp_path / "bomb.png", bytes(bomb), sensor.GIVE_UP_S + 5)
    folder = deletes(tmp_path)
    assert levels(folder) == []
    assert folder.take_late() == 1
    assert list(tmp_path.iterdir()) == []


def test_a_picture_of_long_ago_is_not_counted_as_of_now(tmp_path: Path) -> None:
    put(tmp_path / "old", picture(1), 120)
    put(tmp_path / "new", picture(2), 10)
    folder = deletes(tmp_path, late_s=60)
    assert levels(folder) == [2]
    assert folder.take_late() == 1
    assert list(tmp_path.iterdir()) == []


def test_a_picture_that_cannot_be_deleted_is_looked_at_once_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "a", picture(1))

    def refuse(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "unlink", refuse)
    folder = deletes(tmp_path)
    assert levels(folder) == [1]
    assert folder.refused is not None
    assert "cannot be deleted" in folder.refused


def test_a_file_that_was_exchanged_while_it_was_looked_at_is_not_deleted(tmp_path: Path) -> None:
    put(tmp_path / "a", picture(1))
    folder = deletes(tmp_path)
    assert folder.read() is not None
    (tmp_path / "a").unlink()
    put(tmp_path / "a", picture(2), 5)
    folder.looked()
    assert (tmp_path / "a").exists()
    assert levels(folder) == [2]


def test_a_folder_that_is_not_there_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(CameraMissing, match="make the folder"):
        deletes(tmp_path / "nowhere").read()
