"""``wayside hub``: a thin skin over the app, the store and the API."""

from __future__ import annotations

import atexit
import gc
import json
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wayside.cloud.hub import audit_cli, node_cli, token_cli
from wayside.cloud.hub.backups.cli import backup, restore
from wayside.cloud.hub.cli_options import AsJson, Data, Database
from wayside.cloud.hub.errors import ConfigurationError
from wayside.cloud.hub.lock import take
from wayside.cloud.hub.move_cli import move
from wayside.cloud.hub.people import account_cli, sharing_cli
from wayside.cloud.hub.retention import cli as retention_cli
from wayside.cloud.hub.service_cli import install_service
from wayside.command_line import App

if TYPE_CHECKING:
    from wayside.cloud.hub.door.certificate import Certificate
    from wayside.cloud.hub.people.oidc import Provider

hub = App("hub", help="Run the hub, back it up and restore it; say who belongs to the fleet, and who changed what.")
hub.command()(backup)
hub.command()(restore)
hub.command()(move)
hub.command("install-service")(install_service)


@hub.command()
def init(
    data: Data,
    database: Database = None,
    admin: Annotated[str, typer.Option(help="The name of the first user, who may add others.")] = "admin",
    as_json: AsJson = False,
) -> None:
    """Make the data directory: database, operator's token, online TUF key, the first admin. What exists already stays.

    The admin's password is made and shown once, unless there are users already.
    """
    from wayside.cloud.hub import audit, local
    from wayside.cloud.hub.auth import OPERATOR_TOKEN_FILE, load_operator_token
    from wayside.cloud.hub.engine import mark, migrate, refuse_no_folder, store_at
    from wayside.cloud.hub.online_key import make_online_key
    from wayside.durable import replace_file

    try:
        refuse_no_folder(data)
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        migrate(data, database=database)
        if database is not None:
            mark(data, database)
        make_online_key(data)
        if not (data / OPERATOR_TOKEN_FILE).exists():
            replace_file(data / OPERATOR_TOKEN_FILE, secrets.token_hex(32).encode() + b"\n", mode=0o600)
            with local.changing(data, database) as connection:
                audit.record(connection, audit.local(), "hub.initialised")
        load_operator_token(data, {})  # one that was there may be damaged
        password = account_cli.first_admin(data, database, admin)
    except OSError as exc:
        raise ConfigurationError("data", f"cannot use {data}: {exc.strerror}") from exc
    store = store_at(data, database).name
    if as_json:
        made = {"data": str(data), "database": store, "operator_token_file": str(data / OPERATOR_TOKEN_FILE)}
        first = {} if password is None else {"admin": admin, "password": password}
        typer.echo(json.dumps(made | first))
        return
    rows = f", its rows in {store}" if database else ""
    typer.echo(f"{data} is ready{rows}: the operator's token is in {data / OPERATOR_TOKEN_FILE}")
    if password is not None:
        typer.echo(f"log in as {admin} with the password {password}, which is shown only now")
    typer.echo(f"next: wayside hub run --data {data}{' with the same --database' if database else ''}")


