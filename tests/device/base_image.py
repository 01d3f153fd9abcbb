"""A Debian arm64 image as a distributor would ship it: FAT with kernel, initrd and cmdline.txt, ext4 root, cloud-init.

Every part is made once and kept under ``build/device``, named by what went into it. Beside stock Debian it holds the
kernel modules of the emulated machine and a root shell on ``hvc0`` for the test to look around with.

Needs root: the binaries of another machine run through binfmt_misc, and the root file system's files belong to root.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from wayside.distribution.mirror import mirror

HERE = Path(__file__).parent
RELEASE = "bookworm"
MIRROR = mirror(RELEASE)  # None: apt here has no archive of Debian's
PACKAGES = (
    "systemd-sysv", "dbus", "udev", "kmod", "iproute2", "netbase", "passwd", "login",
    "python3", "python3-venv", "cloud-init", "ca-certificates",
)  # fmt: skip
TOOLS = (
    "mmdebstrap", "update-binfmts", "qemu-aarch64-static", "qemu-system-aarch64", "modprobe", "cpio", "mke2fs",
    "mkfs.vfat", "mcopy", "sfdisk", "fdtput", "socat",
)  # fmt: skip
INITRD_MODULES = ("virtio_pci", "virtio_blk", "virtio_console", "ext4")
ROOT_MODULES = (
    "virtio_net", "virtio_rng", "xhci_pci", "ftdi_sio", "rtc-pl031", "vfat", "nls_ascii",
    "nls_cp437", "efivarfs", "autofs4", "ip_tables",
)  # fmt: skip
BOOT_MB, ROOT_MB = 128, 1500
MACHINE = ("-M", "virt,gic-version=3", "-cpu", "cortex-a72", "-smp", "2", "-m", "1024")
CMDLINE = "console=ttyAMA0 root=LABEL=rootfs loglevel=4 systemd.show_status=1\n"
# gpiozero asks for a Raspberry Pi's revision, here a Pi 4B's; the pins below are the emulated PL061's all the same.
REVISION, MODEL = "0xc03111", "Raspberry Pi 4 Model B Rev 1.1 (emulated)"

FSTAB = "LABEL=rootfs / ext4 noatime,errors=remount-ro 0 1\nLABEL=bootfs /boot/firmware vfat noatime,nofail 0 2\n"
SHELL = """\
[Unit]
Description=root shell for the test
DefaultDependencies=no
After=dev-hvc0.device local-fs.target
BindsTo=dev-hvc0.device

[Service]
ExecStart=/bin/sh -c 'stty -echo -onlcr; exec /bin/sh'
StandardInput=tty
StandardOutput=tty
StandardError=tty
TTYPath=/dev/hvc0
Restart=always
RestartSec=1

