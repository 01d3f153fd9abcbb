"""What every verb and every command does alike: help, JSON, endings, dry runs. Those of tomorrow, too."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest

from tests.command_line.every import ACTING, EVERY, NO_JSON, OUTSIDE, WRITES, name_of
from tests.command_line.every import test_every_command_has_its_place_in_the_table as test_every_command_has_its_place
from tests.simulators.verb import typed
from wayside import command_line
from wayside.shell.tree import Command

__all__ = ["test_every_command_has_its_place"]
each = pytest.mark.parametrize("command", EVERY, ids=name_of)
each_acting = pytest.mark.parametrize("command", ACTING, ids=name_of)


@each
def test_it_explains_itself_by_h_and_help_alike_in_plain_text(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    short, long = typed(*command.words, "-h"), typed(*command.words, "--help")
    assert (short.status, long.status) == (0, 0)
    assert short.out == long.out
    assert short.err == ""
    assert "\x1b" not in short.out
    assert "Exit status: 0 done, 1 failed, 2 wrong usage, 3" in short.out
    for below in command.commands:
        assert f"\n  {below} " in short.out
    assert not re.search(r"\w\.\.\.$", short.out, re.MULTILINE), "a sentence is cut off"


@each
def test_help_has_one_style(command: Command) -> None:
    assert re.fullmatch(r"[A-Z](?s:.)*\.", command.sentence), command.sentence
    for parameter in (*command.arguments, *command.options):
        assert re.match(r"[A-Z`0-9.$]", parameter.help), (parameter.names, parameter.help)
        assert parameter.help.endswith("."), (parameter.names, parameter.help)
        assert not parameter.value.startswith("<"), f"{parameter.names}: what does the value count? {parameter.value}"


@each_acting
def test_what_it_prints_is_had_as_json(command: Command) -> None:
    has = any("--json" in option.names for option in command.options)
    assert has != (name_of(command) in NO_JSON)


@each_acting
def test_what_it_would_write_elsewhere_is_had_as_a_dry_run(command: Command) -> None:
    has = any("--dry-run" in option.names for option in command.options)
    assert has == (WRITES[name_of(command)] == OUTSIDE)


@each
def test_an_option_that_there_is_not_is_wrong_usage_in_one_line_and_as_json(command: Command) -> None:
    done = typed(*command.words, "--no-such-option", "--json")
    assert done.status == 2
    document = json.loads(done.out)
    assert document["status"] == 2
    assert document["code"] == "misuse"
    assert "--no-such-option" in document["error"]
    assert done.err.count("\n") == 1, done.err
    assert done.err.startswith(f"{command.name}: "), done.err
    assert "-h` explains" in done.err


@pytest.mark.parametrize("command", [c for c in EVERY if c.commands], ids=name_of)
def test_a_command_that_there_is_not_is_named(command: Command) -> None:
    if command.words == ("commission",):  # what is no command is a node's file there
        return
    done = typed(*command.words, "fly", "--json")
    assert done.status == 2
    assert "fly" in json.loads(done.out)["error"]
    assert done.err.count("\n") == 1


def test_a_verb_that_there_is_not_is_told_as_json_too() -> None:
    done = typed("fly", "--json")
    assert done.status == 2
    assert json.loads(done.out) == {
        "error": "there is no verb 'fly'; `wayside -h` lists them",
        "code": "misuse",
        "status": 2,
        "command": "wayside",
    }


def raising(exc: BaseException) -> Callable[..., object]:
    def parse_args(*_: object, **__: object) -> object:
        raise exc

    return parse_args


@each_acting
def test_ctrl_c_ends_it_with_130_and_one_line(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_line._Command, "parse_args", raising(KeyboardInterrupt()))
    done = typed(*command.words)
    assert done.status == 130
    assert done.out == ""
    assert done.err.startswith(f"{command.name}: interrupted")
    assert done.err.count("\n") == 1


def test_a_fault_of_ours_is_told_as_one_and_keeps_its_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from wayside.__main__ import main

    monkeypatch.setattr(command_line._Command, "parse_args", raising(ZeroDivisionError("ours")))
    assert main(["docs", "--json"]) == 1
    out, err = capsys.readouterr()
    assert json.loads(out)["code"] == "fault"
    assert "ZeroDivisionError: ours" in err
    assert "this is a fault of wayside" in err
