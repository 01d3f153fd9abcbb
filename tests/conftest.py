from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.simulators.postgres import PostgresServer, running_postgres

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


# A file runs on one worker: one of these as the last would keep the other waiting for minutes.
LONG = (
    "tests/e2e/", "tests/firmware_bridge/test_flash.py", "tests/evaluate/", "tests/docs/test_tutorial",
    "tests/fuzz/test_every_verb.py", "tests/conformance/test_families.py", "tests/train/", "tests/edge/uart/test_whole",
    "tests/edge/test_hostile_hub.py",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.nodeid.startswith(LONG))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """What is marked ``both_stores`` runs with the hub's rows in SQLite and in PostgreSQL."""
    if metafunc.definition.get_closest_marker("both_stores") and "database" in metafunc.fixturenames:
        metafunc.parametrize("database", ["sqlite", "postgres"], indirect=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def template(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The name of a PostgreSQL database that a hub has made and nobody has used."""
    from wayside.cloud.hub.engine import migrate

    with postgres.database() as address:
        migrate(tmp_path_factory.mktemp("template"), database=address)
        yield address.rpartition("/")[2]


@pytest.fixture
def database(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """Where a hub keeps its rows. None: in its data directory; else in the PostgreSQL database of this address."""
    if getattr(request, "param", "sqlite") == "sqlite":
        yield None
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    with server.database(request.getfixturevalue("template")) as address:
        yield address
