"""One watcher and one settler per chain, however many processes run: whoever holds the lock works, the others wait.

PostgreSQL: an advisory lock on a connection of its own, gone with the connection. SQLite: an exclusive lock on a file
beside the database, gone with the process. The cursor's compare-and-swap protects the data even if both should fail.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Protocol

import structlog
from asyncpg import PostgresError
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from openpay.app.stopping import pause
from openpay.store.engine import async_url

RETRY_S = 1.0
CHECK_S = 5.0
"""How often a leader looks whether its lock is still there, and how long it waits for the answer."""

_log = structlog.get_logger(__name__)


@asynccontextmanager
async def leadership(url: str, role: str, stop: asyncio.Event) -> AsyncIterator[asyncio.Event]:
    """Hold the lock for `role` (such as `watcher:56`) inside the block, waiting for it first.

    Yields the event that ends the term: it is set when `stop` is, and when the lock was lost. Stand for election again
    then. It is set from the beginning when `stop` came first.
    """
    lock = _lock(url, role)
    over = asyncio.Event()
    try:
        await _wait_for(lock, role, stop)
        watching = asyncio.create_task(_end_term(lock, role, stop, over))
        if stop.is_set():
            over.set()
        try:
            yield over
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching
    finally:
        await lock.release()


@asynccontextmanager
async def without_leader(url: str, role: str) -> AsyncIterator[bool]:
    """Keep everybody from leading `role` inside the block, without waiting: False where somebody leads already.

    The lock's loss inside the block is not noticed; the cursor's compare-and-swap protects what is written.
    """
    lock = _lock(url, role)
    try:
        yield await lock.acquire()
    finally:
        await lock.release()


def _lock(url: str, role: str) -> _Lock:
    target = async_url(url)
    if target.get_backend_name() == "postgresql":
        return _AdvisoryLock(url, role)
    return _FileLock(Path(f"{target.database}.{role.replace(':', '-')}.lock"))


class _Lock(Protocol):
    async def acquire(self) -> bool:
        """Take the lock unless another has it; whether it is ours now."""

    async def is_held(self) -> bool:
        """Whether it still is."""

    async def release(self) -> None:
        """Give it back if it was taken."""


class _AdvisoryLock:
    """A lock of PostgreSQL on a connection of its own. The server frees it when the connection ends, for any reason."""

    def __init__(self, url: str, role: str) -> None:
        digest = hashlib.sha256(f"openpay:{role}".encode()).digest()
        self._key = int.from_bytes(digest[:8], "big", signed=True)
        self._engine = create_async_engine(async_url(url), poolclass=NullPool, isolation_level="AUTOCOMMIT")
        self._connection: AsyncConnection | None = None

    async def acquire(self) -> bool:
        # A new connection each time: it does not matter whether the server was away in between.
        try:
            connection = await self._engine.connect()
        except (DBAPIError, PostgresError, OSError) as error:
            _log.warning("the database does not answer; no leader can be elected", reason=str(error))
            return False
        self._connection = connection
        if await self._ask("SELECT pg_try_advisory_lock(:key)", key=self._key):
            return True
        await self._close()
        return False

    async def is_held(self) -> bool:
        return bool(await self._ask("SELECT true"))

    async def release(self) -> None:
        await self._close()
        await self._engine.dispose()

    async def _ask(self, statement: str, **values: int) -> object:
        """The answer; None when the connection is gone, or silent for too long."""
        if self._connection is None:
            return None
        try:
            async with asyncio.timeout(CHECK_S):
                answer: object = await self._connection.scalar(text(statement), values)
                return answer
        except (DBAPIError, PostgresError, OSError) as error:
            _log.warning("the database does not answer the leader", reason=str(error))
            return None

    async def _close(self) -> None:
        """Close the connection, and with it the lock. One that is dead already is no matter."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(DBAPIError, PostgresError, OSError):
                await connection.close()


class _FileLock:
    """A lock on a file beside the database. Only the end of the process takes it away."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    async def acquire(self) -> bool:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    async def is_held(self) -> bool:
        return True

    async def release(self) -> None:
        os.close(self._descriptor)  # and with it the lock


async def _wait_for(lock: _Lock, role: str, stop: asyncio.Event) -> None:
    """Return once the lock is held, or `stop` is set."""
    told = False
    while not stop.is_set():
        if await lock.acquire():
            _log.info("leading", role=role)
            return
        if not told:
            _log.info("another process leads; waiting", role=role)
            told = True
        await pause(stop, RETRY_S)


async def _end_term(lock: _Lock, role: str, stop: asyncio.Event, over: asyncio.Event) -> None:
    """Set `over` when `stop` is set or the lock is lost."""
    while not stop.is_set():
        await pause(stop, CHECK_S)
        if not stop.is_set() and not await lock.is_held():
            _log.error("the leader's lock is lost; standing for election again", role=role)
            break
    over.set()
