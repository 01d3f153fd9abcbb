"""The TUF repository over HTTP: the operator uploads, nodes read."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import FileResponse
from starlette.requests import ClientDisconnect

from wayside.cloud.hub import audit
from wayside.cloud.hub.door.bodies import read_body, too_large
from wayside.cloud.hub.errors import BadRequestError
from wayside.cloud.hub.openapi import answers, failures, reply
from wayside.cloud.hub.people.access import By, allow, public
from wayside.cloud.hub.people.actor import Role
from wayside.cloud.hub.tuf_repository import MAX_METADATA_BYTES, TufRepository
from wayside.cloud.hub.writer import Writer
from wayside.contracts.hub_api import OnlineKey, StagedFile
from wayside.contracts.passport import MAX_BUNDLE_BYTES
from wayside.durable import finish_file

_BINARY = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
FileName = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,95}$")]


def routes(tuf: TufRepository, writer: Writer) -> APIRouter:
    router = APIRouter(tags=["updates"])

    @router.get("/api/v1/tuf/online-key", dependencies=[public()], responses=answers(OnlineKey))
    def online_key() -> Response:
        """The key that the root gives the roles snapshot and timestamp to."""
        return reply(tuf.online_key)

    @router.put(
        "/api/v1/tuf/files/models/{name}",
        status_code=201,
        dependencies=[allow(Role.OPERATOR)],
        responses=answers(StagedFile, 201, errors=(400, 401, 408, 413, 422, 507)),
        openapi_extra={"requestBody": {"required": True, "content": _BINARY}},
    )
    async def stage(request: Request, name: FileName, by: By) -> Response:
        """Upload a bundle. It is published only when signed metadata names it."""
        file = tuf.staged_file(name)
        part = file.with_name(f"{secrets.token_hex(8)}.part")
        digest, size = hashlib.sha256(), 0
        try:
            with part.open("wb") as out:
                async for chunk in request.stream():
                    size += len(chunk)
                    if size > MAX_BUNDLE_BYTES:
                        raise too_large(MAX_BUNDLE_BYTES)
                    digest.update(chunk)
                    out.write(chunk)
            if size == 0:
                raise BadRequestError("empty", "the body is the bundle's bytes; there are none")
            await asyncio.to_thread(finish_file, part, file)
        except ClientDisconnect as exc:
            raise BadRequestError("disconnected", "the connection broke before the file was complete") from exc
        finally:
            part.unlink(missing_ok=True)
        staged = StagedFile(sha256=digest.hexdigest(), bytes=size)
        about = {"sha256": staged.sha256, "bytes": size}
        await writer.write(lambda c: audit.record(c, by, "bundle.uploaded", name, **about))
        return reply(staged, status=201)

    @router.put(
        "/api/v1/tuf/metadata/{role}",
        status_code=204,
        response_class=Response,
        dependencies=[allow(Role.OPERATOR)],
        responses={204: {"description": "Published"}, **failures(400, 401, 409, 413, 422, 507)},
        openapi_extra={"requestBody": {"required": True, "content": {"application/json": {"schema": {}}}}},
    )
    async def publish(request: Request, role: Literal["root", "targets", "models"], by: By) -> Response:
        """Signed metadata: checked against the role above it, then published with a new snapshot and timestamp."""
        data = await read_body(request, MAX_METADATA_BYTES)
        version = await asyncio.to_thread(tuf.publish, role, data)
        about = {"version": version, "sha256": hashlib.sha256(data).hexdigest()}
        await writer.write(lambda c: audit.record(c, by, audit.PUBLISHED, role, **about))
        return Response(status_code=204)

    @router.get(
        "/tuf/metadata/{file}",
        response_class=FileResponse,
        dependencies=[public()],  # nodes verify what they get; they do not say who they are
        responses={200: {"description": "Metadata", "content": {"application/json": {}}}, **failures(404, 422)},
    )
    def metadata(file: Annotated[str, Path(max_length=128)]) -> FileResponse:
        fresh = {"Cache-Control": "no-cache"} if file == "timestamp.json" else {}
        return FileResponse(tuf.metadata_file(file), media_type="application/json", headers=fresh)

    @router.get(
        "/tuf/targets/{path:path}",
        response_class=FileResponse,
        dependencies=[public()],  # nodes verify what they get; they do not say who they are
        responses={200: {"description": "A bundle", "content": _BINARY}, **failures(404, 422)},
    )
    def target(path: Annotated[str, Path(max_length=256)]) -> FileResponse:
        """Resumable: answers Range requests."""
        return FileResponse(tuf.target_file(path), media_type="application/octet-stream")

    return router
