"""Bringing a database to the current schema."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from openpay.errors import ConfigurationError
from openpay.store.engine import async_url

MIGRATIONS = Path(__file__).parent / "migrations"


def upgrade(url: str) -> None:
    """Apply every migration that is missing; safe to repeat.

    Blocks and runs an event loop of its own: inside a running loop call it in a thread. Raises `ConfigurationError`
    for a URL that is no database's.
    """
    command.upgrade(_config(url), "head")


async def check(url: str) -> None:
    """Raise `ConfigurationError` unless the database has exactly the current schema."""
    expected = ScriptDirectory.from_config(_config(url)).get_current_head()
    engine = create_async_engine(async_url(url), poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            found = await connection.run_sync(lambda sync: MigrationContext.configure(sync).get_current_revision())
    finally:
        await engine.dispose()
    if found != expected:
        raise ConfigurationError(
            f"the database is at schema {found or '(none)'}, this version needs {expected}: run `openpay migrate`"
        )


def _config(url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    # Not as an option: Alembic interpolates percent signs in those, which passwords in URLs may hold.
    config.attributes["url"] = async_url(url)
    return config
