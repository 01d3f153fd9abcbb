"""A real bundle, exported once per test process from :mod:`tests.simulators.trained_run`."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

from export.pipeline import Options, Work, run
from tests.simulators.trained_run import build, write_run


@functools.cache
def trained() -> Path:
    """The run directory."""
    return write_run(Path(tempfile.mkdtemp(prefix="wayside-run-")))


@functools.cache
def exported() -> Work:
    """All stages done: ``.trained``, ``.graphs``, ``.parity``, ``.passport``, ``.bundle``."""
    return run(trained(), Options(bundle="traffic-flow"), build=build)
