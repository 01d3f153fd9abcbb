"""The command line of a room: typer with this house's settings, and with its endings.

Every room's ``cli.py`` makes its verb with :class:`App`. By that all commands have ``-h``, help in plain text, units
for numbers, and one way to end (``wayside.exits``), whether they are called by the front door or by a test.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from wayside import exits
from wayside.errors import MEANINGS, ExitStatus, Misuse

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
UNITS = {"s": "SECONDS", "ms": "MS", "m": "METRES", "days": "DAYS", "hours": "HOURS", "percent": "PERCENT"}
STATUSES = "Exit status: {}. `wayside docs command-line` says more.".format(
    ", ".join(f"{status:d} {MEANINGS[status].partition(':')[0]}" for status in list(MEANINGS)[:4])
)
UsageError: type[Any] = typer.BadParameter.__mro__[1]  # of whichever click typer stands on


class App(typer.Typer):
    """One verb.

    Args:
        verb: its name at the front door.
        help: one sentence, for a verb of several commands.
        interrupted: what Ctrl-C leaves behind, as in "the unfinished run left nothing".
    """

    def __init__(
        self, verb: str, *, help: str | None = None, interrupted: str = "", cls: type[TyperGroup] | None = None
    ) -> None:
        own = {"verb": verb, "interrupted": interrupted}
        self.command_class = type("VerbCommand", (_Command,), own)
        super().__init__(
            cls=type("VerbGroup", (_Group, *([cls] if cls else [])), own),
            help=help,
            no_args_is_help=True,
            add_completion=False,
            pretty_exceptions_enable=False,
            rich_markup_mode=None,
            context_settings=CONTEXT,
            epilog=STATUSES,
        )

    def command(self, name: str | None = None, **options: Any) -> Callable[[Any], Any]:
        settings: dict[str, Any] = {"cls": self.command_class, "context_settings": CONTEXT, "epilog": STATUSES}
        return super().command(name, **settings | options)


class _Ends:
    """What a group and a command do alike: they end as ``wayside.exits`` says, by ``SystemExit``."""

    verb = ""
    interrupted = ""

    def main(self, args: Sequence[str] | None = None, prog_name: str | None = None, **options: Any) -> Any:
        words = list(sys.argv[1:] if args is None else args)
        name = f"wayside {self.verb}"

        def act() -> None:
            try:
                with self.make_context(name, list(words)) as context:  # type: ignore[attr-defined]
                    self.invoke(context)  # type: ignore[attr-defined]
            except UsageError as exc:
                raise _misuse(exc, name) from exc
            except typer.Abort as exc:
                raise KeyboardInterrupt from exc
            except typer.Exit as exc:
                raise SystemExit(exc.exit_code) from exc
            except EOFError as exc:
                raise Misuse("there is no input: a person answers here, run it at a terminal") from exc

        sys.exit(
            exits.ended(
                act,
                " ".join([name, *_commands(self, words)]),
                as_json=exits.asks_for_json(words),
                interrupted=self.interrupted,
            )
        )


class _Command(_Ends, TyperCommand):  # type: ignore[misc]  # main: fewer words than typer's
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for param in self.params:
            argument = param.param_type_name == "argument"
            if param.metavar is None:
                param.metavar = param.name.upper() if argument else _metavar(param)
            if argument:
                param.display_type_rich = lambda ctx: None  # type: ignore[attr-defined]  # "PORT <str>" says no more


class _Group(_Ends, TyperGroup):  # type: ignore[misc]  # as _Command
    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Each command's first sentence as a whole: half of one explains nothing."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, each.get_short_help_str(1000)) for name, each in self.commands.items()])


def _metavar(param: Any) -> str | None:
    """What a number counts, such as SECONDS or PORT; for the rest typer's own words."""
    kind = param.type_descriptor
    if kind.is_path:
        return "PATH"
    if kind.is_choice and not param.is_flag:
        return "|".join(str(getattr(choice, "value", choice)) for choice in kind.choices)
    if kind.is_list:
        return str(param.opts[-1]).rpartition("-")[2].upper()
    if kind.annotation not in (int, float, str):
        return None
    last = str(param.opts[-1]).rpartition("-")[2]
    return UNITS.get(last, last.upper())


def _misuse(exc: Any, name: str) -> BaseException:
    """The sentence about a wrong command line, and what to type next."""
    context = exc.ctx
    if type(exc).__name__ == "NoArgsIsHelpError":
        typer.echo(context.get_help(), err=True)
        return SystemExit(ExitStatus.USAGE)
    sentence = " ".join(exc.format_message().split()).removesuffix(".")
    path = context.command_path if context is not None else name
    return Misuse(f"{sentence[:1].lower()}{sentence[1:]}; `{path} -h` explains")


def _commands(command: Any, words: Sequence[str]) -> list[str]:
    """The names of commands at the beginning of what was typed, as in ``publish`` of ``wayside release publish``."""
    names = []
    for word in words:
        command = getattr(command, "commands", {}).get(word)
        if command is None:
            break
        names.append(word)
    return names
