"""Who is in the fleet: enrolment tokens, and the nodes with their keys, the present one and the revoked.

A node is a name: the identity of its site. Hardware comes and goes beneath it; each has a key of its own.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from wayside.cloud.hub.errors import ConflictError, ContractBrokenError, ForbiddenError, NotFoundError
from wayside.cloud.hub.peers import announce
from wayside.cloud.hub.store import boots, node_keys, nodes, tokens
from wayside.contracts.sync import EnrolRequest

SHOWN = 12  # digits of a token's hash
TOPIC = "node"
MAX_PAST_KEYS = 16  # newest revoked keys of a node that are told why they are refused


class PastKey(NamedTuple):
    key: Ed25519PublicKey
    revoked_ms: int
    reason: str | None


class Out(NamedTuple):
    """A node that is shut out: its key was revoked, or it was retired."""

    retired: bool
    at_ms: int
    reason: str | None


class Node(NamedTuple):
    id: int
    name: str
    key: Ed25519PublicKey
    public_key: str  # the same, hexadecimal
    past: tuple[PastKey, ...] = ()  # newest first
    out: Out | None = None  # its key is refused, too


class Registry:
    """The nodes by name, in memory: each sync needs the key."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}

    def load(self, connection: sa.Connection) -> None:
        self._nodes = {node.name: node for node in _load(connection)}

    def get(self, name: str) -> Node | None:
        return self._nodes.get(name)

    def add(self, node: Node) -> None:
        self._nodes[node.name] = node

    def hear(self, connection: sa.Connection, topic: str, about: str) -> None:
        """Another process enrolled the node ``about``, gave it another key, or shut it out."""
        if topic == TOPIC:
            self.add(find(connection, about))

    def __len__(self) -> int:
        return len(self._nodes)


def make_token(
    connection: sa.Connection,
    *,
    node: str | None,
    site: str | None,
    ttl_s: float,
    now_ms: int,
    replaces: bool = False,
    reason: str | None = None,
) -> str:
    """Make a one-time enrolment token; the hub keeps only its hash.

    Args:
        node: who may use it; None: any node that is not enrolled yet.
        replaces: whether another key may take the node's name over with it.
    """
    token = secrets.token_urlsafe(32)
    expires_ms = now_ms + int(ttl_s * 1000)
    values = {"node": node, "site": site, "created_ms": now_ms, "expires_ms": expires_ms}
    connection.execute(tokens.insert().values(hash=_hash(token), replaces=replaces, reason=reason, **values))
    return token


def make_replacement_token(
    connection: sa.Connection, node: str, *, reason: str | None, ttl_s: float, now_ms: int
) -> str:
    """A token with which other hardware takes over ``node``'s name; until then nothing changes.

    Raises:
        NotFoundError: there is no such node.
    """
    node_id(connection, node)
    return make_token(connection, node=node, site=None, ttl_s=ttl_s, now_ms=now_ms, replaces=True, reason=reason)


def node_id(connection: sa.Connection, name: str, seen: sa.ColumnElement[bool] | None = None) -> int:
    """Raises NotFoundError, also where ``seen`` does not hold for the node."""
    query = sa.select(nodes.c.id).where(nodes.c.name == name, sa.true() if seen is None else seen)
    row_id = connection.execute(query).scalar_one_or_none()
    if row_id is None:
        raise NotFoundError("node", f"no node {name[:64]!r} is enrolled")
    return int(row_id)


Enrolled = Literal["new", "same", "replaced"]


def check(connection: sa.Connection, request: EnrolRequest, now_ms: int) -> None:
    """Refuse what :func:`enrol` would refuse. On a reading connection, so that junk never enters the writer.

    Raises: as :func:`enrol`.
    """
    _key(request.public_key)
    row, known = _token_and_node(connection, request)
    out = None if known is None else out_of(known)
    if out is not None and not (row["replaces"] and row["used_node"] is None and row["withdrawn_ms"] is None):
        raise shut_out(request.node, out)
    if row["withdrawn_ms"] is not None:
        raise ForbiddenError("token_withdrawn", f"the enrolment token was withdrawn on {_day(row['withdrawn_ms'])}")
    if row["used_node"] is None:
        _check_token(row, request, now_ms)
        if known is not None and known["public_key"] != request.public_key and not row["replaces"]:
            raise _other_key(request.node)
    elif (row["used_node"], row["used_key"]) != (request.node, request.public_key) or known is None:
        raise ForbiddenError("token_used", "the enrolment token was used already; make a new one")


