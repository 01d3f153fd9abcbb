"""Users, API tokens, what a department sees, what is open data: each change with its entry in the audit log.

Functions take the writing connection and who acts, and return a view. Secrets are kept as hashes.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Any, NamedTuple

import sqlalchemy as sa

from wayside.cloud.hub import audit
from wayside.cloud.hub.errors import ConflictError, ContractBrokenError, ForbiddenError, NotFoundError
from wayside.cloud.hub.people import account_views as views
from wayside.cloud.hub.people.actor import Actor, Role
from wayside.cloud.hub.people.passwords import check_new, hashed
from wayside.cloud.hub.registry import node_id
from wayside.cloud.hub.store import api_tokens, department_scopes, nodes, open_datastreams, sessions, users

API_TOKEN_PREFIX = "wayside_"  # noqa: S105 by it scanners for lost secrets know one
LINK_LIFE_S = 3600.0


class Known(NamedTuple):
    issuer: str
    subject: str
    name: str
    role: Role
    department: str | None


def secret_hash(secret: str) -> str:
    """256 random bits need no salt, and no slow hash."""
    return hashlib.sha256(secret.encode()).hexdigest()


# --- users ---------------------------------------------------------------------------------------------


def list_users(connection: sa.Connection) -> views.UserList:
    rows = connection.execute(sa.select(users).order_by(users.c.name)).mappings()
    return views.UserList(users=[_user(dict(row)) for row in rows])


def get_user(connection: sa.Connection, name: str) -> views.UserView:
    """Raises NotFoundError."""
    row = connection.execute(sa.select(users).where(users.c.name == name)).mappings().first()
    if row is None:
        raise NotFoundError("user", f"there is no user {name[:64]!r}: `wayside hub user list` shows who there is")
    return _user(dict(row))


def add_user(connection: sa.Connection, by: Actor, asked: views.UserRequest, now_ms: int) -> views.UserView:
    """Raises: ConflictError: there is one. ContractBrokenError: the password, or role and department."""
    check_role(asked)
    if asked.password is not None:
        check_new(asked.password, asked.name)
    if connection.execute(sa.select(users.c.name).where(users.c.name == asked.name)).first():
        raise ConflictError("user_exists", f"there is a user {asked.name} already")
    row = {"name": asked.name, "role": str(asked.role), "department": asked.department, "created_ms": now_ms}
    password = None if asked.password is None else hashed(asked.password)
    connection.execute(users.insert().values(**row, password=password, disabled=False))
    audit.record(connection, by, "user.added", asked.name, now_ms, role=str(asked.role), department=asked.department)
    return get_user(connection, asked.name)


def known_elsewhere(connection: sa.Connection, known: Known, now_ms: int) -> str:
    """The name of a user whom a provider vouches for, with the role that their groups give them now.

    Raises:
        ForbiddenError: disabled here.
        ConflictError: a user of this hub, or of the provider, has the name.
    """
    this = sa.and_(users.c.issuer == known.issuer, users.c.subject == known.subject)
    row = connection.execute(sa.select(users).where(this)).first()
    now = {"role": str(known.role), "department": known.department}
    if row is None:
        if connection.execute(sa.select(users.c.name).where(users.c.name == known.name)).first():
            raise ConflictError("user_exists", f"Another user is called {known.name} here: ask an admin of this hub.")
        who = {"name": known.name, "issuer": known.issuer, "subject": known.subject}
        connection.execute(users.insert().values(**who, **now, disabled=False, created_ms=now_ms))
        audit.record(connection, audit.hub(), "user.added", known.name, now_ms, issuer=known.issuer, **now)
        return known.name
    if row.disabled:
        raise ForbiddenError("disabled", f"{row.name} is disabled at this hub: ask an admin of it.")
    if (row.role, row.department) != (now["role"], now["department"]):
        connection.execute(users.update().where(this).values(**now))
        audit.record(connection, audit.hub(), "user.role", row.name, now_ms, before=row.role, **now)
    return str(row.name)


def change_role(
    connection: sa.Connection, by: Actor, name: str, asked: views.RoleRequest, now_ms: int
) -> views.UserView:
    """Raises: NotFoundError, ContractBrokenError, ConflictError: the last admin stays one."""
    check_role(asked)
    before = get_user(connection, name)
    if before.role == Role.ADMIN and asked.role is not Role.ADMIN:
        _refuse_last_admin(connection, name)
    _update(connection, name, role=str(asked.role), department=asked.department)
    audit.record(
        connection, by, "user.role", name, now_ms, role=str(asked.role), department=asked.department, before=before.role
    )
    return get_user(connection, name)


def change_password(connection: sa.Connection, by: Actor, name: str, password: str, now_ms: int) -> views.UserView:
    """Whoever is logged in as this user is so no more. Raises: NotFoundError, ContractBrokenError, ConflictError."""
    if get_user(connection, name).issuer is not None:
        raise ConflictError("elsewhere", f"{name} is known by OpenID Connect and has no password here")
    check_new(password, name)
    _update(connection, name, password=hashed(password))
    end_sessions(connection, name)
    audit.record(connection, by, "user.password", name, now_ms)
    return get_user(connection, name)


def disable_user(connection: sa.Connection, by: Actor, name: str, disabled: bool, now_ms: int) -> views.UserView:
    """Shut out at once, or let in again. Raises: NotFoundError, ConflictError: the last admin."""
    if disabled and get_user(connection, name).role == Role.ADMIN:
        _refuse_last_admin(connection, name)
    get_user(connection, name)
    _update(connection, name, disabled=disabled)
    end_sessions(connection, name)
    audit.record(connection, by, "user.disabled" if disabled else "user.enabled", name, now_ms)
    return get_user(connection, name)


def make_link(
    connection: sa.Connection, by: Actor, name: str, now_ms: int, ttl_s: float = LINK_LIFE_S
) -> views.LinkReply:
    """A login without a password, once. Raises: NotFoundError, ConflictError: disabled."""
    if get_user(connection, name).disabled:
        raise ConflictError("disabled", f"{name} is disabled: `wayside hub user enable {name}` lets them in again")
    code, expires_ms = secrets.token_urlsafe(32), now_ms + int(ttl_s * 1000)
    add_session(connection, name, code, now_ms, expires_ms, link=True)
    audit.record(connection, by, "user.link", name, now_ms)
    return views.LinkReply(name=name, path=f"/login/link/{code}", expires_ms=expires_ms)


def check_role(asked: views.RoleRequest) -> None:
    """Raises: ContractBrokenError."""
    if (asked.role is Role.DEPARTMENT) != (asked.department is not None):
        what = "needs a department" if asked.department is None else "has no department: only the role department has"
        raise ContractBrokenError("department", f"the role {asked.role} {what}", "department")


def _refuse_last_admin(connection: sa.Connection, name: str) -> None:
    others = sa.select(users.c.name).where(
        users.c.role == str(Role.ADMIN), sa.not_(users.c.disabled), users.c.name != name
    )
    if connection.execute(others.limit(1)).first() is None:
        raise ConflictError("last_admin", f"{name} is the last admin: make another one first")


def _update(connection: sa.Connection, name: str, **values: Any) -> None:
    connection.execute(users.update().where(users.c.name == name).values(**values))


def _user(row: dict[str, Any]) -> views.UserView:
    same = {key: row[key] for key in ("name", "role", "department", "issuer", "disabled", "created_ms")}
    return views.UserView(**same, password=row["password"] is not None)


# --- sessions -------------------------------------------------------------------------------------------


def add_session(
    connection: sa.Connection, user: str, secret: str, now_ms: int, expires_ms: int, *, link: bool = False
) -> None:
    connection.execute(sessions.delete().where(sessions.c.expires_ms < now_ms))
    row = {"created_ms": now_ms, "seen_ms": now_ms, "expires_ms": expires_ms, "link": link}
    connection.execute(sessions.insert().values(hash=secret_hash(secret), user_name=user, **row))


def end_sessions(connection: sa.Connection, user: str) -> None:
    connection.execute(sessions.delete().where(sessions.c.user_name == user))


# --- API tokens -----------------------------------------------------------------------------------------


def list_api_tokens(connection: sa.Connection) -> views.ApiTokenList:
    rows = connection.execute(sa.select(api_tokens).order_by(api_tokens.c.name)).mappings()
    fields = [f for f in views.ApiTokenView.__struct_fields__ if f != "wire"]
    return views.ApiTokenList(api_tokens=[views.ApiTokenView(**{f: row[f] for f in fields}) for row in rows])


def make_api_token(
    connection: sa.Connection, by: Actor, asked: views.ApiTokenRequest, now_ms: int
) -> views.ApiTokenReply:
    """A new token; the name of one that is withdrawn or has expired may come again.

    Raises: ConflictError: there is one of this name. ContractBrokenError: role and department.
    """
    check_role(asked)
    this = api_tokens.c.name == asked.name
    old = connection.execute(sa.select(api_tokens).where(this)).mappings().first()
    if old is not None and old["withdrawn_ms"] is None and old["expires_ms"] > now_ms:
        raise ConflictError("token_exists", f"there is an API token {asked.name}: withdraw it, or take another name")
    connection.execute(api_tokens.delete().where(this))
    token, expires_ms = API_TOKEN_PREFIX + secrets.token_urlsafe(32), now_ms + int(asked.ttl_s * 1000)
    row = {"name": asked.name, "role": str(asked.role), "department": asked.department, "created_ms": now_ms}
    connection.execute(api_tokens.insert().values(**row, hash=secret_hash(token), expires_ms=expires_ms))
    audit.record(connection, by, "api_token.made", asked.name, now_ms, role=row["role"], expires_ms=expires_ms)
    return views.ApiTokenReply(name=asked.name, token=token, expires_ms=expires_ms)


def withdraw_api_token(connection: sa.Connection, by: Actor, name: str, now_ms: int) -> views.ApiTokenView:
    """Raises NotFoundError. Again is harmless."""
    this = api_tokens.c.name == name
    done = connection.execute(
        api_tokens.update().where(this, api_tokens.c.withdrawn_ms.is_(None)).values(withdrawn_ms=now_ms)
    )
    found = [t for t in list_api_tokens(connection).api_tokens if t.name == name]
    if not found:
        raise NotFoundError("api_token", f"there is no API token {name[:64]!r}: `wayside hub api-token list` shows all")
    if done.rowcount:
        audit.record(connection, by, "api_token.withdrawn", name, now_ms)
    return found[0]


# --- departments, open data -------------------------------------------------------------------------------


def list_departments(connection: sa.Connection) -> views.DepartmentList:
    query = (
        sa.select(department_scopes, nodes.c.name.label("node"))
        .outerjoin_from(department_scopes, nodes)
        .order_by(department_scopes.c.department, department_scopes.c.id)
    )
    each: dict[str, list[views.ScopeEntry]] = {}
    for row in connection.execute(query):
        entry = views.ScopeEntry(site=row.site, node=row.node, datastream=row.datastream)
        each.setdefault(row.department, []).append(entry)
    return views.DepartmentList(departments=[views.DepartmentView(department=d, sees=s) for d, s in each.items()])


def set_department(
    connection: sa.Connection, by: Actor, department: str, asked: views.ScopeRequest, now_ms: int
) -> views.DepartmentView:
    """Raises: NotFoundError: a node. ContractBrokenError: an entry that is neither a site nor a node."""
    connection.execute(department_scopes.delete().where(department_scopes.c.department == department))
    for entry in asked.sees:
        if (entry.site is None) == (entry.node is None) or (entry.site is not None and entry.datastream is not None):
            why = "each entry is a site, or a node, or a datastream of a node"
            raise ContractBrokenError("scope", why, "sees")
        node = None if entry.node is None else node_id(connection, entry.node)
        values = {"department": department, "site": entry.site, "node_id": node, "datastream": entry.datastream}
        connection.execute(department_scopes.insert().values(**values))
    audit.record(connection, by, "department.set", department, now_ms, entries=len(asked.sees))
    return views.DepartmentView(department=department, sees=list(asked.sees))


def list_open(connection: sa.Connection) -> views.OpenList:
    query = (
        sa.select(nodes.c.name.label("node"), open_datastreams.c.name, open_datastreams.c.released_ms)
        .join_from(open_datastreams, nodes)
        .order_by(nodes.c.name, open_datastreams.c.name)
    )
    return views.OpenList(
        datastreams=[
            views.OpenView(node=row.node, datastream=row.name, released_ms=row.released_ms)
            for row in connection.execute(query)
        ]
    )


def release(connection: sa.Connection, by: Actor, asked: views.OpenDatastream, now_ms: int) -> views.OpenList:
    """Anybody may read it, where the hub runs with ``--public-read``. Again is harmless. Raises NotFoundError."""
    this = {"node_id": node_id(connection, asked.node), "name": asked.datastream}
    if connection.execute(sa.select(open_datastreams.c.name).filter_by(**this)).first() is None:
        connection.execute(open_datastreams.insert().values(**this, released_ms=now_ms))
        audit.record(connection, by, "open.released", f"{asked.node} {asked.datastream}", now_ms)
    return list_open(connection)


def close(connection: sa.Connection, by: Actor, asked: views.OpenDatastream, now_ms: int) -> views.OpenList:
    """Raises NotFoundError: it was not released."""
    of_node = open_datastreams.c.node_id == node_id(connection, asked.node)
    done = connection.execute(open_datastreams.delete().where(of_node, open_datastreams.c.name == asked.datastream))
    if not done.rowcount:
        raise NotFoundError("open", f"{asked.datastream} of {asked.node} is not released as open data")
    audit.record(connection, by, "open.closed", f"{asked.node} {asked.datastream}", now_ms)
    return list_open(connection)
