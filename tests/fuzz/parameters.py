"""Every parameter of every verb, as its signature has it, and which of them name a file."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import typer

from wayside.__main__ import VERBS

_NAMES_A_FILE = re.compile(r"\bfiles?\b|\bfolders?\b|\bpaths?\b|\bdirector|\.\w{2,4}\b|\bCSV\b|\bTOML\b", re.IGNORECASE)


class Parameter(NamedTuple):
    name: str  # verb, command and parameter, such as "image build root"
    is_path: bool  # its type is Path, or a list of them
    help: str

    @property
    def may_name_a_file(self) -> bool:
        """A path; or a text of which the help says that it may be one."""
        return self.is_path or _NAMES_A_FILE.search(self.help) is not None


def parameters() -> Iterator[Parameter]:
    for verb, entry in VERBS.items():
        module = "wayside.edge.cli" if verb == "agent" else entry.module  # its front door is a plain function
        app = getattr(importlib.import_module(module), entry.app)
        yield from _of(typer.main.get_command(app), [verb])


def _of(command: Any, words: list[str]) -> Iterator[Parameter]:
    for word, each in getattr(command, "commands", {}).items():
        yield from _of(each, [*words, word])
    for param in command.params:
        kind = param.type_descriptor
        if param.param_type_name == "option" and getattr(param, "is_flag", False):
            continue
        is_path = bool(kind.is_path) or "Path" in str(getattr(kind, "annotation", ""))
        text = not is_path and getattr(kind, "annotation", str) is str
        if is_path or text:
            yield Parameter(" ".join([*words, str(param.name)]), is_path, getattr(param, "help", None) or "")
