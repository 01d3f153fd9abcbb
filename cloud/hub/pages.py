"""The page: one HTML document that polls the read API; everything it loads comes from this hub."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from fastapi.templating import Jinja2Templates
from starlette.staticfiles import StaticFiles

_HERE = Path(__file__).parent


def routes() -> APIRouter:
    router = APIRouter(include_in_schema=False)
    templates = Jinja2Templates(_HERE / "templates")

    @router.get("/", response_class=HTMLResponse)
    def index(request: Request) -> HTMLResponse:
        return templates.TemplateResponse(request, "index.html")

    return router


def static_files() -> StaticFiles:
    return StaticFiles(directory=_HERE / "static")
