"""Images: a stock image becomes one node's, as an ordinary user, whole or not at all."""

from __future__ import annotations

import errno
import lzma
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.simulators.authority import Authority
from tests.simulators.base_image import (
    NODE_TOML,
    ROOT_JSON,
    TOKEN,
    make_base,
    make_wheels,
    needs_tools,
    sh,
)
from tests.simulators.interrupted import few_or_many, killed_then_run_again
from wayside.contracts.node_config import load_node_config
from wayside.firmware_bridge.errors import ImageError
from wayside.firmware_bridge.image import build as images
from wayside.firmware_bridge.image.bmap import BLOCK, load_bmap, make_bmap, mapped_spans
from wayside.firmware_bridge.image.credentials import authority_of
from wayside.firmware_bridge.image.disk import EPOCH, Entry, read_disk, tool_environment
from wayside.firmware_bridge.image.files import Personality, personality, sparing_fstab, with_hub_key
from wayside.firmware_bridge.image.network import read_network
from wayside.firmware_bridge.image.seed import hostname, pointed_to_seed
from wayside.firmware_bridge.image.wheels import load_wheels

ROOT = Path(__file__).parents[2]
SSH_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ7mQ0bq1v0J3v7y1cQ2v3w4x5y6z7A8B9C0D1E2F3G4 anna@van"
WAYSIDE_CFG = "/etc/cloud/cloud.cfg.d/99-wayside.cfg"
pytestmark = needs_tools


