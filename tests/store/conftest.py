"""A store on each kind of database, with a merchant in it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.app.worlds import World


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    """The test runs once on SQLite and once on PostgreSQL."""
    opened = await World.opened(database_url)
    yield opened
    await opened.close()


@pytest.fixture
async def postgres_world(postgres_url: str) -> AsyncIterator[World]:
    """For what only PostgreSQL can do: two writers at once."""
    opened = await World.opened(postgres_url)
    yield opened
    await opened.close()
