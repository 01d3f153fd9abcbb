from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# readline, which pytest imports, tells its width to what we start, though Python's own environment does not show it.
for variable in ("COLUMNS", "LINES"):
    if variable not in os.environ:
        os.unsetenv(variable)

# A shell starts background jobs with SIGINT ignored, and children inherit that: `make test &` could not press Ctrl-C.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def aarch64_index(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A package index that serves other machines, too: some mirrors hold one platform alone."""
    folder: Path = tmp_path_factory.mktemp("probe")
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:", "-d", str(folder)]
    target = ["--platform", "manylinux2014_aarch64", "--python-version", "3.11", "msgspec"]
    done = subprocess.run([*command, *target], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"the package index has no wheels for aarch64: {done.stderr.strip()[-200:]}")


@pytest.fixture(scope="module")
def shared_greens() -> Iterator[None]:
    """Tasks can have the policy ``shared_greens`` of :mod:`tests.edge.shared_greens`."""
    from tests.edge.shared_greens import installed

    with installed():
        yield