def enrol(connection: sa.Connection, request: EnrolRequest, now_ms: int) -> tuple[Node, Enrolled]:
    """Bind ``request.node`` to its key with a one-time token. Repeating the same request answers the same.

    With a replacement token the name passes to the new key, and the old one is revoked, in the caller's transaction.

    Raises:
        ForbiddenError: the token is unknown, expired, used, for another node or site; or the key is revoked.
        ConflictError: the node has another key, and the token does not replace it.
        ContractBrokenError: the key is not a point of the curve.
    """
    check(connection, request, now_ms)
    row, known = _token_and_node(connection, request)
    if row["used_node"] is not None:
        node = find(connection, request.node)
        if node.public_key != request.public_key:
            raise revoked(node, request.public_key)
        return node, "same"
    if known is None:
        outcome: Enrolled = "new"
        site = request.site or row["site"]
        values = {"name": request.node, "site": site, "enrolled_ms": now_ms, **_of_hardware(request)}
        connection.execute(nodes.insert().values(values))
        _bind_key(connection, request, now_ms)
    elif known["public_key"] == request.public_key and out_of(known) is None:
        outcome = "same"
    else:
        outcome = "replaced"
        _replace(connection, known, request, row["reason"], now_ms)
    if outcome != "same" or not row["replaces"]:  # else it is still to replace something
        used = {"used_node": request.node, "used_key": request.public_key}
        connection.execute(tokens.update().where(tokens.c.hash == row["hash"]).values(used))
    announce(connection, TOPIC, request.node)
    return find(connection, request.node), outcome


def _token_and_node(connection: sa.Connection, request: EnrolRequest) -> tuple[dict[str, Any], dict[str, Any] | None]:
    row = connection.execute(sa.select(tokens).where(tokens.c.hash == _hash(request.token))).mappings().first()
    if row is None:
        raise ForbiddenError("token", "the enrolment token is not one of this hub's; make one with `wayside hub token`")
    known = connection.execute(sa.select(nodes).where(nodes.c.name == request.node)).mappings().first()
    return dict(row), None if known is None else dict(known)


def _other_key(node: str) -> ConflictError:
    return ConflictError(
        "node_exists",
        f"{node} is enrolled with another key. Is this new hardware for it? `wayside replace {node}` makes a token "
        "for that; a second node needs a name of its own",
    )


def _check_token(row: dict[str, Any], request: EnrolRequest, now_ms: int) -> None:
    if row["node"] is not None and row["node"] != request.node:
        raise ForbiddenError("token", "the enrolment token is for another node")
    if row["site"] is not None and request.site is not None and row["site"] != request.site:
        raise ForbiddenError("token_site", f"the enrolment token is for the site {row['site']}, not {request.site}")
    if row["expires_ms"] < now_ms:
        raise ForbiddenError("token_expired", "the enrolment token has expired; make a new one")


def _replace(
    connection: sa.Connection, known: dict[str, Any], request: EnrolRequest, reason: str | None, now_ms: int
) -> None:
    node = known["id"]
    connection.execute(
        node_keys.update()
        .where(node_keys.c.node_id == node, node_keys.c.revoked_ms.is_(None))
        .values(revoked_ms=now_ms, reason=reason)
    )
    back = {"revoked_ms": None, "retired_ms": None, "out_reason": None}
    if out_of(known) is not None:
        back |= {"offer": None, "offer_boot": None}  # rollouts that it left take it in when it says what it offers
    connection.execute(nodes.update().where(nodes.c.id == node).values(_of_hardware(request) | back))
    _bind_key(connection, request, now_ms)
    forget_instances(connection, node)
    # Whoever still holds another token for the same purpose comes too late.
    connection.execute(
        tokens.update()
        .where(tokens.c.node == request.node, tokens.c.replaces, tokens.c.used_node.is_(None))
        .values(expires_ms=0)
    )


