"""How every command ends: with a status, and what went wrong as one sentence on stderr, never as a traceback.

The one place where errors become statuses. It needs the standard library alone, so that the agent's process holds no
library of command lines (docs/command-line.md is the page for users).
"""

from __future__ import annotations

import errno
import json
import os
import re
import select
import sys
import traceback
from collections.abc import Callable, Sequence

from wayside.errors import ExitStatus, WaysideError

TRACEBACK = "WAYSIDE_TRACEBACK"  # set: print the cause of every error, too

_NUMBER = re.compile(r"\[Errno -?\d+\] ")  # of a system's error that a message quotes: its words say it


def ended(act: Callable[[], object], name: str, *, as_json: bool, interrupted: str = "") -> int:
    """Do ``act`` and return the exit status.

    Args:
        act: the command. What it raises as ``WaysideError`` or ``OSError`` is told in a sentence. Everything else that
            is no ending (``SystemExit``, ``KeyboardInterrupt``) is a fault of this program and passes through.
        name: the command as it was typed, such as "wayside release publish".
        as_json: print ``{"error": …, "code": …, "status": …}`` on stdout as well.
        interrupted: what Ctrl-C leaves behind, said after "interrupted".
    """
    status: int = ExitStatus.DONE
    try:
        try:
            act()
        except SystemExit as exc:
            status = _status_of(exc)
        _flush()
    except KeyboardInterrupt:
        return tell(name, f"interrupted{interrupted and '; '}{interrupted}", "interrupted", 130, as_json=as_json)
    except WaysideError as exc:
        return tell(name, str(exc), code_of(exc), exc.exit_status, as_json=as_json, more=_details(exc))
    except OSError as exc:
        if exc.errno == errno.EPIPE and _reader_is_gone():
            return _leave_quietly()
        code = errno.errorcode.get(exc.errno or 0, "system").lower()
        return tell(name, system_sentence(exc), code, ExitStatus.FAILED, as_json=as_json)
    return status


def tell(
    name: str, message: str, code: str, status: int, *, as_json: bool, more: dict[str, object] | None = None
) -> int:
    """Say what went wrong, and return ``status``."""
    message = _NUMBER.sub("", printable(message))
    if os.environ.get(TRACEBACK) and sys.exc_info()[0] not in (None, KeyboardInterrupt):
        traceback.print_exc()
    try:
        print(f"{name}: {message}", file=sys.stderr, flush=True)  # noqa: T201
        if as_json:
            document = {"error": message, "code": code, "status": int(status), "command": name} | (more or {})
            print(json.dumps(document), flush=True)  # noqa: T201
    except BrokenPipeError:
        return _leave_quietly()
    except OSError:
        _leave_quietly()  # stdout is a full disk: the status is all that can still be said
    return int(status)


def asks_for_json(args: Sequence[str]) -> bool:
    """Whether ``--json`` was typed: errors of the command line itself are told as JSON, too."""
    words = list(args)
    return "--json" in (words[: words.index("--")] if "--" in words else words)


def code_of(exc: BaseException) -> str:
    """A stable word: the error's own, or the name of its class in snake_case, without ``_error``."""
    own = getattr(exc, "code", None)
    if isinstance(own, str) and own:
        return own
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(exc).__name__).lower()
    return snake.removesuffix("_error")


def system_sentence(exc: OSError) -> str:
    """The system's own words: a full disk, a folder that may not be written. They name what and where."""
    return f"{exc.filename}: {exc.strerror}" if exc.filename and exc.strerror else exc.strerror or str(exc)


def printable(text: str) -> str:
    """What a file or a hub put into a message does not move the cursor."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def open_standard_streams() -> None:
    """A stream that was closed (``>&-``) becomes the null device.

    Otherwise the next file that is opened, such as a database, would be standard output to everything that prints.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))


def nobody_answers() -> bool:
    """Whether standard input is closed or the null device: a question would wait for nobody."""
    if sys.stdin is None:
        return True
    try:
        return os.fstat(sys.stdin.fileno()).st_rdev == os.stat(os.devnull).st_rdev  # noqa: PTH116
    except (OSError, ValueError):  # a test's own stream has no number
        return False


def _details(exc: WaysideError) -> dict[str, object]:
    """Every mistake of a file, each by its field, where the error or its cause has them."""
    for each in (exc, exc.__cause__):
        mistakes = getattr(each, "mistakes", None)
        if mistakes:
            return {"mistakes": [{"field": field, "rule": rule} for field, rule in mistakes]}
    return {}


def _status_of(exc: SystemExit) -> int:
    if isinstance(exc.code, int) or exc.code is None:
        return exc.code or 0
    print(exc.code, file=sys.stderr)  # noqa: T201  (as Python itself does)
    return ExitStatus.FAILED


def _flush() -> None:
    """What is not yet written may fail, and must not fail after the status is known."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()


def _reader_is_gone() -> bool:
    """Whether it is our own output that nobody reads; a pipe to a program of ours breaks, too."""
    poll = select.poll()
    for number in (1, 2):
        poll.register(number, 0)  # errors are reported without being asked for
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _leave_quietly() -> int:
    """Let nothing more be written: not by us, and not by the interpreter when it ends."""
    null = os.open(os.devnull, os.O_WRONLY)
    for number in (1, 2):
        os.dup2(null, number)
    os.close(null)
    return ExitStatus.PIPE_CLOSED
