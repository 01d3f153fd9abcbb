"""Runs a tutorial as a reader would: every fenced ``sh`` block of the page, in order, in one shell and one folder.

What a page may say to the runner stands in a fence's first line, which no reader sees rendered::

    ```sh                  typed into the shell; a command that fails ends the walk; `COMMAND &` goes on behind
    ```sh wait             typed again until what the page shows beneath has come
    ```sh exit=3           its last command ends with this status
    ```text                what the block before prints (`Shown`: numbers may differ, `…` leaves out)
    ```toml file=NAME      written into the folder, as the reader does with an editor; any language
    ```console             and every other fence: for the reader alone, not run
    ![…](NAME.png)         a picture: `walk` calls ``on_picture(NAME)``

A test of a page is ten lines: tests/docs/test_tutorial_ml_engineer.py.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from select import select

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "tutorials"
BLOCK_S = 120.0  # no command of a tutorial takes so long
PASSED_ON = ("PATH", "LANG", "LC_ALL", "TMPDIR")  # of the tester's environment: a newcomer has none of the rest


@dataclass(frozen=True)
class Step:
    """One thing on the page that the reader does or sees."""

    kind: str  # sh, file, picture
    text: str  # commands, content, name of the picture
    line: int  # of the page
    options: Mapping[str, str]
    shown: str = ""  # what the page says that the commands print


class TutorialError(AssertionError):
    """The page does not do what it says; the message quotes the page's line and what was printed."""


def steps(page: str) -> list[Step]:
    """The page's steps in order.

    Raises:
        TutorialError: a ``text`` block that follows no ``sh`` block, or a fence without its end.
    """
    found: list[Step] = []
    lines = page.splitlines()
    at = 0
    while at < len(lines):
        line = lines[at]
        if line.startswith("```"):
            try:
                end = lines.index("```", at + 1)
            except ValueError as exc:
                raise TutorialError(f"line {at + 1}: this fence has no end") from exc
            language, *words = line.removeprefix("```").split() or [""]
            options = dict((*word.split("=", 1), "")[:2] for word in words)
            body = "\n".join(lines[at + 1 : end]) + "\n"
            if "file" in options:
                found.append(Step("file", body, at + 1, options))
            elif language == "sh":
                found.append(Step("sh", body, at + 1, options))
            elif language == "text":
                if not found or found[-1].kind != "sh" or found[-1].shown:
                    raise TutorialError(f"line {at + 1}: this text block follows no sh block")
                found[-1] = Step("sh", found[-1].text, found[-1].line, found[-1].options, body)
            at = end
        else:
            found += [Step("picture", name, at + 1, {}) for name in re.findall(r"!\[[^]]*\]\(([^)]+\.png)\)", line)]
        at += 1
    return found


class Shown:
    """What a page shows of an output, held against one: its lines stand there in this order, others may between.

    Numbers, times and digests differ from run to run: each stands for any other. Blanks count once, rules of tables not
    at all. ``…`` stands for anything within a line; alone on a line it is the reader's hint that lines are left out.
    """

    _NUMBER = re.compile(r"[+-]?\b(?:[0-9a-f]{16,}|\d[\d.,:]*(?:e[+-]?\d+)?)")

    def __init__(self, text: str) -> None:
        plain = [self._plain(line) for line in text.splitlines()]
        self._lines = [line for line in plain if line.strip(" …")]

    @classmethod
    def _plain(cls, line: str) -> str:
        line = re.sub(r"\x1b\[[0-9;]*m", "", line).replace("...", "…")
        return " ".join(cls._NUMBER.sub("#", re.sub(r"[─━│┃╭╮╰╯╷╵╴╶┼├┤]+", " ", line)).split())

    def missing(self, output: str) -> str | None:
        """The first line that ``output`` has not; None: it has all of them."""
        rest = iter([self._plain(line) for line in output.splitlines()])
        for line in self._lines:
            pattern = re.compile(".*".join(re.escape(part.strip()) for part in line.split("…")))
            if not any(pattern.search(other) for other in rest):
                return line
        return None


