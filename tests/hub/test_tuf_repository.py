"""The update repository: what the offline keys signed gets in, nothing else does, and the real client believes it."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.exceptions import ExpiredMetadataError, RepositoryError
from tuf.api.metadata import Metadata, Snapshot, Timestamp
from tuf.ngclient import FetcherInterface, Updater

from tests.hub.conftest import AUTH, NOBODY, Hub
from tests.hub.offline_keys import OfflineKeys
from wayside.cloud.hub.tuf_repository import KEPT_SNAPSHOTS, TufRepository


class ThroughTheHub(FetcherInterface):
    """python-tuf's client over the hub's own routes."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub

    def _fetch(self, url: str):  # type: ignore[no-untyped-def]
        from tuf.api.exceptions import DownloadHTTPError

        answer = self.hub.client.get(url)
        if answer.status_code != 200:
            raise DownloadHTTPError(url, answer.status_code)
        yield answer.content


def updater(hub: Hub, root: bytes, folder: Path) -> Updater:
    (folder / "targets").mkdir(parents=True, exist_ok=True)
    return Updater(
        metadata_dir=str(folder / "metadata"),
        metadata_base_url="/tuf/metadata/",
        target_base_url="/tuf/targets/",
        target_dir=str(folder / "targets"),
        fetcher=ThroughTheHub(hub),
        bootstrap=root,
    )


def snapshots(hub: Hub) -> list[Metadata[Snapshot]]:
    """What the hub has signed, oldest first."""
    files = (hub.data / "tuf/metadata").glob("*.snapshot.json")
    ordered = sorted(files, key=lambda file: int(file.name.partition(".")[0]))
    return [Metadata[Snapshot].from_file(str(file)) for file in ordered]


@pytest.fixture
def keys(hub: Hub) -> OfflineKeys:
    return OfflineKeys(hub.client)


def test_the_real_client_verifies_and_downloads_what_was_published(hub: Hub, keys: OfflineKeys, tmp_path: Path) -> None:
    root = keys.initialise()
    content = b"a bundle" * 1000
    assert keys.publish("1.0.0", content).status_code == 204
    client = updater(hub, root, tmp_path / "node")
    client.refresh()
    info = client.get_targetinfo("models/traffic-flow-1.0.0.bundle")
    assert info is not None
    assert info.unrecognized_fields["custom"] == {"bundle": "traffic-flow", "version": "1.0.0"}
    assert Path(client.download_target(info)).read_bytes() == content
    # the next version, by a client that knows the first
    assert keys.publish("1.0.1", b"better").status_code == 204
    client = updater(hub, root, tmp_path / "node")
    client.refresh()
    info = client.get_targetinfo("models/traffic-flow-1.0.1.bundle")
    assert info is not None
    assert Path(client.download_target(info)).read_bytes() == b"better"


def test_nothing_is_published_before_all_three_roles_exist(hub: Hub, keys: OfflineKeys) -> None:
    assert keys.put_targets().status_code == 409
    assert keys.put_root().status_code == 204
    assert keys.put_models().status_code == 409
    assert keys.put_targets().status_code == 204
    assert hub.client.get("/tuf/metadata/timestamp.json").status_code == 404
    assert keys.put_models().status_code == 204
    assert hub.client.get("/tuf/metadata/timestamp.json").status_code == 200
    (snapshot,) = snapshots(hub)
    assert hub.client.get(f"/tuf/metadata/{snapshot.signed.version}.snapshot.json").status_code == 200


def test_one_of_three_root_keys_is_not_enough(keys: OfflineKeys) -> None:
    answer = keys.put_root(keys.root_keys[0])
    assert answer.status_code == 409
    assert answer.json()["error"] == "signatures"


def test_a_root_that_ignores_the_online_key_is_refused(keys: OfflineKeys) -> None:
    keys.root.revoke_key(keys.online.keyid, "timestamp")
    keys.root.add_key(keys.targets_key.public_key, "timestamp")
    assert keys.put_root().json()["error"] == "online_key"


