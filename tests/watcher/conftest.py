"""Fixtures for tests of the watcher."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.watcher.beginning import OpenScene
from tests.watcher.scene import Scene


@pytest.fixture
async def scene(scene_on: OpenScene, sqlite_url: str) -> AsyncIterator[Scene]:
    """An installation on SQLite that has read the whole chain so far."""
    async with scene_on(sqlite_url) as opened:
        yield opened


@pytest.fixture
async def either_scene(scene_on: OpenScene, database_url: str) -> AsyncIterator[Scene]:
    """The same, once on SQLite and once on PostgreSQL."""
    async with scene_on(database_url) as opened:
        yield opened
