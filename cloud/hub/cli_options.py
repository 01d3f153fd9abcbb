"""What the hub's verbs share: options, the client that they lead to, how they tell what was done."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

Data = Annotated[Path, typer.Option("--data", help="The hub's data directory.")]
Database = Annotated[
    str | None,
    typer.Option(
        "--database",
        envvar="WAYSIDE_DATABASE",
        show_envvar=True,
        help="Keep rows in this PostgreSQL, postgresql://USER:PASSWORD@HOST:PORT/NAME, not in a file of --data.",
    ),
]
Url = Annotated[str, typer.Option("--hub", envvar="WAYSIDE_HUB", help="The hub's address.")]
Token = Annotated[str, typer.Option(envvar="WAYSIDE_OPERATOR_TOKEN", help="The operator's token.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Ask the hub what there is, say what would be done.")]
DEFAULT_URL = "http://127.0.0.1:8000"


def client_of(url: str, operator_token: str = "") -> Any:
    from wayside.cloud.hub.client import HubClient

    return HubClient(url, operator_token or os.environ.get("WAYSIDE_OPERATOR_TOKEN"))


def tell(document: dict[str, Any], sentence: str, as_json: bool) -> None:
    typer.echo(json.dumps(document) if as_json else sentence)


def day(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d}"
