"""``wayside hub``: a thin skin over the app, the store and the API."""

from __future__ import annotations

import fcntl
import gc
import json
import os
import secrets
import signal
import socket
import ssl
import sys
import time
from pathlib import Path
from typing import IO, Annotated, Any

import typer

from wayside.cloud.hub.errors import ConfigurationError
from wayside.command_line import App
from wayside.text import read_file

hub = App("hub", help="Run the hub; make enrolment tokens.")

Data = Annotated[Path, typer.Option("--data", help="The hub's data directory.")]
MAX_PEM_BYTES = 1 << 20
Url = Annotated[str, typer.Option("--hub", envvar="WAYSIDE_HUB", help="The hub's address.")]
Token = Annotated[str, typer.Option(envvar="WAYSIDE_OPERATOR_TOKEN", help="The operator's token.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Ask the hub what there is, say what would be done.")]
DEFAULT_URL = "http://127.0.0.1:8000"


@hub.command()
def init(data: Data, as_json: AsJson = False) -> None:
    """Make the data directory: database, operator's token, online TUF key. What exists already stays."""
    from wayside.cloud.hub.auth import OPERATOR_TOKEN_FILE, load_operator_token
    from wayside.cloud.hub.engine import migrate, refuse_no_folder
    from wayside.cloud.hub.tuf_repository import make_online_key
    from wayside.durable import replace_file

    try:
        refuse_no_folder(data)
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        migrate(data)
        make_online_key(data)
        if not (data / OPERATOR_TOKEN_FILE).exists():
            replace_file(data / OPERATOR_TOKEN_FILE, secrets.token_hex(32).encode() + b"\n", mode=0o600)
        load_operator_token(data, {})  # one that was there may be damaged
    except OSError as exc:
        raise ConfigurationError("data", f"cannot use {data}: {exc.strerror}") from exc
    if as_json:
        typer.echo(json.dumps({"data": str(data), "operator_token_file": str(data / OPERATOR_TOKEN_FILE)}))
        return
    typer.echo(f"{data} is ready: the operator's token is in {data / OPERATOR_TOKEN_FILE}")
    typer.echo(f"next: wayside hub run --data {data}")


@hub.command()
def run(
    data: Data,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one.")] = 8000,
    fd: Annotated[int | None, typer.Option(help="Listen on this inherited socket instead.")] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="Speak HTTPS with this certificate chain, PEM.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its private key, PEM.")] = None,
) -> None:
    """Serve until SIGTERM or Ctrl-C; requests in progress are finished. A renewed certificate needs a restart."""
    import uvicorn

    from wayside.cloud.hub.app import create_app
    from wayside.cloud.hub.auth import load_operator_token
    from wayside.cloud.hub.engine import refuse_no_folder

    refuse_no_folder(data)
    if not data.is_dir():
        raise ConfigurationError("data", f"there is no {data}: run `wayside hub init --data {data}` first")
    operator_token = load_operator_token(data)
    secure = _check_certificate(tls_cert, tls_key)
    with _take(data):
        app = create_app(data, operator_token)
        listener = _inherited(fd) if fd is not None else _listen(host, port)
        address, at_port = listener.getsockname()[:2]
        typer.echo(f"hub: {'https' if secure else 'http'}://{address}:{at_port}/ serving {data}")
        sys.stdout.flush()
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=10,
            timeout_keep_alive=75,
            backlog=2048,
            ssl_certfile=tls_cert,
            ssl_keyfile=tls_key,
        )
        # Each sync makes hundreds of short-lived rows: looking for cycles every 700 objects, among all that was
        # imported, took a third of the hub's time.
        gc.freeze()
        gc.set_threshold(20_000)
        # uvicorn raises the signal again when it has shut down; having stopped as told is success.
        signal.signal(signal.SIGTERM, lambda *_: None)
        uvicorn.Server(config).run(sockets=[listener])


def _check_certificate(certificate: Path | None, key: Path | None) -> bool:
    """Whether there are both, and they belong together."""
    if certificate is None and key is None:
        return False
    if certificate is None or key is None:
        raise ConfigurationError("tls", "--tls-cert and --tls-key belong together: give both or neither")
    try:
        for file in (certificate, key):
            read_file(file, MAX_PEM_BYTES)  # at a pipe, or in a long file, OpenSSL would wait or read for ever
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except ssl.SSLError as exc:
        what = f"{certificate} and {key} are not a PEM certificate and its own, unencrypted private key"
        raise ConfigurationError("tls", f"{what} ({exc.reason or exc})") from exc
    except OSError as exc:
        raise ConfigurationError("tls", f"cannot read {exc.filename or certificate}: {exc.strerror}") from exc
    return True


