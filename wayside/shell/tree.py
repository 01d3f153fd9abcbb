"""Every command that there is, with its options, as the rooms declare them.

Completion, man pages, docs/command-line.md and the tests of all verbs read this, so that nothing is said twice. Rooms
import what is heavy when a command runs: all of them are read in about a second, without any extra installed.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import typer
from typer.core import TyperCommand

from wayside.__main__ import PURPOSE, VERBS, Verb


class Parameter(NamedTuple):
    names: tuple[str, ...]  # "--out", "-o"; of an argument what stands for it in the usage
    value: str  # what follows it, such as PATH; of a flag ""
    help: str
    notes: str  # default, range, variable of the environment; "" if there are none
    choices: tuple[str, ...]
    path: bool
    several: bool
    required: bool


class Command(NamedTuple):
    words: tuple[str, ...]  # behind "wayside": ("release", "publish")
    help: str  # paragraphs, without the width of a terminal
    arguments: tuple[Parameter, ...]
    options: tuple[Parameter, ...]
    commands: tuple[str, ...]  # the next words, of a group

    @property
    def name(self) -> str:
        return " ".join(("wayside", *self.words))

    @property
    def sentence(self) -> str:
        """The first sentence of its help."""
        return re.split(r"(?<=\.)\s", self.help, maxsplit=1)[0]

    @property
    def usage(self) -> str:
        """As ``wayside release publish BUNDLE [OPTIONS]``, with what has to be given."""
        if self.commands:
            return f"{self.name} COMMAND"
        needed = [f"{option.names[0]} {option.value}" for option in self.options if option.required]
        return " ".join([self.name, *map(_in_usage, self.arguments), *needed, "[OPTIONS]"])


ROOT_OPTIONS = (
    Parameter(("-h", "--help"), "", "Show what there is and exit.", "", (), False, False, False),
    Parameter(("-V", "--version"), "", "Show the version and exit.", "", (), False, False, False),
)


def commands() -> list[Command]:
    """The front door, every verb, every command of a verb."""
    front = Command((), PURPOSE, (), ROOT_OPTIONS, tuple(VERBS))
    return [front, *(_command(words, declared) for words, declared in declarations())]


def declarations() -> Iterator[tuple[tuple[str, ...], Any]]:
    """The words of each verb and of each of its commands, and typer's object for it."""
    for name, verb in VERBS.items():
        try:
            app = getattr(importlib.import_module(verb.module), verb.app)
        except ModuleNotFoundError as exc:
            if (exc.name or "wayside").partition(".")[0] == "wayside":
                raise
            yield (name,), _not_installed(verb)
            continue
        if not isinstance(app, typer.Typer):  # the agent's process passes the command line by
            app = vars(importlib.import_module(app.command_line))[verb.app]
        yield from _below((name,), typer.main.get_command(app))


def _not_installed(verb: Verb) -> Any:
    """What can be told of a verb whose extra is not installed here: that it is there."""
    return TyperCommand(
        None, help=f'{verb.help.capitalize()}. Not installed here: pip install "wayside[{verb.extra}]".'
    )


def _below(words: tuple[str, ...], declared: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield words, declared
    for name, below in getattr(declared, "commands", {}).items():
        yield from _below((*words, name), below)


def _command(words: tuple[str, ...], declared: Any) -> Command:
    context = declared.context_class(declared, info_name=" ".join(words), **declared.context_settings)
    arguments: list[Parameter] = []
    options: list[Parameter] = []
    for param in declared.get_params(context):
        (arguments if param.param_type_name == "argument" else options).append(_parameter(param, context))
    paragraphs = re.split(r"\n\s*\n", inspect.cleandoc(declared.help or ""))
    text = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    return Command(words, text, tuple(arguments), tuple(options), tuple(getattr(declared, "commands", {})))


def _parameter(param: Any, context: Any) -> Parameter:
    help = " ".join((param.help or "").split())
    shown = " ".join(param.get_help_record(context)[1].split())  # typer's own words about default and range
    kind = getattr(param, "type_descriptor", None)  # of --help there is none
    flag = getattr(param, "is_flag", False)
    argument = param.param_type_name == "argument"
    return Parameter(
        names=(param.metavar or param.name.upper(),) if argument else _shortest_first(param),
        value="" if flag or argument else str(param.display_type_rich(context) or ""),
        help=help,
        notes=shown.removeprefix(help).strip().strip("[]"),
        choices=tuple(str(getattr(c, "value", c)) for c in (kind.choices or ())) if kind and not flag else (),
        path=bool(kind and (kind.is_path or "Path" in str(kind.annotation))),
        several=bool(param.nargs != 1 or getattr(param, "multiple", False)),
        required=param.required,
    )


def _in_usage(argument: Parameter) -> str:
    text = argument.names[0] + (" …" if argument.several else "")
    return text if argument.required else f"[{text}]"


def _shortest_first(param: Any) -> tuple[str, ...]:
    return (*sorted(param.opts, key=len), *param.secondary_opts)
