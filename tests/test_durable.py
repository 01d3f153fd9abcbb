"""After a power cut at any operation of a write there is the old file or the new one, and who reads it is unchanged."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from tests.simulators.power import PowerCut, operations, power_cut
from wayside.durable import finish_file, remove, rename, replace_file

OLD, NEW = b"old" * 1000, b"new" * 1200


@pytest.mark.parametrize("torn", [False, True])
def test_a_power_cut_at_any_operation_leaves_the_old_or_the_new_file_whole(tmp_path: Path, torn: bool) -> None:
    path = tmp_path / "file"
    path.write_bytes(OLD)
    total = operations(lambda: replace_file(path, NEW))
    after = []
    for cut in range(1, total + 1):
        path.write_bytes(OLD)
        with power_cut(cut, torn=torn), pytest.raises(PowerCut):
            replace_file(path, NEW)
        after.append(path.read_bytes())
        replace_file(path, NEW)
        assert path.read_bytes() == NEW
        assert list(tmp_path.iterdir()) == [path]
    assert set(after) == {OLD, NEW}
    assert after == sorted(after, key=lambda content: content == NEW)


def test_a_secret_is_never_readable_by_others_even_beside_what_a_cut_left(tmp_path: Path) -> None:
    (tmp_path / ".key.part").write_bytes(b"left")
    replace_file(tmp_path / "key", b"secret", mode=0o600)
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600


def test_a_full_disk_leaves_the_old_file_and_takes_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_bytes(OLD)

    def full(fd: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(OSError, match="No space"):
            replace_file(path, NEW)
    assert path.read_bytes() == OLD
    assert list(tmp_path.iterdir()) == [path]


def test_what_was_written_piece_by_piece_is_named_once_it_is_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    for owner, name in ((os, "fsync"), (Path, "replace")):
        real = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *a, _real=real, _name=name: (order.append(_name), _real(*a))[1])
    (tmp_path / "part").write_bytes(NEW)
    finish_file(tmp_path / "part", tmp_path / "whole")
    assert (tmp_path / "whole").read_bytes() == NEW
    assert order == ["fsync", "replace", "fsync"]


def test_a_rename_between_folders_is_durable_in_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    real = os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda fd: (synced.append(str(Path(f"/proc/self/fd/{fd}").readlink())), real(fd))[1]
    )
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    (tmp_path / "a" / "file").write_bytes(OLD)
    rename(tmp_path / "a" / "file", tmp_path / "b" / "file")
    assert {Path(path).name for path in synced} == {"a", "b"}


def test_removing_what_is_not_there_is_nothing(tmp_path: Path) -> None:
    remove(tmp_path / "file")
