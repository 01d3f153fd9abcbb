"""Small stand-ins for stock images: real partition tables and file systems, next to nothing in them.

``raspberry``: MBR, FAT ``bootfs`` with cmdline.txt, ext4 that says where its seed is. ``debian``: GPT, ext4 first in
the table, EFI FAT with no label. ``jetson``: a bare ext4 file system.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, Root

from wayside.contracts.wire import encode
from wayside.firmware_bridge.image.disk import tool_environment
from wayside.firmware_bridge.image.wheels import WheelSet, make_manifest

M = 1 << 20
TOOLS = ("mkfs.vfat", "mke2fs", "debugfs", "sfdisk", "mcopy", "bmaptool")
_missing = [t for t in TOOLS if shutil.which(t, path=tool_environment()["PATH"]) is None]
needs_tools = pytest.mark.skipif(bool(_missing), reason=f"not installed: {', '.join(_missing)} (make bench-tools)")


def sh(*command: object, **options: object) -> None:
    words = [str(word) for word in command]
    subprocess.run(words, check=True, capture_output=True, env=tool_environment(), **options)  # type: ignore[call-overload]


def root_folder(folder: Path, python: str = "3.11", machine: int = 183) -> Path:
    """What a stock root file system has, as far as it counts here."""
    root = folder / "root"
    for name in ("etc/cloud/cloud.cfg.d", "opt", "usr/bin", "usr/lib/systemd/system", "var/lib", "home", "tmp"):
        (root / name).mkdir(parents=True)
    elf = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00" + machine.to_bytes(2, "little") + bytes(44)
    (root / f"usr/bin/python{python}").write_bytes(elf)
    (root / "usr/bin/python3").symlink_to(f"python{python}")
    (root / "usr/bin/cloud-init").write_text("#!/usr/bin/python3\n")
    (root / "usr/sbin").mkdir()
    (root / "usr/sbin/netplan").write_text("#!/usr/bin/python3\n")
    (root / "usr/lib/systemd/system/ssh.service").write_text("[Service]\n")
    (root / "usr/lib/systemd/system/userconfig.service").write_text("[Service]\n")
    (root / "lib").symlink_to("usr/lib")
    (root / "etc/os-release").write_text("ID=debian\n")
    (root / "etc/hostname").write_text("raspberrypi\n")
    (root / "etc/hosts").write_text("127.0.0.1\tlocalhost\n127.0.1.1\traspberrypi\n::1\tlocalhost\n")
    (root / "etc/machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    (root / "etc/fstab").write_text("# keep me\nPARTUUID=ed9e0001-02\t/\text4\tdefaults,relatime\t0\t1\n")
    return root


def make_base(
    path: Path,
    layout: str = "raspberry",
    *,
    python: str = "3.11",
    machine: int = 183,
    root_mb: int = 48,
    change: Callable[[Path], object] = lambda _: None,
) -> Path:
    """``change`` gets the folder of the root file system before it becomes one."""
    work = path.with_name(f"{path.name}.work")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    folder = root_folder(work, python, machine)
    if layout == "raspberry":
        seed = "datasource_list: [ NoCloud, None ]\ndatasource:\n  NoCloud:\n    seedfrom: file:///boot/firmware\n"
        (folder / "etc/cloud/cloud.cfg.d/99_raspberry-pi.cfg").write_text(seed)
    change(folder)
    ext4 = work / "ext4"
    sh("mke2fs", "-q", "-t", "ext4", "-b", 4096, "-L", "rootfs", "-d", folder, ext4, f"{root_mb}M")
    if layout == "jetson":
        shutil.move(ext4, path)
        shutil.rmtree(work)
        return path
    fat = work / "fat"
    with fat.open("wb") as file:
        file.truncate(8 * M)
    sh("mkfs.vfat", "-i", "C1DA7A01", *(("-n", "bootfs") if layout == "raspberry" else ()), fat)
    boot = {"config.txt": "arm_64bit=1\n"}
    if layout == "raspberry":
        boot["cmdline.txt"] = "console=tty1 root=PARTUUID=ed9e0001-02 rootfstype=ext4 fsck.repair=yes rootwait\n"
    for name, text in boot.items():
        (work / name).write_text(text)
        sh("mcopy", "-i", fat, work / name, f"::{name}")
    if layout == "raspberry":
        table = (
            "label: dos\nlabel-id: 0xed9e0001\nstart=1MiB,size=8MiB,type=c,bootable\n"
            f"start=9MiB,size={root_mb}MiB,type=83\n"
        )
    else:  # Debian's: root is partition 1, the EFI partition 15, before it on the disk
        table = (
            "label: gpt\nlabel-id: 11111111-2222-3333-4444-555555555555\n"
            f"1: start=9MiB,size={root_mb}MiB,type=linux,uuid=11111111-2222-3333-4444-555555555501\n"
            "15: start=1MiB,size=8MiB,type=uefi,uuid=11111111-2222-3333-4444-555555555515\n"
        )
    with path.open("wb") as file:
        file.truncate((root_mb + 10) * M)
    sh("sfdisk", "-q", path, input=table.encode())
    for source, megabytes in ((fat, 1), (ext4, 9)):
        sh("dd", f"if={source}", f"of={path}", "bs=1M", f"seek={megabytes}", "conv=notrunc,sparse", "status=none")
    shutil.rmtree(work)
    return path


def make_wheels(folder: Path, python: str = "3.11", *, bulk: int = 0) -> WheelSet:
    """Wheels small enough for a test; wayside's own holds the real unit."""
    place = folder / f"cp{python.replace('.', '')}"
    place.mkdir(parents=True)
    unit = Path(__file__).parents[2] / "edge" / "wayside-agent.service"
    own = {"wayside/__init__.py": b"", "wayside/__main__.py": _WAYSIDE}
    small_wheel(place, "wayside", "0.1.0", own | {"wayside/edge/wayside-agent.service": unit.read_bytes()})
    small_wheel(place, "pip", "26.0", {"pip/__init__.py": b""})
    small_wheel(place, "onnxruntime", "1.23.0", {"onnxruntime/__init__.py": b""})
    small_wheel(place, "bulk", "1.0", {"bulk.bin": os.urandom(bulk) if bulk else b"little"})
    manifest = make_manifest(place, python)
    (place / "wheels.json").write_bytes(encode(manifest))
    return WheelSet(place, manifest)


