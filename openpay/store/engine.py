"""Database connections: SQLite made safe for money, PostgreSQL as it comes.

SQLite runs in WAL mode with `synchronous=FULL` (a commit survives a power cut). Writers take the lock at once with
`BEGIN IMMEDIATE`: a transaction that began by reading could not upgrade later without failing. One writing connection
per process makes them queue in order instead of polling for the lock.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from functools import partial
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import URL, Connection, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool
from sqlalchemy.util import await_only

from openpay.errors import ConfigurationError
from openpay.store.sqlite import SqliteConnection

SQLITE_LOCK_WAIT_S = 30
WAL_RETRY_S = 0.02
POSTGRES_POOL_SIZE = 10
POSTGRES_STATEMENT_S = 30.0
"""No statement of ours takes nearly so long: a server that says nothing for so long is away, whatever TCP believes."""

_TAKE_THE_LOCK = "BEGIN IMMEDIATE"
_ASYNC_DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg", "postgres": "postgresql+asyncpg"}


def async_url(url: str) -> URL:
    """The URL with the asynchronous driver that Open Pay uses. Raises `ConfigurationError`."""
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
    except ArgumentError as error:
        raise ConfigurationError(f"OPENPAY_DATABASE_URL is not a database URL: {error}") from error
    if backend not in _ASYNC_DRIVERS:
        raise ConfigurationError(
            f"OPENPAY_DATABASE_URL starts with {parsed.drivername}: use sqlite:///file.db or postgresql://…"
        )
    if backend == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise ConfigurationError("OPENPAY_DATABASE_URL must name a file: processes meet in the database")
    return parsed.set(drivername=_ASYNC_DRIVERS[backend])


def create_engines(url: str) -> tuple[AsyncEngine, AsyncEngine]:
    """Engines for reading and for writing. On PostgreSQL they share their connections.

    Either way a reading transaction sees one moment of the database, however many queries it makes.
    """
    target = async_url(url)
    if target.get_backend_name() == "postgresql":
        writer = create_async_engine(
            target,
            pool_size=POSTGRES_POOL_SIZE,
            max_overflow=0,
            pool_pre_ping=True,
            connect_args={"command_timeout": POSTGRES_STATEMENT_S},
        )
        return writer.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True), writer
    reader = create_async_engine(target, pool_size=4, max_overflow=0, connect_args=_connecting(writes=False))
    writer = create_async_engine(
        target, pool_size=1, max_overflow=0, pool_timeout=60, connect_args=_connecting(writes=True)
    )
    _configure_sqlite(reader, begin="BEGIN")
    _configure_sqlite(writer, begin=_TAKE_THE_LOCK)
    return reader, writer


def create_migrator(url: str) -> AsyncEngine:
    """The engine for migrations, whose transaction is all or nothing and keeps every other writer out. Raises
    `ConfigurationError` for a URL that is no usable database's.

    Keys are not checked meanwhile: SQLite alters a table by copying it, and rows of others refer to the copied one.
    """
    target = async_url(url)
    engine = create_async_engine(target, poolclass=NullPool)
    if target.get_backend_name() == "sqlite":
        _configure_sqlite(engine, begin=_TAKE_THE_LOCK, checks_keys=False)
    return engine


def _connecting(*, writes: bool) -> dict[str, Any]:
    return {"async_creator_fn": partial(SqliteConnection, writes=writes)}


def _use_wal(cursor: Any) -> None:
    """The mode belongs to the file: only the first connection ever changes it.

    For that change SQLite waits for no lock, whatever the timeout. So of processes that open a new file at once, or one
    that was restored from a backup, some are told that it is locked: they wait here for the one that was first.
    """
    give_up_at = time.monotonic() + SQLITE_LOCK_WAIT_S
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > give_up_at:
                raise
        await_only(asyncio.sleep(WAL_RETRY_S))


def _configure_sqlite(engine: AsyncEngine, *, begin: str, checks_keys: bool = True) -> None:
    @event.listens_for(engine.sync_engine, "connect")
    def on_connect(connection: Any, _record: object) -> None:
        # The driver's own transaction handling would begin too late, and deferred; ours begins below.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {SQLITE_LOCK_WAIT_S * 1000}")
        _use_wal(cursor)
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute(f"PRAGMA foreign_keys = {'ON' if checks_keys else 'OFF'}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def on_begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)
