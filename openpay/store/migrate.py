"""Bringing a database to the current schema."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from asyncpg import PostgresError
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from openpay.errors import ConfigurationError
from openpay.store.engine import async_url

MIGRATIONS = Path(__file__).parent / "migrations"


def upgrade(url: str) -> None:
    """Apply every migration that is missing; safe to repeat.

    Blocks and runs an event loop of its own: inside a running loop call it in a thread. Raises `ConfigurationError`
    for a URL that is no usable database's.
    """
    with _readable_failures(url):
        command.upgrade(_config(url), "head")


async def check(url: str) -> None:
    """Raise `ConfigurationError` unless the database can be reached and has exactly the current schema."""
    expected = ScriptDirectory.from_config(_config(url)).get_current_head()
    engine = create_async_engine(async_url(url), poolclass=NullPool)
    try:
        with _readable_failures(url):
            async with engine.connect() as connection:
                found = await connection.run_sync(lambda sync: MigrationContext.configure(sync).get_current_revision())
    finally:
        await engine.dispose()
    if found != expected:
        raise ConfigurationError(
            f"the database is at schema {found or '(none)'}, this version needs {expected}: run `openpay migrate`"
        )


@contextmanager
def _readable_failures(url: str) -> Iterator[None]:
    """At start, a database that is away or is none is a matter of settings; the password in the URL is not shown."""
    try:
        yield
    except (DBAPIError, PostgresError, OSError) as error:
        reason = error.orig if isinstance(error, DBAPIError) else error
        raise ConfigurationError(
            f"OPENPAY_DATABASE_URL: {make_url(url).render_as_string(hide_password=True)} cannot be used: {reason}"
        ) from error


def _config(url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    # Not as an option: Alembic interpolates percent signs in those, which passwords in URLs may hold.
    config.attributes["url"] = async_url(url)
    return config
