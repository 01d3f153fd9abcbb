"""``wayside hub user|api-token``: who may do what at the hub."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from wayside.cloud.hub.cli_options import DEFAULT_URL, AsJson, Database, DryRun, Token, Url, client_of, day, tell
from wayside.cloud.hub.errors import ConfigurationError
from wayside.cloud.hub.people.actor import Role
from wayside.command_line import App
from wayside.errors import Misuse
from wayside.terminal import Screen
from wayside.text import TextError, decode_unicode, read_file

if TYPE_CHECKING:
    import msgspec
    import sqlalchemy as sa

    from wayside.cloud.hub.people.actor import Actor

user = App("hub user", help="Add users, change their roles and passwords, shut them out.")
api_token = App("hub api-token", help="Make, list and withdraw tokens for programs.")

MAX_PASSWORD_FILE_BYTES = 4096
Name = Annotated[str, typer.Argument(help="The name, in small letters.")]
InData = Annotated[Path | None, typer.Option("--data", help="Write into this data directory, without a hub.")]
OfRole = Annotated[Role, typer.Option(help="What they may do: each but department may what the ones before it may.")]
Department = Annotated[str | None, typer.Option(help="Whose nodes and datastreams they see; with the role department.")]
PasswordFile = Annotated[
    Path | None, typer.Option(help="Read the password from this file's first line; -: from standard input.")
]


@user.command()
def add(
    name: Name,
    *,
    role: OfRole = Role.VIEWER,
    department: Department = None,
    password_file: PasswordFile = None,
    no_password: Annotated[
        bool, typer.Option("--no-password", help="None for now: `wayside hub user link` lets them in.")
    ] = False,
    data: InData = None,
    database: Database = None,
    url: Url = DEFAULT_URL,
    operator_token: Token = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Add a user; the password is typed, and not shown."""
    from wayside.cloud.hub.people import account_views as views
    from wayside.cloud.hub.people import accounts

    fields = {"name": name, "role": str(role), "department": department}
    asked = _decoded(fields, views.UserRequest)
    accounts.check_role(asked)
    if dry_run:
        would(f"{name} would be added with the role {role}", fields, data, database, url, operator_token, as_json)
        return
    password = None if no_password else _password(password_file)
    asked = _decoded(fields | {"password": password}, views.UserRequest)
    if data is not None:
        done = _in(data, database, lambda c, by, at: accounts.add_user(c, by, asked, at))
    else:
        done = client_of(url, operator_token).change("POST", "/api/v1/users", fields | {"password": password})
    tell(done, f"{name} may log in with the role {role}", as_json)


@user.command("list")
def list_users(*, url: Url = DEFAULT_URL, operator_token: Token = "", as_json: AsJson = False) -> None:
    """Who may log in, or might."""
    found = client_of(url, operator_token).read("/api/v1/users")["users"]
    rows = [
        (
            u["name"],
            u["role"],
            u["department"] or "",
            "disabled" if u["disabled"] else "",
            u["issuer"] or ("password" if u["password"] else "link"),
        )
        for u in found
    ]
    listed(found, ("name", "role", "department", "state", "logs in by"), rows, as_json)


