"""What the hub takes and answers about users, tokens, departments and open data. ``*_ms`` are Unix milliseconds."""

from __future__ import annotations

from typing import Annotated

import msgspec

from wayside.cloud.hub.people.actor import Role
from wayside.cloud.hub.views import View
from wayside.contracts.hub_api import Seconds
from wayside.contracts.reading import Name
from wayside.contracts.sync import Label
from wayside.contracts.wire import Document, wire_field

UserName = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9._@+-]{0,63}$")]
Department = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
Password = Annotated[str, msgspec.Meta(max_length=256)]
DatastreamName = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


class Me(View, frozen=True, kw_only=True):
    """Who asks; ``csrf`` goes into the header X-CSRF-Token of every change that a session makes."""

    name: str
    role: Role | None
    department: str | None = None
    csrf: str | None = None


class RoleRequest(Document, frozen=True, kw_only=True):
    """``department``: of the role department, and only of it."""

    wire: int = wire_field()
    role: Role
    department: Department | None = None


class UserRequest(RoleRequest, frozen=True, kw_only=True):
    """``password`` null: none, the user logs in by a link or is known elsewhere."""

    name: UserName
    password: Password | None = None


class PasswordRequest(Document, frozen=True, kw_only=True):
    wire: int = wire_field()
    password: Password


class DisabledRequest(Document, frozen=True, kw_only=True):
    wire: int = wire_field()
    disabled: bool


class UserView(View, frozen=True, kw_only=True):
    name: str
    role: str
    department: str | None
    password: bool  # there is one
    issuer: str | None
    disabled: bool
    created_ms: int


class UserList(View, frozen=True, kw_only=True):
    users: list[UserView]


class LinkReply(View, frozen=True, kw_only=True):
    """``path`` of this hub logs ``name`` in, once."""

    name: str
    path: str
    expires_ms: int


class ApiTokenRequest(RoleRequest, frozen=True, kw_only=True):
    name: UserName
    ttl_s: Seconds = 31_536_000.0


class ApiTokenView(View, frozen=True, kw_only=True):
    name: str
    role: str
    department: str | None
    created_ms: int
    expires_ms: int
    used_ms: int | None  # to the day; null: never
    withdrawn_ms: int | None


class ApiTokenReply(View, frozen=True, kw_only=True):
    """``token`` is shown only here."""

    name: str
    token: str
    expires_ms: int


class ApiTokenList(View, frozen=True, kw_only=True):
    api_tokens: list[ApiTokenView]


class ScopeEntry(Document, frozen=True, kw_only=True):
    """All nodes of a site; or a node; or one datastream of a node."""

    site: Label | None = None
    node: Name | None = None
    datastream: DatastreamName | None = None


class ScopeRequest(Document, frozen=True, kw_only=True):
    """All that the department sees; what is not here it sees no more."""

    wire: int = wire_field()
    sees: Annotated[tuple[ScopeEntry, ...], msgspec.Meta(max_length=10_000)]


class DepartmentView(View, frozen=True, kw_only=True):
    department: str
    sees: list[ScopeEntry]


class DepartmentList(View, frozen=True, kw_only=True):
    departments: list[DepartmentView]


class OpenDatastream(Document, frozen=True, kw_only=True):
    wire: int = wire_field()
    node: Name
    datastream: DatastreamName


class OpenView(View, frozen=True, kw_only=True):
    node: str
    datastream: str
    released_ms: int


class OpenList(View, frozen=True, kw_only=True):
    datastreams: list[OpenView]
