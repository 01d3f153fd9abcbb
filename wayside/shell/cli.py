"""``wayside completion`` and ``wayside man``."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from wayside.command_line import App
from wayside.durable import replace_file

completion = App("completion")
man = App("man")


class Shell(StrEnum):
    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


@completion.command()
def script(shell: Annotated[Shell, typer.Argument(help="The shell that reads the script.")]) -> None:
    """Print the script that completes verbs, options and files in a shell.

    For now: `source <(wayside completion bash)`. To keep it, write it where the shell looks, for you alone or for all:

    bash: ~/.local/share/bash-completion/completions/wayside or /usr/share/bash-completion/completions/wayside

    zsh: _wayside in a folder of $fpath, such as /usr/local/share/zsh/site-functions/_wayside

    fish: ~/.config/fish/completions/wayside.fish or /usr/share/fish/vendor_completions.d/wayside.fish
    """
    from wayside.shell.completion import SHELLS
    from wayside.shell.tree import commands

    typer.echo(SHELLS[shell.value](commands()), nl=False)


@man.command()
def pages(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where they go, such as ~/.local/share/man/man1.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the files as JSON.")] = False,
) -> None:
    """Write the man pages: wayside.1 and one for each verb, such as wayside-train.1.

    They say what --help says, and what the statuses are. `man wayside-train` finds them in man1 of a folder of the
    manpath.
    """
    from wayside.shell.manual import pages as made
    from wayside.shell.tree import commands

    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, text in made(commands()).items():
        replace_file(folder / name, text.encode())
        files.append(str(folder / name))
    typer.echo(json.dumps({"files": files}) if as_json else f"{len(files)} pages in {folder}")
