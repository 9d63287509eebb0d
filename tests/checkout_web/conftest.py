from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from openpay.store import Store
from tests.checkout_web.scenes import Shop


@pytest.fixture
async def shop(sqlite_url: str) -> AsyncIterator[Shop]:
    """A merchant with an empty, migrated database and a current view of the chain."""
    store = Store.open(sqlite_url)
    yield await Shop.opened(store)
    await store.close()
