"""Fixtures shared by all tests: local chains, databases of both kinds, what is in them, a browser, a pager."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import structlog
from hypothesis import settings
from playwright.async_api import Browser

from openpay.app.sealing import Sealer
from openpay.store import Store
from tests.app.worlds import World
from tests.support.anvil import Anvil
from tests.support.browser import open_browser
from tests.support.databases import PostgresDatabases, SqliteDatabases
from tests.support.pager import Pager, open_pager
from tests.support.postgres import PostgresCluster
from tests.support.workers import arrange, scheduler
from tests.watcher.beginning import Beginning, OpenScene

# No deadline: a slow machine is not a failing test. Few examples while somebody waits; many, by
# `--hypothesis-profile thorough`, in the night.
settings.register_profile("openpay", deadline=None, print_blob=True, max_examples=30)
settings.register_profile("thorough", settings.get_profile("openpay"), max_examples=200)
settings.load_profile("openpay")


@pytest.fixture(autouse=True)
def own_logging() -> Iterator[None]:
    """What a test sets for the log, such as a level, does not make the next one deaf."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


@pytest.fixture
def start_anvil() -> Iterator[Callable[..., Anvil]]:
    """Start any number of chains with options of their own; takes what ``Anvil.start`` takes."""
    chains: list[Anvil] = []

    def start(*options: str, **keywords: object) -> Anvil:
        chain = Anvil.start(*options, **keywords)  # type: ignore[arg-type]
        chains.append(chain)
        return chain

    yield start
    for chain in chains:
        chain.stop()


@pytest.fixture
def anvil(start_anvil: Callable[..., Anvil]) -> Anvil:
    """A fresh local chain at block 0, as ``openpay dev`` runs it, which mines only when told or sent to."""
    return start_anvil()


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[PostgresCluster]:
    """The PostgreSQL server of this test run. A machine without one fails the test: nothing is skipped."""
    cluster = PostgresCluster.start()
    yield cluster
    cluster.stop()


@pytest.fixture(scope="session")
def _postgres_databases(postgres_cluster: PostgresCluster) -> PostgresDatabases:
    return PostgresDatabases(postgres_cluster)


@pytest.fixture(scope="session")
def _sqlite_databases(tmp_path_factory: pytest.TempPathFactory) -> SqliteDatabases:
    return SqliteDatabases(tmp_path_factory.mktemp("sqlite-template"))


@pytest.fixture(scope="session")
def _beginning(_sqlite_databases: SqliteDatabases, tmp_path_factory: pytest.TempPathFactory) -> Beginning:
    return Beginning(databases=_sqlite_databases, directory=tmp_path_factory.mktemp("beginning"))


@pytest.fixture
def scene_on(_beginning: Beginning, start_anvil: Callable[..., Anvil]) -> OpenScene:
    """Open an installation on this database: contracts on a chain of its own, a merchant, all of it read."""
    return partial(_beginning.scene, start_anvil)


@pytest.fixture
def postgres_url(_postgres_databases: PostgresDatabases) -> Iterator[str]:
    """URL of a migrated database without rows, on PostgreSQL."""
    with _postgres_databases.migrated() as url:
        yield url


@pytest.fixture
def sqlite_url(_sqlite_databases: SqliteDatabases, tmp_path: Path) -> Iterator[str]:
    """URL of a migrated database without rows, in an SQLite file."""
    with _sqlite_databases.migrated(tmp_path) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """URL of a migrated database without rows: the test runs once on SQLite and once on PostgreSQL."""
    url: str = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of a database without even tables, once of each kind: for testing migrations."""
    if request.param == "sqlite":
        yield SqliteDatabases.url(tmp_path / "empty.db")
        return
    databases: PostgresDatabases = request.getfixturevalue("_postgres_databases")
    with databases.empty() as url:
        yield url


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    """An open store without rows, on each kind of database."""
    opened = Store.open(database_url)
    yield opened
    await opened.close()


@pytest.fixture(scope="session")
def sealer() -> Sealer:
    return Sealer("a passphrase for tests")


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    """A merchant in an otherwise empty store, and a made-up chain; on each kind of database."""
    opened = await World.opened(database_url)
    yield opened
    await opened.close()


@pytest.fixture
async def postgres_world(postgres_url: str) -> AsyncIterator[World]:
    """The same on PostgreSQL only, for what needs two transactions at once."""
    opened = await World.opened(postgres_url)
    yield opened
    await opened.close()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    return scheduler(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a browser (`scripts/test -m browser`), and run it in the event loop that the browser is in."""
    arrange(items)
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker("browser")
            if not any(marker.kwargs for marker in item.iter_markers("asyncio")):
                item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """One Chromium for all tests of a worker, each of which opens contexts of its own: to start it takes a second."""
    async with open_browser() as started:
        yield started


@pytest.fixture
async def pager() -> AsyncIterator[Pager]:
    """The operator's receiver of alerts."""
    async with open_pager() as opened:
        yield opened