def somebody(**options: object) -> Personality:
    return personality(NODE_TOML, ROOT_JSON, token=TOKEN, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def things(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("image")
    for layout in ("raspberry", "debian", "jetson"):
        make_base(folder / f"{layout}.img", layout)
    make_wheels(folder / "wheels", bulk=300_000)
    (folder / "node.toml").write_text(NODE_TOML)
    (folder / "root.json").write_bytes(ROOT_JSON)
    (folder / "token").write_text(TOKEN + "\n")
    Authority(folder / "authority")
    return folder


def ca(things: Path) -> bytes:
    return (things / "authority/ca.pem").read_bytes()


@pytest.fixture(scope="module")
def built(things: Path) -> images.Built:
    who = somebody(hub_ca=ca(things), site="Main & 5th", ssh_key=SSH_KEY)
    return images.build(things / "raspberry.img", things / "out" / "main-5th.img", who, things / "wheels")


@pytest.mark.parametrize("layout", ["raspberry", "debian", "jetson"])
def test_every_layout_becomes_the_nodes_and_reads_back_whole(things: Path, tmp_path: Path, layout: str) -> None:
    made = images.build(things / f"{layout}.img", tmp_path / "a.img", somebody(), things / "wheels")
    manifest, bmap = images.load_built(made.image)
    images.verify(made.image, manifest, bmap)
    disk = read_disk(made.image)
    disk.ext4.check()
    config = load_node_config((disk.ext4.read("/etc/wayside/node.toml") or b"").decode())
    assert config.hub is not None
    assert (config.node, config.hub.token, config.hub.sync_s) == ("main-5th", TOKEN, 60)
    seed = disk.fat.read if disk.fat else lambda name: disk.ext4.read(f"/var/lib/cloud/seed/nocloud/{name}")
    user, meta = (seed(name) or b"" for name in ("user-data", "meta-data"))
    assert user.startswith(b"#cloud-config\n")
    assert msgspec.json.decode(user.partition(b"\n")[2])["hostname"] == "main-5th"
    assert msgspec.json.decode(meta)["instance-id"] == manifest.instance
    assert disk.ext4.read("/etc/machine-id") == b""
    assert disk.ext4.read("/etc/hostname") == b"main-5th\n"


def test_the_token_stands_in_no_file_but_the_nodes_own_which_is_roots_alone(built: images.Built) -> None:
    disk = read_disk(built.image)
    assert disk.fat is not None
    assert not any(TOKEN.encode() in (disk.fat.read(n) or b"") for n in ("user-data", "meta-data", "cmdline.txt"))
    assert TOKEN not in built.manifest_path.read_text()
    inode = disk.ext4.inode("/etc/wayside/node.toml")
    assert inode is not None
    assert (inode.mode, inode.uid, inode.gid) == (0o600, 0, 0)
    assert built.image.stat().st_mode & 0o077 == 0  # nor may others read the image


def test_raspberry_pi_os_is_pointed_to_the_seed_once(built: images.Built) -> None:
    disk = read_disk(built.image)
    assert disk.fat is not None
    line = disk.fat.read("cmdline.txt") or b""
    assert line.split()[-1] == f"ds=nocloud;i={built.manifest.instance}".encode()
    assert line.count(b"\n") == 1
    assert pointed_to_seed(line, "another").count(b"ds=nocloud") == 1
    assert line.startswith(b"console=tty1 root=PARTUUID=ed9e0001-02")
    assert disk.ext4.inode(WAYSIDE_CFG) is None  # it says itself where the seed is


def test_debian_finds_the_seed_by_the_label_of_its_fat(things: Path, tmp_path: Path) -> None:
    made = images.build(things / "debian.img", tmp_path / "a.img", somebody(), things / "wheels")
    disk = read_disk(made.image)
    assert disk.fat is not None
    assert disk.fat.label == "CIDATA"
    assert b'fs_label: "CIDATA"' in (disk.ext4.read(WAYSIDE_CFG) or b"")


def test_a_base_that_boots_by_cmdline_and_names_no_seed_is_told_the_label(things: Path, tmp_path: Path) -> None:
    make_base(tmp_path / "b.img", change=lambda root: (root / "etc/cloud/cloud.cfg.d/99_raspberry-pi.cfg").unlink())
    made = images.build(tmp_path / "b.img", tmp_path / "a.img", somebody(), things / "wheels")
    assert b'fs_label: "bootfs"' in (read_disk(made.image).ext4.read(WAYSIDE_CFG) or b"")


def test_only_netplan_is_given_an_interface_by_pattern(things: Path, built: images.Built, tmp_path: Path) -> None:
    make_base(tmp_path / "b.img", change=lambda root: (root / "usr/sbin/netplan").unlink())
    without = read_disk(images.build(tmp_path / "b.img", tmp_path / "a.img", somebody(), things / "wheels").image).fat
    given = somebody(network=read_network(b"version: 2\nethernets: {eth0: {dhcp4: true}}\n"))
    theirs = read_disk(images.build(tmp_path / "b.img", tmp_path / "c.img", given, things / "wheels").image).fat
    usual = read_disk(built.image).fat
    assert without and theirs and usual
    assert without.read("network-config") is None
    assert theirs.read("network-config") == given.network.text.encode()  # type: ignore[union-attr]
    assert b'match: {name: "e*"}' in (usual.read("network-config") or b"")


def test_a_machine_id_of_the_base_is_on_no_card(things: Path, tmp_path: Path) -> None:
    def old(root: Path) -> None:
        (root / "var/lib/dbus").mkdir()
        (root / "var/lib/dbus/machine-id").write_text("0123456789abcdef0123456789abcdef\n")

    make_base(tmp_path / "b.img", change=old)
    root = read_disk(images.build(tmp_path / "b.img", tmp_path / "a.img", somebody(), things / "wheels").image).ext4
    found = root.inode("/var/lib/dbus/machine-id")
    assert found is not None
    assert found.link == "/etc/machine-id"
    assert root.read("/etc/machine-id") == b""


def test_the_node_gets_wheels_units_limits_and_trust(built: images.Built, things: Path) -> None:
    root = read_disk(built.image).ext4
    wheels = [n for n in root.names("/opt/wayside-wheels") if n.endswith(".whl")]
    assert sorted(wheels) == sorted(p.name for p in (things / "wheels/cp311").glob("*.whl"))
    assert (root.read("/opt/wayside-wheels/requirements.txt") or b"").count(b"--hash=sha256:") == len(wheels) - 1
    unit = root.read("/etc/systemd/system/multi-user.target.wants/wayside-agent.service")
    assert unit == (ROOT / "edge/wayside-agent.service").read_bytes()
    script = root.inode("/usr/local/sbin/wayside-first-boot")
    assert script is not None
    assert script.mode == 0o755
    assert root.read("/etc/wayside/root.json") == ROOT_JSON
    assert root.read("/etc/wayside/hub-ca.pem") == ca(things)
    assert b'ca = "hub-ca.pem"' in (root.read("/etc/wayside/node.toml") or b"")
    assert b"SystemMaxUse=32M" in (root.read("/etc/systemd/journald.conf.d/50-wayside.conf") or b"")
    assert b"noatime" in (root.read("/etc/fstab") or b"")
    assert root.read("/etc/wayside/technician.pub") == SSH_KEY.encode() + b"\n"
    asks = root.inode("/etc/systemd/system/userconfig.service")
    assert asks is not None
    assert asks.link == "/dev/null"
    program = root.inode("/usr/local/bin/wayside")  # on the PATH of everybody, root too
    assert program is not None
    assert program.link == "/opt/wayside/bin/wayside"


def test_a_stock_trixie_base_becomes_a_card_of_a_file_that_names_no_runtime(tmp_path: Path) -> None:
    base = make_base(tmp_path / "trixie.img", "debian", python="3.13")
    make_wheels(wheels := tmp_path / "wheels", "3.13")
    made = images.build(base, tmp_path / "a.img", somebody(), wheels)
    assert (made.manifest.python, somebody().config.model.runtime) == ("3.13", "auto")
    with pytest.raises(ImageError, match=r"Python 3\.13 have none of it"):
        named = personality(NODE_TOML + '[model]\nruntime = "tflite-runtime"\n', ROOT_JSON, token=TOKEN)
        images.build(base, tmp_path / "b.img", named, wheels)


@pytest.mark.parametrize(
    ("name", "head", "said"),
    [
        ("base.img.xz", bytes(8), "is no xz file: download it again"),
        ("base.img.xz", b"\x1f\x8b", "is no xz file"),
        ("base.img", b"\xfd7zXZ\0", r"is packed: name it base\.img\.xz"),
        ("base.img", b"\x1f\x8b\x08", "unpack it first"),
        ("base.img", b"PK\3\4", "unpack it first"),
        ("base.img.gz", b"", "unpack it first"),
    ],
)
def test_a_base_is_known_by_its_first_bytes_however_long_it_is(
    things: Path, tmp_path: Path, name: str, head: bytes, said: str
) -> None:
    base = tmp_path / name
    base.write_bytes(head)
    os.truncate(base, 1 << 40)
    with pytest.raises(ImageError, match=said):
        images.build(base, tmp_path / "a.img", somebody(), things / "wheels")


def test_pipes_and_endless_files_are_refused_where_a_manifest_a_map_or_an_image_is_read(tmp_path: Path) -> None:
    pipe, long = tmp_path / "pipe", tmp_path / "long"
    os.mkfifo(pipe)
    long.touch()
    os.truncate(long, 1 << 40)
    image = tmp_path / "a.img"
    image.touch()
    for wrong in (pipe, long):
        with pytest.raises(ImageError, match=r"a pipe|is it the right file"):
            images.load_built(image, wrong)
        with pytest.raises(ImageError, match=r"a pipe|is it the right file"):
            load_bmap(wrong)
        (tmp_path / "cp311").mkdir(exist_ok=True)
        (tmp_path / "cp311/wheels.json").unlink(missing_ok=True)
        wrong.rename(tmp_path / "cp311/wheels.json")
        with pytest.raises(ImageError, match=r"wheels\.json: (a pipe|has more than)"):
            load_wheels(tmp_path, "3.11")
        (tmp_path / "cp311/wheels.json").rename(wrong)
    with pytest.raises(ImageError, match="a pipe"):
        images.load_built(pipe)
    with pytest.raises(ImageError, match="a pipe"):
        images.build(pipe, tmp_path / "b.img", somebody(), tmp_path)


def test_the_same_inputs_give_the_same_bytes(things: Path, built: images.Built, tmp_path: Path) -> None:
    who = somebody(hub_ca=ca(things), site="Main & 5th", ssh_key=SSH_KEY)
    again = images.build(things / "raspberry.img", tmp_path / "main-5th.img", who, things / "wheels")
    assert again.manifest == built.manifest


def test_an_xz_base_is_unpacked_and_a_cut_off_one_refused(things: Path, tmp_path: Path) -> None:
    packed = lzma.compress((things / "raspberry.img").read_bytes(), preset=0)
    base = tmp_path / "base.img.xz"
    base.write_bytes(packed)
    made = images.build(base, tmp_path / "a.img", somebody(), things / "wheels")
    assert made.manifest.node == "main-5th"
    base.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(ImageError, match="download it again"):
        images.build(base, tmp_path / "b.img", somebody(), things / "wheels")
    assert [p.name for p in tmp_path.iterdir() if "b.img" in p.name] == []


def test_zeros_inside_a_file_are_mapped_though_the_image_has_a_hole_there(things: Path, tmp_path: Path) -> None:
    base = tmp_path / "base.img"
    base.write_bytes((things / "raspberry.img").read_bytes())
    marked = b"\1" * BLOCK + b"\2" * 50 * BLOCK + b"\1" * BLOCK
    read_disk(base).ext4.write([Entry("/opt/zeros", marked)])
    base.write_bytes(base.read_bytes().replace(b"\2" * BLOCK, bytes(BLOCK)))  # debugfs itself would make a hole
    made = images.build(base, tmp_path / "a.img", somebody(), things / "wheels")
    bmap = load_bmap(made.bmap)
    used = tmp_path / "used-card"
    used.write_bytes(b"\xaa" * bmap.image_size)
    with used.open("r+b") as card, made.image.open("rb") as image:
        for span in bmap.ranges:
            image.seek(span.first * BLOCK)
            card.seek(span.first * BLOCK)
            card.write(image.read((span.last - span.first + 1) * BLOCK))
    assert read_disk(used).ext4.read("/opt/zeros") == marked.replace(b"\2", b"\0")
    read_disk(used).ext4.check()


def test_bmaptool_takes_the_map_and_copies_the_image(built: images.Built, tmp_path: Path) -> None:
    card = tmp_path / "card"
    sh("bmaptool", "copy", "--bmap", built.bmap, built.image, card)
    images.verify(card, *images.load_built(built.image))


@pytest.mark.parametrize("where", ["first block", "inside", "last range"])
def test_one_flipped_byte_is_found_and_its_range_named(built: images.Built, tmp_path: Path, where: str) -> None:
    manifest, bmap = images.load_built(built.image)
    card = tmp_path / "card"
    card.write_bytes(built.image.read_bytes())
    at = {"first block": 440, "inside": 9 * 1_048_576 + 1100, "last range": bmap.ranges[-1].last * BLOCK + 7}[where]
    with card.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))
    span = next(r for r in bmap.ranges if r.first * BLOCK <= at < (r.last + 1) * BLOCK)
    with pytest.raises(ImageError, match=f"blocks {span.first}-{span.last} "):
        images.verify(card, manifest, bmap)