@hub.command()
def run(
    data: Data,
    database: Database = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one.")] = 8000,
    fd: Annotated[int | None, typer.Option(help="Listen on this inherited socket instead.")] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="Speak HTTPS with this certificate chain, PEM.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its private key, PEM.")] = None,
    oidc: Annotated[
        Path | None,
        typer.Option(help="Let users in whom a provider of OpenID Connect vouches for: its settings (docs/users.md)."),
    ] = None,
    public_read: Annotated[
        bool, typer.Option("--public-read", help="Let anybody read what `wayside hub open` released, and nothing else.")
    ] = False,
    host_name: Annotated[
        list[str] | None,
        typer.Option(
            envvar="WAYSIDE_HOST_NAME",
            help="A name of this hub, beside the certificate's and this computer's; repeatable.",
        ),
    ] = None,
    behind_proxy: Annotated[
        list[str] | None,
        typer.Option(
            envvar="WAYSIDE_BEHIND_PROXY",
            metavar="ADDRESS",
            help="A proxy or network whose X-Forwarded-For is believed; repeatable.",
        ),
    ] = None,
    quota: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=NUMBER",
            help="Of each node: rows, bytes or boots a day, or datastreams in all; repeatable.",
        ),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes that serve; several need a --database.")] = 1,
) -> None:
    """Serve until SIGTERM or Ctrl-C; requests in progress are finished. A renewed certificate is taken up by itself."""
    import uvicorn

    if workers > 1:
        _share_metrics(database)  # before the app is imported
    from wayside.cloud.hub.app import create_app
    from wayside.cloud.hub.auth import load_operator_token
    from wayside.cloud.hub.door.connections import KEEP_ALIVE_S, BoundedProtocol, raise_descriptors
    from wayside.cloud.hub.door.hosts import HostNames, own_names, proxies
    from wayside.cloud.hub.door.quotas import parsed
    from wayside.cloud.hub.engine import refuse_no_folder
    from wayside.cloud.hub.retention.runs import load_retention
    from wayside.cloud.hub.tuf_repository import discard_uploads
    from wayside.cloud.hub.workers import Workers

    refuse_no_folder(data)
    if not data.is_dir():
        raise ConfigurationError("data", f"there is no {data}: run `wayside hub init --data {data}` first")
    operator_token = load_operator_token(data)
    load_retention(data)  # whoever starts the hub is told of its mistakes; each daily run reads it again
    provider = _provider(oidc)
    certificate = _certificate(tls_cert, tls_key)
    quotas = parsed(quota or [])
    trusted = proxies(behind_proxy or [])
    names = HostNames([*own_names(host), *(host_name or [])], lambda: certificate.names if certificate else ())
    with take(data):
        discard_uploads(data)
        app = create_app(
            data,
            operator_token,
            database,
            names=names,
            public_read=public_read,
            provider=provider,
            quotas=quotas,
        )
        places = raise_descriptors()
        listener = _inherited(fd) if fd is not None else _listen(host, port)
        address, at_port = listener.getsockname()[:2]
        typer.echo(f"hub: {'https' if certificate else 'http'}://{address}:{at_port}/ serving {data}")
        sys.stdout.flush()
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=10,
            timeout_keep_alive=KEEP_ALIVE_S,
            limit_concurrency=places,
            http=BoundedProtocol,
            backlog=2048,
            proxy_headers=bool(trusted),
            forwarded_allow_ips=trusted,
        )
        config.load()
        config.ssl = certificate.context if certificate else None
        BoundedProtocol.trust(trusted)
        signal.signal(signal.SIGHUP, lambda *_: certificate.reload() if certificate else None)
        # Each sync makes hundreds of short-lived rows: looking for cycles every 700 objects, among all that was
        # imported, took a third of the hub's time.
        gc.freeze()
        gc.set_threshold(20_000)

        def serve() -> None:
            # uvicorn raises the signal again when it has shut down; having stopped as told is success.
            signal.signal(signal.SIGTERM, lambda *_: None)
            uvicorn.Server(config).run(sockets=[listener])

        if workers > 1:
            Workers(workers, serve).run()
        else:
            serve()


def _share_metrics(database: str | None) -> None:
    """Several processes count in files of one folder: in memory where there is such, since a full disk would end them.

    Raises:
        ConfigurationError: they would have nothing to share their rows in.
    """
    if database is None:
        raise ConfigurationError(
            "workers", "several workers need a PostgreSQL: name it with --database. SQLite has one writer"
        )
    memory = Path("/dev/shm")  # noqa: S108 a folder of this process's own is made there
    folder = tempfile.mkdtemp(prefix="wayside-hub-", dir=memory if memory.is_dir() else None)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
    atexit.register(shutil.rmtree, folder, ignore_errors=True)


def _provider(file: Path | None) -> Provider | None:
    if file is None:
        return None
    from wayside.cloud.hub.people import oidc

    return oidc.load(file)


def _certificate(chain: Path | None, key: Path | None) -> Certificate | None:
    """Raises ConfigurationError: one without the other, or no pair."""
    from wayside.cloud.hub.door.certificate import Certificate

    if chain is None and key is None:
        return None
    if chain is None or key is None:
        raise ConfigurationError("tls", "--tls-cert and --tls-key belong together: give both or neither")
    return Certificate(chain, key)


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


hub.command("token")(token_cli.token)
hub.add_typer(node_cli.node, name="node")
hub.add_typer(audit_cli.log, name="audit")
hub.add_typer(retention_cli.retention, name="retention")
hub.add_typer(account_cli.user, name="user")
hub.add_typer(account_cli.api_token, name="api-token")
hub.add_typer(sharing_cli.department, name="department")
hub.add_typer(sharing_cli.open_, name="open")