def forget_instances(connection: sa.Connection, node: int) -> None:
    """From here on the node's boots count anew: what ran before is no evidence of two that run now."""
    connection.execute(boots.update().where(boots.c.node_id == node).values(synced_ms=None))
    forgotten = {"boot": None, "machine_seen": None, "clone": None, "serial": nodes.c.serial + 1}
    connection.execute(nodes.update().where(nodes.c.id == node).values(forgotten))


def _of_hardware(request: EnrolRequest) -> dict[str, Any]:
    return {"public_key": request.public_key, "hardware": request.hardware, "machine": request.machine}


def _bind_key(connection: sa.Connection, request: EnrolRequest, now_ms: int) -> None:
    this = node_id(connection, request.node)
    connection.execute(node_keys.insert().values(node_id=this, since_ms=now_ms, **_of_hardware(request)))


def find(connection: sa.Connection, name: str) -> Node:
    """``name`` as the store has it now. Raises NotFoundError."""
    loaded = _load(connection, name)
    if not loaded:
        raise NotFoundError("node", f"no node {name[:64]!r} is enrolled")
    return loaded[0]


def revoked(node: Node, public_key: str) -> ForbiddenError:
    """The refusal of a key that ``node`` no longer has."""
    if node.out is not None:
        return shut_out(node.name, node.out)
    past = next((p for p in node.past if p.key.public_bytes_raw().hex() == public_key), None)
    if past is None:
        return ForbiddenError("key_revoked", f"this key of {node.name} was revoked")
    why = f" ({past.reason})" if past.reason else ""
    return ForbiddenError(
        "key_revoked",
        f"this hardware was replaced on {_day(past.revoked_ms)}{why}: other hardware is {node.name} now. To put this "
        f"one back, run `wayside replace {node.name}` and give it the new token",
    )


def shut_out(name: str, out: Out) -> ForbiddenError:
    """The refusal of a node whose key was revoked, or that was retired, and of whoever would enrol by its name."""
    why = f" ({out.reason})" if out.reason else ""
    back = f"to bring it back, run `wayside replace {name}` and give it the new token"
    if out.retired:
        return ForbiddenError(
            "node_retired", f"{name} was retired on {_day(out.at_ms)}{why}: its name stays with its history; {back}"
        )
    return ForbiddenError("key_revoked", f"the key of {name} was revoked on {_day(out.at_ms)}{why}; {back}")


def out_of(row: Mapping[str, Any]) -> Out | None:
    """Of a row of ``nodes``."""
    at_ms = row["retired_ms"] or row["revoked_ms"]
    return Out(row["retired_ms"] is not None, at_ms, row["out_reason"]) if at_ms else None


def _day(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"


def _load(connection: sa.Connection, only: str | None = None) -> list[Node]:
    columns = ("id", "name", "public_key", "revoked_ms", "retired_ms", "out_reason")
    query = sa.select(*(nodes.c[column] for column in columns))
    keys = sa.select(node_keys).where(node_keys.c.revoked_ms.is_not(None)).order_by(node_keys.c.id.desc())
    if only is not None:
        query = query.where(nodes.c.name == only)
        keys = keys.where(node_keys.c.node_id.in_(sa.select(nodes.c.id).where(nodes.c.name == only)))
    past: dict[int, list[PastKey]] = {}
    for row in connection.execute(keys):
        one = past.setdefault(row.node_id, [])
        if len(one) < MAX_PAST_KEYS:
            one.append(PastKey(_key(row.public_key), row.revoked_ms, row.reason))
    return [
        Node(row.id, row.name, _key(row.public_key), row.public_key, tuple(past.get(row.id, ())), out_of(row._asdict()))
        for row in connection.execute(query)
    ]


def shown(token: str) -> str:
    """What lists and the audit log call a token by: the beginning of its hash."""
    return _hash(token)[:SHOWN]


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _key(public: str) -> Ed25519PublicKey:
    try:
        return Ed25519PublicKey.from_public_bytes(bytes.fromhex(public))
    except ValueError as exc:
        raise ContractBrokenError("public_key", f"is not an Ed25519 public key: {exc}", "public_key") from exc
