"""The page: one HTML document that polls the read API; everything it loads comes from this hub."""

from __future__ import annotations

import pathlib
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import HTMLResponse
from fastapi.templating import Jinja2Templates
from starlette.staticfiles import StaticFiles

from wayside.cloud.hub.people.access import By, allow, csrf_of, public, session_of
from wayside.cloud.hub.people.actor import Role
from wayside.cloud.hub.people.login import Login

_HERE = pathlib.Path(__file__).parent


def templates() -> Jinja2Templates:
    return Jinja2Templates(_HERE / "templates")


def routes(login: Login, pages: Jinja2Templates) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.get("/", response_class=HTMLResponse, dependencies=[allow(Role.DEPARTMENT, open_data=True)])
    def index(request: Request, by: By) -> Response:
        secret = session_of(request) if by.name.startswith("user:") else None
        about = {"by": by, "who": by.name.partition(":")[2], "csrf": None if secret is None else csrf_of(secret)}
        page = pages.TemplateResponse(request, "index.html", about)
        page.headers["Cache-Control"] = "no-store"
        return page

    @router.get("/login", response_class=HTMLResponse, dependencies=[public()])
    def form(request: Request) -> Response:
        return login.form(request)

    @router.post("/login", response_class=HTMLResponse, dependencies=[public()])
    async def by_password(request: Request) -> Response:
        return await login.by_password(request)

    @router.get("/login/link/{code}", response_class=HTMLResponse, dependencies=[public()])
    async def by_link(request: Request, code: Annotated[str, Path(max_length=128)]) -> Response:
        return await login.by_link(request, code)

    @router.get("/login/oidc", response_class=HTMLResponse, dependencies=[public()])
    async def by_provider(request: Request) -> Response:
        return await login.by_provider(request)

    @router.get("/login/oidc/back", response_class=HTMLResponse, dependencies=[public()])
    async def from_provider(request: Request) -> Response:
        return await login.from_provider(request)

    @router.post("/logout", response_class=HTMLResponse, dependencies=[public()])
    async def end(request: Request) -> Response:
        return await login.end(request)

    return router


def static_files() -> StaticFiles:
    return StaticFiles(directory=_HERE / "static")
