"""Which schema this version works on, asked without loading the migrations: every command does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from asyncpg import PostgresError
from sqlalchemy import Connection, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from openpay.errors import ConfigurationError
from openpay.store.engine import async_url

CURRENT = "0001"
"""The newest migration's revision."""


async def check(url: str) -> None:
    """Raise `ConfigurationError` unless the database can be reached and has exactly the current schema.

    Creates nothing: SQLite would make an empty file of any name that it is asked to open.
    """
    target = async_url(url)
    _require_file(target, url)
    engine = create_async_engine(target, poolclass=NullPool)
    try:
        with readable_failures(url):
            async with engine.connect() as connection:
                found = await connection.run_sync(_revision)
    finally:
        await engine.dispose()
    if found is None:
        raise ConfigurationError(
            f"{make_url(url).render_as_string(hide_password=True)} holds no tables of Open Pay: run `openpay migrate`, "
            "or name another database in OPENPAY_DATABASE_URL"
        )
    if found != CURRENT:
        raise ConfigurationError(
            f"the database is at schema {found}, this version needs {CURRENT}: run `openpay migrate`"
        )


def _require_file(target: URL, url: str) -> None:
    name = target.database
    if target.get_backend_name() != "sqlite" or name is None or name.startswith("file:") or Path(name).exists():
        return
    raise ConfigurationError(
        f"there is no database yet at {url} (no file {Path(name).absolute()}): run `openpay migrate` to create it, "
        "or name another database in OPENPAY_DATABASE_URL"
    )


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return found


@contextmanager
def readable_failures(url: str) -> Iterator[None]:
    """At start, a database that is away or is none is a matter of settings; the password in the URL is not shown."""
    try:
        yield
    except (DBAPIError, PostgresError, OSError) as error:
        reason = error.orig if isinstance(error, DBAPIError) else error
        raise ConfigurationError(
            f"OPENPAY_DATABASE_URL: {make_url(url).render_as_string(hide_password=True)} cannot be used: {reason}"
        ) from error