_WAYSIDE = b"""\
import sys
def main():
    print("wayside 0.1.0")
    return 0
"""


def small_wheel(
    folder: Path,
    name: str,
    version: str,
    files: dict[str, bytes],
    *,
    tag: str = "py3-none-any",
    needs: dict[str, list[str]] | None = None,
) -> Path:
    """``needs``: extra to requirements."""
    path = folder / f"{name}-{version}-{tag}.whl"
    info = f"{name}-{version}.dist-info"
    about = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    for extra, requirements in (needs or {}).items():
        about += f"Provides-Extra: {extra}\n"
        for requirement in requirements:
            what, _, marker = requirement.partition(";")
            also = f" and {marker.strip()}" if marker else ""
            about += f'Requires-Dist: {what}; extra == "{extra}"{also}\n'
    files = files | {
        f"{info}/METADATA": about.encode(),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n".encode(),
    }
    if name == "wayside":
        files[f"{info}/entry_points.txt"] = b"[console_scripts]\nwayside = wayside.__main__:main\n"
    record = "".join(f"{each},,\n" for each in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(path, "w") as archive:
        for each, content in {**files, f"{info}/RECORD": record.encode()}.items():
            archive.writestr(zipfile.ZipInfo(each, (2020, 1, 1, 0, 0, 0)), content)
    return path


NODE_TOML = """\
node = "main-5th"  # as the hub knows it
state_dir = "/var/lib/wayside"

[hub]
url = "https://hub.example.city"
sync_s = 60
"""


def signed_root(
    *, threshold: int = 1, expires: datetime = datetime(2126, 1, 1, tzinfo=UTC), signed: bool = True
) -> bytes:
    """A trust root of one key for every role."""
    signer = CryptoSigner(Ed25519PrivateKey.from_private_bytes(bytes(32)))
    root = Root(expires=expires)
    for role in root.roles:
        root.add_key(signer.public_key, role)
    root.roles["root"].threshold = threshold
    metadata = Metadata(root)
    if signed:
        metadata.sign(signer)
    return metadata.to_bytes()


ROOT_JSON = signed_root()
TOKEN = "one-time-token-of-main-5th-0123456789"
