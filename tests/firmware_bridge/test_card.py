"""Cards: only a card is written, what is on it is compared, and an interrupted one does not boot."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pexpect
import pytest

from tests.simulators.base_image import NODE_TOML, ROOT_JSON, TOKEN, make_base, make_wheels, needs_tools
from tests.simulators.interrupted import few_or_many, killed_then_run_again
from wayside.firmware_bridge.errors import CardError, ImageError
from wayside.firmware_bridge.image import build as images
from wayside.firmware_bridge.image import card
from wayside.firmware_bridge.image.bmap import BLOCK
from wayside.firmware_bridge.image.card import Machine
from wayside.firmware_bridge.image.files import personality

ROOT = Path(__file__).parents[2]
pytestmark = needs_tools


def quiet(_what: str, _done: int, _all: int) -> None:
    pass


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> images.Built:
    folder = tmp_path_factory.mktemp("card")
    base = make_base(folder / "base.img")
    make_wheels(folder / "wheels", bulk=4_000_000)
    who = personality(NODE_TOML, ROOT_JSON, token=TOKEN)
    return images.build(base, folder / "main-5th.img", who, folder / "wheels")


def write(built: images.Built, path: Path) -> None:
    card.write(built.image, card.look_at(path), *images.load_built(built.image), quiet)


def a_card(folder: Path, size: int = 80 << 20) -> Path:
    path = folder / "card"
    with path.open("wb") as file:
        file.write(b"\xaa" * (3 << 20))  # it was used before
        file.truncate(size)
    return path


def test_a_written_card_reads_back_whole(built: images.Built, tmp_path: Path) -> None:
    path = a_card(tmp_path)
    write(built, path)
    images.verify(path, *images.load_built(built.image))
    assert path.stat().st_size == 80 << 20


def test_a_card_that_is_too_small_is_refused_untouched(built: images.Built, tmp_path: Path) -> None:
    path = a_card(tmp_path, 20 << 20)
    before = path.read_bytes()
    with pytest.raises(CardError, match="too small"):
        write(built, path)
    assert path.read_bytes() == before


def test_without_bmaptool_nothing_is_written(
    built: images.Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = a_card(tmp_path)
    before = path.read_bytes()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ImageError, match="bmaptool is not installed here: sudo apt-get install bmap-tools"):
        write(built, path)
    assert path.read_bytes() == before


def test_a_damaged_image_is_refused_and_leaves_a_card_that_does_not_boot(built: images.Built, tmp_path: Path) -> None:
    for name in ("main-5th.img", "main-5th.img.bmap", "main-5th.json"):
        shutil.copy(built.image.with_name(name), tmp_path / name)
    with (tmp_path / "main-5th.img").open("r+b") as file:
        file.seek(1_048_576 + 3)
        file.write(b"\x00\xff\x00")
    path = a_card(tmp_path)
    manifest, bmap = images.load_built(tmp_path / "main-5th.img")
    with pytest.raises(CardError, match="checksum mismatch"):
        card.write(tmp_path / "main-5th.img", card.look_at(path), manifest, bmap, quiet)
    with path.open("rb") as file:
        assert file.read(BLOCK).strip(b"\0") == b""


def test_a_card_that_forgets_is_found_by_reading_it_back(
    built: images.Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, bmap = images.load_built(built.image)
    span = bmap.ranges[-1]
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    real = shutil.which("bmaptool")
    bad = tmp_path / "bmaptool"  # copies well, then the card flips one bit
    bad.write_text(
        f'#!/bin/sh\n{real} "$@" || exit 1\n[ "$1" = copy ] || exit 0\n'
        f"printf '\\377' | dd of=\"$5\" bs=1 seek={span.last * BLOCK + 9} conv=notrunc status=none\n"
    )
    bad.chmod(0o755)
    path = a_card(tmp_path)
    with pytest.raises(CardError, match=rf"does not hold what was written in blocks {span.first}-{span.last} "):
        write(built, path)
    with path.open("rb") as file:
        assert file.read(BLOCK).strip(b"\0") == b""


def test_a_writer_that_dies_half_way_leaves_a_card_that_does_not_boot(
    built: images.Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = tmp_path / "bmaptool"
    bad.write_text('#!/bin/sh\n[ "$1" = copy ] || exit 0\nhead -c 9000000 "$4" >"$5.half"\nexit 3\n')
    bad.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    path = a_card(tmp_path)
    with pytest.raises(CardError, match="does not boot"):
        write(built, path)
    with path.open("rb") as file:
        assert file.read(BLOCK).strip(b"\0") == b""


def test_a_card_with_another_nodes_files_is_made_unbootable_again(built: images.Built, tmp_path: Path) -> None:
    manifest, bmap = images.load_built(built.image)
    others = tuple(
        msgspec.structs.replace(f, sha256="0" * 64) if f.path.endswith("node.toml") else f for f in manifest.files
    )
    path = a_card(tmp_path)
    with pytest.raises(CardError, match=r"not the card of main-5th.*node.toml"):
        card.write(built.image, card.look_at(path), msgspec.structs.replace(manifest, files=others), bmap, quiet)
    with path.open("rb") as file:
        assert file.read(BLOCK).strip(b"\0") == b""


# --- what is never written ------------------------------------------------------------------------------------------


class Kernel:
    """A /proc and /sys with a disk sda (system), a mapping on its third partition, and a card sdb."""

    def __init__(self, folder: Path) -> None:
        self.machine = Machine(folder)
        self.folder = folder
        self.disk("8:0", "sda")
        for number in (1, 2, 3):
            self.disk(f"8:{number}", f"sda{number}", of="sda")
        self.disk("254:0", "dm-0", slaves=("sda3",))
        self.disk("8:16", "sdb")
        self.disk("8:17", "sdb1", of="sdb")
        (folder / "proc/self").mkdir(parents=True)
        self.mounts("")
        (folder / "proc/swaps").write_text("Filename Type Size Used Priority\n")

    def disk(self, number: str, name: str, *, of: str | None = None, slaves: tuple[str, ...] = ()) -> None:
        place = self.folder / "sys/devices" / (of or "") / name
        (place / "slaves").mkdir(parents=True)
        (place / "dev").write_text(number + "\n")
        if of:
            (place / "partition").write_text("1\n")
        for link in (self.folder / "sys/dev/block" / number, self.folder / "sys/class/block" / name):
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(place)
        for slave in slaves:
            (place / "slaves" / slave).symlink_to(self.folder / "sys/class/block" / slave)

    def mounts(self, text: str) -> None:
        (self.folder / "proc/self/mountinfo").write_text(text)

    def refusal(self, major: int, minor: int) -> str:
        try:
            card.refuse_if_used(Path("/dev/it"), os.makedev(major, minor), self.machine)
        except CardError as exc:
            return str(exc)
        return ""


@pytest.mark.parametrize(
    "mounts",
    [
        "22 1 8:0 / / rw - ext4 /dev/sda rw\n",
        "22 1 8:2 / / rw - ext4 /dev/sda2 rw\n",
        "22 1 8:1 / /boot/efi rw - vfat /dev/sda1 rw\n",
        "22 1 254:0 / / rw - ext4 /dev/mapper/root rw\n",
        "22 1 0:31 /@ / rw - btrfs /dev/sda2 rw\n",
        "22 1 8:2 / /home/anna/my\\040files rw - ext4 /dev/sda2 rw\n",
    ],
)
def test_the_running_systems_disk_is_refused_however_it_is_used(tmp_path: Path, mounts: str) -> None:
    kernel = Kernel(tmp_path)
    kernel.mounts(mounts)
    assert "holds the running system" in kernel.refusal(8, 0)
    assert "holds the running system" in kernel.refusal(8, 3)  # a sibling partition is the same disk
    assert kernel.refusal(8, 16) == ""


def test_the_disks_of_an_array_with_partitions_are_refused(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path)
    kernel.disk("9:0", "md0", slaves=("sda",))
    kernel.disk("259:0", "md0p1", of="md0")
    kernel.mounts("22 1 259:0 / / rw - ext4 /dev/md0p1 rw\n")
    assert "holds the running system" in kernel.refusal(8, 0)
    assert "holds the running system" in kernel.refusal(9, 0)
    assert kernel.refusal(8, 16) == ""


def test_the_disk_of_the_swap_is_refused(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path)
    (tmp_path / "proc/swaps").write_text("Filename Type Size Used Priority\n/dev/sda2 partition 1 0 -2\n")
    assert "(swap)" in kernel.refusal(8, 0)
    assert kernel.refusal(8, 16) == ""


def test_a_card_that_the_desktop_mounted_is_refused_with_what_to_type(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path)
    kernel.mounts("40 1 8:17 / /media/anna/bootfs rw - vfat /dev/sdb1 rw\n")
    assert kernel.refusal(8, 16) == (
        "/dev/it is mounted on /media/anna/bootfs: unmount it first (umount /media/anna/bootfs)"
    )


def test_this_machines_own_disk_is_refused() -> None:
    number = Path("/").stat().st_dev
    if not Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}").exists():
        pytest.skip("/ is on no block device here")
    with pytest.raises(CardError, match="holds the running system"):
        card.refuse_if_used(Path("/dev/root"), number, Machine())


def test_what_is_no_disk_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CardError, match="does not exist"):
        card.look_at(tmp_path / "sdz")
    with pytest.raises(CardError, match="neither a disk nor a file"):
        card.look_at(Path("/dev/null"))


@contextlib.contextmanager
def loop_device(path: Path) -> Iterator[Path]:
    made = subprocess.run(
        ["losetup", "--find", "--show", str(path)], capture_output=True, text=True, check=False, env=_ADMIN
    )
    if made.returncode != 0:
        pytest.skip(f"no loop device here: {made.stderr.strip()}")
    try:
        yield Path(made.stdout.strip())
    finally:
        subprocess.run(["losetup", "--detach", made.stdout.strip()], check=False, env=_ADMIN)


_ADMIN = {"PATH": "/usr/sbin:/sbin:/usr/bin:/bin"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has loop devices")
def test_a_real_block_device_is_written_and_read_back(built: images.Built, tmp_path: Path) -> None:
    with loop_device(a_card(tmp_path)) as device:
        write(built, device)
        images.verify(device, *images.load_built(built.image))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has loop devices")
def test_a_reader_without_a_card_is_told(tmp_path: Path) -> None:
    free = subprocess.run(["losetup", "--find"], capture_output=True, text=True, check=False, env=_ADMIN)
    device = Path(free.stdout.strip())
    if free.returncode != 0 or not device.is_block_device():
        pytest.skip("no loop device here")
    with pytest.raises(CardError, match=f"there is no card in {device}"):
        card.look_at(device)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become nobody")
def test_an_ordinary_user_is_told_to_use_sudo(built: images.Built) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:  # pytest's own folders are closed to others
        place = Path(folder)
        place.chmod(0o755)
        for path in (built.image, built.bmap, built.manifest_path):
            shutil.copy(path, place / path.name)
            (place / path.name).chmod(0o644)
        device = a_card(place)
        device.chmod(0o600)
        command = [sys.executable, str(ROOT / "wayside.py"), "image", "write", str(place / built.image.name)]
        done = subprocess.run(
            ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *command, str(device), "--yes"],
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert f"{device} may be written by root alone: run this command with sudo" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has loop devices")
def test_a_real_block_device_is_refused_while_it_is_mounted(tmp_path: Path) -> None:
    file, place = make_base(tmp_path / "ext4", "jetson"), tmp_path / "mounted"
    place.mkdir()
    with loop_device(file) as device:
        assert card.look_at(device).device
        if subprocess.run(["mount", "-o", "ro", str(device), str(place)], check=False, env=_ADMIN).returncode != 0:
            pytest.skip("nothing can be mounted here")
        try:
            with pytest.raises(CardError, match=rf"{device} .*{place}"):
                card.look_at(device)
        finally:
            subprocess.run(["umount", str(place)], check=True, env=_ADMIN)


# --- as a person types it -------------------------------------------------------------------------------------------


def asked(built: images.Built, path: Path) -> pexpect.spawn:
    command = [str(ROOT / "wayside.py"), "image", "write", str(built.image), str(path)]
    child = pexpect.spawn(sys.executable, command, encoding="utf-8", timeout=60, dimensions=(24, 200))
    child.expect("will be ERASED")
    child.expect(f"type {path} to erase it")
    return child


def type_it(built: images.Built, path: Path, answer: str) -> pexpect.spawn:
    child = asked(built, path)
    child.sendline(answer)
    return child


def test_it_asks_for_the_cards_name_and_writes_nothing_on_another(built: images.Built, tmp_path: Path) -> None:
    path = a_card(tmp_path)
    before = path.read_bytes()
    child = type_it(built, path, "yes")
    child.expect("nothing was written")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 3
    assert path.read_bytes() == before


def test_a_card_that_was_changed_while_it_asked_is_not_written(built: images.Built, tmp_path: Path) -> None:
    path = a_card(tmp_path)
    child = asked(built, path)
    os.truncate(path, 90 << 20)
    before = path.read_bytes()
    child.sendline(str(path))
    child.expect("is no longer what was shown: nothing was written")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 1
    assert path.read_bytes() == before


def test_an_image_is_not_written_onto_itself(built: images.Built) -> None:
    before = built.image.read_bytes()
    with pytest.raises(CardError, match="the image itself"):
        write(built, built.image)
    assert built.image.read_bytes() == before


def test_a_card_named_in_full_is_written(built: images.Built, tmp_path: Path) -> None:
    path = a_card(tmp_path)
    child = type_it(built, path, str(path))
    child.expect("written, read back, whole")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    images.verify(path, *images.load_built(built.image))


def test_without_a_terminal_it_does_not_write_unless_told_so(built: images.Built, tmp_path: Path) -> None:
    path = a_card(tmp_path)
    command = [sys.executable, str(ROOT / "wayside.py"), "image", "write", str(built.image), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    assert done.returncode == 3
    assert "--yes" in done.stderr


@few_or_many
def test_a_killed_writing_is_run_again_to_its_end(built: images.Built, tmp_path: Path, times: int) -> None:
    used, path = a_card(tmp_path), tmp_path / "written"
    manifest, bmap = images.load_built(built.image)
    killed_then_run_again(
        [sys.executable, ROOT / "wayside.py", "image", "write", built.image, path, "--yes"],
        times=times,
        check=lambda: images.verify(path, manifest, bmap),
        fresh=lambda: shutil.copyfile(used, path) and None,
        environment={"PYTHONPATH": str(ROOT)},
    )
