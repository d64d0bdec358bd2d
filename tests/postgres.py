"""A PostgreSQL server of the tests' own, in a folder that goes with it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PASSWORD = "sesame-öffne-dich"  # noqa: S105 - planted, so that tests can look where it shows


class PostgreSQL:
    """A running server: Unix socket in ``folder`` for anybody, 127.0.0.1 with ``PASSWORD`` for the role ``checker``.

    ``reader`` and ``checker`` may read everything and make nothing, not even a temporary table.
    """

    def __init__(self) -> None:
        places = [shutil.which("initdb"), *map(str, Path("/usr/lib/postgresql").glob("*/bin/initdb"))]
        initdb = next((place for place in places if place), None)
        if initdb is None:
            pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
        pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'ibis-framework[postgres]'")
        self.programs = Path(initdb).resolve().parent
        self.folder = Path(tempfile.mkdtemp(prefix="pg"))
        self.user: dict[str, Any] = {}
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")
            self.user = {"user": "postgres", "group": "postgres", "extra_groups": []}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self._run("initdb", "-D", "data", "-U", "postgres", "--auth-local=trust", "--auth-host=scram-sha-256", "-N")
        self.server = self.start()
        with self.connected() as admin:
            admin.execute("CREATE ROLE reader LOGIN")
            admin.execute(f"CREATE ROLE checker LOGIN PASSWORD '{PASSWORD}'")
            admin.execute("GRANT pg_read_all_data TO reader, checker")
            admin.execute("ALTER ROLE reader SET default_transaction_read_only = on")
            admin.execute("REVOKE TEMPORARY ON DATABASE postgres FROM PUBLIC")

    def start(self) -> subprocess.Popen[bytes]:
        """Start it, also again after a `kill`."""
        options = ("-k", self.folder, "-p", str(self.port), "-c", "listen_addresses=127.0.0.1", "-F")
        self.server = subprocess.Popen(
            [self.programs / "postgres", "-D", self.folder / "data", *options],
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **self.user,
        )
        deadline = time.monotonic() + 60
        while True:
            try:
                with self.connected():
                    return self.server
            except Exception:
                if time.monotonic() > deadline or self.server.poll() is not None:
                    raise
                time.sleep(0.05)

    def connected(self, user: str = "postgres", **options: Any) -> Any:
        """A connection of psycopg through the socket."""
        import psycopg

        place = {"host": str(self.folder), "port": self.port, "dbname": "postgres"}
        return psycopg.connect(**place, user=user, autocommit=True, **options)

    def kill(self) -> None:
        """Let the whole server die at once, as a machine without power does."""
        data = self.folder / "data"
        children = [int(pid) for pid in self._children()]
        for pid in (self.server.pid, *children):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.server.wait()
        (data / "postmaster.pid").unlink(missing_ok=True)

    def stop(self) -> None:
        if self.server.poll() is None:
            self.server.send_signal(signal.SIGINT)
            self.server.wait()
        shutil.rmtree(self.folder)

    def _children(self) -> list[str]:
        return Path(f"/proc/{self.server.pid}/task/{self.server.pid}/children").read_text().split()

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [self.programs / program, *arguments, "-E", "UTF8", "--locale=C.UTF-8"],
            check=True,
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **self.user,
        )


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgreSQL]:
    """A server that all tests of a process share: each makes tables with names of its own."""
    server = PostgreSQL()
    yield server
    server.stop()


@pytest.fixture
def mortal_postgres() -> Iterator[PostgreSQL]:
    """A server of the test's own, which it may kill."""
    server = PostgreSQL()
    yield server
    server.stop()