def test_another_nodes_personalization_is_refused_by_file(things: Path, built: images.Built) -> None:
    disk = read_disk(built.image)
    manifest = built.manifest
    others = [
        msgspec.structs.replace(f, sha256="0" * 64) if f.path.endswith("node.toml") else f for f in manifest.files
    ]
    assert images.differences(disk, tuple(others)) == [
        "/etc/wayside/node.toml on the root partition is not the one of this node's image"
    ]
    open_to_all = [
        msgspec.structs.replace(f, mode=0o644) if f.path.endswith("node.toml") else f for f in manifest.files
    ]
    assert "has mode 600" in images.differences(disk, tuple(open_to_all))[0]
    missing = images.ImageFile(where="boot", path="absent", sha256="0" * 64)
    assert images.differences(disk, (missing,)) == ["absent on the boot partition is missing"]


def test_map_and_manifest_of_different_images_are_refused(things: Path, built: images.Built, tmp_path: Path) -> None:
    other = images.build(things / "raspberry.img", tmp_path / "main-5th.img", somebody(), things / "wheels")
    other.bmap.write_bytes(built.bmap.read_bytes())
    with pytest.raises(ImageError, match="not of the same image"):
        images.load_built(other.image)
    other.bmap.write_text(other.bmap.read_text().replace("sha256", "sha512"))
    with pytest.raises(ImageError, match=r"no block map|damaged"):
        images.load_built(other.image)
    other.manifest_path.write_text(other.manifest_path.read_text().replace('"main-5th.img"', '""'))
    with pytest.raises(ImageError, match="no manifest"):
        images.load_built(other.image)
    with pytest.raises(ImageError, match="is a folder"):
        images.load_built(Path())
    other.manifest_path.unlink()
    with pytest.raises(ImageError, match="not finished"):
        images.load_built(other.image)


