"""What `make dist` stands on: archives that depend on contents alone, digests, lists of parts, the packages' unit."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import subprocess
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from wayside.distribution import image
from wayside.distribution.archives import DistributionError, folder_entries, gzipped, same_source, same_wheel, tar
from wayside.distribution.debian import unit
from wayside.distribution.image import CONFIGURATION, layout
from wayside.distribution.mirror import archives, mirror
from wayside.distribution.sbom import debian_parts, required_parts, write_sbom
from wayside.distribution.source import Source

ROOT = Path(__file__).parents[2]
EPOCH = 1_700_000_000


def folder(place: Path, names: list[str], mtime: int) -> Path:
    for name in names:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(name)
        os.utime(place / name, (mtime, mtime))
    (place / "a" / "run").chmod(0o700)
    (place / "link").symlink_to("a/run")
    return place


def test_a_tar_is_the_same_whenever_and_in_whatever_order_its_files_were_written(tmp_path: Path) -> None:
    first = folder(tmp_path / "1", ["a/run", "b/c/d", "e"], 1)
    second = folder(tmp_path / "2", ["e", "b/c/d", "a/run"], 1_000_000_000)
    made = [gzipped(tar(list(folder_entries(place, "opt")), EPOCH)) for place in (first, second)]
    assert made[0] == made[1]
    with tarfile.open(fileobj=io.BytesIO(made[0])) as archive:
        members = {member.name: member for member in archive.getmembers()}
    assert {m.mtime for m in members.values()} == {EPOCH}
    assert {(m.uid, m.gid) for m in members.values()} == {(0, 0)}
    assert [members[n].mode for n in ("opt/a/run", "opt/e", "opt/b")] == [0o755, 0o644, 0o755]
    assert members["opt/link"].linkname == "a/run"


def test_a_wheel_and_a_source_archive_are_the_same_whenever_they_were_built(tmp_path: Path) -> None:
    wheels, sources = [tmp_path / "1.whl", tmp_path / "2.whl"], [tmp_path / "1.tar.gz", tmp_path / "2.tar.gz"]
    for number, path in enumerate(wheels):
        with zipfile.ZipFile(path, "w") as archive:
            for name in sorted(("w/b.py", "w/a.py", "w.dist-info/RECORD"), reverse=bool(number)):
                archive.writestr(zipfile.ZipInfo(name, (2000 + number, 1, 1, 0, 0, 0)), name)
        same_wheel(path, EPOCH)
    for number, path in enumerate(sources):
        place = folder(tmp_path / str(number), ["a/run", "e"], number)
        with tarfile.open(path, "w:gz") as archive:
            archive.add(place, "wayside-0")
        same_source(path, EPOCH)
    for first, second in (wheels, sources):
        assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(wheels[0]) as archive:
        assert archive.namelist() == ["w/a.py", "w/b.py", "w.dist-info/RECORD"]


def test_every_blob_of_the_image_lies_under_its_hash_and_every_layer_is_what_the_configuration_says() -> None:
    layers = [tar([("a", b"a", 0o644)], EPOCH), tar([("data", b"b", 0o600)], EPOCH, owners={"data": 7})]
    made = layout(Source(ROOT, "1.2.3", EPOCH), layers)
    with tarfile.open(fileobj=io.BytesIO(made)) as archive:
        files = {member.name: archive.extractfile(member).read() for member in archive.getmembers()}  # type: ignore[union-attr]
    blobs = {name.rpartition("/")[2]: content for name, content in files.items() if name.startswith("blobs/")}
    assert all(hashlib.sha256(content).hexdigest() == digest for digest, content in blobs.items())

    def blob(descriptor: dict[str, Any]) -> bytes:
        content = blobs[descriptor["digest"].removeprefix("sha256:")]
        assert len(content) == descriptor["size"]
        return content

    assert json.loads(files["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    (entry,) = json.loads(files["index.json"])["manifests"]
    assert entry["annotations"]["io.containerd.image.name"] == "localhost/wayside-hub:1.2.3"
    manifest = json.loads(blob(entry))
    configuration = json.loads(blob(manifest["config"]))
    assert [gzip.decompress(blob(layer)) for layer in manifest["layers"]] == layers
    assert configuration["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(each).hexdigest()}" for each in layers]
    assert configuration["config"]["User"] == CONFIGURATION["User"] != "0:0"


def test_a_list_of_parts_is_valid_names_what_it_lists_and_is_the_same_twice(tmp_path: Path) -> None:
    shipped = tmp_path / "thing.deb"
    shipped.write_bytes(b"thing")
    status = (
        "Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2.36-9\n\n"
        "Package: gone\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 1\n"
    )
    parts = [
        *required_parts("Requires-Dist: Rich>=14\nRequires-Dist: wayside[edge]; extra == 'x'\n"),
        *debian_parts(status),
    ]
    written = [
        write_sbom(shipped, "1.0", EPOCH, parts).read_text() for _ in range(2)
    ]  # held against CycloneDX's schema
    assert written[0] == written[1]
    listed = json.loads(written[0])
    assert {(part["name"], part.get("version")) for part in listed["components"]} == {
        ("rich", None),
        ("libc6", "2.36-9"),
    }
    assert listed["metadata"]["component"]["hashes"][0]["content"] == hashlib.sha256(b"thing").hexdigest()


def test_the_packages_unit_starts_the_packages_program_and_leaves_groups_to_its_user(tmp_path: Path) -> None:
    made = unit(ROOT).decode()
    assert "\nExecStart=/usr/bin/wayside agent run /etc/wayside/node.toml\n" in made
    assert "SupplementaryGroups" not in made
    (tmp_path / "edge").mkdir()
    (tmp_path / "edge/wayside-agent.service").write_text("[Service]\nUser=wayside\n")
    with pytest.raises(DistributionError, match="ExecStart"):
        unit(tmp_path)


APT = """\
http://a.example/debian/|{0}|main|Debian|Packages
http://a.example/debian/|{0}|main|Debian|Translations
http://a.example/debian/|{0}-updates|main|Debian|Packages
http://s.example/security/|{0}-security|main|Debian|Packages
http://o.example/other|{0}|main|Somebody|Packages
"""


@pytest.mark.parametrize("here", ["bookworm", "trixie"])
def test_debians_archives_are_apts_own_also_of_a_release_that_it_does_not_have(
    here: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apt = tmp_path / "apt-get"
    apt.write_text(f"#!/bin/sh\ncat <<'.'\n{APT.format(here)}.\n")
    apt.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert archives("bookworm") == [
        ("http://a.example/debian", "bookworm"),
        ("http://a.example/debian", "bookworm-updates"),
        ("http://s.example/security", "bookworm-security"),
    ]
    assert mirror("bookworm") == ("http://a.example/debian", "bookworm")


def test_where_apt_has_no_archive_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "apt-get").write_text("#!/bin/sh\n")
    (tmp_path / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert mirror("bookworm") is None
    with pytest.raises(DistributionError, match="run 'apt-get update'"):
        image.debian(Source(ROOT, "1.2.3", EPOCH), tmp_path / "base.tar")


@pytest.mark.parametrize("script", sorted((ROOT / "wayside/distribution/agent").glob("*.p*")), ids=lambda p: p.name)
def test_a_packages_script_is_one_that_a_shell_can_read(script: Path) -> None:
    subprocess.run(["sh", "-n", script], check=True)
    assert script.read_text().startswith("#!/bin/sh\nset -e\n")
