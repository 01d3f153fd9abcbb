"""The offline side of TUF as a test sees it: a root of three keys with threshold two, targets, and ``models``."""

from __future__ import annotations

import datetime as dt
import hashlib
from typing import Any

import httpx
from securesystemslib.signer import CryptoSigner, SSlibKey
from tuf.api.metadata import DelegatedRole, Delegations, Metadata, Root, TargetFile, Targets

from tests.hub.conftest import AUTH

YEAR = dt.timedelta(days=365)


class OfflineKeys:
    def __init__(self, client: Any) -> None:
        self.client = client
        self.root_keys = [CryptoSigner.generate_ed25519() for _ in range(3)]
        self.targets_key = CryptoSigner.generate_ed25519()
        self.models_key = CryptoSigner.generate_ed25519()
        self.expires = dt.datetime.now(dt.UTC).replace(microsecond=0) + YEAR
        online = client.get("/api/v1/tuf/online-key").json()
        self.online = SSlibKey(online["keyid"], online["keytype"], online["scheme"], {"public": online["public"]})
        self.root = Root(version=1, expires=self.expires, consistent_snapshot=True)
        for key in self.root_keys:
            self.root.add_key(key.public_key, "root")
        self.root.roles["root"].threshold = 2
        self.root.add_key(self.targets_key.public_key, "targets")
        for role in ("snapshot", "timestamp"):
            self.root.add_key(self.online, role)
        self.targets = Targets(version=1, expires=self.expires)
        key = self.models_key.public_key
        models = DelegatedRole("models", [key.keyid], 1, terminating=True, paths=["models/*"])
        self.targets.delegations = Delegations({key.keyid: key}, {"models": models})
        self.models = Targets(version=1, expires=self.expires)

    def signed(self, role: Any, *keys: CryptoSigner) -> bytes:
        metadata = Metadata(role)
        for key in keys:
            metadata.sign(key, append=True)
        return metadata.to_bytes()

    def put(self, role: str, data: bytes) -> httpx.Response:
        answer: httpx.Response = self.client.put(f"/api/v1/tuf/metadata/{role}", content=data, headers=AUTH)
        return answer

    def put_root(self, *keys: CryptoSigner) -> httpx.Response:
        return self.put("root", self.signed(self.root, *(keys or self.root_keys[:2])))

    def put_targets(self) -> httpx.Response:
        return self.put("targets", self.signed(self.targets, self.targets_key))

    def put_models(self, key: CryptoSigner | None = None) -> httpx.Response:
        return self.put("models", self.signed(self.models, key or self.models_key))

    def initialise(self) -> bytes:
        """Root, targets, models; returns the root's bytes for pinning."""
        root = self.signed(self.root, *self.root_keys[:2])
        for answer in (self.put("root", root), self.put_targets(), self.put_models()):
            assert answer.status_code == 204, answer.text
        return root

    def stage(self, name: str, content: bytes) -> httpx.Response:
        answer: httpx.Response = self.client.put(f"/api/v1/tuf/files/models/{name}", content=content, headers=AUTH)
        return answer

    def publish(self, version: str, content: bytes, bundle: str = "traffic-flow") -> httpx.Response:
        """Stage a bundle and sign it into the next version of ``models``."""
        name = f"{bundle}-{version}.bundle"
        assert self.stage(name, content).status_code == 201
        self.name(name, content, version, bundle)
        return self.put_models()

    def name(self, name: str, content: bytes, version: str, bundle: str = "traffic-flow") -> None:
        """Put a target into the next version of ``models``, unsigned."""
        target = TargetFile(len(content), {"sha256": hashlib.sha256(content).hexdigest()}, f"models/{name}")
        target.unrecognized_fields["custom"] = {"bundle": bundle, "version": version}
        self.models.targets[f"models/{name}"] = target
        self.models.version += 1
