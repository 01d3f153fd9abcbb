"""A verb as the front door runs it, in this process: importing it anew each time would take minutes."""

from __future__ import annotations

import contextlib
import io
from typing import NamedTuple

from wayside.__main__ import main


class Done(NamedTuple):
    """What a verb printed, and its exit status."""

    status: int
    out: str
    err: str

    @property
    def words(self) -> str:
        """Of both, without the line breaks that the screen's width makes."""
        return " ".join((self.out + self.err).split())


def typed(*words: object) -> Done:
    """Run ``wayside WORDS``; a traceback is a failure."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = main([str(word) for word in words])
        except SystemExit as exc:
            status = exc.code if isinstance(exc.code, int) else 1
    assert "Traceback" not in out.getvalue() + err.getvalue()
    return Done(status, out.getvalue(), err.getvalue())
