"""How Alembic reaches the database: the same asynchronous drivers as everything else, one migration at a time."""

from __future__ import annotations

import asyncio

from alembic import context
from sqlalchemy import Connection, text

from openpay.store.engine import create_migrator
from openpay.store.tables import metadata

LOCK = 0x6F70656E706179
"""PostgreSQL's advisory locks are numbers; SQLite's transaction has the lock already."""


def run(connection: Connection) -> None:
    # Whoever comes second waits here, and finds everything done.
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
    # Batch mode: SQLite alters a table by copying it.
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True, compare_type=True)
    with context.begin_transaction():
        context.run_migrations()


async def main() -> None:
    engine = create_migrator(context.config.attributes["url"])
    try:
        async with engine.begin() as connection:
            await connection.run_sync(run)
    finally:
        await engine.dispose()


asyncio.run(main())
