"""Fixtures for tests of the settler."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.settlement.till import Till
from tests.support.anvil import Anvil
from tests.watcher.scene import open_scene


@pytest.fixture
async def till(anvil: Anvil, sqlite_url: str) -> AsyncIterator[Till]:
    """A shop on SQLite whose payments are watched and settled step by step."""
    async with open_scene(anvil, sqlite_url) as scene:
        await scene.watch()
        yield Till(scene)


@pytest.fixture
async def either_till(anvil: Anvil, database_url: str) -> AsyncIterator[Till]:
    """The same, once on SQLite and once on PostgreSQL."""
    async with open_scene(anvil, database_url) as scene:
        await scene.watch()
        yield Till(scene)
