"""A hub's TUF half on a loopback port: the operator's PUTs, the online key, static metadata and targets.

It is honest unless told otherwise: ``tampered`` replaces what a path serves, ``down`` refuses everything, ``manners``
answer in another way (:mod:`tests.simulators.manners`).
Its snapshot and timestamp are signed as a hub signs them.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import http.server
import json
import threading
from collections.abc import Callable
from typing import Any

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, MetaFile, Snapshot, Timestamp

Manner = Callable[[http.server.BaseHTTPRequestHandler, bytes], None]
ORDER = ("root", "targets", "models")


class TufRepository:
    """``with TufRepository() as repository: repository.url``."""

    def __init__(self, token: str = "operator-token-of-the-tests") -> None:
        self.token = token
        self.online = CryptoSigner.generate_ed25519()
        self.metadata: dict[str, Metadata[Any]] = {}
        self.staged: dict[str, bytes] = {}
        self.served: dict[str, bytes] = {}  # path → content
        self.tampered: dict[str, bytes] = {}
        self.down = False
        self.manners: dict[str, Manner] = {}  # part of a path → how it is answered instead
        self.preview: tuple[int, bytes] = (404, error("not_found", "an older hub"))  # of every target
        self.requests: list[str] = []
        self.snapshot = self.timestamp = 0
        repository = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(*repository.get(self.path))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self._answer(*repository.post(self.path, body))

            def _answer(self, status: int, body: bytes) -> None:
                manner = next((m for part, m in repository.manners.items() if part in self.path), None)
                if manner is None:
                    return self._reply(status, body)
                with contextlib.suppress(OSError):  # the client has had enough
                    manner(self, body)
                self.close_connection = True
                return None

            def do_PUT(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Authorization") != f"Bearer {repository.token}":
                    return self._reply(401, error("unauthorized", "the operator's token is wrong"))
                return self._reply(*repository.put(self.path, body))

            def _reply(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> TufRepository:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def get(self, path: str) -> tuple[int, bytes]:
        self.requests.append(path)
        if self.down:
            return 503, error("unavailable", "the hub is down")
        if path == "/api/v1/tuf/online-key":
            key = self.online.public_key
            fields = {"wire": 1, "keyid": key.keyid, "keytype": key.keytype, "scheme": key.scheme}
            return 200, json.dumps(fields | {"public": key.keyval["public"]}).encode()
        if path.startswith("/api/v1/rollouts/preview?"):
            return self.preview
        content = self.tampered.get(path, self.served.get(path))
        return (404, error("not_found", "there is no such file")) if content is None else (200, content)

    def post(self, path: str, body: bytes) -> tuple[int, bytes]:
        self.requests.append(path)
        return 404, error("not_found", "this repository has no hub around it")

    def put(self, path: str, body: bytes) -> tuple[int, bytes]:
        if path.startswith("/api/v1/tuf/files/"):
            self.staged[path.removeprefix("/api/v1/tuf/files/")] = body
            return 201, json.dumps({"wire": 1, "sha256": hashlib.sha256(body).hexdigest(), "bytes": len(body)}).encode()
        role = path.removeprefix("/api/v1/tuf/metadata/")
        new = Metadata.from_bytes(body)
        old = self.metadata.get(role)
        if new.signed.version != (old.signed.version if old else 0) + 1:
            return 409, error("version", f"{role} must have the next version")
        if role == "root":
            new.verify_delegate("root", new)
        else:
            self.metadata["root" if role == "targets" else "targets"].verify_delegate(role, new)
        self.metadata[role] = new
        self.served[f"/tuf/metadata/{new.signed.version}.{role}.json"] = body
        if role == "models":
            for target, entry in new.signed.targets.items():
                self.publish_file(target, self.staged[target], next(iter(entry.hashes.values())))
        if self.metadata.keys() >= set(ORDER):
            self.sign()
        return 204, b""

    def publish_file(self, target: str, content: bytes, sha256: str) -> None:
        folder, _, name = target.rpartition("/")
        self.served[f"/tuf/targets/{folder}/{sha256}.{name}"] = content

    def sign(self, *, expires_in_days: float = 1.0) -> None:
        """Publish a new snapshot and timestamp."""
        self.snapshot, self.timestamp = self.snapshot + 1, self.timestamp + 1
        now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
        meta = {f"{role}.json": MetaFile(self.metadata[role].signed.version) for role in ("targets", "models")}
        snapshot = Metadata(Snapshot(version=self.snapshot, expires=now + datetime.timedelta(days=7), meta=meta))
        snapshot.sign(self.online)
        expires = now + datetime.timedelta(days=expires_in_days)
        timestamp = Metadata(Timestamp(version=self.timestamp, expires=expires, snapshot_meta=MetaFile(self.snapshot)))
        timestamp.sign(self.online)
        self.served[f"/tuf/metadata/{self.snapshot}.snapshot.json"] = snapshot.to_bytes()
        self.served["/tuf/metadata/timestamp.json"] = timestamp.to_bytes()


def error(code: str, message: str) -> bytes:
    return json.dumps({"wire": 1, "error": code, "message": message}).encode()
