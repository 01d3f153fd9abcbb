"""What `docs/operating.md` shows to put around a hub: a container of the wheel, and a proxy in front."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from wayside.distribution.image import CONFIGURATION, USER
from wayside.distribution.mirror import archives

ROOT = Path(__file__).parents[2]
CONTAINERFILE = ROOT / "wayside/distribution/Containerfile"
PAGE = ROOT / "docs/operating.md"


def told(instruction: str) -> str:
    (found,) = re.findall(rf"^{instruction} ((?:.*\\\n)*.*)$", CONTAINERFILE.read_text(), re.MULTILINE)
    return str(found)


def test_it_runs_as_the_image_without_an_engine_does_and_not_as_root() -> None:
    assert told("USER") == f"{USER}:{USER}" == CONFIGURATION["User"]
    assert {told("VOLUME"): {}} == CONFIGURATION["Volumes"]
    assert json.loads(told("CMD")) == CONFIGURATION["Cmd"]
    assert json.loads(told("ENTRYPOINT"))[1:] == CONFIGURATION["Entrypoint"][1:]  # type: ignore[index]
    assert told("STOPSIGNAL") == CONFIGURATION["StopSignal"]
    assert "/healthz" in told("HEALTHCHECK")


@pytest.mark.network
@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(shutil.which("buildah") is None, reason="apt-get install buildah builds the image here")
@pytest.mark.skipif(shutil.which("mmdebstrap") is None, reason="mmdebstrap makes the base: run `make dist-tools`")
@pytest.mark.skipif(not archives("bookworm"), reason="apt has no archive of Debian's here, by which the base is made")
@pytest.mark.skipif(os.geteuid() != 0, reason="without root a container engine needs subordinate ids")
def test_buildah_builds_it_and_the_hub_in_it_starts(tmp_path: Path) -> None:
    storage = ["--root", str(tmp_path / "storage"), "--runroot", str(tmp_path / "run"), "--storage-driver", "vfs"]
    environment = os.environ | {"TMPDIR": str(tmp_path), "BUILDAH_ISOLATION": "chroot"}

    def buildah(*words: str) -> str:
        done = subprocess.run(
            ["buildah", *storage, *words], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[-4000:]
        return done.stdout.strip()

    base = tmp_path / "base.tar"
    lines = [each.line for each in archives("bookworm")]
    include = "--include=python3,python3-pip,ca-certificates"
    command = ["mmdebstrap", "--quiet", "--variant=minbase", include, "bookworm", str(base), *lines]
    subprocess.run(command, check=True, env=environment)
    empty = buildah("from", "scratch")
    root = Path(buildah("mount", empty))
    with tarfile.open(base) as archive:
        archive.extractall(root, filter="fully_trusted")
    # Where packages come from, and by which authority, is this computer's setting.
    for setting in ("pip.conf", "ssl/certs/ca-certificates.crt"):
        if (there := Path("/etc") / setting).exists():
            shutil.copy(there, root / "etc" / setting)
    buildah("umount", empty)
    buildah("commit", empty, "localhost/base")
    context = tmp_path / "context"
    (context / "dist").mkdir(parents=True)
    shutil.copy(ROOT / "constraints.txt", context)
    wheel = ["pip", "wheel", "--no-deps", "--wheel-dir", str(context / "dist"), str(ROOT)]
    subprocess.run(["python3", "-m", *wheel], check=True, capture_output=True)
    names = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY")
    settings = [f"--env={name}={os.environ[name]}" for name in names if name in os.environ]
    settings.append("--env=PIP_CERT=/etc/ssl/certs/ca-certificates.crt")
    buildah(
        *("build", "--pull-never", "--format=docker", "--build-arg=BASE=localhost/base", *settings),
        *("-f", str(CONTAINERFILE), "-t", "localhost/wayside-hub", str(context)),
    )
    made = buildah("from", "--pull-never", "localhost/wayside-hub")
    assert json.loads(buildah("inspect", made))["OCIv1"]["config"]["User"] == f"{USER}:{USER}"
    buildah("run", made, "--", "python3", "-m", "wayside", "hub", "init", "--data", "/data/hub")
    assert buildah("run", made, "--", "id", "-u") == str(USER)


@pytest.mark.skipif(shutil.which("nginx") is None, reason="apt-get install nginx-core reads the example here")
def test_nginx_takes_the_example(tmp_path: Path) -> None:
    (server,) = re.findall(r"```nginx\n(.*?)```", PAGE.read_text(), re.DOTALL)
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    made = ["openssl", "req", "-x509", "-newkey", "ed25519", "-nodes", "-subj", "/CN=hub", "-keyout", str(key)]
    subprocess.run([*made, "-out", str(chain)], check=True, capture_output=True)
    server = server.replace("/etc/ssl/hub/chain.pem", str(chain)).replace("/etc/ssl/hub/key.pem", str(key))
    logs = f"pid {tmp_path}/pid; error_log stderr; events {{}}"
    parts = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    folders = " ".join(f"{name}_temp_path {tmp_path}/{name};" for name in parts)
    (tmp_path / "nginx.conf").write_text(f"{logs}\nhttp {{ access_log off; {folders}\n{server}\n}}\n")
    command = ["nginx", "-t", "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
