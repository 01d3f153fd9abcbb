"""A power cut at any operation of a write leaves one whole bundle: the old one, or the new one."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wayside.edge.update.slots import Slots

OLD, NEW, NEWER = b"old" * 1000, b"new" * 1200, b"newer" * 900


def active(folder: Path) -> bytes | None:
    return next((slot.content for slot in Slots(folder).sound()), None)


def keep(folder: Path) -> str | None:
    return next((slot.name for slot in Slots(folder).sound()), None)


def test_an_empty_folder_has_no_active_bundle(tmp_path):
    assert active(tmp_path / "new") is None


def test_the_last_written_bundle_is_active_and_the_one_before_is_kept(tmp_path):
    slots = Slots(tmp_path)
    a = slots.write(OLD, keep=None)
    b = slots.write(NEW, keep=a)
    assert a != b
    assert [slot.content for slot in Slots(tmp_path).sound()] == [NEW, OLD]
    assert slots.write(NEWER, keep=b) == a
    assert [slot.content for slot in Slots(tmp_path).sound()] == [NEWER, NEW]


class PowerCut(BaseException):
    pass


class Disk:
    """Counts what reaches the file system; at operation ``cut`` the power goes, perhaps in the middle of a write."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, cut: int | None, torn: bool = False) -> None:
        self.operations = 0
        for owner, name in ((os, "write"), (os, "fsync"), (os, "open"), (Path, "replace"), (Path, "unlink")):
            real = getattr(owner, name)

            def counted(*args, _real=real, _name=name, **kwargs):
                self.operations += 1
                if cut is not None and self.operations >= cut:
                    if torn and _name == "write" and self.operations == cut:
                        _real(args[0], args[1][: len(args[1]) // 2])
                    raise PowerCut
                return _real(*args, **kwargs)

            monkeypatch.setattr(owner, name, counted)


@pytest.mark.parametrize("torn", [False, True])
def test_a_power_cut_at_any_operation_leaves_the_old_or_the_new_bundle_whole(tmp_path, torn):
    def prepared(folder: Path) -> str:
        slots = Slots(folder)
        running = slots.write(NEWER, keep=slots.write(OLD, keep=None))
        return slots.write(OLD, keep=running)  # both slots are in use, OLD runs

    with pytest.MonkeyPatch.context() as patch:
        running = prepared(tmp_path / "count")
        disk = Disk(patch, cut=None)
        Slots(tmp_path / "count").write(NEW, keep=running)
        total = disk.operations
    assert total >= 10
    outcomes = []
    for cut in range(1, total + 1):
        folder = tmp_path / str(cut)
        running = prepared(folder)
        with pytest.MonkeyPatch.context() as patch:
            Disk(patch, cut, torn)
            with pytest.raises(PowerCut):
                Slots(folder).write(NEW, keep=running)
        outcomes.append(active(folder))
        assert outcomes[-1] in (OLD, NEW)
        # The next start can write again, and what it writes wins.
        Slots(folder).write(NEWER, keep=keep(folder))
        assert active(folder) == NEWER
    assert outcomes[0] == OLD
    assert outcomes == sorted(outcomes, key=lambda c: c == NEW)  # once switched, switched


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
def test_a_full_or_failing_disk_raises_and_leaves_the_running_bundle(tmp_path, monkeypatch, error):
    slots = Slots(tmp_path)
    running = slots.write(OLD, keep=slots.write(NEWER, keep=None))

    def full(fd, data):
        raise OSError(error, os.strerror(error))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(OSError, match=os.strerror(error)):
            slots.write(NEW, keep=running)
    assert active(tmp_path) == OLD
    assert not list(tmp_path.glob(".*"))


@settings(max_examples=25, deadline=None)
@given(where=st.integers(min_value=0, max_value=10**6), flip=st.integers(min_value=1, max_value=255))
def test_a_rotten_bundle_falls_back_to_the_other_slot(tmp_path_factory, where, flip):
    folder = tmp_path_factory.mktemp("slots")
    slots = Slots(folder)
    name = slots.write(NEW, keep=slots.write(OLD, keep=None))
    path = folder / f"{name}.bundle"
    data = bytearray(path.read_bytes())
    data[where % len(data)] ^= flip
    path.write_bytes(data)
    slots = Slots(folder)
    assert [slot.content for slot in slots.sound()] == [OLD]
    assert list(slots.damaged) == [name]


@pytest.mark.parametrize("record", [b"", b"{", b'{"sequence":0}', b"\xff" * 100, b"[" * 100_000])
def test_a_rotten_record_falls_back_to_the_other_slot(tmp_path, record):
    slots = Slots(tmp_path)
    name = slots.write(NEW, keep=slots.write(OLD, keep=None))
    (tmp_path / f"{name}.json").write_bytes(record)
    slots = Slots(tmp_path)
    assert [slot.content for slot in slots.sound()] == [OLD]
    assert name in slots.damaged


def test_a_record_without_its_bundle_falls_back(tmp_path):
    slots = Slots(tmp_path)
    name = slots.write(NEW, keep=slots.write(OLD, keep=None))
    (tmp_path / f"{name}.bundle").unlink()
    assert active(tmp_path) == OLD
