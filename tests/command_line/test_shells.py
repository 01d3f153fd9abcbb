"""Completion and man pages: run by the shells that read them, checked by roff's own reader."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command_line.every import EVERY
from tests.simulators.verb import typed
from wayside.__main__ import VERBS
from wayside.shell import completion, manual, tree

ROOT = Path(__file__).parents[2]
COMMANDS = tree.commands()
BASH_TRIES = """
source {script}
tried() {{
    COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _wayside; echo "${{COMPREPLY[*]}}"
}}
"""


def completed(tmp_path: Path, *lines: list[str]) -> list[list[str]]:
    script = tmp_path / "wayside.bash"
    script.write_text(completion.bash(COMMANDS))
    tries = "\n".join("tried " + " ".join(f"'{word}'" for word in line) for line in lines)
    program = BASH_TRIES.format(script=script) + tries
    done = subprocess.run(["bash", "--norc", "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return [line.split() for line in done.stdout.splitlines()]


def test_bash_completes_every_verb_command_and_option(tmp_path: Path) -> None:
    groups = [command for command in EVERY if command.commands]
    offered = completed(tmp_path, ["wayside", ""], *(["wayside", *g.words, ""] for g in groups))
    assert offered == [list(VERBS), *(list(group.commands) for group in groups)]
    for command, options in zip(EVERY, completed(tmp_path, *(["wayside", *c.words, "-"] for c in EVERY)), strict=True):
        assert options == [name for option in command.options for name in option.names]


def test_bash_completes_beginnings_and_choices_and_leaves_files_to_the_shell(tmp_path: Path) -> None:
    lines = {
        ("wayside", "re"): ["release", "replace"],
        ("wayside", "train", "--generalize", ""): ["leave-out", "pairs"],
        ("wayside", "train", "--generalize", "=", "p"): ["pairs"],
        ("wayside", "completion", "z"): ["zsh"],
        ("wayside", "train", "--out", ""): [],  # a path: the shell's own
        ("wayside", "release", "publish", ""): [],
        ("wayside", "release", "publish", "a.bundle", "--ke"): ["--keys"],
    }
    assert dict(zip(lines, completed(tmp_path, *map(list, lines)), strict=True)) == lines


@pytest.mark.skipif(shutil.which("fish") is None, reason="not installed: fish")
def test_fish_reads_its_script_and_completes(tmp_path: Path) -> None:
    script = tmp_path / "wayside.fish"
    script.write_text(completion.fish(COMMANDS))
    program = f"source {script}; complete -C'wayside re'; complete -C'wayside train --generalize '"
    done = subprocess.run(["fish", "--no-config", "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    words = [line.partition("\t")[0] for line in done.stdout.splitlines()]
    assert words == ["release", "replace", "leave-out", "pairs"]


@pytest.mark.skipif(shutil.which("zsh") is None, reason="not installed: zsh")
def test_zsh_reads_its_script(tmp_path: Path) -> None:
    script = tmp_path / "_wayside"
    script.write_text(completion.zsh(COMMANDS))
    program = f"autoload -U compinit; compinit -D -u -d {tmp_path}/dump; source {script}; echo $_comps[wayside]"
    done = subprocess.run(["zsh", "-f", "-c", program], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("_wayside\n", "")
    functions = {"_".join(("_wayside", *command.words)).replace("-", "_") for command in EVERY}
    assert all(f"\n{function}() {{\n" in script.read_text() for function in functions)


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_the_verb_prints_the_script_and_imports_no_library_of_a_room(shell: str) -> None:
    heavy = ("torch", "pandas", "onnxruntime", "fastapi", "sqlalchemy")
    code = f"import sys; from wayside.__main__ import main; main(['completion', {shell!r}])\n"
    code += f"print([m for m in {heavy} if m in sys.modules], file=sys.stderr)"
    if shell != "bash":  # one process is enough
        assert typed("completion", shell).out == completion.SHELLS[shell](COMMANDS)
        return
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stderr == "[]\n"
    assert done.stdout == completion.bash(COMMANDS)


def test_where_an_extra_is_missing_its_verb_is_completed_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    module = VERBS["flash"].module

    def without(name: str) -> object:
        if name == module:
            raise ModuleNotFoundError("No module named 'intelhex'", name="intelhex")
        return sys.modules[name]

    monkeypatch.setattr(tree.importlib, "import_module", without)
    flash = next(command for command in tree.commands() if command.words == ("flash",))
    assert 'pip install "wayside[bridge]"' in flash.help
    assert len(tree.commands()) == len(COMMANDS)


def test_man_writes_a_page_for_wayside_and_one_for_each_verb(tmp_path: Path) -> None:
    done = typed("man", tmp_path / "man1", "--json")
    assert sorted(json.loads(done.out)["files"]) == sorted(map(str, (tmp_path / "man1").iterdir()))
    assert {p.name for p in (tmp_path / "man1").iterdir()} == {"wayside.1", *(f"wayside-{v}.1" for v in VERBS)}


def test_the_pages_say_what_help_says() -> None:
    pages = manual.pages(COMMANDS)
    for command in EVERY:
        page = pages[f"wayside-{command.words[0]}.1"]
        assert page.isascii()
        for option in () if command.commands else command.options:
            assert all(f"\\fB{manual.text(name)}\\fR" in page for name in option.names)
            assert manual.text(option.help) in page


@pytest.mark.skipif(shutil.which("groff") is None, reason="not installed: groff")
def test_roff_reads_every_page_without_a_warning() -> None:
    pages = "".join(manual.pages(COMMANDS).values())
    command = ["groff", "-ww", "-z", "-man", "-Tutf8"]
    done = subprocess.run(command, input=pages, capture_output=True, text=True, check=True)
    assert done.stderr == ""
