"""Units of work on a real database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import cached_property
from typing import Self

import asyncpg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from openpay.errors import RetryableError
from openpay.store.alerts import SqlAlerts
from openpay.store.chain import SqlAttempts, SqlChainRecord, SqlDeposits
from openpay.store.engine import create_engines
from openpay.store.excess import SqlExcess
from openpay.store.idempotency import SqlIdempotency
from openpay.store.merchants import SqlMerchants
from openpay.store.operations import SqlOperations
from openpay.store.outbox import SqlEvents, SqlWebhooks
from openpay.store.payments import SqlPayments
from openpay.store.refunds import SqlRefunds
from openpay.store.rescans import SqlRescans
from openpay.store.rewinds import SqlRewinds
from openpay.store.vault_looks import SqlVaultLooks

_TRANSIENT_SQLSTATES = frozenset(
    {"40001", "40P01", "53100", "53200", "53300", "57P01", "57P02", "57P03", "08000", "08003", "08006"}
)
"""PostgreSQL: serialization failure, deadlock, disk full, out of memory, too many connections, shutdown, starting up,
connection lost."""


_SQLITE_AWAY = (
    "database is locked",
    "database table is locked",
    "database or disk is full",
    "unable to open database file",
    "disk I/O error",
    "attempt to write a readonly database",
)


class DatabaseBusy(RetryableError):
    """The database was locked, full, restarting or away; nothing was written."""


class SqlUnitOfWork:
    """The repositories of one transaction; see `openpay.app.ports.UnitOfWork`."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection

    @cached_property
    def payments(self) -> SqlPayments:
        return SqlPayments(self.connection)

    @cached_property
    def deposits(self) -> SqlDeposits:
        return SqlDeposits(self.connection)

    @cached_property
    def refunds(self) -> SqlRefunds:
        return SqlRefunds(self.connection)

    @cached_property
    def excess(self) -> SqlExcess:
        return SqlExcess(self.connection)

    @cached_property
    def attempts(self) -> SqlAttempts:
        return SqlAttempts(self.connection)

    @cached_property
    def chain(self) -> SqlChainRecord:
        return SqlChainRecord(self.connection)

    @cached_property
    def rewinds(self) -> SqlRewinds:
        return SqlRewinds(self.connection)

    @cached_property
    def rescans(self) -> SqlRescans:
        return SqlRescans(self.connection)

    @cached_property
    def vault_looks(self) -> SqlVaultLooks:
        return SqlVaultLooks(self.connection)

    @cached_property
    def events(self) -> SqlEvents:
        return SqlEvents(self.connection)

    @cached_property
    def webhooks(self) -> SqlWebhooks:
        return SqlWebhooks(self.connection)

    @cached_property
    def merchants(self) -> SqlMerchants:
        return SqlMerchants(self.connection)

    @cached_property
    def idempotency(self) -> SqlIdempotency:
        return SqlIdempotency(self.connection)

    @cached_property
    def operations(self) -> SqlOperations:
        return SqlOperations(self.connection)

    @cached_property
    def alerts(self) -> SqlAlerts:
        return SqlAlerts(self.connection)


class Store:
    """`openpay.app.ports.Database` on SQLite or PostgreSQL."""

    def __init__(self, reader: AsyncEngine, writer: AsyncEngine) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    def open(cls, url: str) -> Self:
        """Connect lazily to `sqlite:///file.db` or `postgresql://…`. Raises `ConfigurationError`."""
        return cls(*create_engines(url))

    async def close(self) -> None:
        await self._reader.dispose()
        if self._writer is not self._reader:
            await self._writer.dispose()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[SqlUnitOfWork]:
        """One consistent view; nothing is written. Raises `DatabaseBusy`."""
        async with _connected(self._reader) as connection:
            yield SqlUnitOfWork(connection)

    @asynccontextmanager
    async def write(self) -> AsyncIterator[SqlUnitOfWork]:
        """Commits when the block ends without an error, else rolls back. Raises `DatabaseBusy`."""
        async with _connected(self._writer) as connection, connection.begin():
            yield SqlUnitOfWork(connection)


@asynccontextmanager
async def _connected(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A connection for one transaction. Raises `DatabaseBusy`."""
    async with AsyncExitStack() as stack:
        try:
            with _translated():
                connection = await stack.enter_async_context(engine.connect())
        except (OSError, PoolTimeout) as error:
            raise DatabaseBusy(f"the database cannot be reached: {str(error) or 'it says nothing'}") from error
        except asyncpg.PostgresError as error:  # while connecting they reach us as they are
            if error.sqlstate not in _TRANSIENT_SQLSTATES:
                raise
            raise DatabaseBusy(f"the database accepts no connection: {error}") from error
        with _translated():
            yield connection


@contextmanager
def _translated() -> Iterator[None]:
    """Let callers tell a database that is away for a moment from a bug."""
    try:
        yield
    except DBAPIError as error:
        sqlstate = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None)
        away = any(words in str(error.orig) for words in _SQLITE_AWAY)
        if away or error.connection_invalidated or sqlstate in _TRANSIENT_SQLSTATES:
            raise DatabaseBusy(f"the database did not answer: {error.orig}") from error
        raise
    except (ConnectionError, TimeoutError) as error:
        raise DatabaseBusy(f"the database cannot be reached: {str(error) or 'it says nothing'}") from error
