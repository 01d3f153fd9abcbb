"""Completion for bash, zsh and fish: scripts that hold all they offer, so that a key press starts no Python."""

from __future__ import annotations

import re
from collections.abc import Sequence

from wayside.contracts.version import VERSION
from wayside.shell.tree import Command, Parameter

MADE = f"# Completion of wayside {VERSION}, as `wayside completion` writes it.\n"

BASH = r"""
_wayside() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} at="" commands="" options="" values="" i
    COMPREPLY=()
    if [[ $cur == "=" ]]; then
        cur=""
    elif [[ $prev == "=" ]]; then
        prev=${COMP_WORDS[COMP_CWORD-2]}
    fi
    for ((i = 1; i < COMP_CWORD; i++)); do
        case "$at/${COMP_WORDS[i]}" in
            @PATHS@) at="$at/${COMP_WORDS[i]}" ;;
        esac
    done
    case "$at" in
@COMMANDS@
    esac
    case "$at $prev" in
@VALUES@
    esac
    if [[ $cur == -* ]]; then
        values=$options
    elif [[ -n $commands ]]; then
        values=$commands
    else
        return  # a file, as everywhere
    fi
    COMPREPLY=($(compgen -W "$values" -- "$cur"))
}
complete -o bashdefault -o default -F _wayside wayside
"""

ZSH_GROUP = """\
{name}() {{
    local -a commands=(
{listed}
    )
    local state line
    _arguments -C {specs}
    case $state in
        command) _describe command commands ;;
        rest) case $words[1] in
{cases}
        esac ;;
    esac
}}
"""

FISH = r"""
function __wayside_words
    set -l words (commandline -opc)
    set -e words[1]
    string join ' ' -- $words ''
end
function __wayside_at
    string match -q -- "$argv *" "$(__wayside_words)"
end
function __wayside_next_of
    test "$(__wayside_words)" = "$(string join ' ' -- $argv '')"
end
complete -c wayside -f
"""


def bash(commands: Sequence[Command]) -> str:
    paths, offered, values = [], [], []
    for command in commands:
        at = "".join(f"/{word}" for word in command.words)
        paths += [f'"{at}"'] if at else []
        names = " ".join(name for option in command.options for name in option.names)
        words = " ".join(command.commands or _choices(command.arguments))
        offered.append(f'        "{at}") options="{names}" commands="{words}" ;;')
        free = []
        for option in command.options:
            keys = "|".join(f'"{at} {name}"' for name in option.names)
            if option.choices:
                chosen = f'COMPREPLY=($(compgen -W "{" ".join(option.choices)}" -- "$cur")); return'
                values.append(f"        {keys}) {chosen} ;;")
            elif option.path:
                values.append(f"        {keys}) return ;;")
            elif option.value:
                free.append(keys)
        if free:
            values.append(f"        {'|'.join(free)}) compopt +o bashdefault +o default 2>/dev/null; return ;;")
    parts = {"@PATHS@": "|".join(paths), "@COMMANDS@": "\n".join(offered), "@VALUES@": "\n".join(values)}
    return MADE + re.sub("|".join(parts), lambda match: parts[match[0]], BASH)


def zsh(commands: Sequence[Command]) -> str:
    functions = "\n".join(_zsh_function(command, commands) for command in commands)
    return f"#compdef wayside\n{MADE}\n{functions}\ncompdef _wayside wayside\n"


def fish(commands: Sequence[Command]) -> str:
    lines = []
    for command in commands:
        at = " ".join(command.words)
        for word in command.commands:
            below = _of(commands, (*command.words, word))
            test = f"__wayside_next_of {at}".strip()
            lines.append(f"complete -c wayside -n {_fish(test)} -a {word} -d {_fish(_short(below.sentence))}")
        if choices := _choices(command.arguments):
            lines.append(f"complete -c wayside -n {_fish(f'__wayside_at {at}')} -a {_fish(' '.join(choices))}")
        elif any(argument.path for argument in command.arguments):
            lines.append(f"complete -c wayside -n {_fish(f'__wayside_at {at}')} -F")
        for option in command.options:
            where = f"__wayside_at {at}" if at else "__wayside_next_of"
            names = " ".join(f"-l {n[2:]}" if n.startswith("--") else f"-s {n[1:]}" for n in option.names)
            taken = f"-x -a {_fish(' '.join(option.choices))}" if option.value and not option.path else "-r -F"
            lines.append(
                f"complete -c wayside -n {_fish(where)} {names} {taken if option.value else ''}"
                f" -d {_fish(_short(option.help))}"
            )
    return MADE + FISH + "\n".join(lines) + "\n"


SHELLS = {"bash": bash, "zsh": zsh, "fish": fish}


def _zsh_function(command: Command, commands: Sequence[Command]) -> str:
    specs = [_zsh_option(option) for option in command.options]
    name = "_".join(("_wayside", *command.words)).replace("-", "_")
    if not command.commands:
        specs += [_zsh_argument(argument, n) for n, argument in enumerate(command.arguments, 1)]
        return f"{name}() {{\n    _arguments -s {_lines(specs)}\n}}\n"
    below = [_of(commands, (*command.words, word)) for word in command.commands]
    listed = "\n".join(f"        {_quoted(f'{c.words[-1]}:{_short(c.sentence)}')}" for c in below)
    cases = "\n".join(f"            {c.words[-1]}) {name}_{c.words[-1].replace('-', '_')} ;;" for c in below)
    specs += ["'1: :->command'", "'*:: :->rest'"]
    return ZSH_GROUP.format(name=name, listed=listed, specs=_lines(specs), cases=cases)


def _zsh_option(option: Parameter) -> str:
    text = re.sub(r"([\[\]:\\])", r"\\\1", _short(option.help))
    act = f"({' '.join(option.choices)})" if option.choices else "_files" if option.path else ""
    behind = f":{option.value.lower()}:{act}" if option.value else ""
    many = "*" if option.several else ""
    # An option that may be given once takes its other names with it.
    return " ".join(
        _quoted(f"{many}{name}{'=' if option.value and name.startswith('--') else ''}[{text}]{behind}")
        for name in option.names
    )


def _zsh_argument(argument: Parameter, number: int) -> str:
    act = f"({' '.join(argument.choices)})" if argument.choices else "_files" if argument.path else ""
    place = "*" if argument.several else str(number) if argument.required else f"{number}:"
    name = re.sub(r"[:\\]", "", argument.names[0].lower())
    return _quoted(f"{place}:{name}:{act}")


def _lines(specs: Sequence[str]) -> str:
    return " \\\n        ".join(specs)


def _choices(arguments: Sequence[Parameter]) -> tuple[str, ...]:
    return next((argument.choices for argument in arguments if argument.choices), ())


def _of(commands: Sequence[Command], words: tuple[str, ...]) -> Command:
    return next(command for command in commands if command.words == words)


def _short(text: str) -> str:
    """One clause, for a list beside other clauses."""
    clause = re.split(r"(?<=[^.]{3})[.;:](?:\s|$)", text, maxsplit=1)[0]
    return clause if len(clause) <= 72 else clause[:71].rsplit(" ", 1)[0] + " …"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _fish(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