def test_a_wrong_key_cannot_publish(keys: OfflineKeys) -> None:
    keys.initialise()
    keys.models.version += 1
    answer = keys.put_models(CryptoSigner.generate_ed25519())
    assert (answer.status_code, answer.json()["error"]) == (409, "signatures")
    answer = keys.put_models(keys.targets_key)
    assert (answer.status_code, answer.json()["error"]) == (409, "signatures")


@pytest.mark.parametrize("version", [1, 3, 7])
def test_versions_rise_by_one(keys: OfflineKeys, version: int) -> None:
    keys.initialise()
    keys.models.version = version
    keys.models.unrecognized_fields["note"] = "not the same bytes"
    answer = keys.put_models()
    assert (answer.status_code, answer.json()["error"]) == (409, "version")


def test_the_same_metadata_again_changes_nothing(hub: Hub, keys: OfflineKeys) -> None:
    keys.initialise()
    before = hub.client.get("/tuf/metadata/1.models.json").content
    assert keys.put_models().status_code == 204
    assert hub.client.get("/tuf/metadata/1.models.json").content == before
    assert len(snapshots(hub)) == 1


def test_a_named_file_must_be_here_with_its_hash(hub: Hub, keys: OfflineKeys) -> None:
    keys.initialise()
    keys.name("traffic-flow-1.0.0.bundle", b"never uploaded", "1.0.0")
    assert keys.put_models().json()["error"] == "missing_file"
    keys.stage("traffic-flow-1.0.0.bundle", b"something else")
    assert keys.put_models().json()["error"] == "missing_file"
    keys.stage("traffic-flow-1.0.0.bundle", b"never uploaded")
    assert keys.put_models().status_code == 204


def test_expired_metadata_is_refused(keys: OfflineKeys) -> None:
    keys.initialise()
    keys.models.version += 1
    keys.models.expires -= dt.timedelta(days=400)
    assert keys.put_models().json()["error"] == "expired"


def test_a_root_key_can_be_replaced_by_the_old_threshold(hub: Hub, keys: OfflineKeys, tmp_path: Path) -> None:
    pinned = keys.initialise()
    fresh = CryptoSigner.generate_ed25519()
    keys.root.revoke_key(keys.root_keys[2].public_key.keyid, "root")
    keys.root.add_key(fresh.public_key, "root")
    keys.root.version = 2
    assert keys.put_root(fresh, keys.root_keys[0]).status_code == 409  # the old root knows only one of them
    assert keys.put_root(*keys.root_keys[:2]).status_code == 204
    client = updater(hub, pinned, tmp_path / "node")
    client.refresh()


def test_an_uploaded_file_is_invisible_until_it_is_signed(hub: Hub, keys: OfflineKeys) -> None:
    keys.initialise()
    staged = keys.stage("traffic-flow-1.0.0.bundle", b"x" * 100).json()
    assert staged["bytes"] == 100
    assert hub.client.get(f"/tuf/targets/models/{staged['sha256']}.traffic-flow-1.0.0.bundle").status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "/tuf/metadata/..%2f..%2fonline.key",
        "/tuf/metadata/.timestamp.json.tmp",
        "/tuf/targets/..%2f..%2fonline.key",
        "/tuf/targets/models/..%2f..%2f..%2foperator.token",
        "/tuf/targets/%2fetc%2fpasswd",
        "/tuf/targets/models/",
        "/tuf/metadata/0.root.json",
        "/static/..%2fapp.py",
    ],
)
def test_paths_do_not_leave_the_repository(hub: Hub, path: str) -> None:
    assert hub.client.get(path).status_code == 404


@pytest.mark.parametrize("name", ["..%2fx", ".hidden", "a" * 97, "%00"])
def test_an_upload_has_a_plain_name(hub: Hub, name: str) -> None:
    answer = hub.client.put(f"/api/v1/tuf/files/models/{name}", content=b"x", headers=AUTH)
    assert answer.status_code in (404, 422)