def test_a_full_root_file_system_is_refused_with_what_it_lacks(things: Path, tmp_path: Path) -> None:
    make_base(tmp_path / "small.img", root_mb=12)
    make_wheels(tmp_path / "wheels", bulk=12_000_000)
    with pytest.raises(ImageError, match=r"lacks \d+ MB for the agent"):
        images.build(tmp_path / "small.img", tmp_path / "a.img", somebody(), tmp_path / "wheels")
    assert not (tmp_path / "a.img").exists()
    assert not (tmp_path / ".a.img.part").exists()


@pytest.mark.parametrize(
    ("base", "said"),
    [
        ({"machine": 40}, "not for 64-bit ARM"),
        ({"python": "3.12"}, "no wheels for Python 3.12"),
        ({"python": "3.10"}, r"has Python 3\.10.*install one of them into the base"),
    ],
)
def test_a_base_that_cannot_run_the_agent_is_refused(
    things: Path, tmp_path: Path, base: dict[str, object], said: str
) -> None:
    make_base(tmp_path / "base.img", **base)  # type: ignore[arg-type]
    with pytest.raises(ImageError, match=said):
        images.build(tmp_path / "base.img", tmp_path / "a.img", somebody(), things / "wheels")


def test_a_supported_python_beside_an_unsupported_one_runs_the_agent(things: Path, tmp_path: Path) -> None:
    def newer(root: Path) -> None:
        (root / "usr/bin/python3.11").write_bytes((root / "usr/bin/python3.10").read_bytes())

    make_base(tmp_path / "b.img", "jetson", python="3.10", change=newer)
    made = images.build(tmp_path / "b.img", tmp_path / "a.img", somebody(), things / "wheels")
    assert made.manifest.python == "3.11"
    assert read_disk(made.image).ext4.read("/opt/wayside-wheels/python") == b"python3.11\n"


