"""``wayside image``: fetch wheels, build a node's image, write it to a card, read either back."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NamedTuple

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from wayside.firmware_bridge.errors import BridgeError
from wayside.firmware_bridge.exits import sentences
from wayside.firmware_bridge.image import build as images
from wayside.firmware_bridge.image import card
from wayside.firmware_bridge.image.files import personality, read_named, read_named_text
from wayside.firmware_bridge.image.wheels import fetch_wheels

image = typer.Typer(
    help="Make a node's card image from a stock one, and write it. No root is needed to make one.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Wheels = Annotated[Path, typer.Option(help="Folder that `wayside image wheels` filled.")]
Manifest = Annotated[Path | None, typer.Option(help="The image's .json; its .bmap stands beside it.")]


class ProgressDisplay(NamedTuple):
    """How a verb reports on long work."""

    step: images.Progress
    say: Callable[[str], None]  # a line above the bar


@contextmanager
def shown_progress() -> Iterator[ProgressDisplay]:
    """One bar on the error stream, while that is a terminal: what is being done now, and how far it is."""
    console = Console(stderr=True, highlight=False)
    columns = TextColumn("{task.description:<32}"), BarColumn(), TextColumn("{task.fields[size]}"), TimeElapsedColumn()
    with Progress(*columns, console=console, disable=not sys.stderr.isatty(), transient=True) as bars:
        task = bars.add_task("", total=None, size="")
        now = ""

        def step(what: str, done: int, total: int) -> None:
            nonlocal now
            if what != now:
                now = what
                bars.reset(task, description=what, total=None, size="")
            if total:
                size = f"{done / 1e6:,.0f} / {total / 1e6:,.0f} MB"
                bars.update(task, completed=done, total=total, size=size)

        yield ProgressDisplay(step, lambda text: console.print(text, markup=False, soft_wrap=True))


@image.command()
def wheels(
    folder: Annotated[Path, typer.Argument(help="Where they go: a folder per Python, such as cp311.")],
    python: Annotated[list[str] | None, typer.Option(help="Python of the node; may be given again.")] = None,
    wayside: Annotated[Path | None, typer.Option(help="wayside's own wheel or source; else the one that runs.")] = None,
    as_json: AsJson = False,
) -> None:
    """Download the agent and all that it needs for 64-bit ARM nodes. The one step that needs the package index.

    Debian 12 has Python 3.11, Debian 13 has 3.13; both by default. Where packages come from is pip's configuration.
    """
    with sentences("image wheels"):
        fetched = []
        for version in python or ["3.11", "3.13"]:
            made = fetch_wheels(folder, version, wayside=wayside, say=lambda text: typer.echo(text, err=True))
            size = sum(path.stat().st_size for path in made.files)
            fetched.append({"python": version, "folder": str(made.folder), "wheels": len(made.files), "bytes": size})
            if not as_json:
                typer.echo(
                    f"{made.folder}: {len(made.files)} wheels, {size / 1e6:.0f} MB, wayside {made.manifest.wayside}"
                )
                if version == "3.13":
                    typer.echo(
                        "  no wheel of lgpio exists for 3.13: GPIO contacts need Debian's python3-lgpio in the base"
                    )
        if as_json:
            typer.echo(json.dumps(fetched))


@image.command()
def build(
    base: Annotated[Path, typer.Argument(help="Stock image of Raspberry Pi OS or Debian, 64-bit, .img or .img.xz.")],
    config: Annotated[Path, typer.Option(help="The node's TOML (docs/node.md).")],
    root: Annotated[Path, typer.Option(help="The pinned trust root, root.json of `wayside release init`.")],
    wheels: Wheels,
    out: Annotated[Path, typer.Option("--out", "-o", help="The image to make, .img.")],
    token_file: Annotated[Path | None, typer.Option(help="File with the node's one-time enrolment token.")] = None,
    hub_ca: Annotated[Path | None, typer.Option(help="PEM of the hub's own certificate authority.")] = None,
    site: Annotated[str | None, typer.Option(help="Name of the site, for people.")] = None,
    ssh_key: Annotated[
        Path | None, typer.Option(help="Public key of the technician; without it nobody logs in.")
    ] = None,
    network_config: Annotated[Path | None, typer.Option(help="cloud-init network-config; else wired DHCP.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make one node's image: its configuration, trust, token and the agent for installation without a network.

    Writes OUT.img, its block map OUT.img.bmap and its manifest OUT.json. Nothing is mounted; no root is needed.
    """
    with sentences("image build"), shown_progress() as shown:
        who = personality(
            read_named_text(config, "--config"),
            read_named(root, "--root"),
            token=read_named_text(token_file, "--token-file") if token_file else None,
            hub_ca=read_named(hub_ca, "--hub-ca") if hub_ca else None,
            site=site,
            ssh_key=read_named_text(ssh_key, "--ssh-key") if ssh_key else None,
            network=read_named_text(network_config, "--network-config") if network_config else None,
        )
        made = images.build(base, out, who, wheels, shown.step)
    if as_json:
        typer.echo(made.manifest_path.read_text())
    else:
        it = made.manifest
        typer.echo(f"{made.image}: node {it.node}, hub {it.hub}, instance {it.instance}")
        typer.echo(f"  wayside {it.wayside} for Python {it.python}, {it.size / 1e6:,.0f} MB, sha256 {it.sha256[:16]}…")
        typer.echo(f"  write it with: wayside image write {made.image} /dev/DEVICE")


