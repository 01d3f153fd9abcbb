"""How the verbs of this package end: with one sentence on the error stream and a status, never with a traceback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from wayside.firmware_bridge.errors import BridgeError


@contextmanager
def sentences(verb: str) -> Iterator[None]:
    """Errors end the command with status 1, Ctrl-C with 130."""
    try:
        yield
    except (BridgeError, OSError) as exc:
        typer.echo(f"wayside {verb}: {_sentence(exc)}", err=True)
        raise typer.Exit(1) from exc
    except (KeyboardInterrupt, typer.Abort):
        typer.echo(f"\nwayside {verb}: interrupted; run the same command again", err=True)
        raise typer.Exit(130) from None


def _sentence(exc: Exception) -> str:
    if isinstance(exc, BridgeError) or not isinstance(exc, OSError):
        return str(exc)
    # The system's own: a full disk, a folder that may not be written. It names no remedy, but what and where.
    return f"{exc.filename}: {exc.strerror}" if exc.filename else exc.strerror or str(exc)
