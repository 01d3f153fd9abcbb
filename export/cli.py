"""``wayside export`` and ``wayside release``."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from wayside.contracts.passport import Passport
from wayside.contracts.wire import to_builtins
from wayside.edge.errors import EdgeError
from wayside.export.errors import ExportError
from wayside.export.needs import needs

export = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
release = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    help="Make keys, sign a bundle, publish it to a hub.",
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Keys = Annotated[Path, typer.Option("--keys", help="Directory of the signing keys.")]
HubUrl = Annotated[str, typer.Option("--hub", envvar="WAYSIDE_HUB", help="The hub's address.")]
Token = Annotated[
    str | None,
    typer.Option("--operator-token", envvar="WAYSIDE_OPERATOR_TOKEN", help="The hub's operator token."),
]


@contextlib.contextmanager
def _faults(verb: str) -> Iterator[None]:
    """Faults that a person can mend: one sentence on stderr, exit status 1."""
    try:
        yield
    except (ExportError, EdgeError) as exc:
        print(f"wayside {verb}: {exc}", file=sys.stderr)
        raise typer.Exit(1) from exc
    except KeyboardInterrupt as exc:
        print(f"wayside {verb}: interrupted; nothing was left half-done", file=sys.stderr)
        raise typer.Exit(130) from exc


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
    with _faults("export"):
        from wayside.export import pipeline  # torch: seconds

        if run_dir.suffix == ".bundle":
            paths = pipeline.put(out, {name: text.encode() for name, text in pipeline.card_of(run_dir).items()})
            print(json.dumps({"files": [str(path) for path in paths]}, indent=2) if as_json else f"wrote {paths[-1]}")
            return
        console = Console(stderr=as_json)
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
            console.print(line, highlight=False, markup=False, soft_wrap=True)

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
                console.print(line, highlight=False, markup=False, soft_wrap=True)
        for note in work.notes:
            console.print(f"note      {note}", highlight=False, markup=False, soft_wrap=True)
        console.print(f"wrote     {written[-1] if written else 'nothing'}", highlight=False, soft_wrap=True)


@release.command()
def keys(folder: Annotated[Path, typer.Argument(help="A directory that only you read.", metavar="DIR")]) -> None:
    """Make the signing keys: three for root (two sign), one for targets, one for models."""
    with _faults("release keys"):
        from wayside.export.keys import NAMES, make_keys

        make_keys(folder)
        print(f"made {', '.join(f'{name}.pem' for name in NAMES)} in {folder}; keep the root keys offline")


@release.command()
def init(keys: Keys, hub: HubUrl, operator_token: Token = None) -> None:
    """Sign the hub's first trust root and upload it; DIR/root.json is what nodes pin."""
    with _faults("release init"):
        from wayside.export.release import Hub, initialize

        root = initialize(keys, Hub(hub, operator_token))
        print(f"the hub at {hub} has its repository; pin {root} on every node")


@release.command()
def publish(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="What `wayside export` wrote.")],
    keys: Keys,
    hub: HubUrl,
    operator_token: Token = None,
    as_json: Json = False,
) -> None:
    """Check a bundle as a node would, sign it offline, upload it; say how many nodes could take it.

    Nodes take it when a rollout says so.
    """
    with _faults("release publish"):
        from wayside.export import release as act

        at = act.Hub(hub, operator_token)
        published = act.publish(bundle, keys, at)
        try:
            preview = act.preview(published.target, at)
        except ExportError as exc:  # it is published all the same
            preview = None
            print(f"wayside release publish: which nodes could take it is unknown: {exc}", file=sys.stderr)
        if as_json:
            nodes = preview.summary if preview else None
            print(json.dumps(dataclasses.asdict(published) | {"nodes": nodes}, indent=2))
        else:
            print(f"published {published.target}, {published.bytes} bytes, sha256 {published.sha256}")
            if preview:
                print(preview.summary)
        if preview and preview.candidates.fleet and not preview.candidates.members:
            print("wayside release publish: no node can take it now, so a rollout would not begin", file=sys.stderr)


@release.command()
def renew(
    role: Annotated[str, typer.Argument(help="root, targets or models.")],
    keys: Keys,
    hub: HubUrl,
    operator_token: Token = None,
) -> None:
    """Sign a role again before it expires, as the next version."""
    with _faults("release renew"):
        from wayside.export import release as act

        version, expires = act.renew(role, keys, act.Hub(hub, operator_token))
        print(f"{role} is at version {version}, until {expires:%Y-%m-%d}")


@release.command()
def show(
    hub: HubUrl,
    root: Annotated[Path | None, typer.Option(help="Pinned root.json; the hub's own unless given.")] = None,
    as_json: Json = False,
) -> None:
    """List what the hub offers, verified, with each role's version and expiry."""
    with _faults("release show"):
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
