"""``wayside image``: fetch wheels, build a node's image, write it to a card, read either back."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NamedTuple

import typer
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn

from wayside.command_line import App
from wayside.firmware_bridge.errors import BridgeError, ImageError, NotAgreed
from wayside.firmware_bridge.image import build as images
from wayside.firmware_bridge.image import card
from wayside.firmware_bridge.image.card_files import CardFiles, noted, of_file, read_card_files, read_named_text
from wayside.firmware_bridge.image.credentials import UNKNOWN_TOKEN, token_of
from wayside.firmware_bridge.image.files import Personality, personality
from wayside.firmware_bridge.image.wheels import GLIBC, fetch_wheels
from wayside.terminal import Bars, Screen

image = App(
    "image",
    help="Make a node's card image from a stock one, and write it. No root is needed to make one.",
    interrupted="run the same command again",
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
    console = Screen(stderr=True)
    columns = TextColumn("{task.description:<32}"), BarColumn(), TextColumn("{task.fields[size]}"), TimeElapsedColumn()
    with Bars(*columns, screen=console, transient=True) as bars:
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

        yield ProgressDisplay(step, lambda text: console.print(text, soft_wrap=True))


@image.command()
def wheels(
    folder: Annotated[Path, typer.Argument(help="Where they go: a folder per Python, such as cp311.")],
    python: Annotated[list[str] | None, typer.Option(help="Python of the node; may be given again.")] = None,
    wayside: Annotated[
        Path | None, typer.Option(help="Wheel or source of wayside itself; else the one that runs.")
    ] = None,
    camera: Annotated[bool, typer.Option("--camera", help="Also what reads cameras that have a url.")] = False,
    as_json: AsJson = False,
) -> None:
    """Download the agent and all that it needs for 64-bit ARM nodes. The one step that needs the package index.

    Debian 12 has Python 3.11, Ubuntu 24.04 3.12, Debian 13 3.13; all by default. Where packages come from is pip's
    configuration.
    """
    fetched = []
    for version in python or GLIBC:
        made = fetch_wheels(
            folder, version, wayside=wayside, camera=camera, say=lambda text: typer.echo(text, err=True)
        )
        size = sum(path.stat().st_size for path in made.files)
        fetched.append({"python": version, "folder": str(made.folder), "wheels": len(made.files), "bytes": size})
        if not as_json:
            typer.echo(f"{made.folder}: {len(made.files)} wheels, {size / 1e6:.0f} MB, wayside {made.manifest.wayside}")
            if version == "3.13":
                typer.echo("  no wheel of lgpio exists for 3.13: GPIO contacts need Debian's python3-lgpio in the base")
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
    network_config: Annotated[
        Path | None, typer.Option(help="Network configuration for cloud-init; else wired DHCP.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make one node's image: its configuration, trust, token and the agent for installation without a network.

    Writes OUT.img, its block map OUT.img.bmap and its manifest OUT.json. Nothing is mounted; no root is needed.
    """
    with shown_progress() as shown:
        files = read_card_files(root, hub_ca, ssh_key, network_config)
        who = _personality(files, config, token_file, site)
        for hint in files.hints:
            shown.say(f"hint: {hint}")
        made = images.build(base, out, who, wheels, shown.step)
        for hint in made.hints:
            shown.say(f"hint: {hint}")
    if as_json:
        typer.echo(made.manifest_path.read_text())
    else:
        it = made.manifest
        typer.echo(f"{made.image}: node {it.node}, hub {it.hub}, instance {it.instance}")
        typer.echo(f"  wayside {it.wayside} for Python {it.python}, {it.size / 1e6:,.0f} MB, sha256 {it.sha256[:16]}…")
        typer.echo(f"  write it with: wayside image write {made.image} /dev/DEVICE")


def _personality(files: CardFiles, config: Path, token_file: Path | None, site: str | None) -> Personality:
    """Raises: ImageError: everything that is wrong with the files of this card."""
    wrong = [*files.wrong]
    token = who = None
    with noted(wrong):
        token = of_file("--token-file", token_file, token_of) if token_file else None
    with noted(wrong):
        who = personality(
            read_named_text(config, "--config"),
            files.root,
            token=token if token or not token_file else UNKNOWN_TOKEN,
            hub_ca=files.hub_ca,
            site=site,
            ssh_key=files.ssh_key,
            network=files.network,
            name=f"--config {config}",
        )
    if wrong or who is None:
        raise ImageError("; ".join(wrong))
    return who


@image.command()
def write(
    image_file: Annotated[Path, typer.Argument(metavar="IMAGE", help="What `wayside image build` made.")],
    device: Annotated[
        Path, typer.Argument(readable=False, help="The whole card, such as /dev/sdb; a plain file stands for a card.")
    ],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask. For benches.")] = False,
    manifest: Manifest = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check image and card, write nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write an image to a card, verify it, and read this node's files back from it. Everything on the card is lost.

    Refuses the running system's disk and whatever is mounted. The first block is written last: an interrupted card
    does not boot, and the same command begins again.
    """
    facts, bmap = images.load_built(image_file, manifest)
    target = card.look_at(device)
    typer.echo(f"{image_file}: node {facts.node}, {bmap.mapped_bytes / 1e6:,.0f} MB to write", err=True)
    typer.echo(f"this {'would' if dry_run else 'will'} be ERASED:\n{target.description}", err=True)
    if dry_run:
        facts_only = {"dry_run": True, "device": str(device), "node": facts.node, "bytes": bmap.mapped_bytes}
        typer.echo(json.dumps(facts_only) if as_json else f"nothing was written: {device} would be node {facts.node}'s")
        return
    if not yes:
        if not sys.stdin.isatty():
            raise NotAgreed("there is nobody to ask: --yes writes without asking; nothing was written")
        typed = typer.prompt(f"type {device} to erase it", default="", show_default=False, err=True)
        if typed.strip() != str(device):
            raise NotAgreed(f"{typed.strip()!r} is not {device}: nothing was written")
        if card.look_at(device) != target:
            raise BridgeError(f"{device} is no longer what was shown: nothing was written; run the command again")
    with shown_progress() as shown:
        card.write(image_file, target, facts, bmap, shown.step)
    if as_json:
        done = {"device": str(device), "node": facts.node, "instance": facts.instance, "bytes": bmap.mapped_bytes}
        typer.echo(json.dumps(done))
    else:
        typer.echo(f"{device} is node {facts.node}'s: written, read back, whole; it may be taken out")


@image.command()
def verify(
    target: Annotated[Path, typer.Argument(readable=False, help="An image, or the card's device.")],
    manifest: Manifest = None,
    as_json: AsJson = False,
) -> None:
    """Read an image or a card back: every block that counts, and that it is this node's."""
    with shown_progress() as shown:
        if manifest is None and target.is_block_device():
            raise BridgeError(f"{target} is a device: say which image with --manifest OUT.json")
        facts, bmap = images.load_built(target, manifest)
        images.verify(target, facts, bmap, shown.step)
    if as_json:
        typer.echo(json.dumps({"target": str(target), "node": facts.node, "instance": facts.instance, "ok": True}))
    else:
        typer.echo(f"{target} is node {facts.node}'s, whole: {bmap.mapped_bytes / 1e6:,.0f} MB compared")