def _take(data: Path) -> IO[str]:
    """The data directory's lock, held until the process ends: nonces and the TUF key's versions are one process's."""
    try:
        lock = (data / "hub.lock").open("w")
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        raise ConfigurationError("data", f"another hub runs on {data}; stop it first") from exc
    except OSError as exc:
        raise ConfigurationError("data", f"cannot write in {data}: {exc.strerror}") from exc
    return lock


def _inherited(fd: int) -> socket.socket:
    try:
        return socket.socket(fileno=fd)
    except OSError as exc:
        raise ConfigurationError("fd", f"--fd {fd} is not an inherited socket: {exc.strerror}") from exc


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.socket(family)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(2048)  # before its address is printed: who reads it may connect at once
    except OSError as exc:
        raise ConfigurationError(
            "port", f"cannot listen on {host}:{port}: {exc.strerror}; choose another with --port"
        ) from exc
    return listener


@hub.command()
def token(
    *,
    node: Annotated[str | None, typer.Option(help="Only this node may use it.")] = None,
    site: Annotated[str | None, typer.Option(help="Where the node will stand.")] = None,
    ttl_s: Annotated[float, typer.Option(min=1, help="How long it may be used, seconds.")] = 604_800.0,
    data: Annotated[Path | None, typer.Option("--data", help="Write into this data directory.")] = None,
    url: Url = DEFAULT_URL,
    operator_token: Token = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Make a one-time enrolment token, through the data directory or the hub's API."""
    if dry_run:
        _dry_token(data, node, site, ttl_s, url, operator_token, as_json)
        return
    made = _token_in(data, node, site, ttl_s) if data else client_of(url, operator_token).make_token(node, site, ttl_s)
    typer.echo(json.dumps(made) if as_json else made["token"])


def _dry_token(
    data: Path | None,
    node: str | None,
    site: str | None,
    ttl_s: float,
    url: str,
    operator_token: str,
    as_json: bool,
) -> None:
    """Everything but the token: what was asked for is in order, and there is a hub or its folder."""
    from wayside.cloud.hub.engine import check_schema
    from wayside.cloud.hub.openapi import decoded
    from wayside.contracts.hub_api import TokenRequest

    decoded(json.dumps({"node": node, "site": site, "ttl_s": ttl_s}).encode(), TokenRequest)
    if data is not None:
        check_schema(data)
    else:
        client_of(url, operator_token).nodes()
    where = str(data) if data is not None else url
    if as_json:
        typer.echo(json.dumps({"dry_run": True, "node": node, "site": site, "ttl_s": ttl_s, "hub": where}))
    else:
        typer.echo(f"nothing was made: {where} would give a token for {node or 'any node'}, {ttl_s:g} s long")


def _token_in(data: Path, node: str | None, site: str | None, ttl_s: float) -> dict[str, Any]:
    from sqlalchemy.exc import DBAPIError

    from wayside.cloud.hub.engine import DATABASE, check_schema, open_engine, translated
    from wayside.cloud.hub.openapi import decoded
    from wayside.cloud.hub.registry import make_token
    from wayside.contracts.hub_api import TokenRequest

    check_schema(data)
    asked = decoded(json.dumps({"node": node, "site": site, "ttl_s": ttl_s}).encode(), TokenRequest)
    now_ms = time.time_ns() // 1_000_000
    engine = open_engine(data)
    try:
        with engine.connect().execution_options(writes=True) as connection, connection.begin():
            made = make_token(connection, node=asked.node, site=asked.site, ttl_s=asked.ttl_s, now_ms=now_ms)
    except DBAPIError as exc:
        raise translated(exc, data / DATABASE) from exc
    finally:
        engine.dispose()
    return {"wire": 1, "token": made, "node": node, "expires_ms": now_ms + int(ttl_s * 1000)}


def client_of(url: str, operator_token: str = "") -> Any:
    from wayside.cloud.hub.client import HubClient

    return HubClient(url, operator_token or os.environ.get("WAYSIDE_OPERATOR_TOKEN"))
