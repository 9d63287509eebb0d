"""SQLite connections for asyncio that do not change threads for every step of a statement.

aiosqlite hands each call of the driver to a thread: four for one statement, and a block's transaction has dozens.
Here a statement is one such call, and one within a writing transaction is none: it has its lock already, finds its rows
by an index, and is done sooner than a thread wakes up. What may wait stays in the thread: `BEGIN IMMEDIATE` for a lock
that is not free, `COMMIT` for the disk, and every query of a reader, which may be a long list.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar

import aiosqlite

T = TypeVar("T")

_INSTANT = frozenset({"BEGIN"})
"""Statements that only note something, and touch no file."""
_LOCKING = "BEGIN IMMEDIATE"


class SqliteConnection(aiosqlite.Connection):
    """One connection. `writes`: its transactions begin with the lock.

    A file that is not there is not created: only migrations do that.
    """

    def __init__(self, database: str, *, writes: bool, **options: Any) -> None:
        if not options.get("uri"):
            database, options["uri"] = f"{Path(database).absolute().as_uri()}?mode=rw", True
        super().__init__(partial(sqlite3.connect, database, **options), iter_chunk_size=64)
        self._writes = writes
        self._in_thread: set[object] = set()
        """What the thread is doing or about to do, also for callers that were cancelled: all else waits its turn."""
        self._thread.daemon = True  # a process that ends waits for no connection

    async def _connect(self) -> Self:
        try:
            await super()._connect()
        except sqlite3.Error:
            # It is told to end, and has nothing else to do: soon its word would come to a loop that is closed.
            self._thread.join()
            raise
        return self

    @property
    def instant(self) -> sqlite3.Connection | None:
        """The driver's connection while a statement is one that may be carried out at once, in this thread."""
        connection = self._conn
        return connection if self._writes and connection.in_transaction and not self._in_thread else None

    def cursor(self) -> Cursor:  # type: ignore[override]  # SQLAlchemy's adapter asks for no more than this one offers
        return Cursor(self)

    async def commit(self) -> None:
        await self._wait_for(self._conn.commit)

    async def rollback(self) -> None:
        if self._in_thread:
            await self._wait_for(self._conn.rollback)
        else:
            self._conn.rollback()

    async def run(self, statement: str, work: Callable[[sqlite3.Connection], None]) -> None:
        """Do `work`, which executes `statement`, here or in the thread."""
        connection = self._conn
        if self.instant is not None or (statement in _INSTANT and not self._in_thread):
            work(connection)
        elif statement != _LOCKING or not self._begins_at_once(work):
            await self._wait_for(partial(work, connection))

    def _begins_at_once(self, work: Callable[[sqlite3.Connection], None]) -> bool:
        def begun(connection: sqlite3.Connection) -> bool:
            work(connection)
            return True

        return self.without_waiting(begun) is not None

    def without_waiting(self, work: Callable[[sqlite3.Connection], T]) -> T | None:
        """Do `work`, which takes no time, here and now; None if another holds the lock that it needs."""
        if self._in_thread:
            return None
        connection = self._conn
        (patience_ms,) = connection.execute("PRAGMA busy_timeout").fetchone()
        connection.execute("PRAGMA busy_timeout = 0")
        try:
            return work(connection)
        except sqlite3.OperationalError:
            return None  # locked, or something that it will meet again in the thread
        finally:
            connection.execute(f"PRAGMA busy_timeout = {patience_ms}")

    async def _wait_for(self, work: Callable[[], None]) -> None:
        task = object()

        def tracked() -> None:
            try:
                work()
            finally:
                self._in_thread.discard(task)

        self._in_thread.add(task)
        await self._execute(tracked)  # type: ignore[no-untyped-call]


class Cursor:
    """A statement and all of its rows, as SQLAlchemy's adapter reads them."""

    def __init__(self, connection: SqliteConnection) -> None:
        self._connection = connection
        self._rows: list[Any] = []
        self.description: Any = None
        self.rowcount = -1
        self.lastrowid: int | None = None
        self.arraysize = 1

    async def __aenter__(self) -> Self:
        return self

    async def execute(self, statement: str, parameters: Sequence[Any] = ()) -> Self:
        return await self._run(statement, lambda cursor: cursor.execute(statement, parameters))

    async def executemany(self, statement: str, parameters: Iterable[Sequence[Any]]) -> Self:
        return await self._run(statement, lambda cursor: cursor.executemany(statement, parameters))

    async def fetchall(self) -> list[Any]:
        rows, self._rows = self._rows, []
        return rows

    async def close(self) -> None:
        """Nothing is left open: all rows were read when the statement ran."""

    async def _run(self, statement: str, execute: Callable[[sqlite3.Cursor], sqlite3.Cursor]) -> Self:
        def work(connection: sqlite3.Connection) -> None:
            cursor = execute(connection.cursor())
            self.description, self.rowcount, self.lastrowid = cursor.description, cursor.rowcount, cursor.lastrowid
            self._rows = cursor.fetchall() if cursor.description else []
            cursor.close()

        await self._connection.run(statement, work)
        return self
