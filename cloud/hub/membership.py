"""Nodes that are shut out, leave, or are called otherwise; enrolment tokens that are listed and withdrawn.

Jobs of the writer thread. Rows of a node hang on its number: whatever happens to it here, its history stays.
"""

from __future__ import annotations

from typing import Any, Literal

import sqlalchemy as sa

from wayside.cloud.hub import views
from wayside.cloud.hub.errors import ConflictError, NotFoundError
from wayside.cloud.hub.peers import announce
from wayside.cloud.hub.registry import SHOWN, TOPIC, Node, find, node_id
from wayside.cloud.hub.rollout.store import RolloutStore
from wayside.cloud.hub.store import node_keys, nodes, tokens

Leaves = Literal["revoked", "retired"]


def shut_out(
    connection: sa.Connection, rollouts: RolloutStore, name: str, *, how: Leaves, reason: str | None, now_ms: int
) -> tuple[Node, bool]:
    """Refuse the node's key from this commit on; no token of before lets it in again. Repeating changes nothing.

    ``revoked``: it is stolen or lost, its place waits for other hardware. ``retired``: it leaves the fleet for good.
    A revoked one may be retired, and not the other way round.

    Returns:
        The node as it is now, and whether anything changed.

    Raises:
        NotFoundError: there is no such node.
        ConflictError: it is retired, and its key refused already.
    """
    node = find(connection, name)
    if node.out is not None and (node.out.retired or how == "revoked"):
        if node.out.retired and how == "revoked":
            raise ConflictError("node_retired", f"{name} is retired: its key is refused already")
        return node, False
    values = {f"{how}_ms": now_ms, "out_reason": reason, "serial": nodes.c.serial + 1}
    connection.execute(nodes.update().where(nodes.c.id == node.id).values(values))
    announce(connection, TOPIC, name)
    connection.execute(
        node_keys.update()
        .where(node_keys.c.node_id == node.id, node_keys.c.revoked_ms.is_(None))
        .values(revoked_ms=now_ms, reason=reason)
    )
    connection.execute(_open(now_ms).where(tokens.c.node == name).values(withdrawn_ms=now_ms))
    rollouts.leave(connection, name, "its key was revoked" if how == "revoked" else "it was retired", now_ms)
    return find(connection, name), True


def describe(connection: sa.Connection, name: str, changes: dict[str, str | None]) -> dict[str, str | None]:
    """Set ``label`` or ``site``, and return what was changed, as it was before.

    Raises:
        NotFoundError: there is no such node.
    """
    this = node_id(connection, name)
    columns = [nodes.c[field] for field in changes]
    before = dict(connection.execute(sa.select(*columns).where(nodes.c.id == this)).mappings().one()) if columns else {}
    changed = {field: value for field, value in changes.items() if before[field] != value}
    if changed:
        connection.execute(nodes.update().where(nodes.c.id == this).values(changed))
    return {field: before[field] for field in changed}


def list_tokens(connection: sa.Connection, now_ms: int, *, only_open: bool) -> list[views.TokenView]:
    """The newest first. None can be read from it: the hub keeps hashes."""
    query = sa.select(tokens).order_by(tokens.c.created_ms.desc(), tokens.c.hash)
    if only_open:
        query = query.where(*_is_open(now_ms))
    return [_view(dict(row), now_ms) for row in connection.execute(query).mappings()]


def withdraw_token(connection: sa.Connection, begins: str, now_ms: int) -> tuple[views.TokenView, bool]:
    """Nobody enrols with the token whose hash begins so. Repeating changes nothing.

    Returns:
        The token, and whether anything changed.

    Raises:
        NotFoundError: there is none.
        ConflictError: there are several, or it was used already.
    """
    query = sa.select(tokens).where(tokens.c.hash.startswith(begins, autoescape=True)).limit(2)
    found = [dict(row) for row in connection.execute(query).mappings()]
    if not found:
        raise NotFoundError("token", f"no enrolment token is {begins[:64]}: `wayside hub token --list` shows them")
    if len(found) > 1:
        raise ConflictError("token", f"more than one enrolment token begins with {begins}: give more digits")
    row = found[0]
    if row["used_node"] is not None:
        raise ConflictError(
            "token_used",
            f"{row['used_node']} has enrolled with it: `wayside hub node revoke {row['used_node']}` shuts that out",
        )
    if row["withdrawn_ms"] is not None:
        return _view(row, now_ms), False
    connection.execute(tokens.update().where(tokens.c.hash == row["hash"]).values(withdrawn_ms=now_ms))
    return _view(row | {"withdrawn_ms": now_ms}, now_ms), True


def _is_open(now_ms: int) -> tuple[sa.ColumnElement[bool], ...]:
    return tokens.c.used_node.is_(None), tokens.c.withdrawn_ms.is_(None), tokens.c.expires_ms >= now_ms


def _open(now_ms: int) -> sa.Update:
    return tokens.update().where(*_is_open(now_ms))


def _view(row: dict[str, Any], now_ms: int) -> views.TokenView:
    if row["used_node"] is not None:
        state: views.TokenState = "used"
    elif row["withdrawn_ms"] is not None:
        state = "withdrawn"
    else:
        state = "expired" if row["expires_ms"] < now_ms else "open"
    same = "node site created_ms expires_ms replaces reason used_node withdrawn_ms"
    return views.TokenView(id=row["hash"][:SHOWN], state=state, **{name: row[name] for name in same.split()})
