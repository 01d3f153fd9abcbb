"""What `make dist` makes: the same bytes twice, packages that install, an image that runs, and lists of its parts."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.e2e.test_demo import free_port
from wayside.contracts.version import VERSION
from wayside.distribution import __main__ as distribution
from wayside.distribution.archives import DistributionError
from wayside.distribution.debian import TARGETS
from wayside.distribution.image import ARCHITECTURE, CONFIGURATION, USER
from wayside.distribution.mirror import archives

pytestmark = [
    pytest.mark.network,
    pytest.mark.timeout(3600),  # two builds; libraries of three nodes are compressed
    pytest.mark.skipif(shutil.which("mmdebstrap") is None, reason="mmdebstrap is missing: run `make dist-tools`"),
    pytest.mark.skipif(
        not archives("bookworm"), reason="apt has no archive of Debian's here, by which the image is made"
    ),
    pytest.mark.skipif(
        os.geteuid() != 0, reason="packages are installed and run under a root of their own: needs root"
    ),
]
IMAGE = f"wayside-hub_{VERSION}_{ARCHITECTURE}.oci.tar"


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist") / "first"
    distribution.make(out)
    return out


@pytest.fixture(scope="module")
def debian(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The image's file system, unpacked layer by layer, with /dev and /proc."""
    root = tmp_path_factory.mktemp("root") / "debian"
    root.mkdir()
    with tarfile.open(dist / IMAGE) as image:
        for layer in manifest(image)["layers"]:
            blob = image.extractfile(f"blobs/sha256/{layer['digest'].removeprefix('sha256:')}")
            with tarfile.open(fileobj=blob, mode="r:gz") as archive:
                archive.extractall(root, filter="fully_trusted")
    with ExitStack() as stack:
        for name in ("proc", "dev"):
            mounted = subprocess.run(["mount", "--rbind", f"/{name}", root / name], capture_output=True, check=False)
            if mounted.returncode:  # root within a container, as a rule
                pytest.skip(
                    f"nothing can be mounted here, so that nothing runs in the image: {mounted.stderr.decode()}"
                )
            stack.callback(subprocess.run, ["umount", "-R", "-l", root / name], check=True)
        yield root


def manifest(image: tarfile.TarFile) -> dict[str, list[dict[str, str]]]:
    index = json.load(image.extractfile("index.json"))  # type: ignore[arg-type]
    digest = index["manifests"][0]["digest"].removeprefix("sha256:")
    return dict(json.load(image.extractfile(f"blobs/sha256/{digest}")))  # type: ignore[arg-type]


