"""The power goes at file operation number ``cut``: from there on none happens any more."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

OPERATIONS = (
    (os, "open"),
    (os, "write"),
    (os, "fsync"),
    (os, "replace"),
    (os, "remove"),
    (os, "symlink"),
    (Path, "mkdir"),
    (Path, "replace"),
    (Path, "unlink"),
)
"""What a node's durable writes, and python-tuf's, are made of."""


class PowerCut(BaseException):
    pass


@contextlib.contextmanager
def power_cut(cut: int | None = None, *, torn: bool = False) -> Iterator[list[str]]:
    """Yields the names of the operations so far; with ``torn``, half of the write at ``cut`` still happens."""
    done: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        for owner, name in OPERATIONS:
            real = getattr(owner, name)

            def counted(
                *args: object, _real: Callable[..., object] = real, _name: str = name, **more: object
            ) -> object:
                done.append(_name)
                if cut is not None and len(done) >= cut:
                    if torn and _name == "write" and len(done) == cut:
                        content = args[1]
                        assert isinstance(content, bytes | memoryview)
                        _real(args[0], content[: len(content) // 2])
                    raise PowerCut
                return _real(*args, **more)

            patch.setattr(owner, name, counted)
        yield done


def operations(work: Callable[[], object]) -> int:
    """How many there are in ``work``."""
    with power_cut() as done:
        work()
    return len(done)