def test_a_file_system_that_is_too_new_for_this_machine_is_named_as_that(things: Path, tmp_path: Path) -> None:
    base = make_base(tmp_path / "base.img", "jetson")
    with base.open("r+b") as file:
        file.seek(1024 + 0x60)  # s_feature_incompat
        features = int.from_bytes(file.read(4), "little") | 0x80000
        file.seek(1024 + 0x60)
        file.write(features.to_bytes(4, "little"))
    with pytest.raises(ImageError, match="a newer one may know it") as caught:
        images.build(base, tmp_path / "a.img", somebody(), things / "wheels")
    assert ".part" not in str(caught.value)


def test_nothing_is_replaced_that_is_not_an_earlier_image(things: Path, tmp_path: Path) -> None:
    base, trust = tmp_path / "base.img", tmp_path / "root.json"
    base.write_bytes((things / "raspberry.img").read_bytes())
    trust.write_bytes(ROOT_JSON)
    with pytest.raises(ImageError, match="is the base itself"):
        images.build(base, base, somebody(), things / "wheels")
    with pytest.raises(ImageError, match=r"root\.json would be replaced"):
        images.build(base, tmp_path / "root.img", somebody(), things / "wheels")
    with pytest.raises(ImageError, match="No such file"):
        images.build(tmp_path / "absent.img", base, somebody(), things / "wheels")
    assert base.read_bytes() == (things / "raspberry.img").read_bytes()
    assert trust.read_bytes() == ROOT_JSON
    assert sorted(p.name for p in tmp_path.iterdir()) == ["base.img", "root.json"]