@user.command("role")
def change_role(
    name: Name,
    role: Annotated[Role, typer.Argument(help="The new role.")],
    *,
    department: Department = None,
    url: Url = DEFAULT_URL,
    operator_token: Token = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Change what a user may do, from the next request on."""
    client, body = client_of(url, operator_token), {"role": str(role), "department": department}
    if dry_run:
        would(f"{name} would have the role {role}", body, None, None, url, operator_token, as_json)
        return
    done = client.change("POST", f"/api/v1/users/{name}/role", body)
    tell(done, f"{name} has the role {role} from now on", as_json)


@user.command()
def password(
    name: Name,
    *,
    password_file: PasswordFile = None,
    data: InData = None,
    database: Database = None,
    url: Url = DEFAULT_URL,
    operator_token: Token = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Give a user another password, which is typed and not shown; all their sessions end."""
    from wayside.cloud.hub.people import account_views as views
    from wayside.cloud.hub.people import accounts

    if dry_run:
        would(f"{name} would get another password", {"name": name}, data, database, url, operator_token, as_json)
        return
    asked = _decoded({"password": _password(password_file)}, views.PasswordRequest)
    if data is not None:
        done = _in(data, database, lambda c, by, at: accounts.change_password(c, by, name, asked.password, at))
    else:
        body = {"password": asked.password}
        done = client_of(url, operator_token).change("POST", f"/api/v1/users/{name}/password", body)
    tell(done, f"{name} has another password; sessions with the old one are over", as_json)


@user.command()
def disable(
    name: Name,
    *,
    url: Url = DEFAULT_URL,
    operator_token: Token = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Shut a user out at once; their sessions end, their entries in the audit log stay."""
    _disable(name, True, url, operator_token, dry_run, as_json)


@user.command()
def enable(
    name: Name,
    *,
    url: Url = DEFAULT_URL,
    operator_token: Token = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Let a user in again who was disabled."""
    _disable(name, False, url, operator_token, dry_run, as_json)


@user.command()
def link(
    name: Name,
    *,
    data: InData = None,
    database: Database = None,
    url: Url = DEFAULT_URL,
    operator_token: Token = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Make an address that logs a user in, once and within an hour: for the first login, or a lost password."""
    from wayside.cloud.hub.people import accounts

    if dry_run:
        would(f"{name} would get a link", {"name": name}, data, database, url, operator_token, as_json)
        return
    if data is not None:
        done = _in(data, database, lambda c, by, at: accounts.make_link(c, by, name, at))
    else:
        done = client_of(url, operator_token).change("POST", f"/api/v1/users/{name}/link")
    done |= {"url": url.rstrip("/") + done["path"]}
    tell(done, done["url"], as_json)


@api_token.command("make")
def make_api_token(
    name: Name,
    *,
    role: OfRole = Role.VIEWER,
    department: Department = None,
    days: Annotated[float, typer.Option(min=0.001, max=365, help="How long it may be used.")] = 365.0,
    url: Url = DEFAULT_URL,
    operator_token: Token = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Make a token for a program; it is shown only now."""
    body = {"name": name, "role": str(role), "department": department, "ttl_s": days * 86_400}
    client = client_of(url, operator_token)
    if dry_run:
        would(f"{name} would get a token with the role {role}", body, None, None, url, operator_token, as_json)
        return
    done = client.change("POST", "/api/v1/api-tokens", body)
    tell(done, done["token"], as_json)


@api_token.command("list")
def list_api_tokens(*, url: Url = DEFAULT_URL, operator_token: Token = "", as_json: AsJson = False) -> None:
    """Tokens of programs: what each may do, until when, and when it was used last."""
    found = client_of(url, operator_token).read("/api/v1/api-tokens")["api_tokens"]
    rows = [
        (
            t["name"],
            t["role"],
            t["department"] or "",
            f"withdrawn {day(t['withdrawn_ms'])}" if t["withdrawn_ms"] else f"until {day(t['expires_ms'])}",
            day(t["used_ms"]) if t["used_ms"] else "never",
        )
        for t in found
    ]
    listed(found, ("name", "role", "department", "state", "used"), rows, as_json)


@api_token.command("withdraw")
def withdraw_api_token(
    name: Name,
    *,
    url: Url = DEFAULT_URL,
    operator_token: Token = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Nobody gets in by this token any more."""
    if dry_run:
        would(f"{name} would be withdrawn", {"name": name}, None, None, url, operator_token, as_json)
        return
    done = client_of(url, operator_token).change("DELETE", f"/api/v1/api-tokens/{name}")
    tell(done, f"nobody gets in by {name} any more", as_json)


def first_admin(data: Path, database: str | None, name: str) -> str | None:
    """The password of the first user, an admin; None: there are users already."""
    from wayside.cloud.hub.people import account_views as views
    from wayside.cloud.hub.people import accounts, passwords

    made = passwords.made()
    asked = _decoded({"name": name, "role": str(Role.ADMIN), "password": made}, views.UserRequest)

    def act(connection: sa.Connection, by: Actor, now_ms: int) -> views.UserList:
        there = accounts.list_users(connection)
        if not there.users:
            accounts.add_user(connection, by, asked, now_ms)
        return there

    return None if _in(data, database, act)["users"] else made


def _disable(name: str, disabled: bool, url: str, operator_token: str, dry_run: bool, as_json: bool) -> None:
    said = "shut out" if disabled else "let in again"
    if dry_run:
        would(f"{name} would be {said}", {"disabled": disabled}, None, None, url, operator_token, as_json)
        return
    done = client_of(url, operator_token).change("POST", f"/api/v1/users/{name}/disabled", {"disabled": disabled})
    tell(done, f"{name} is {said}", as_json)


def _in(data: Path, database: str | None, act: Callable[[sa.Connection, Actor, int], msgspec.Struct]) -> dict[str, Any]:
    """The change in the data directory, by who may write there."""
    import msgspec

    from wayside.cloud.hub import audit, local

    with local.changing(data, database) as connection:
        done: dict[str, Any] = msgspec.to_builtins(act(connection, audit.local(), time.time_ns() // 1_000_000))
    return done


def _decoded(fields: dict[str, Any], kind: Any) -> Any:
    from wayside.cloud.hub.openapi import decoded

    return decoded(json.dumps(fields).encode(), kind)


def _password(file: Path | None) -> str:
    if file is None and not sys.stdin.isatty():
        raise Misuse("there is no terminal to type the password at: --password-file FILE reads it, - standard input")
    if file is None:
        return str(typer.prompt("password", hide_input=True, confirmation_prompt=True, err=True))
    if str(file) == "-":
        return sys.stdin.readline(MAX_PASSWORD_FILE_BYTES).rstrip("\r\n")
    try:
        text = decode_unicode(read_file(file, MAX_PASSWORD_FILE_BYTES))
    except OSError as exc:
        raise ConfigurationError("password_file", f"cannot read {file}: {exc.strerror}") from exc
    except TextError as exc:
        raise ConfigurationError("password_file", f"{file} holds no password: {exc}") from exc
    lines = text.splitlines()
    if not lines:
        raise ConfigurationError("password_file", f"{file} is empty: its first line is the password")
    return lines[0]


def would(
    sentence: str,
    document: dict[str, Any],
    data: Path | None,
    database: str | None,
    url: str,
    operator_token: str,
    as_json: bool,
) -> None:
    """There is a hub, or its folder, and the token is an admin's."""
    from wayside.cloud.hub.engine import check_schema

    if data is not None:
        check_schema(data, database)
    else:
        client_of(url, operator_token).read("/api/v1/users")
    tell({"dry_run": True} | document, f"nothing was changed: {sentence}", as_json)


def listed(found: list[dict[str, Any]], head: tuple[str, ...], rows: Sequence[tuple[str, ...]], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(found))
        return
    table = Table(*head, box=None, header_style="bold")
    for row in rows:
        table.add_row(*row)
    Screen().print(table)
