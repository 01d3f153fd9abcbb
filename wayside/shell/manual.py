"""Man pages in roff (man(7)): ``wayside(1)``, and one for each verb with all of its commands."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from wayside.contracts.version import VERSION
from wayside.errors import MEANINGS
from wayside.shell.tree import Command, Parameter

VARIABLES = {
    "WAYSIDE_TRACEBACK": "Set: the cause of an error is printed, too, with the lines of the program.",
    "NO_COLOR": "Set: no colours, no bars, no boxes, as in a pipe.",
    "WAYSIDE_DATA": "Folder of the tasks' data.",
    "WAYSIDE_HUB": "Address of the hub.",
    "WAYSIDE_OPERATOR_TOKEN": "The operator's token of the hub.",
}


def pages(commands: Sequence[Command]) -> dict[str, str]:
    """Each page by the name of its file, such as ``wayside-release.1``."""
    front, *others = commands
    made = {"wayside.1": _page(front, others)}
    for verb in (command for command in others if len(command.words) == 1):
        below = [command for command in others if command.words[:1] == verb.words and command is not verb]
        made[f"wayside-{verb.words[0]}.1"] = _page(verb, below)
    return made


def _page(command: Command, below: Sequence[Command]) -> str:
    name = command.name.replace(" ", "-")
    title = text(name.upper())
    clause = command.sentence.removesuffix(".")
    lines = [f'.TH "{title}" "1" "" "wayside {VERSION}" "wayside"', ".SH NAME", f"{text(name)} \\- {text(clause)}"]
    lines.append(".SH SYNOPSIS")
    if command.words:
        leaves = [each for each in (command, *below) if not each.commands]
        for number, leaf in enumerate(leaves):
            lines += ([".br"] if number else []) + _bold(leaf.usage, leaf.name)
    else:
        lines += [
            *_bold("wayside VERB [OPTIONS]", "wayside"),
            ".br",
            *_bold("wayside VERB COMMAND [OPTIONS]", "wayside"),
        ]
    lines += [".SH DESCRIPTION", *_paragraphs(command.help)]
    if command.words:
        lines += _details(command, ".SH ARGUMENTS", ".SH OPTIONS")
        if below:
            lines.append(".SH COMMANDS")
        for each in below:
            lines += [
                f".SS {_quoted(' '.join(each.words[1:]))}",
                *_paragraphs(each.help),
                *_details(each, ".PP", ".PP"),
            ]
    else:
        lines.append(".SH VERBS")
        for each in (c for c in below if len(c.words) == 1):
            lines += [".TP", f".B {text(each.words[0])}", text(each.sentence)]
        lines += [".SH OPTIONS", *(line for option in command.options for line in _option(option))]
    lines.append(".SH EXIT STATUS")
    for status, meaning in MEANINGS.items():
        lines += [".TP", f".B {int(status)}", text(f"{meaning[:1].upper()}{meaning[1:]}.")]
    lines.append(".SH ENVIRONMENT")
    for variable, meaning in VARIABLES.items():
        lines += [".TP", f".B {text(variable)}", text(meaning)]
    verbs = sorted({f"wayside-{c.words[0]}" for c in below}) if not command.words else ["wayside"]
    lines += [".SH SEE ALSO", ", ".join(f"\\fB{text(verb)}\\fR(1)" for verb in verbs)]
    lines += [".PP", text("`wayside docs` lists the pages of the documentation and prints them.")]
    return "\n".join(lines) + "\n"


def _details(command: Command, arguments: str, options: str) -> Iterator[str]:
    if command.arguments:
        yield arguments
        for argument in command.arguments:
            yield from _option(argument)
    if command.options and not command.commands:
        yield options
        for option in command.options:
            yield from _option(option)


def _option(option: Parameter) -> list[str]:
    names = ", ".join(f"\\fB{text(name)}\\fR" for name in option.names)
    value = f" \\fI{text(option.value)}\\fR" if option.value else ""
    notes = f" [{option.notes}]" if option.notes else ""
    return [".TP", names + value, text(f"{option.help}{notes}") or "\\&"]


def _paragraphs(help: str) -> Iterator[str]:
    for number, paragraph in enumerate(help.split("\n\n")):
        if number:
            yield ".PP"
        yield text(paragraph)


def _bold(usage: str, name: str) -> list[str]:
    return [f"\\fB{text(name)}\\fR{text(usage.removeprefix(name))}"]


def _quoted(words: str) -> str:
    return f'"{text(words)}"'


def text(plain: str) -> str:
    """As characters of a line of roff: no request, no escape, and all of them ASCII."""
    special = {"\\": "\\e", "-": "\\-", "'": "\\(aq", "`": "\\(ga", "^": "\\(ha", "~": "\\(ti", '"': "\\(dq"}
    escaped = "".join(special.get(c) or (c if c.isascii() else f"\\[u{ord(c):04X}]") for c in plain)
    return f"\\&{escaped}" if escaped.startswith(".") else escaped
