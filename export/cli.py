"""``wayside export`` and ``wayside release``."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from wayside.command_line import App
from wayside.contracts.passport import Passport
from wayside.contracts.wire import to_builtins
from wayside.export.errors import ExportError
from wayside.export.needs import needs
from wayside.terminal import Screen, working

export = App("export", interrupted="nothing was left half-done")
release = App(
    "release", help="Make keys, sign a bundle, publish it to a hub.", interrupted="nothing was left half-done"
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Keys = Annotated[Path, typer.Option("--keys", help="Directory of the signing keys.")]
HubUrl = Annotated[str, typer.Option("--hub", envvar="WAYSIDE_HUB", help="The hub's address.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check and sign everything, send and write nothing.")]
Token = Annotated[
    str | None,
    typer.Option("--operator-token", envvar="WAYSIDE_OPERATOR_TOKEN", help="The hub's operator token."),
]


@export.command()
def run(
    run_dir: Annotated[
        Path,
        typer.Argument(
            metavar="CHECKPOINT|RUN_DIR",
            help="What `wayside train` wrote, or its checkpoint.pt; of a .bundle, the model card is made again.",
        ),
    ],
    *,
    out: Annotated[Path, typer.Option("--out", help="Directory for the bundle and its parts.")],
    version: Annotated[str, typer.Option(help="Version of the bundle, MAJOR.MINOR.PATCH.")] = "1.0.0",
    bundle: Annotated[str | None, typer.Option(help="Name of the bundle; the task's name unless given.")] = None,
    formats: Annotated[str, typer.Option("--format", help="Comma-separated: onnx, tflite.")] = "onnx,tflite",
    int8: Annotated[bool, typer.Option("--int8/--no-int8", help="Also make int8 variants.")] = True,
    require_int8: Annotated[
        bool, typer.Option("--require-int8", help="Fail if an int8 variant is refused; else it is left out.")
    ] = False,
    stage: Annotated[
        str, typer.Option(help="Stop after: train, graph, quantize, parity, passport, bundle.")
    ] = "bundle",
    as_json: Json = False,
) -> None:
    """Turn a checkpoint into a bundle: ONNX and TFLite, fp32 and int8, past the parity gate.

    Every variant must give torch's answers on every runtime, and int8 must not cost accuracy on the held-out
    days, in any slice (hour of day, site, weather, class); an int8 variant that does is tried with more of it in
    float, then left out. A model card is written beside the bundle. Two exports of one checkpoint are byte-identical.
    """
    from wayside.export import pipeline  # torch: seconds

    if run_dir.suffix == ".bundle":
        paths = pipeline.put(out, {name: text.encode() for name, text in pipeline.card_of(run_dir).items()})
        print(json.dumps({"files": [str(path) for path in paths]}, indent=2) if as_json else f"wrote {paths[-1]}")
        return
    console = Screen(stderr=as_json)
    options = pipeline.Options(
        formats=tuple(name.strip() for name in formats.split(",") if name.strip()),
        int8=int8,
        require_int8=require_int8,
        bundle=bundle,
        version=version,
    )
    done: list[pipeline.Done] = []

    def after(stage_done: pipeline.Done) -> None:
        done.append(stage_done)
        line = f"{stage_done.stage:<9} {stage_done.did}  ({stage_done.seconds:.1f} s)"
        console.print(line, highlight=False, soft_wrap=True)

    with console.status("") as status:  # silent unless on a terminal
        work = pipeline.run(run_dir, options, until=stage, before=status.update, after=after)
    written = pipeline.write(work, out)
    if as_json:
        document = {
            "stages": [done_._asdict() for done_ in done],
            "notes": work.notes,
            "passport": to_builtins(work.passport) if work.passport else None,
            "files": [str(path) for path in written],
        }
        print(json.dumps(document, indent=2))
        return
    if work.passport:
        console.print(_variants(work.passport))
        console.print("a node that runs it offers:")
        for need in needs(work.passport):
            line = f"{need.what:<13} {need.needed}"
            console.print(line, highlight=False, soft_wrap=True)
    for note in work.notes:
        console.print(f"note      {note}", highlight=False, soft_wrap=True)
    console.print(f"wrote     {written[-1] if written else 'nothing'}", highlight=False, soft_wrap=True)


@release.command()
def keys(
    folder: Annotated[Path, typer.Argument(help="A directory that only you read.", metavar="DIR")],
    as_json: Json = False,
) -> None:
    """Make the signing keys: three for root (two sign), one for targets, one for models."""
    from wayside.export.keys import NAMES, make_keys

    make_keys(folder)
    if as_json:
        print(json.dumps({"files": [str(folder / f"{name}.pem") for name in NAMES]}))
    else:
        print(f"made {', '.join(f'{name}.pem' for name in NAMES)} in {folder}; keep the root keys offline")


@release.command()
def init(keys: Keys, hub: HubUrl, operator_token: Token = None, dry_run: DryRun = False, as_json: Json = False) -> None:
    """Sign the hub's first trust root and upload it; DIR/root.json is what nodes pin."""
    from wayside.export.release import Hub, initialize

    with working("signing and uploading the trust root"):
        root = initialize(keys, Hub(hub, operator_token), dry_run=dry_run)
    if as_json:
        print(json.dumps({"dry_run": dry_run, "hub": hub, "root": str(root)}))
    elif dry_run:
        print(f"nothing was sent: the hub at {hub} would get its repository, and {root} would be what nodes pin")
    else:
        print(f"the hub at {hub} has its repository; pin {root} on every node")


