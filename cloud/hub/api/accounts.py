"""Who may do what, changed by admins: users, API tokens, departments, open data."""

from __future__ import annotations

from typing import Annotated

import sqlalchemy as sa
from fastapi import APIRouter, Path, Query, Request, Response

from wayside.cloud.hub.clock import now_ms
from wayside.cloud.hub.door.bodies import read_body
from wayside.cloud.hub.openapi import answers, decoded, reply, takes
from wayside.cloud.hub.people import account_views as views
from wayside.cloud.hub.people import accounts
from wayside.cloud.hub.people.access import By, allow, csrf_of, session_of
from wayside.cloud.hub.people.actor import Role
from wayside.cloud.hub.writer import Writer

_BODY_BYTES = 1 << 20
_CHANGE = (400, 408, 413, 422, 503, 507)
Named = Annotated[str, Path(max_length=64)]


def routes(engine: sa.Engine, writer: Writer) -> APIRouter:
    router = APIRouter(tags=["accounts"])
    admins = APIRouter(dependencies=[allow(Role.ADMIN)])

    @router.get(
        "/api/v1/me", dependencies=[allow(Role.DEPARTMENT, open_data=True)], responses=answers(views.Me, errors=())
    )
    def me(request: Request, by: By) -> Response:
        """Who asks, as the hub knows them."""
        secret = session_of(request) if by.name.startswith("user:") else None
        csrf = None if secret is None else csrf_of(secret)
        return reply(views.Me(name=by.name, role=by.role, department=by.department, csrf=csrf))

    @admins.get("/api/v1/users", responses=answers(views.UserList))
    def list_users() -> Response:
        """Everybody who may log in, or might."""
        with engine.connect() as connection:
            return reply(accounts.list_users(connection))

    @admins.post(
        "/api/v1/users",
        status_code=201,
        responses=answers(views.UserView, 201, errors=(409, *_CHANGE)),
        openapi_extra=takes(views.UserRequest),
    )
    async def add_user(request: Request, by: By) -> Response:
        asked = decoded(await read_body(request, _BODY_BYTES), views.UserRequest)
        return reply(await writer.write(lambda c: accounts.add_user(c, by, asked, now_ms())), status=201)

    @admins.post(
        "/api/v1/users/{name}/role",
        responses=answers(views.UserView, errors=(404, 409, *_CHANGE)),
        openapi_extra=takes(views.RoleRequest),
    )
    async def change_role(request: Request, name: Named, by: By) -> Response:
        asked = decoded(await read_body(request, _BODY_BYTES), views.RoleRequest)
        return reply(await writer.write(lambda c: accounts.change_role(c, by, name, asked, now_ms())))

    @admins.post(
        "/api/v1/users/{name}/password",
        responses=answers(views.UserView, errors=(404, 409, *_CHANGE)),
        openapi_extra=takes(views.PasswordRequest),
    )
    async def change_password(request: Request, name: Named, by: By) -> Response:
        """A new password; all sessions of the user end."""
        asked = decoded(await read_body(request, _BODY_BYTES), views.PasswordRequest)
        return reply(await writer.write(lambda c: accounts.change_password(c, by, name, asked.password, now_ms())))

    @admins.post(
        "/api/v1/users/{name}/disabled",
        responses=answers(views.UserView, errors=(404, 409, *_CHANGE)),
        openapi_extra=takes(views.DisabledRequest),
    )
    async def disable_user(request: Request, name: Named, by: By) -> Response:
        """Shut a user out at once, or let them in again."""
        asked = decoded(await read_body(request, _BODY_BYTES), views.DisabledRequest)
        return reply(await writer.write(lambda c: accounts.disable_user(c, by, name, asked.disabled, now_ms())))

    @admins.post(
        "/api/v1/users/{name}/link",
        status_code=201,
        responses=answers(views.LinkReply, 201, errors=(404, 409, 422, 503, 507)),
    )
    async def make_link(name: Named, by: By) -> Response:
        """A login without a password, once and within an hour."""
        return reply(await writer.write(lambda c: accounts.make_link(c, by, name, now_ms())), status=201)

    @admins.get("/api/v1/api-tokens", responses=answers(views.ApiTokenList))
    def list_api_tokens() -> Response:
        """What programs use, without the tokens themselves."""
        with engine.connect() as connection:
            return reply(accounts.list_api_tokens(connection))

    @admins.post(
        "/api/v1/api-tokens",
        status_code=201,
        responses=answers(views.ApiTokenReply, 201, errors=(409, *_CHANGE)),
        openapi_extra=takes(views.ApiTokenRequest),
    )
    async def make_api_token(request: Request, by: By) -> Response:
        """A token with a role, for a program; it is shown only here."""
        asked = decoded(await read_body(request, _BODY_BYTES), views.ApiTokenRequest)
        return reply(await writer.write(lambda c: accounts.make_api_token(c, by, asked, now_ms())), status=201)

    @admins.delete("/api/v1/api-tokens/{name}", responses=answers(views.ApiTokenView, errors=(404, 422, 503, 507)))
    async def withdraw_api_token(name: Named, by: By) -> Response:
        """Nobody gets in by it any more."""
        return reply(await writer.write(lambda c: accounts.withdraw_api_token(c, by, name, now_ms())))

    @admins.get("/api/v1/departments", responses=answers(views.DepartmentList))
    def list_departments() -> Response:
        """What each department sees."""
        with engine.connect() as connection:
            return reply(accounts.list_departments(connection))

    @admins.put(
        "/api/v1/departments/{department}",
        responses=answers(views.DepartmentView, errors=(404, *_CHANGE)),
        openapi_extra=takes(views.ScopeRequest),
    )
    async def set_department(
        request: Request, department: Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")], by: By
    ) -> Response:
        """All that it sees from now on; nothing, by an empty list."""
        asked = decoded(await read_body(request, _BODY_BYTES), views.ScopeRequest)
        return reply(await writer.write(lambda c: accounts.set_department(c, by, department, asked, now_ms())))

    @admins.get("/api/v1/open", responses=answers(views.OpenList))
    def list_open() -> Response:
        """The datastreams that are released as open data."""
        with engine.connect() as connection:
            return reply(accounts.list_open(connection))

    @admins.post(
        "/api/v1/open",
        responses=answers(views.OpenList, errors=(404, *_CHANGE)),
        openapi_extra=takes(views.OpenDatastream),
    )
    async def release(request: Request, by: By) -> Response:
        """Anybody may read it, where the hub runs with --public-read."""
        asked = decoded(await read_body(request, _BODY_BYTES), views.OpenDatastream)
        return reply(await writer.write(lambda c: accounts.release(c, by, asked, now_ms())))

    @admins.delete("/api/v1/open", responses=answers(views.OpenList, errors=(404, 422, 503, 507)))
    async def close(
        node: Annotated[str, Query(max_length=64)], datastream: Annotated[str, Query(max_length=64)], by: By
    ) -> Response:
        asked = views.OpenDatastream(node=node, datastream=datastream)
        return reply(await writer.write(lambda c: accounts.close(c, by, asked, now_ms())))

    router.include_router(admins)
    return router
