"""Fixtures for tests of the settler."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.settlement.till import Till
from tests.watcher.beginning import OpenScene


@pytest.fixture
async def till(scene_on: OpenScene, sqlite_url: str) -> AsyncIterator[Till]:
    """A shop on SQLite whose payments are watched and settled step by step."""
    async with scene_on(sqlite_url) as scene:
        yield Till(scene)


@pytest.fixture
async def either_till(scene_on: OpenScene, database_url: str) -> AsyncIterator[Till]:
    """The same, once on SQLite and once on PostgreSQL."""
    async with scene_on(database_url) as scene:
        yield Till(scene)
