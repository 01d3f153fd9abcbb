"""Debian packages of the agent: its code for every machine, and the libraries for one machine and one Python.

``wayside-agent`` (all) holds wayside itself, its unit, its user and its configuration; ``wayside-agent-libs`` (arm64,
amd64) what it needs, from the package index, unpacked. Together they install without a network.
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
import zipfile
from email.utils import formatdate
from pathlib import Path
from typing import NamedTuple

from wayside.distribution import sbom
from wayside.distribution.archives import DistributionError
from wayside.distribution.source import Source, install, run

HERE = Path(__file__).parent / "agent"
CODE, LIBRARIES = "usr/lib/wayside/agent", "usr/lib/wayside/lib"
MAINTAINER = "The wayside project <wayside@localhost>"


class Target(NamedTuple):
    architecture: str  # as dpkg names it
    machine: str  # as uv names it
    python: str


# Debian 12 has Python 3.11 and glibc 2.36, Debian 13 has 3.13 and 2.41 (uv knows tags up to 2.40).
TARGETS = (
    Target("arm64", "aarch64-manylinux_2_36", "3.11"),
    Target("arm64", "aarch64-manylinux_2_40", "3.13"),
    Target("amd64", "x86_64-manylinux_2_36", "3.11"),
)


def agent_package(source: Source, wheel: Path, work: Path, out: Path) -> list[Path]:
    """``wayside-agent``, for every machine, and what is in it."""
    root = work / "agent"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(root / CODE)
    put(root, "usr/bin/wayside", (HERE / "wayside").read_bytes(), 0o755)
    put(root, "lib/systemd/system/wayside-agent.service", unit(source.folder))
    put(root, "etc/wayside/node.toml", (HERE / "node.toml").read_bytes(), 0o640)
    libraries = f"wayside-agent-libs (>= {source.version}), wayside-agent-libs (<< {source.version}.1~)"
    fields = {
        "Package": "wayside-agent",
        "Architecture": "all",
        "Depends": f"adduser, python3 (>= 3.11), {libraries}",
        "Recommends": "avrdude",
        "Description": "agent of a roadside node\n"
        " Reads sensors, runs int8 models on the node, acts within a guard's limits\n"
        " and reports summaries to a hub. It starts once /etc/wayside/node.toml\n"
        " says what the node has.",
    }
    path = build(source, root, fields, out, version=source.version, scripts="agent")
    return [path, sbom.write_sbom(path, source.version, source.epoch, sbom.python_parts(root / CODE))]


def library_package(source: Source, wheel: Path, target: Target, work: Path, out: Path) -> list[Path]:
    """``wayside-agent-libs`` of one machine and Python, and what is in it."""
    root = work / f"libs-{target.architecture}-{target.python}"
    folder = root / LIBRARIES
    constraints = source.folder / "constraints.txt"
    install(wheel, "edge", folder, machine=target.machine, python=target.python, constraints=constraints)
    for own in folder.glob("wayside*"):  # it is in the other package
        shutil.rmtree(own)
    version = f"{source.version}+py{target.python}"
    major, minor = target.python.split(".")
    python = f"python3 (>= {target.python}~), python3 (<< {major}.{int(minor) + 1}~)"
    fields = {
        "Package": "wayside-agent-libs",
        "Architecture": target.architecture,
        "Depends": f"libc6 (>= 2.36), libstdc++6, {python}",
        "Description": f"libraries of a roadside node's agent, Python {target.python}\n"
        " The Python packages that wayside-agent needs, in a folder of its own: no\n"
        " other program of this system sees them.",
    }
    path = build(source, root, fields, out, version=version, scripts="libs")
    return [path, sbom.write_sbom(path, version, source.epoch, sbom.python_parts(folder))]


def unit(folder: Path) -> bytes:
    """The agent's unit, for a program in /usr/bin and a user whose groups the package has set.

    Raises:
        DistributionError: it does not start one program.
    """
    text = (folder / "edge/wayside-agent.service").read_text(encoding="utf-8")
    text, count = re.subn(r"(?m)^ExecStart=\S+", "ExecStart=/usr/bin/wayside", text)
    if count != 1:
        raise DistributionError(f"the agent's unit has {count} lines with ExecStart, and not one")
    return re.sub(r"(?m)^SupplementaryGroups=.*\n", "", text).encode()


def build(source: Source, root: Path, fields: dict[str, str], out: Path, *, version: str, scripts: str) -> Path:
    name = fields["Package"]
    doc = f"usr/share/doc/{name}"
    put(root, f"{doc}/copyright", copyright_of(root))
    changes = f"{name} ({version}) unstable; urgency=medium\n\n  * See the project's CHANGELOG.md.\n\n"
    changes += f" -- {MAINTAINER}  {formatdate(source.epoch)}\n"
    put(root, f"{doc}/changelog.gz", gzip.compress(changes.encode(), 9, mtime=0))
    put(root, f"usr/share/lintian/overrides/{name}", (HERE / f"{scripts}.lintian").read_bytes())
    for path in root.rglob("*"):
        if not path.is_symlink():
            # Of files only programs may be run: wheels mark libraries and modules, too.
            runs = path.is_dir() or path.parent.name in ("bin", "DEBIAN")
            secret = path.name == "node.toml" and path.parent.name == "wayside"
            path.chmod(0o755 if runs else 0o640 if secret else 0o644)
    size = sum(path.stat().st_size for path in root.rglob("*") if path.is_file()) // 1024
    control = {"Version": version, "Maintainer": MAINTAINER, "Installed-Size": str(size), "Section": "misc",
               "Priority": "optional"}  # fmt: skip
    ordered = {"Package": name} | control | {k: v for k, v in fields.items() if k != "Package"}
    put(root, "DEBIAN/control", "".join(f"{key}: {value}\n" for key, value in ordered.items()).encode())
    for script in sorted(HERE.glob(f"{scripts}.*")):
        if script.suffix != ".lintian":
            put(root, f"DEBIAN/{script.suffix[1:]}", script.read_bytes(), 0o755)
    conffiles = [f"/{path.relative_to(root)}\n" for path in sorted((root / "etc").rglob("*")) if path.is_file()]
    if conffiles:
        put(root, "DEBIAN/conffiles", "".join(conffiles).encode())
    for path in [root, *root.rglob("*")]:
        os.utime(path, (source.epoch, source.epoch), follow_symlinks=False)
    made = out / f"{name}_{version}_{fields['Architecture']}.deb"
    pack = ["dpkg-deb", "--root-owner-group", "-Zxz", "-z1", "--threads-max=1", "--build", str(root), str(made)]
    run(*pack, environment=source.environment)
    return made


def copyright_of(root: Path) -> bytes:
    """wayside's licence, and each library's as it says itself."""
    rows = ["wayside is Apache-2.0: /usr/share/common-licenses/Apache-2.0", ""]
    for part in sorted(root.rglob("*.dist-info/METADATA")):
        head = part.read_text(encoding="utf-8").split("\n\n", 1)[0]
        licence = re.search(r"(?m)^License-Expression: (.+)$|^License: (.+)$", head)
        name = part.parent.name.removesuffix(".dist-info")
        says = (licence[1] or licence[2]) if licence else "see its METADATA"
        rows.append(f"{name}: {says}; full text in its folder {part.parent.name}")
    return ("\n".join(rows) + "\n").encode()


def put(root: Path, name: str, content: bytes, mode: int = 0o644) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(mode)
