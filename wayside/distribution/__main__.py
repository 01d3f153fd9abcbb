"""``python -m wayside.distribution``: make everything that is shipped, into one folder."""

from __future__ import annotations

import hashlib
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Annotated

import typer

from wayside.distribution import sbom
from wayside.distribution.archives import DistributionError
from wayside.distribution.debian import TARGETS, agent_package, library_package
from wayside.distribution.image import hub_image
from wayside.distribution.source import uncommitted, unpack_commit, wheel_and_source

PARTS = ("wheel", "deb", "image")


def make(out: Path, parts: tuple[str, ...] = PARTS) -> list[Path]:
    """Make ``parts`` of the last commit; ``out`` is replaced once all of them are done.

    Raises:
        DistributionError: something is missing here, or the package index cannot be reached.
    """
    out = out.resolve()  # programs run in other folders
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".dist-", dir=out.parent) as folder:
        work, made = Path(folder), Path(folder) / "out"
        made.mkdir()
        source = unpack_commit(work / "source")
        _say("wheel and source")
        wheel, archive = wheel_and_source(source, made)
        with zipfile.ZipFile(wheel) as opened:
            metadata = opened.read(f"wayside-{source.version}.dist-info/METADATA").decode()
        for path in (wheel, archive):
            sbom.write_sbom(path, source.version, source.epoch, sbom.required_parts(metadata))
        shutil.copy(source.folder / "constraints.txt", made)
        if "deb" in parts:
            _say("wayside-agent, for every machine")
            agent_package(source, wheel, work, made)
            for target in TARGETS:
                _say(f"its libraries, {target.architecture}, Python {target.python}")
                library_package(source, wheel, target, work, made)
        if "image" in parts:
            _say("the hub's image (Debian, from apt's mirror)")
            hub_image(source, wheel, work, made)
        names = sorted(path.name for path in made.iterdir())
        sums = [f"{hashlib.sha256((made / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
        (made / "SHA256SUMS").write_text("".join(sums))
        shutil.rmtree(out, ignore_errors=True)
        made.rename(out)
    return sorted(out.iterdir())


def main(
    out: Annotated[Path, typer.Option(help="The folder to make.")] = Path("dist"),
    only: Annotated[str, typer.Option(help="Comma-separated: wheel, deb, image.")] = ",".join(PARTS),
) -> None:
    """Make wheel, source, Debian packages and the hub's image of the last commit, with SBOMs and checksums."""
    parts = tuple(only.split(","))
    if unknown := set(parts) - set(PARTS):
        _say(f"there is no part {', '.join(sorted(unknown))}: {', '.join(PARTS)}")
        raise typer.Exit(2)
    try:
        if uncommitted():
            _say("what is not committed is not in it")
        for path in make(out, parts):
            typer.echo(f"{path}  {path.stat().st_size / 1e6:,.1f} MB")
    except DistributionError as exc:
        _say(str(exc))
        raise typer.Exit(1) from exc


def _say(text: str) -> None:
    typer.echo(f"dist: {text}", file=sys.stderr)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    app()
