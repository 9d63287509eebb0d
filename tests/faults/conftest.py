"""What tests of faults stand on: an installation behind hosts that fail as told."""

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
