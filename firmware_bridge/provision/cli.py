"""``wayside provision``: a list of sites to images, tokens and labels."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from wayside.firmware_bridge.exits import sentences
from wayside.firmware_bridge.image.cli import AsJson, Wheels, shown_progress
from wayside.firmware_bridge.image.files import read_named, read_named_text
from wayside.firmware_bridge.provision import sites as work

provision = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@provision.command()
def make(
    sites: Annotated[Path, typer.Argument(metavar="SITES.csv", help="Columns: node, site, token, and the template's.")],
    base: Annotated[Path, typer.Option(help="Stock image, .img or .img.xz.")],
    root: Annotated[Path, typer.Option(help="The pinned trust root, root.json.")],
    wheels: Wheels,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of images, labels and the journal.")],
    template: Annotated[Path | None, typer.Option(help="node.toml with $node, $site and other columns.")] = None,
    hub: Annotated[str | None, typer.Option(help="Hub that gives the tokens; else the template's own.")] = None,
    hub_ca: Annotated[Path | None, typer.Option(help="PEM of the hub's own certificate authority.")] = None,
    ssh_key: Annotated[Path | None, typer.Option(help="Public key of the technician.")] = None,
    network_config: Annotated[Path | None, typer.Option(help="cloud-init network-config for all.")] = None,
    ttl_days: Annotated[float, typer.Option(min=0.01, max=365, help="How long a token waits for its node.")] = 30.0,
    as_json: AsJson = False,
) -> None:
    """Make an enrolment token, an image and a QR label for every site of a list.

    All rows are checked before anything is made. Interrupted, the same command goes on where it was; a site keeps its
    token. The operator's token is taken from WAYSIDE_OPERATOR_TOKEN. OUT/journal holds the sites' tokens: keep it to
    yourself.
    """
    with sentences("provision"), shown_progress() as shown:
        common = work.Common(
            root=read_named(root, "--root"),
            wheels=wheels,
            hub_ca=read_named(hub_ca, "--hub-ca") if hub_ca else None,
            ssh_key=read_named_text(ssh_key, "--ssh-key") if ssh_key else None,
            network=read_named_text(network_config, "--network-config") if network_config else None,
        )
        place = work.Hub(hub, os.environ.get("WAYSIDE_OPERATOR_TOKEN"), ttl_days * 86_400)
        done = work.provision(
            sites,
            template,
            base,
            out,
            common=common,
            hub=place,
            progress=shown.step,
            say=shown.say,
        )
    if as_json:
        typer.echo(json.dumps({"made": done.made, "kept": done.kept, "labels": str(done.labels)}))
    else:
        typer.echo(f"{out}: {len(done.made)} made, {len(done.kept)} were there; labels to print: {done.labels}")
