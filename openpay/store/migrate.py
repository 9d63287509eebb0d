"""Bringing a database to the current schema."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config

from openpay.store.engine import async_url
from openpay.store.schema import readable_failures

MIGRATIONS = Path(__file__).parent / "migrations"


def upgrade(url: str) -> None:
    """Apply every migration that is missing; safe to repeat.

    Blocks and runs an event loop of its own: inside a running loop call it in a thread. Raises `ConfigurationError`
    for a URL that is no usable database's.
    """
    with readable_failures(url):
        command.upgrade(_config(url), "head")


def _config(url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    # Not as an option: Alembic interpolates percent signs in those, which passwords in URLs may hold.
    config.attributes["url"] = async_url(url)
    return config