def test_a_full_disk_is_named_and_not_the_base(things: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_fd: int, _data: bytes, _at: int) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(ImageError, match=rf"^{tmp_path}/out: No space left on device; make room"):
        images.build(things / "raspberry.img", tmp_path / "out/a.img", somebody(), things / "wheels")
    assert list((tmp_path / "out").iterdir()) == []


def test_the_token_is_in_no_file_beside_the_image_while_it_is_made(
    things: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    away, tools = tmp_path / "tmp", tmp_path / "tools"
    away.mkdir()
    tools.mkdir()
    looks = tools / "debugfs"
    real = shutil.which("debugfs", path=tool_environment()["PATH"])
    looks.write_text(
        f'#!/bin/sh\ngrep -rq {TOKEN} {away} && : >{tmp_path}/found\n: >{tmp_path}/asked\nexec {real} "$@"\n'
    )
    looks.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    monkeypatch.setattr(tempfile, "tempdir", str(away))
    images.build(things / "raspberry.img", tmp_path / "a.img", somebody(), things / "wheels")
    assert (tmp_path / "asked").exists()
    assert not (tmp_path / "found").exists()


def test_a_file_that_is_no_image_and_a_cut_off_image_are_refused(things: Path, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("not an image\n" * 1000)
    with pytest.raises(ImageError, match="no partition table"):
        read_disk(tmp_path / "text")
    (tmp_path / "short.img").write_bytes((things / "raspberry.img").read_bytes()[: 20 << 20])
    with pytest.raises(ImageError, match="shorter than its partition table says"):
        read_disk(tmp_path / "short.img")


def test_a_damaged_wheel_is_refused_before_it_reaches_a_card(things: Path, tmp_path: Path) -> None:
    wheels = make_wheels(tmp_path / "wheels")
    victim = wheels.files[0]
    victim.write_bytes(victim.read_bytes()[:-1] + b"?")
    with pytest.raises(ImageError, match="is damaged"):
        images.build(things / "raspberry.img", tmp_path / "a.img", somebody(), tmp_path / "wheels")


@pytest.mark.parametrize(
    ("config", "options", "said"),
    [
        ('node = "n"\nstate_dir = "/var/lib/wayside"\n', {}, r"no \[hub\]"),
        (NODE_TOML.replace("/var/lib/wayside", "state"), {}, "state_dir"),
        (NODE_TOML, {"token": None}, "no enrolment token"),
        (NODE_TOML.replace("url", "ulr"), {}, "ulr"),
        (NODE_TOML + "[[[", {}, "no TOML: "),
    ],
)
def test_what_is_wrong_with_a_node_is_said_before_anything_is_made(
    config: str, options: dict[str, object], said: str
) -> None:
    with pytest.raises(ImageError, match=said):
        personality(config, ROOT_JSON, **({"token": TOKEN} | options))  # type: ignore[arg-type]


def test_an_authority_with_a_comment_in_its_own_language_is_taken(things: Path) -> None:
    pem = "# Straßenverkehrsamt\n".encode() + ca(things)
    assert authority_of(pem).content == b"# Straenverkehrsamt\n" + ca(things)


def test_a_token_replaces_an_older_one_and_leaves_the_rest_alone() -> None:
    text = (
        '# mine\n[hub]  # city\nurl = "https://h"\ntoken = "an older one, spent long ago"\n[clock]\ntimezone = "UTC"\n'
    )
    assert with_hub_key(text, "token", TOKEN, "node.toml") == (
        f'# mine\n[hub]  # city\ntoken = "{TOKEN}"\nurl = "https://h"\n[clock]\ntimezone = "UTC"\n'
    )
    with pytest.raises(ImageError, match=r"no \[hub\] table"):
        with_hub_key('hub = {url = "https://h"}', "token", TOKEN, "node.toml")


@pytest.mark.parametrize(
    ("node", "host"), [("main-5th", "main-5th"), ("North/Main.5th_A", "north-main-5th-a"), ("9" * 64, "9" * 63)]
)
def test_a_nodes_name_becomes_a_host_name(node: str, host: str) -> None:
    assert hostname(node) == host


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ('[board]\nport = "p"\nidentity = "WS-000001"\n', r"\$\.board\.identity: no board can be called 'WS-000001'"),
        ('[clock]\ntimezone = "Mars/Olympus"\n[[sums]]\n', r"\$\.sums\[0\]: misses name; \$\.sums\[0\]: misses of"),
        ('[modell]\nruntime = "x"\n', r"\$\.modell: is unknown here; is model meant"),
    ],
)
def test_no_card_is_made_of_a_file_that_a_check_refuses(more: str, said: str) -> None:
    text = 'node = "n"\nstate_dir = "/var/lib/wayside"\n[hub]\nurl = "https://h"\n' + more
    with pytest.raises(ImageError, match=said):
        personality(text, ROOT_JSON, token=TOKEN)