[Install]
WantedBy=sysinit.target
"""
INIT = """\
#!/bin/sh
b=/bin/busybox
$b mount -t devtmpfs dev /dev; $b mount -t proc proc /proc; $b mount -t sysfs sys /sys
while read m; do $b insmod $m || echo "insmod $m failed"; done < /modules
for word in $($b cat /proc/cmdline); do case $word in root=*) root=${word#root=};; esac; done
i=0
while [ $i -lt 600 ]; do
  device=$($b findfs $root 2>/dev/null) && break
  i=$((i+1)); $b sleep 0.1
done
$b mount -t ext4 -o rw $device /newroot || exec /bin/sh
for d in dev proc sys; do $b mount -o move /$d /newroot/$d; done
exec $b switch_root /newroot /sbin/init
"""

Say = Callable[[str], None]


def missing() -> str | None:
    """Why no image can be made here, with what to type; None if it can."""
    if os.geteuid() != 0:
        return "needs root, to run another machine's binaries through binfmt_misc: run `sudo make test-device`"
    if MIRROR is None:
        return "apt here is configured with no archive of Debian's: nothing says where its packages come from"
    absent = [tool for tool in TOOLS if shutil.which(tool, path=_PATH) is None]
    if absent:
        return f"{', '.join(absent)} missing: run `make test-device`, which installs them"
    return None


def _uri() -> str:
    assert MIRROR is not None, "missing() says so first"
    return MIRROR.uri


_PATH = os.environ.get("PATH", "") + ":/sbin:/usr/sbin"


class BaseImage:
    """``build`` makes what is missing in ``folder``; then ``image`` is the disk image, ``dtb`` its device tree."""

    def __init__(self, folder: Path, say: Say = lambda _: None) -> None:
        self.folder, self.say = folder, say
        self.root = folder / f"root-{_digest(str(MIRROR), *PACKAGES)}"
        self.kernel = folder / f"kernel-{_digest(str(MIRROR))}"
        here = Path(__file__).read_text()
        self.image = folder / f"base-{_digest(here)}.img"
        self.dtb = folder / f"node-{_digest(here)}.dtb"

    def build(self) -> BaseImage:
        self.folder.mkdir(parents=True, exist_ok=True)
        for done, act in (
            (self.kernel, self._download_kernel),
            (self.root, self._bootstrap),
            (self.dtb, self._device_tree),
            (self.image, self._assemble),
        ):
            if not done.exists():
                part = done.with_name(f".{done.name}.part")
                _remove(part)
                for old in self.folder.glob(f"{done.name.partition('-')[0]}-*{done.suffix}"):
                    _remove(old)
                act(part)
                part.rename(done)
        return self

    @property
    def kernel_version(self) -> str:
        (modules,) = (self.kernel / "root" / "lib" / "modules").iterdir()
        return modules.name

    def _download_kernel(self, part: Path) -> None:
        """The newest kernel of the release and busybox, from the mirror, with an apt that knows arm64 alone."""
        self.say("downloading Debian's arm64 kernel")

        def newest(env: dict[str, str]) -> list[str]:
            depends = _run("apt-cache", "depends", "linux-image-arm64", env=env)
            return [next(w for w in depends.split() if re.fullmatch(r"linux-image-\d.*-arm64", w)), "busybox-static"]

        unpack_arm64(part, newest)

    def _bootstrap(self, part: Path) -> None:
        self.say("bootstrapping Debian arm64 (about 5 minutes, once)")
        binfmt = Path("/proc/sys/fs/binfmt_misc")
        if not (binfmt / "register").exists():
            _run("mount", "-t", "binfmt_misc", "binfmt_misc", str(binfmt))
        if not (binfmt / "qemu-aarch64").exists():
            _run("update-binfmts", "--enable", "qemu-aarch64")
        # check/qemu: it looks for a package (arch-test) that does no more than the lines above.
        _run(
            "mmdebstrap", "--arch=arm64", "--variant=minbase", "--format=directory", "--skip=check/qemu",
            f"--include={','.join(PACKAGES)}", RELEASE, str(part), _uri(),
        )  # fmt: skip

    def _device_tree(self, part: Path) -> None:
        _run(
            "qemu-system-aarch64",
            "-M",
            f"{MACHINE[1]},dumpdtb={part}",
            *MACHINE[2:],
            "-display",
            "none",
            "-nic",
            "none",
        )
        _run("fdtput", "-c", str(part), "/system")
        _run("fdtput", "-t", "x", str(part), "/system", "linux,revision", REVISION)
        _run("fdtput", "-t", "s", str(part), "/", "model", MODEL)

    def _assemble(self, part: Path) -> None:
        self.say("assembling the base image")
        work = part.with_name(f"{part.name}.d")
        _remove(work)
        work.mkdir()
        root = work / "root"
        _run("cp", "-a", "--reflink=auto", str(self.root), str(root))
        self._configure(root)
        _mkfs_root(root, work / "root.img")
        boot = work / "boot"
        boot.mkdir()
        shutil.copy(self.kernel / "root" / "boot" / f"vmlinuz-{self.kernel_version}", boot / "vmlinuz")
        self._initrd(work / "initrd", boot / "initrd.gz")
        (boot / "cmdline.txt").write_text(CMDLINE)
        _truncate(work / "boot.img", BOOT_MB)
        _run("mkfs.vfat", "-F", "32", "-n", "bootfs", str(work / "boot.img"))
        _run("mcopy", "-i", str(work / "boot.img"), *map(str, boot.iterdir()), "::")
        _truncate(part, BOOT_MB + ROOT_MB + 2)
        boot_row = f"start=1MiB, size={BOOT_MB}MiB, type=c, bootable"
        root_row = f"start={1 + BOOT_MB}MiB, size={ROOT_MB}MiB, type=83"
        _run("sfdisk", "-q", str(part), stdin=f"label: dos\n{boot_row}\n{root_row}\n")
        for name, at in (("boot.img", 1), ("root.img", 1 + BOOT_MB)):
            _run("dd", f"if={work / name}", f"of={part}", "bs=1M", f"seek={at}", "conv=notrunc,sparse", "status=none")
        shutil.rmtree(work)

    def _configure(self, root: Path) -> None:
        (root / "etc/hostname").write_text("debian\n")  # mmdebstrap copies the building machine's own
        (root / "etc/resolv.conf").write_text("")
        (root / "etc/machine-id").write_text("")
        (root / "etc/fstab").write_text(FSTAB)
        # As Debian's own images for clouds: no locale is generated at the first boot.
        (root / "etc/cloud/cloud.cfg.d/01-locale.cfg").write_text("locale: C.UTF-8\n")
        (root / "boot/firmware").mkdir(exist_ok=True)
        (root / "etc/systemd/system/test-shell.service").write_text(SHELL)
        for wanted, unit in (
            ("sysinit.target", "/etc/systemd/system/test-shell.service"),
            ("multi-user.target", "/lib/systemd/system/systemd-networkd.service"),
        ):
            wants = root / f"etc/systemd/system/{wanted}.wants"
            wants.mkdir(exist_ok=True)
            (wants / Path(unit).name).symlink_to(unit)
        (root / "etc/systemd/system/serial-getty@hvc0.service").symlink_to("/dev/null")
        shutil.rmtree(root / "var/cache/apt/archives", ignore_errors=True)
        modules = root / "lib/modules" / self.kernel_version
        for source in self._modules(ROOT_MODULES):
            target = modules / source.relative_to(self.kernel / "root/lib/modules" / self.kernel_version)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
        for name in ("modules.order", "modules.builtin", "modules.builtin.modinfo"):
            shutil.copy(self.kernel / "root/lib/modules" / self.kernel_version / name, modules)
        _run("depmod", "-b", str(root), self.kernel_version)

    def _modules(self, wanted: tuple[str, ...]) -> list[Path]:
        """The files of these modules and of what they need, each after what it needs."""
        at = self.kernel / "root"
        if not (at / "lib/modules" / self.kernel_version / "modules.dep").exists():
            _run("depmod", "-b", str(at), self.kernel_version)
        found: dict[Path, None] = {}
        for module in wanted:
            shown = _run("modprobe", "-d", str(at), "-S", self.kernel_version, "--show-depends", module)
            for line in shown.splitlines():
                if line.startswith("insmod "):
                    found[Path(line.split()[1])] = None
        return list(found)

    def _initrd(self, work: Path, out: Path) -> None:
        for name in ("bin", "dev", "proc", "sys", "newroot", "modules.d"):
            (work / name).mkdir(parents=True)
        shutil.copy(self.kernel / "root/bin/busybox", work / "bin/busybox")
        (work / "bin/sh").symlink_to("busybox")
        order = []
        for module in self._modules(INITRD_MODULES):
            shutil.copy(module, work / "modules.d")
            order.append(f"/modules.d/{module.name}\n")
        (work / "modules").write_text("".join(order))
        (work / "init").write_text(INIT)
        (work / "init").chmod(0o755)
        _run("sh", "-c", f"find . | cpio -o -H newc --quiet | gzip -1 > '{out}'", cwd=work)


def unpack_arm64(part: Path, names: Callable[[dict[str, str]], Sequence[str]]) -> Path:
    """Debian's arm64 packages, unpacked into a folder of ``part``: with an apt that knows arm64 alone.

    ``names`` gets the environment to ask that apt in.
    """
    for name in ("state/lists/partial", "cache/archives/partial", "etc"):
        (part / "apt" / name).mkdir(parents=True)
    keys = "/usr/share/keyrings/debian-archive-keyring.gpg"
    (part / "sources.list").write_text(f"deb [signed-by={keys}] {_uri()} {RELEASE} main\n")
    (part / "apt.conf").write_text(
        f'APT::Architecture "arm64"; APT::Architectures {{ "arm64"; }}; APT::Sandbox::User "root";\n'
        f'Dir::State "{part}/apt/state"; Dir::State::status "/dev/null"; Dir::Cache "{part}/apt/cache";\n'
        f'Dir::Etc::sourcelist "{part}/sources.list"; Dir::Etc::sourceparts "-";\n'
    )
    env = os.environ | {"APT_CONFIG": str(part / "apt.conf")}
    _run("apt-get", "-qq", "update", env=env)
    _run("apt-get", "-qq", "download", *names(env), env=env, cwd=part)
    for deb in part.glob("*.deb"):
        _run("dpkg-deb", "-x", str(deb), str(part / "root"))
        deb.unlink()
    shutil.rmtree(part / "apt")
    return part / "root"


def _mkfs_root(folder: Path, image: Path) -> None:
    _truncate(image, ROOT_MB)
    # As older tools write it: e2fsprogs of every supported laptop reads it.
    _run("mke2fs", "-q", "-F", "-t", "ext4", "-L", "rootfs", "-O", "^metadata_csum_seed", "-d", str(folder), str(image))


def _truncate(path: Path, megabytes: int) -> None:
    with path.open("wb") as file:
        file.truncate(megabytes << 20)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _digest(*what: str) -> str:
    return hashlib.sha256("\0".join(what).encode()).hexdigest()[:12]


def _run(*command: str, env: dict[str, str] | None = None, cwd: Path | None = None, stdin: str | None = None) -> str:
    done = subprocess.run(
        command,
        check=False,
        env=(env or dict(os.environ)) | {"PATH": _PATH},
        cwd=cwd,
        input=stdin,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(
            f"{' '.join(command)}: exit status {done.returncode}\n{(done.stderr or done.stdout)[-2000:]}"
        )
    return done.stdout
