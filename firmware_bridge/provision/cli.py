"""``wayside provision``: a list of sites to images, tokens and labels."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from wayside.command_line import App
from wayside.firmware_bridge.image.card_files import read_card_files
from wayside.firmware_bridge.image.cli import AsJson, Wheels, shown_progress
from wayside.firmware_bridge.provision import sites as work
from wayside.firmware_bridge.provision.given import Common, Hub

provision = App("provision", interrupted="run the same command again")


@provision.command()
def make(
    sites: Annotated[Path, typer.Argument(metavar="SITES.csv", help="Columns: node, site, token, and the template's.")],
    base: Annotated[Path, typer.Option(help="Stock image, .img or .img.xz.")],
    root: Annotated[Path, typer.Option(help="The pinned trust root, root.json.")],
    wheels: Wheels,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of images, labels and the journal.")],
    template: Annotated[Path | None, typer.Option(help="A node.toml with $node, $site and other columns.")] = None,
    hub: Annotated[str | None, typer.Option(help="Hub that gives the tokens; else the template's own.")] = None,
    hub_ca: Annotated[Path | None, typer.Option(help="PEM of the hub's own certificate authority.")] = None,
    ssh_key: Annotated[Path | None, typer.Option(help="Public key of the technician.")] = None,
    network_config: Annotated[Path | None, typer.Option(help="Network configuration for cloud-init, for all.")] = None,
    ttl_days: Annotated[float, typer.Option(min=0.01, max=365, help="How long a token waits for its node.")] = 30.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, make nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make an enrolment token, an image and a QR label for every site of a list.

    All rows, all files, the base and the wheels are checked before anything is made; every mistake is named at once.
    Interrupted, the same command goes on where it was; a site keeps its token. The operator's token is taken from
    WAYSIDE_OPERATOR_TOKEN. OUT/journal holds the sites' tokens: keep it to yourself.
    """
    with shown_progress() as shown:
        common = Common(read_card_files(root, hub_ca, ssh_key, network_config), wheels)
        place = Hub(hub, os.environ.get("WAYSIDE_OPERATOR_TOKEN"), ttl_days * 86_400)
        act = work.would_make if dry_run else work.provision
        done = act(
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
        typer.echo(json.dumps({"dry_run": dry_run, "made": done.made, "kept": done.kept, "labels": str(done.labels)}))
    elif dry_run:
        typer.echo(f"nothing was made: in {out} {len(done.made)} would be made, {len(done.kept)} are there")
    else:
        typer.echo(f"{out}: {len(done.made)} made, {len(done.kept)} were there; labels to print: {done.labels}")
