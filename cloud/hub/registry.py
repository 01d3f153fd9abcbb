"""Who is in the fleet: enrolment tokens, and the nodes with their public keys."""

from __future__ import annotations

import hashlib
import secrets
from typing import NamedTuple

import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from cloud.hub.errors import ConflictError, ContractBrokenError, ForbiddenError
from cloud.hub.store import nodes, tokens
from contracts.sync import EnrolRequest


class Node(NamedTuple):
    id: int
    name: str
    key: Ed25519PublicKey


class Registry:
    """The nodes by name, in memory: each sync needs the key."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}

    def load(self, connection: sa.Connection) -> None:
        rows = connection.execute(sa.select(nodes.c.id, nodes.c.name, nodes.c.public_key))
        self._nodes = {name: Node(id_, name, _key(public)) for id_, name, public in rows}

    def get(self, name: str) -> Node | None:
        return self._nodes.get(name)

    def add(self, node: Node) -> None:
        self._nodes[node.name] = node

    def __len__(self) -> int:
        return len(self._nodes)


def make_token(connection: sa.Connection, *, node: str | None, site: str | None, ttl_s: float, now_ms: int) -> str:
    """Make a one-time enrolment token; the hub keeps only its hash. ``node`` None: for any node."""
    token = secrets.token_urlsafe(32)
    connection.execute(
        tokens.insert().values(
            hash=_hash(token), node=node, site=site, created_ms=now_ms, expires_ms=now_ms + int(ttl_s * 1000)
        )
    )
    return token


def enrol(connection: sa.Connection, request: EnrolRequest, now_ms: int) -> tuple[Node, bool]:
    """Bind ``request.node`` to its key, once. Repeating the same request answers the same.

    Returns:
        The node, and whether it is new.

    Raises:
        ForbiddenError: the token is unknown, expired, used, or for another node.
        ConflictError: the node has another key already.
        ContractBrokenError: the key is not a point of the curve.
    """
    key = _key(request.public_key)
    row = connection.execute(sa.select(tokens).where(tokens.c.hash == _hash(request.token))).mappings().first()
    known = connection.execute(sa.select(nodes).where(nodes.c.name == request.node)).mappings().first()
    if row is None:
        raise ForbiddenError("token", "the enrolment token is not one of this hub's; make one with `wayside hub token`")
    if row["used_node"] is not None:
        if (row["used_node"], row["used_key"]) == (request.node, request.public_key) and known is not None:
            return Node(known["id"], request.node, key), False
        raise ForbiddenError("token_used", "the enrolment token was used already; make a new one")
    if row["node"] is not None and row["node"] != request.node:
        raise ForbiddenError("token", "the enrolment token is for another node")
    if row["expires_ms"] < now_ms:
        raise ForbiddenError("token_expired", "the enrolment token has expired; make a new one")
    if known is not None and known["public_key"] != request.public_key:
        raise ConflictError(
            "node_exists", f"{request.node} is enrolled with another key; a second node needs a name of its own"
        )
    if known is None:
        done = connection.execute(
            nodes.insert().values(
                name=request.node,
                public_key=request.public_key,
                site=request.site or row["site"],
                hardware=request.hardware,
                enrolled_ms=now_ms,
            )
        )
        node_id = int(done.inserted_primary_key[0]) if done.inserted_primary_key else 0
    else:
        node_id = known["id"]
    connection.execute(
        tokens.update().where(tokens.c.hash == row["hash"]).values(used_node=request.node, used_key=request.public_key)
    )
    return Node(node_id, request.node, key), known is None


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _key(public: str) -> Ed25519PublicKey:
    try:
        return Ed25519PublicKey.from_public_bytes(bytes.fromhex(public))
    except ValueError as exc:
        raise ContractBrokenError("public_key", f"is not an Ed25519 public key: {exc}", "public_key") from exc
