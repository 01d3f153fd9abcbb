"""Keys, the first trust root, publishing: what is signed offline, and what is refused before anything is signed."""

from __future__ import annotations

import json

import pytest
from tuf.api.metadata import Metadata

from tests.simulators.signed_hub import SignedHub, bundle, signed_hub
from tests.simulators.tuf_repository import TufRepository
from wayside.export import release
from wayside.export.errors import BundleError, ReleaseError
from wayside.export.keys import NAMES, make_keys, signer


@pytest.fixture
def hub(tmp_path):
    with signed_hub(tmp_path) as hub:
        yield hub


class TestKeys:
    def test_five_keys_that_only_their_owner_reads(self, tmp_path):
        make_keys(tmp_path / "keys")
        assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700
        for name in NAMES:
            assert (tmp_path / "keys" / f"{name}.pem").stat().st_mode & 0o777 == 0o600
        assert len({signer(tmp_path / "keys", name).public_key.keyid for name in NAMES}) == 5

    def test_keys_are_never_replaced(self, tmp_path):
        make_keys(tmp_path)
        before = (tmp_path / "models.pem").read_bytes()
        with pytest.raises(ReleaseError, match="already"):
            make_keys(tmp_path)
        assert (tmp_path / "models.pem").read_bytes() == before

    def test_a_key_that_others_can_read_is_not_used(self, tmp_path):
        make_keys(tmp_path)
        (tmp_path / "models.pem").chmod(0o644)
        with pytest.raises(ReleaseError, match="chmod 600"):
            signer(tmp_path, "models")

    @pytest.mark.parametrize("content", [b"", b"garbage", b"-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n"])
    def test_a_damaged_or_missing_key_is_named(self, tmp_path, content):
        with pytest.raises(ReleaseError, match=r"wayside release keys DIR"):
            signer(tmp_path, "models")
        (tmp_path / "models.pem").write_bytes(content)
        (tmp_path / "models.pem").chmod(0o600)
        with pytest.raises(ReleaseError, match="not a private key"):
            signer(tmp_path, "models")


class TestInitialize:
    def test_root_needs_two_of_three_and_gives_the_hub_only_snapshot_and_timestamp(self, hub):
        root = Metadata.from_bytes(hub.root).signed
        online = hub.repository.online.public_key.keyid
        assert root.consistent_snapshot
        assert (len(root.roles["root"].keyids), root.roles["root"].threshold) == (3, 2)
        assert {name for name, role in root.roles.items() if online in role.keyids} == {"snapshot", "timestamp"}

    def test_targets_delegates_only_models_and_ends_there(self, hub):
        targets = hub.repository.metadata["targets"].signed
        (role,) = targets.delegations.roles.values()
        assert (role.name, role.paths, role.terminating, role.threshold) == ("models", ["models/*"], True, 1)

    def test_an_interrupted_initialization_continues_with_the_same_root(self, tmp_path, monkeypatch):
        with TufRepository() as repository:
            hub = release.Hub(repository.url, repository.token)
            make_keys(tmp_path)
            real = repository.put
            monkeypatch.setattr(
                repository, "put", lambda path, body: real(path, body) if path.endswith("root") else (503, b"")
            )
            with pytest.raises(ReleaseError, match="503"):
                release.initialize(tmp_path, hub)
            first = (tmp_path / "root.json").read_bytes()
            monkeypatch.setattr(repository, "put", real)
            assert release.initialize(tmp_path, hub).read_bytes() == first
            assert release.show(hub, tmp_path / "root.json").releases == ()

    def test_a_second_initialization_changes_nothing(self, hub):
        hub.publish(bundle())
        assert release.initialize(hub.keys, hub.hub).read_bytes() == hub.root
        assert len(release.show(hub.hub).releases) == 1

    def test_a_hub_that_has_another_owner_refuses_in_its_words(self, hub, tmp_path):
        make_keys(tmp_path / "thief")
        with pytest.raises(ReleaseError, match="root must have the next version"):
            release.initialize(tmp_path / "thief", hub.hub)
        assert release.show(hub.hub, hub.keys / "root.json").releases == ()

    def test_keys_of_another_hub_are_refused(self, hub):
        with TufRepository() as other, pytest.raises(ReleaseError, match="made for another hub"):
            release.initialize(hub.keys, release.Hub(other.url, other.token))

    def test_a_wrong_operator_token_is_refused_in_the_hubs_words(self, tmp_path):
        with TufRepository() as repository:
            make_keys(tmp_path)
            with pytest.raises(ReleaseError, match=r"operator's token is wrong \(unauthorized, HTTP 401\)"):
                release.initialize(tmp_path, release.Hub(repository.url, "x" * 20))

    @pytest.mark.parametrize(
        "answer", [b"", b"[]", b"{}", b'{"keyid":"a","keytype":"rsa","scheme":"x","public":"00"}', b"\xff"]
    )
    def test_an_answer_that_is_no_key_is_refused(self, tmp_path, monkeypatch, answer):
        with TufRepository() as repository:
            make_keys(tmp_path)
            monkeypatch.setattr(repository, "get", lambda path: (200, answer))
            with pytest.raises(ReleaseError, match="online key"):
                release.initialize(tmp_path, release.Hub(repository.url))

    def test_a_hub_that_does_not_answer_is_said(self, tmp_path):
        make_keys(tmp_path)
        with pytest.raises(ReleaseError, match="does not answer"):
            release.initialize(tmp_path, release.Hub("http://127.0.0.1:9"))