def test_an_upload_over_the_limit_is_refused_and_leaves_nothing(
    hub: Hub, keys: OfflineKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wayside.cloud.hub.api.tuf.MAX_BUNDLE_BYTES", 1000)
    assert keys.stage("big.bundle", b"x" * 1001).status_code == 413
    assert list((hub.data / "tuf" / "staged").iterdir()) == []


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"signed": {"_type": "root"}, "signatures": []}', b"\xff"])
@pytest.mark.parametrize("role", ["root", "targets", "models"])
def test_garbage_metadata_is_refused(keys: OfflineKeys, role: str, data: bytes) -> None:
    assert keys.put(role, data).status_code == 422


def test_uploads_and_metadata_need_the_operator(hub: Hub) -> None:
    for path in ("/api/v1/tuf/files/models/x", "/api/v1/tuf/metadata/root"):
        assert hub.client.put(path, content=b"x", headers=NOBODY).status_code == 401


def test_snapshot_and_timestamp_are_signed_anew_before_they_expire(hub: Hub, keys: OfflineKeys, tmp_path: Path) -> None:
    root = keys.initialise()
    now = dt.datetime.now(dt.UTC)
    later = TufRepository(hub.data, now=lambda: now + dt.timedelta(hours=11))
    assert not later.refresh()
    later = TufRepository(hub.data, now=lambda: now + dt.timedelta(hours=13))
    assert later.refresh()
    timestamp = Metadata[Timestamp].from_file(str(hub.data / "tuf/metadata/timestamp.json"))
    assert timestamp.signed.version == int((now + dt.timedelta(hours=13)).timestamp())
    assert timestamp.signed.expires > now + dt.timedelta(hours=36)
    assert TufRepository(hub.data, now=lambda: now + dt.timedelta(days=4)).refresh()
    assert len(snapshots(hub)) == 2
    updater(hub, root, tmp_path / "node").refresh()


def test_a_frozen_timestamp_stops_the_client(hub: Hub, keys: OfflineKeys, tmp_path: Path) -> None:
    root = keys.initialise()
    past = dt.datetime.now(dt.UTC) - dt.timedelta(days=30)
    (hub.data / "tuf/metadata/timestamp.json").unlink()
    TufRepository(hub.data, now=lambda: past).refresh()
    with pytest.raises(ExpiredMetadataError):
        updater(hub, root, tmp_path / "node").refresh()
    assert issubclass(ExpiredMetadataError, RepositoryError)


def test_a_publication_that_a_crash_cut_short_is_completed_at_the_start(hub: Hub, keys: OfflineKeys) -> None:
    keys.initialise()
    keys.models.version += 1
    cut = keys.signed(keys.models, keys.models_key)
    (hub.data / "tuf/metadata/2.models.json").write_bytes(cut)  # stored, and then the power went
    assert TufRepository(hub.data).refresh()
    assert snapshots(hub)[-1].signed.meta["models.json"].version == 2


def test_numbers_rise_in_every_copy_of_a_repository_and_old_snapshots_go(hub: Hub, keys: OfflineKeys) -> None:
    keys.initialise()
    now = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)
    seen = 0
    for hours in range(1, 12):
        assert TufRepository(hub.data, now=lambda at=now + dt.timedelta(hours=hours): at).refresh(anew=True)  # type: ignore[misc]
        timestamp = Metadata[Timestamp].from_file(str(hub.data / "tuf/metadata/timestamp.json")).signed
        assert min(timestamp.version, timestamp.snapshot_meta.version) > seen
        seen = max(timestamp.version, timestamp.snapshot_meta.version)
    assert len(snapshots(hub)) == KEPT_SNAPSHOTS
    # a clock that is behind does not bring numbers down
    TufRepository(hub.data, now=lambda: now).refresh(anew=True)
    assert snapshots(hub)[-1].signed.version == seen + 1
