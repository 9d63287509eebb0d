"""One watcher and one settler per chain, however many processes run: whoever holds the lock works, the others wait.

PostgreSQL: an advisory lock on a connection of its own, gone with the connection. SQLite: an exclusive lock on a file
beside the database, gone with the process. The cursor's compare-and-swap protects the data even if both should fail.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from openpay.store.engine import async_url

RETRY_S = 1.0

_log = structlog.get_logger(__name__)


@asynccontextmanager
async def leadership(url: str, role: str, stop: asyncio.Event) -> AsyncIterator[bool]:
    """Hold the lock for `role` (such as `watcher:56`) inside the block. Yields False when `stop` came first."""
    target = async_url(url)
    if target.get_backend_name() == "postgresql":
        async with _advisory_lock(url, role, stop) as held:
            yield held
    else:
        async with _file_lock(Path(f"{target.database}.{role.replace(':', '-')}.lock"), role, stop) as held:
            yield held


@asynccontextmanager
async def _advisory_lock(url: str, role: str, stop: asyncio.Event) -> AsyncIterator[bool]:
    key = int.from_bytes(hashlib.sha256(f"openpay:{role}".encode()).digest()[:8], "big", signed=True)
    engine = create_async_engine(async_url(url), poolclass=NullPool, isolation_level="AUTOCOMMIT")
    try:
        async with engine.connect() as connection:

            async def attempt() -> bool:
                return bool(await connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": key}))

            held = await _wait_for(attempt, role, stop)
            try:
                yield held
            finally:
                if held and not connection.invalidated:
                    await connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": key})
    finally:
        await engine.dispose()


@asynccontextmanager
async def _file_lock(path: Path, role: str, stop: asyncio.Event) -> AsyncIterator[bool]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    async def attempt() -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    try:
        yield await _wait_for(attempt, role, stop)
    finally:
        os.close(descriptor)  # and with it the lock


async def _wait_for(attempt: Callable[[], Awaitable[bool]], role: str, stop: asyncio.Event) -> bool:
    told = False
    while not stop.is_set():
        if await attempt():
            _log.info("leading", role=role)
            return True
        if not told:
            _log.info("another process leads; waiting", role=role)
            told = True
        try:
            await asyncio.wait_for(stop.wait(), RETRY_S)
        except TimeoutError:
            continue
    return False
