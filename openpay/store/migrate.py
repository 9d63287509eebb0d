"""Bringing a database to the current schema."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy.engine import URL

from openpay.store.engine import async_url
from openpay.store.schema import readable_failures

MIGRATIONS = Path(__file__).parent / "migrations"


def upgrade(url: str) -> None:
    """Apply every migration that is missing, all of them or none; safe to repeat, and to ask for twice at once.

    Blocks and runs an event loop of its own: inside a running loop call it in a thread. Raises `ConfigurationError`
    for a URL that is no usable database's.
    """
    with readable_failures(url):
        _make_private(async_url(url))
        command.upgrade(_config(url), "head")


def _make_private(target: URL) -> None:
    """Create a new SQLite file for its owner only: it holds customers' data. Its companions take the same rights."""
    if target.get_backend_name() == "sqlite" and target.database and Path(target.database).parent.is_dir():
        Path(target.database).touch(mode=0o600)


def _config(url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    # Not as an option: Alembic interpolates percent signs in those, which passwords in URLs may hold.
    config.attributes["url"] = url
    return config