def test_two_builds_of_one_commit_are_the_same_bytes(dist: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    distribution.make(again)
    assert sums(again) == sums(dist)
    assert (again / "SHA256SUMS").read_text() == (dist / "SHA256SUMS").read_text()


def sums(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_everything_has_a_checksum_and_a_list_of_its_parts(dist: Path) -> None:
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=dist, check=True)
    shipped = [p for p in dist.iterdir() if p.suffix in (".whl", ".gz", ".deb", ".tar")]
    assert len(shipped) == 2 + 1 + len(TARGETS) + 1
    for path in shipped:
        listed = json.loads((dist / f"{path.name}.cdx.json").read_text())
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert listed["metadata"]["component"]["hashes"] == [{"alg": "SHA-256", "content": digest}]
        names = {part["name"] for part in listed["components"]}
        if path.name.startswith("wayside-agent-libs"):
            assert {"numpy", "onnxruntime", "tuf"} <= names
            assert "torch" not in names
        elif path.name == IMAGE:
            assert {"wayside", "fastapi", "libc6", "python3"} <= names


def test_the_packages_bear_a_stranger_s_eye(dist: Path) -> None:
    if shutil.which("lintian") is None:
        pytest.skip("lintian is missing: run `make dist-tools`")
    # The libraries' packages are other people's wheels: lintian looks at each of their files for minutes.
    packages = [str(path) for path in sorted(dist.glob("wayside-agent_*.deb"))]
    assert packages
    done = subprocess.run(["lintian", "--fail-on", "error", *packages], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_image_is_one_that_other_programs_read(dist: Path) -> None:
    if shutil.which("skopeo") is None:
        pytest.skip("skopeo is missing: run `make dist-tools`")
    command = ["skopeo", "inspect", "--config", f"oci-archive:{dist / IMAGE}"]
    told = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert told["config"]["User"] == f"{USER}:{USER}"
    assert told["config"]["Volumes"] == {"/data": {}}
    assert told["config"]["Labels"]["org.opencontainers.image.version"] == VERSION


def test_the_hub_of_the_image_starts_as_nobody_and_answers(debian: Path) -> None:
    inside = ["chroot", f"--userspec={USER}:{USER}", str(debian), "env", "-i", *CONFIGURATION["Env"]]
    program = [*inside, *CONFIGURATION["Entrypoint"]]
    subprocess.run([*program, "hub", "init", "--data", "/data"], check=True, capture_output=True)
    port = free_port()
    hub = subprocess.Popen([*program, *CONFIGURATION["Cmd"], "--port", str(port)])
    try:
        wait_for(lambda: answers(f"http://127.0.0.1:{port}/healthz"), hub)
        assert (debian / "data/hub.sqlite").stat().st_uid == USER
    finally:
        hub.terminate()
    assert hub.wait(30) == 0


def wait_for(what: Callable[[], object], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 300
    while not what():
        assert process.poll() is None
        assert time.monotonic() < deadline, "still not so after five minutes"
        time.sleep(0.1)


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def test_the_agents_packages_install_without_a_network_and_a_node_runs(dist: Path, debian: Path) -> None:
    """dpkg alone, its scripts, the agent as its user for a moment, removal, purge."""
    place = debian / "packages"
    place.mkdir()
    subprocess.run(["apt-get", "-qq", "download", "adduser"], cwd=place, check=True)
    for path in (dist / f"wayside-agent_{VERSION}_all.deb", *dist.glob("wayside-agent-libs_*py3.11_amd64.deb")):
        shutil.copy(path, place)
    names = [f"/packages/{path.name}" for path in place.iterdir()]
    said = inside(debian, "unshare", "--net", "dpkg", "--install", *names)
    assert "systemctl enable --now wayside-agent" in said
    assert inside(debian, "wayside", "--version") == f"wayside {VERSION}\n"
    assert "A node's configuration" in inside(debian, "wayside", "docs", "node")
    assert "change-me" in inside(debian, "wayside", "node", "check", "/etc/wayside/node.toml", status=None)
    told = inside(debian, "stat", "-c", "%U:%G %a", "/etc/wayside/node.toml", "/var/lib/wayside").splitlines()
    assert told == ["root:wayside 640", "wayside:wayside 750"]
    unit = (debian / "lib/systemd/system/wayside-agent.service").read_text()
    assert "ExecStart=/usr/bin/wayside agent run /etc/wayside/node.toml" in unit

    (debian / "etc/wayside/node.toml").write_text(NODE)
    command = ["chroot", "--userspec=wayside:wayside", str(debian), "wayside", "agent", "run"]
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LG_WD": "/tmp"}
    with subprocess.Popen([*command, "/etc/wayside/node.toml"], env=environment) as agent:
        try:
            wait_for((debian / "var/lib/wayside/status.json").exists, agent)
        finally:
            agent.terminate()
    assert (debian / "var/lib/wayside/node.sqlite3").exists()

    inside(debian, "dpkg", "--remove", "wayside-agent")
    assert not (debian / "usr/lib/wayside/agent").exists()
    assert (debian / "etc/wayside/node.toml").exists()
    assert list((debian / "var/lib/wayside").iterdir())
    inside(debian, "dpkg", "--purge", "wayside-agent", "wayside-agent-libs")
    for gone in ("etc/wayside", "var/lib/wayside", "usr/lib/wayside"):
        assert not (debian / gone).exists(), gone


NODE = """\
node = "node-1"
state_dir = "/var/lib/wayside"
[board]
port = "/dev/serial/by-id/usb-board-0"
[[detectors]]
channel = 2
datastream = "detector/2/volume"
"""


def inside(root: Path, *command: str, status: int | None = 0) -> str:
    """Run a program under ``root``; what it printed."""
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive", "HOME": "/root"}
    words = ["chroot", str(root), *command]
    if command[0] == "unshare":
        words = [*command[:2], "chroot", str(root), *command[2:]]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    if status is not None:
        assert done.returncode == status, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr if status is None else done.stdout


def test_what_cannot_be_had_is_said_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(DistributionError, match="uv failed"):
        distribution.make(tmp_path / "dist", ("deb",))
    assert list(tmp_path.iterdir()) == []