@image.command()
def write(
    image_file: Annotated[Path, typer.Argument(metavar="IMAGE", help="What `wayside image build` made.")],
    device: Annotated[
        Path, typer.Argument(readable=False, help="The whole card, such as /dev/sdb; a plain file stands for a card.")
    ],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask. For benches.")] = False,
    manifest: Manifest = None,
) -> None:
    """Write an image to a card, verify it, and read this node's files back from it. Everything on the card is lost.

    Refuses the running system's disk and whatever is mounted. The first block is written last: an interrupted card
    does not boot, and the same command begins again.
    """
    with sentences("image write"):
        facts, bmap = images.load_built(image_file, manifest)
        target = card.look_at(device)
        typer.echo(f"{image_file}: node {facts.node}, {bmap.mapped_bytes / 1e6:,.0f} MB to write", err=True)
        typer.echo(f"this will be ERASED:\n{target.description}", err=True)
        if not yes:
            if not sys.stdin.isatty():
                raise BridgeError("there is nobody to ask: --yes writes without asking; nothing was written")
            typed = typer.prompt(f"type {device} to erase it", default="", show_default=False, err=True)
            if typed.strip() != str(device):
                raise BridgeError(f"{typed.strip()!r} is not {device}: nothing was written")
            if card.look_at(device) != target:
                raise BridgeError(f"{device} is no longer what was shown: nothing was written; run the command again")
        with shown_progress() as shown:
            card.write(image_file, target, facts, bmap, shown.step)
    typer.echo(f"{device} is node {facts.node}'s: written, read back, whole; it may be taken out")


@image.command()
def verify(
    target: Annotated[Path, typer.Argument(readable=False, help="An image, or the card's device.")],
    manifest: Manifest = None,
    as_json: AsJson = False,
) -> None:
    """Read an image or a card back: every block that counts, and that it is this node's."""
    with sentences("image verify"), shown_progress() as shown:
        if manifest is None and target.is_block_device():
            raise BridgeError(f"{target} is a device: say which image with --manifest OUT.json")
        facts, bmap = images.load_built(target, manifest)
        images.verify(target, facts, bmap, shown.step)
    if as_json:
        typer.echo(json.dumps({"target": str(target), "node": facts.node, "instance": facts.instance, "ok": True}))
    else:
        typer.echo(f"{target} is node {facts.node}'s, whole: {bmap.mapped_bytes / 1e6:,.0f} MB compared")
