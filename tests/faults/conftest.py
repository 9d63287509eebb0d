"""What tests of faults stand on: an installation behind hosts that fail as told."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.anvil import Anvil
from tests.watcher.scene import Scene, open_scene


@pytest.fixture
async def scene(anvil: Anvil, sqlite_url: str) -> AsyncIterator[Scene]:
    """An installation on SQLite that has read the whole chain so far."""
    async with open_scene(anvil, sqlite_url) as opened:
        await opened.watch()
        yield opened
