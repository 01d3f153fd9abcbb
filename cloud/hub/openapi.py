"""The OpenAPI document: msgspec types give the schemas, so that what is checked is what is documented."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from fastapi import FastAPI, Response
from fastapi.openapi.utils import get_openapi

from wayside.cloud.hub.errors import ContractBrokenError, HubError, TooOftenError
from wayside.cloud.hub.people.access import each, rules_of
from wayside.contracts.sync import ErrorReply
from wayside.contracts.wire import WIRE_VERSION, ContractError, Document, decode

D = TypeVar("D", bound=Document)

_documented: dict[str, type[msgspec.Struct]] = {}


def reply(document: msgspec.Struct, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(document), status, headers, "application/json")


def refusal(exc: HubError) -> Response:
    """The one shape of every error, with the headers that HTTP wants for it."""
    headers = {"WWW-Authenticate": "Bearer"} if exc.code == "credentials" else None
    if isinstance(exc, TooOftenError):
        headers = {"Retry-After": str(int(exc.retry_s))}
    return reply(exc.reply(), exc.status, headers)


def decoded(data: bytes, kind: type[D]) -> D:
    """Raises ContractBrokenError naming the field and the rule."""
    try:
        return decode(data, kind)
    except ContractError as exc:
        raise ContractBrokenError.of(exc) from exc


def answers(kind: type[msgspec.Struct], status: int = 200, errors: tuple[int, ...] = ()) -> dict[int | str, Any]:
    """FastAPI's ``responses`` for one success and the errors that may come instead."""
    return {status: {"description": "Done", "content": _content(kind)}, **failures(*errors)}


def failures(*statuses: int) -> dict[int | str, Any]:
    return {s: {"description": "Refused, with the reason", "content": _content(ErrorReply)} for s in statuses}


def takes(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """FastAPI's ``openapi_extra`` for a request body."""
    return {"requestBody": {"required": True, "content": _content(kind)}}


def describe(app: FastAPI) -> None:
    """Make ``app.openapi()`` return the whole document."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            components = document.setdefault("components", {})
            components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
            _tell_rules(app, document)
            schemas = components.setdefault("schemas", {})
            _, ours = msgspec.json.schema_components(_documented.values(), ref_template="#/components/schemas/{name}")
            schemas.update({name: _honest(schema) for name, schema in ours.items()})
            for unused in ("HTTPValidationError", "ValidationError"):
                schemas.pop(unused, None)
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _tell_rules(app: FastAPI, document: dict[str, Any]) -> None:
    """What a route's rule adds to it: credentials, and the refusals for want of them."""
    for route in each(app.routes):
        if not route.include_in_schema:
            continue
        least = rules_of(route)[0].least
        for method in (route.methods or ()) if least is not None else ():
            told = document["paths"][route.path_format][method.lower()]
            told["security"] = [{"bearer": []}]
            told["responses"] |= {str(status): answer for status, answer in failures(401, 403, 429).items()}


def _content(kind: type[msgspec.Struct]) -> dict[str, Any]:
    _documented[kind.__name__] = kind
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{kind.__name__}"}}}


def _honest(schema: dict[str, Any]) -> dict[str, Any]:
    """Readers keep unknown fields (contracts.wire), and read one version."""
    schema.pop("additionalProperties", None)
    schema.get("properties", {}).pop("extra", None)
    if "wire" in schema.get("properties", {}):
        schema["properties"]["wire"] = {"type": "integer", "minimum": 1, "maximum": WIRE_VERSION}
    return schema