class Shell:
    """One bash: its environment, folder and background jobs last for the whole page."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._own = folder.parent / f"{folder.name}-shell"  # what is not the reader's
        for made in (folder, self._own / "bin", self._own / "home"):
            made.mkdir(parents=True, exist_ok=True)
        program = self._own / "bin" / "wayside"
        program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m wayside "$@"\n')
        program.chmod(0o755)
        environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        environment |= {"PATH": f"{program.parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
        environment |= {"HOME": str(self._own / "home"), "COLUMNS": "110", "PYTHONUNBUFFERED": "1"}
        self._statuses, to = os.pipe()
        self._bash = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(to,),
            start_new_session=True,
        )
        self._to = to
        self._blocks = 0

    def type(self, commands: str, *, timeout_s: float = BLOCK_S) -> tuple[int, str]:
        """Run ``commands`` up to the first that fails.

        Returns:
            The status of the last one that ran, and what they printed; of background jobs, what they did so far.

        Raises:
            TutorialError: they took longer than ``timeout_s``, or ended the shell.
        """
        self._blocks += 1
        script, log = (self._own / f"{self._blocks:03}.{end}" for end in ("sh", "log"))
        script.write_text(commands)
        assert self._bash.stdin
        # Sourced, for the next block has its variables; a trap in place of `set -e`, which would end the shell.
        line = f"trap 'return $?' ERR; source {script} > {log} 2>&1 < /dev/null; printf '%s\\n' $? >&{self._to}\n"
        self._bash.stdin.write(line.encode())
        self._bash.stdin.flush()
        ready, _, _ = select([self._statuses], [], [], timeout_s)
        if not ready:
            raise TutorialError(f"this took more than {timeout_s:g} s:\n{commands}\n{_text(log)}")
        return int(os.read(self._statuses, 16)), _text(log)

    def logs(self) -> str:
        """The end of what each block printed, background jobs with it."""
        return "".join(f"--- {path.name}\n{_text(path)[-1500:]}" for path in sorted(self._own.glob("*.log")))

    def stop(self) -> None:
        """End the background jobs as a person would, then the shell."""
        if self._bash.poll() is None:
            assert self._bash.stdin
            # SIGTERM: a shell that is not interactive starts its jobs with SIGINT ignored
            self._bash.stdin.write(b"trap - ERR; kill $(jobs -p) 2> /dev/null; wait; exit\n")
            self._bash.stdin.close()
            try:
                self._bash.wait(30)
            except subprocess.TimeoutExpired:
                self._bash.kill()
                self._bash.wait()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._bash.pid, signal.SIGKILL)  # what its jobs left behind
        os.close(self._statuses)
        os.close(self._to)


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""


def walk(
    page: Path,
    shell: Shell,
    *,
    replaced: Mapping[str, str] | None = None,
    on_picture: Callable[[str], None] = lambda _: None,
    wait_s: float = 60.0,
) -> None:
    """Do all steps of the page in ``shell``.

    Args:
        replaced: of commands and files, for example the page's port by one that is free.

    Raises:
        TutorialError: a command fails, or does not print what the page shows.
    """
    for step in steps(page.read_text()):
        text = step.text
        for old, new in (replaced or {}).items():
            text = text.replace(old, new)
        if step.kind == "picture":
            on_picture(step.text)
        elif step.kind == "file":
            path = shell.folder / step.options["file"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        else:
            _do(step, text, shell, f"{page.name}, line {step.line}", wait_s)


def _do(step: Step, commands: str, shell: Shell, where: str, wait_s: float) -> None:
    shown, wanted = Shown(step.shown), int(step.options.get("exit") or 0)
    deadline = time.monotonic() + (wait_s if "wait" in step.options else 0.0)
    while True:
        status, output = shell.type(commands)
        missing = shown.missing(output)
        if status == wanted and missing is None:
            return
        if time.monotonic() >= deadline:
            why = f"ended with {status}, not {wanted}" if status != wanted else f"did not print {missing!r}"
            raise TutorialError(f"{where} {why}\n$ {commands}{output}\n{shell.logs()}")
        time.sleep(0.3)
