"""``wayside docs``: the pages that messages name, wherever wayside is installed."""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import Annotated

import typer

from wayside.command_line import App
from wayside.errors import Misuse

FOLDER = Path(__file__).parent / "docs"

docs = App("docs")


@docs.command()
def show(
    page: Annotated[str | None, typer.Argument(help="Such as node, or docs/node.md, as a message has it.")] = None,
    *,
    path: Annotated[bool, typer.Option("--path", help="Print where it lies, not what it says.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON: of each page its name, title and file.")] = False,
) -> None:
    """List the pages of the documentation, or print one."""
    pages = {str(file.relative_to(FOLDER).with_suffix("")): file for file in sorted(FOLDER.rglob("*.md"))}
    if page is None:
        listed = [{"page": name, "title": _title(file), "file": str(file)} for name, file in pages.items()]
        if as_json:
            typer.echo(json.dumps(listed))
        else:
            typer.echo(FOLDER if path else "\n".join(f"{each['page']:<52} {each['title']}" for each in listed))
        return
    wanted = page.partition("#")[0].removeprefix("docs/").removesuffix(".md")
    file = pages.get(wanted)
    if file is None:
        near = difflib.get_close_matches(wanted, pages, n=1)
        hint = f"is it {near[0]}?" if near else "`wayside docs` lists them"
        raise Misuse(f"there is no page {wanted!r}; {hint}")
    if as_json:
        document = {"page": wanted, "title": _title(file), "file": str(file)}
        typer.echo(json.dumps(document if path else document | {"text": file.read_text(encoding="utf-8")}))
    else:
        typer.echo(file if path else file.read_text(encoding="utf-8"))


def _title(file: Path) -> str:
    with file.open(encoding="utf-8") as lines:
        return next((line.strip("# \n") for line in lines if line.startswith("#")), "")