class TestPublish:
    def test_a_published_bundle_is_listed_with_its_hash_and_version(self, hub):
        hub.publish(bundle())
        hub.publish(bundle("1.1.0"))
        shelf = release.show(hub.hub, hub.keys / "root.json")
        assert [(r.target, r.bundle, r.version) for r in shelf.releases] == [
            ("models/traffic-flow-1.0.0.bundle", "traffic-flow", "1.0.0"),
            ("models/traffic-flow-1.1.0.bundle", "traffic-flow", "1.1.0"),
        ]
        assert shelf.roles["models"][0] == 3
        assert release.show(hub.hub) == shelf

    def test_a_version_is_published_once(self, hub):
        hub.publish(bundle())
        with pytest.raises(ReleaseError, match=r"1\.0\.0 is published already"):
            hub.publish(bundle(residual_std=2.0))

    def test_what_nodes_would_refuse_is_not_signed(self, hub):
        broken = bytearray(bundle())
        broken[len(broken) // 2] ^= 1
        for content in (b"not a bundle", bytes(broken)):
            with pytest.raises(BundleError, match="would be refused by every node"):
                hub.publish(content)
        assert hub.repository.metadata["models"].signed.version == 1

    def test_a_repository_that_does_not_verify_is_not_added_to(self, hub, tmp_path):
        with signed_hub(tmp_path / "other") as other, pytest.raises(ReleaseError, match="does not verify"):
            stolen = SignedHub.__new__(SignedHub)
            stolen.keys, stolen.hub = hub.keys, other.hub
            stolen.publish(bundle())

    def test_publishing_can_be_repeated_after_an_interruption(self, hub, monkeypatch):
        real = hub.repository.put
        monkeypatch.setattr(
            hub.repository, "put", lambda path, body: (503, b"") if "metadata" in path else real(path, body)
        )
        with pytest.raises(ReleaseError, match="503"):
            hub.publish(bundle())
        monkeypatch.setattr(hub.repository, "put", real)
        assert hub.publish(bundle()).version == "1.0.0"

    def test_publishing_to_an_uninitialized_hub_says_what_to_type(self, hub, tmp_path):
        with TufRepository() as empty:
            path = tmp_path / "b.bundle"
            path.write_bytes(bundle())
            with pytest.raises(ReleaseError, match="wayside release init"):
                release.publish(path, hub.keys, release.Hub(empty.url, empty.token))

    def test_releases_need_the_models_key_and_the_pinned_root_alone(self, hub):
        for name in NAMES:
            if name != "models":
                (hub.keys / f"{name}.pem").unlink()
        assert hub.publish(bundle()).version == "1.0.0"


@pytest.mark.parametrize("role", ["root", "targets", "models"])
def test_a_role_is_renewed_as_its_next_version_and_everything_still_verifies(hub, role):
    hub.publish(bundle())
    version, expires = release.renew(role, hub.keys, hub.hub)
    shelf = release.show(hub.hub, hub.keys / "root.json")
    assert shelf.roles[role] == (version, expires)
    assert len(shelf.releases) == 1
    assert hub.publish(bundle("1.1.0")).version == "1.1.0"


def test_an_online_role_cannot_be_renewed_here(hub):
    with pytest.raises(ReleaseError, match="no offline role 'timestamp'"):
        release.renew("timestamp", hub.keys, hub.hub)


def test_what_the_models_key_signs_is_the_documents_own_fields(hub):
    hub.publish(bundle())
    raw = json.loads(hub.repository.served["/tuf/metadata/2.models.json"])
    (target,) = raw["signed"]["targets"].values()
    assert target["custom"] == {"bundle": "traffic-flow", "version": "1.0.0"}
    assert target["length"] == len(bundle())
