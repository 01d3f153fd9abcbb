"""The hub's image, as the OCI writes it down: Debian with Python, and wayside's hub upon it.

No container engine is needed to make it: a layer is a tar, and the rest is JSON that names layers by their hash.
Specification: OCI image-spec 1.1.
"""

from __future__ import annotations

import datetime
import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

from wayside.distribution import sbom
from wayside.distribution.archives import DistributionError, folder_entries, gzipped, tar
from wayside.distribution.mirror import archives
from wayside.distribution.source import Source, install, run

RELEASE, PYTHON, MACHINE, ARCHITECTURE = "bookworm", "3.11", "x86_64-manylinux_2_36", "amd64"
USER = 65532
PLACE = "opt/wayside"
CONFIGURATION = {
    "User": f"{USER}:{USER}",
    "ExposedPorts": {"8000/tcp": {}},
    "Env": ["PATH=/usr/bin:/bin", f"PYTHONPATH=/{PLACE}", "PYTHONDONTWRITEBYTECODE=1", "PYTHONUNBUFFERED=1"],
    "Entrypoint": ["/usr/bin/python3", "-m", "wayside"],
    "Cmd": ["hub", "run", "--data", "/data", "--host", "0.0.0.0"],  # noqa: S104  (the engine says who reaches it)
    "Volumes": {"/data": {}},
    "WorkingDir": "/data",
    "StopSignal": "SIGTERM",
}


def hub_image(source: Source, wheel: Path, work: Path, out: Path) -> list[Path]:
    """``wayside-hub``, and what is in it, Debian's packages, too."""
    base = debian(source, work / "base.tar")
    place = work / "hub"
    constraints = source.folder / "constraints.txt"
    install(wheel, "hub", place, machine=MACHINE, python=PYTHON, constraints=constraints)
    entries = [("data", work, 0o700), *folder_entries(place, PLACE)]
    folders = [("opt", work, 0o755), (PLACE, work, 0o755)]
    layers = [base, tar([*entries, *folders], source.epoch, owners={"data": USER})]
    made = out / f"wayside-hub_{source.version}_{ARCHITECTURE}.oci.tar"
    made.write_bytes(layout(source, layers))
    with tarfile.open(fileobj=io.BytesIO(base)) as archive:
        status = archive.extractfile("./var/lib/dpkg/status")
        if status is None:
            raise DistributionError("the base has no list of packages")
        parts = [*sbom.python_parts(place), *sbom.debian_parts(status.read().decode())]
    return [made, sbom.write_sbom(made, source.version, source.epoch, parts)]


def debian(source: Source, path: Path) -> bytes:
    """A small Debian with Python, from apt's own mirror."""
    lines = [each.line for each in archives(RELEASE)]
    if not lines:
        missing = f"the hub's image stands on Debian {RELEASE}, and apt here has no archive of Debian's"
        raise DistributionError(f"{missing}: run 'apt-get update', or leave the image out: --only wheel,deb")
    run(
        "mmdebstrap", "--quiet", "--variant=minbase", "--format=tar", f"--architectures={ARCHITECTURE}",
        "--include=python3,ca-certificates", "--dpkgopt=path-exclude=/usr/share/doc/*",
        "--dpkgopt=path-include=/usr/share/doc/*/copyright", "--dpkgopt=path-exclude=/usr/share/man/*",
        "--dpkgopt=path-exclude=/usr/share/locale/*", RELEASE, str(path), *lines,
        environment=source.environment,
    )  # fmt: skip
    return path.read_bytes()


def layout(source: Source, layers: list[bytes]) -> bytes:
    """The archive of an image: its layers, configuration and manifest, each under its hash."""
    blobs: dict[str, bytes] = {}

    def put(content: bytes, kind: str) -> dict[str, Any]:
        digest = hashlib.sha256(content).hexdigest()
        blobs[digest] = content
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{digest}", "size": len(content)}

    made = datetime.datetime.fromtimestamp(source.epoch, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    labels = {
        "org.opencontainers.image.title": "wayside-hub",
        "org.opencontainers.image.version": source.version,
        "org.opencontainers.image.created": made,
        "org.opencontainers.image.licenses": "Apache-2.0",
        "org.opencontainers.image.description": "wayside's hub; GET /healthz on port 8000 says that it is well",
    }
    configuration = {
        "created": made,
        "architecture": ARCHITECTURE,
        "os": "linux",
        "config": CONFIGURATION | {"Labels": labels},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(each).hexdigest()}" for each in layers]},
        "history": [
            {"created": made, "created_by": f"Debian {RELEASE} with Python {PYTHON}"},
            {"created": made, "created_by": f"wayside {source.version}"},
        ],
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": put(_json(configuration), "config.v1+json"),
        "layers": [put(gzipped(layer), "layer.v1.tar+gzip") for layer in layers],
        "annotations": labels,
    }
    entry = put(_json(manifest), "manifest.v1+json")
    # The name under which engines keep it: Docker and Podman look at the second.
    entry |= {"annotations": {"org.opencontainers.image.ref.name": source.version,
                              "io.containerd.image.name": f"localhost/wayside-hub:{source.version}"}}  # fmt: skip
    index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [entry]}
    files = [(f"blobs/sha256/{digest}", content, 0o644) for digest, content in blobs.items()]
    files += [("index.json", _json(index), 0o644), ("oci-layout", b'{"imageLayoutVersion":"1.0.0"}', 0o644)]
    return tar(files, source.epoch)


def _json(document: Any) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
