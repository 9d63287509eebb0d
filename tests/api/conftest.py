"""A running API with one merchant, on each kind of database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from openpay.app.sealing import Sealer
from openpay.store import Store
from tests.api.shop import Shop, open_shop
from tests.support.databases import PostgresDatabases, SqliteDatabases


@pytest.fixture
async def shop(store: Store, sealer: Sealer) -> AsyncIterator[Shop]:
    async with open_shop(store, sealer) as opened:
        yield opened


# --- for the many small cases that change nothing: one server and database for a whole module ------------------------


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def module_database_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if request.param == "sqlite":
        files: SqliteDatabases = request.getfixturevalue("_sqlite_databases")
        with files.migrated(tmp_path_factory.mktemp("api")) as url:
            yield url
        return
    servers: PostgresDatabases = request.getfixturevalue("_postgres_databases")
    with servers.migrated() as url:
        yield url


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def module_shop(module_database_url: str, sealer: Sealer) -> AsyncIterator[Shop]:
    store = Store.open(module_database_url)
    async with open_shop(store, sealer) as opened:
        yield opened
    await store.close()
