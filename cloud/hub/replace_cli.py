"""``wayside replace``: new hardware for a node, or the decision which of two computers is the node."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from wayside.cloud.hub.cli_options import DEFAULT_URL, AsJson, DryRun, Token, Url, client_of
from wayside.cloud.hub.errors import ConfigurationError
from wayside.command_line import App

replace = App("replace")


@replace.command()
def main(
    node: Annotated[str, typer.Argument(help="The node whose hardware changes; its name and history stay.")],
    *,
    reason: Annotated[
        str | None, typer.Option(help="Why, up to 64 characters: told to the old hardware and kept with its key.")
    ] = None,
    accept_hardware: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            help="No new hardware: the computer whose fingerprint or boot begins with ID is this node. "
            "The page and the node's own notices show it.",
        ),
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option(help="Write the token into this file, for `wayside image build --token-file`.")
    ] = None,
    ttl_s: Annotated[float, typer.Option(min=1, help="How long the token may be used, seconds.")] = 604_800.0,
    url: Url = DEFAULT_URL,
    operator_token: Token = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Let new hardware take over a node: makes a one-time token for it.

    Until the new hardware enrols with the token nothing changes. Then the old key is revoked in the same moment, and
    site, history, rollouts and commissioning records stay with the name. Run it again for another token.
    """
    client = client_of(url, operator_token)
    if accept_hardware is not None and reason is not None:
        raise typer.BadParameter("--reason goes with new hardware, not with --accept-hardware")
    if dry_run:
        client.node(node)  # it is known
        would = f"{node} would be the computer {accept_hardware}" if accept_hardware else f"{node} would get a token"
        typer.echo(json.dumps({"dry_run": True, "node": node}) if as_json else f"nothing was changed: {would}")
        return
    if accept_hardware is not None:
        done = client.accept_hardware(node, accept_hardware)
        if as_json:
            typer.echo(json.dumps(done))
        else:
            which = f"the computer {done['machine'][:12]}" if done["machine"] else "whichever computer syncs next"
            typer.echo(f"{node} is {which} from now on; if two still run, the hub finds out again")
        return
    made = client.replace(node, reason, ttl_s)
    if token_file is not None:
        _write(token_file, made["token"])
    if as_json:
        typer.echo(json.dumps(made))
        return
    until = datetime.fromtimestamp(made["expires_ms"] / 1000, UTC)
    typer.echo(f"one-time token for the new hardware of {node}, until {until:%Y-%m-%d %H:%M} UTC:\n")
    typer.echo(f"  {made['token'] if token_file is None else f'in {token_file}'}\n")
    typer.echo("next, one of the two:")
    typer.echo(f"  make a card with it:   wayside image build … --token-file {token_file or 'FILE'}")
    typer.echo("  or on a new computer:  put it into [hub] token of its node.toml and restart the agent")
    typer.echo("  (has its card been in use? then remove node.key from its state_dir first: new hardware, new key)\n")
    typer.echo("The old hardware works on until the new one enrols; in that moment its key is revoked.")


def _write(file: Path, token: str) -> None:
    from wayside.durable import replace_file

    try:
        replace_file(file, token.encode() + b"\n", mode=0o600)
    except OSError as exc:
        raise ConfigurationError(
            "token_file", f"cannot write {file}: {exc.strerror}; run it again with another --token-file"
        ) from exc
