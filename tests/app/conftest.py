"""A world on each kind of database."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.app.worlds import World


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    """A merchant in an otherwise empty store; the test runs once on SQLite and once on PostgreSQL."""
    opened = await World.opened(database_url)
    yield opened
    await opened.close()


@pytest.fixture
async def postgres_world(postgres_url: str) -> AsyncIterator[World]:
    """The same on PostgreSQL only, for what needs two transactions at once."""
    opened = await World.opened(postgres_url)
    yield opened
    await opened.close()