def test_no_card_is_made_for_a_runtime_that_its_wheels_do_not_have(things: Path, tmp_path: Path) -> None:
    who = personality(NODE_TOML + '[model]\nruntime = "tflite-runtime"\n', ROOT_JSON, token=TOKEN)
    with pytest.raises(ImageError, match=r'Python 3\.11 have none of it: write "auto" or "onnxruntime", or take'):
        images.build(things / "raspberry.img", tmp_path / "out.img", who, things / "wheels")


def test_a_configuration_with_a_byte_order_mark_becomes_a_card_of_the_same_meaning() -> None:
    who = personality("\ufeff" + NODE_TOML, ROOT_JSON, token=TOKEN)
    assert who.config == somebody().config


def test_fstab_loses_access_times_and_gains_tmp_in_memory_once() -> None:
    once = sparing_fstab(b"# keep\nUUID=1 / ext4 rw,relatime,errors=remount-ro 0 1\nUUID=2 /boot vfat defaults 0 2\n")
    assert once == (
        b"# keep\nUUID=1\t/\text4\trw,errors=remount-ro,noatime\t0\t1\nUUID=2 /boot vfat defaults 0 2\n"
        b"tmpfs\t/tmp\ttmpfs\tnosuid,nodev,mode=1777,size=64m\t0\t0\n"
    )
    assert sparing_fstab(once) == once


def test_the_map_leaves_out_free_blocks_and_nothing_else(things: Path) -> None:
    disk = read_disk(things / "raspberry.img")
    bmap, _ = make_bmap(disk)
    free = sum(b - a for a, b in disk.ext4.free_ranges())
    assert bmap.mapped_bytes == disk.size - free // BLOCK * BLOCK
    assert bmap.ranges[0][:2] == (0, 0)