@release.command()
def publish(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="What `wayside export` wrote.")],
    keys: Keys,
    hub: HubUrl,
    operator_token: Token = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Check a bundle as a node would, sign it offline, upload it; say how many nodes could take it.

    Nodes take it when a rollout says so.
    """
    from wayside.export import release as act

    at = act.Hub(hub, operator_token)
    with working("uploading"):
        published = act.publish(bundle, keys, at, dry_run=dry_run)
    try:
        preview = None if dry_run else act.preview(published.target, at)
    except ExportError as exc:  # it is published all the same
        preview = None
        print(f"wayside release publish: which nodes could take it is unknown: {exc}", file=sys.stderr)
    if as_json:
        nodes = preview.summary if preview else None
        print(json.dumps(dataclasses.asdict(published) | {"nodes": nodes, "dry_run": dry_run}, indent=2))
    elif dry_run:
        print(f"nothing was sent: {published.target} would be published, {published.bytes} bytes")
    else:
        print(f"published {published.target}, {published.bytes} bytes, sha256 {published.sha256}")
        if preview:
            print(preview.summary)
    if preview and preview.candidates.fleet and not preview.candidates.members:
        print("wayside release publish: no node can take it now, so a rollout would not begin", file=sys.stderr)


@release.command()
def renew(
    role: Annotated[str, typer.Argument(help="Which role: root, targets or models.")],
    keys: Keys,
    hub: HubUrl,
    operator_token: Token = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Sign a role again before it expires, as the next version."""
    from wayside.export import release as act

    version, expires = act.renew(role, keys, act.Hub(hub, operator_token), dry_run=dry_run)
    if as_json:
        until = f"{expires:%Y-%m-%dT%H:%M:%SZ}"
        print(json.dumps({"dry_run": dry_run, "role": role, "version": version, "expires": until}))
    else:
        print(f"{role} {'would be' if dry_run else 'is'} at version {version}, until {expires:%Y-%m-%d}")


@release.command()
def show(
    hub: HubUrl,
    root: Annotated[Path | None, typer.Option(help="Pinned root.json; the hub's own unless given.")] = None,
    as_json: Json = False,
) -> None:
    """List what the hub offers, verified, with each role's version and expiry."""
    from wayside.export import release as act

    shelf = act.show(act.Hub(hub), root)
    roles = {name: {"version": v, "expires": f"{e:%Y-%m-%dT%H:%M:%SZ}"} for name, (v, e) in shelf.roles.items()}
    if as_json:
        print(json.dumps({"releases": [dataclasses.asdict(r) for r in shelf.releases], "roles": roles}, indent=2))
        return
    for each in shelf.releases:
        print(f"{each.bundle} {each.version}  {each.target}  {each.bytes} bytes  sha256 {each.sha256}")
    if not shelf.releases:
        print("nothing is published yet")
    for name, role in roles.items():
        print(f"{name:<9} version {role['version']}, until {role['expires']}")


def _variants(passport: Passport) -> Table:
    unit = passport.task.output_unit
    table = Table("variant", "bytes", f"max diff, {unit}", "loss, all", "worst slice that judges", "runtimes")
    overall, *others = passport.accuracy
    judged = [a for a in others if a.n >= passport.limits["slice_min_n"]]
    for v in passport.variants:
        loss = overall.losses.get(v.name)
        worst = max((a for a in judged if v.name in a.losses), key=lambda a: a.losses[v.name].loss, default=None)
        table.add_row(
            v.name,
            str(v.bytes),
            f"{v.max_abs_diff:.3g}",
            f"{loss.loss:+.2%} {loss.metric}" if loss else "",
            f"{worst.losses[v.name].loss:+.2%} {worst.losses[v.name].metric}, {worst.slice}" if worst else "",
            ", ".join(v.runtimes),
        )
    return table