@settings(deadline=None)
@given(st.binary(max_size=400))
def test_no_bytes_of_a_block_map_or_manifest_are_trusted(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name in ("a.img", "a.img.bmap", "a.json"):
            (Path(folder) / name).write_bytes(data)
        with pytest.raises(ImageError):
            load_bmap(Path(folder) / "a.img.bmap")
        with pytest.raises(ImageError):
            images.load_built(Path(folder) / "a.img")


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 79), st.integers(1, 30)), max_size=6), st.integers(1, 20 * BLOCK))
def test_a_maps_spans_cover_exactly_what_is_not_wholly_free(free: list[tuple[int, int]], size: int) -> None:
    step = BLOCK // 4  # file systems have blocks of 1 kB, too
    ranges = sorted((a * step, min((a + n) * step, size)) for a, n in free if a * step < size)
    mapped = [block for first, last in mapped_spans(size, ranges) for block in range(first, last + 1)]
    used = [True] * size
    for begin, end in ranges:
        used[begin:end] = [False] * (end - begin)
    blocks = range(-(-size // BLOCK))
    cut = size // BLOCK  # a last block that is cut off counts as used
    assert mapped == [b for b in blocks if b in (0, cut) or any(used[b * BLOCK : (b + 1) * BLOCK])]


@settings(deadline=None)
@given(st.text(st.characters(codec="utf-8"), max_size=60))
def test_pointing_to_the_seed_twice_is_pointing_once(line: str) -> None:
    once = pointed_to_seed(line.encode(), "wayside-1")
    assert pointed_to_seed(once, "wayside-1") == once
    assert once.split()[-1] == b"ds=nocloud;i=wayside-1"


def test_ctrl_c_leaves_nothing_behind(things: Path, tmp_path: Path) -> None:
    base, part = tmp_path / "base.img", tmp_path / "out" / ".a.img.part"
    with base.open("wb") as file:
        file.truncate(1 << 40)  # a hole that is read for hours
    words = [str(word) for word in command(things, tmp_path / "out" / "a.img")]
    words[words.index(str(things / "raspberry.img"))] = str(base)
    process = subprocess.Popen(words, stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)})
    while not part.exists():  # made just before the copying begins
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"run the same command again" in said
    assert list((tmp_path / "out").iterdir()) == []


def command(things: Path, out: Path) -> list[str | Path]:
    words: list[str | Path] = [sys.executable, ROOT / "wayside.py", "image", "build", things / "raspberry.img"]
    words += ["--config", things / "node.toml", "--root", things / "root.json", "--token-file", things / "token"]
    return [*words, "--wheels", things / "wheels", "-o", out]


@few_or_many
def test_a_killed_build_is_run_again_to_its_end(things: Path, tmp_path: Path, times: int) -> None:
    out = tmp_path / "a.img"
    expected = images.build(things / "raspberry.img", tmp_path / "e" / "a.img", somebody(), things / "wheels").manifest

    def check() -> None:
        manifest, bmap = images.load_built(out)
        assert manifest == expected
        images.verify(out, manifest, bmap)
        assert sorted(p.name for p in tmp_path.iterdir() if p.is_file()) == ["a.img", "a.img.bmap", "a.json"]

    def fresh() -> None:
        for path in tmp_path.iterdir():
            if path.is_file():
                path.unlink()

    killed_then_run_again(
        command(things, out), times=times, check=check, fresh=fresh, environment={"PYTHONPATH": str(ROOT)}
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become nobody")
def test_an_ordinary_user_builds_an_image(things: Path, tmp_path: Path) -> None:
    for path in (things, *things.parents, *tmp_path.parents):
        if path.is_relative_to("/tmp") and path != Path("/tmp"):
            path.chmod(path.stat().st_mode | 0o055)
    (things / "token").chmod(0o644)
    out = tmp_path / "theirs"
    out.mkdir()
    os.chown(out, 65534, 65534)
    tmp_path.chmod(0o755)
    done = subprocess.run(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *map(str, command(things, out / "a.img"))],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": "/nonexistent"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (out / "a.img").stat().st_uid == 65534


def test_inodes_carry_no_time_of_building(built: images.Built) -> None:
    said = subprocess.run(
        ["debugfs", "-R", "stat /etc/wayside/node.toml", f"{built.image}?offset={read_disk(built.image).root.offset}"],
        capture_output=True, text=True, check=True, env={"PATH": "/usr/sbin:/sbin"},
    )  # fmt: skip
    assert f"0x{EPOCH:08x}" in said.stdout
