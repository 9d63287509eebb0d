"""The shop whose pages are tested, its server, and the street in front of it, where customers with browsers come from.

Tests in a browser run in the event loop of the browser, which all of a worker share; others each in one of their own.
A shop is in the loop of its test.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from playwright.async_api import Browser

from tests.checkout_web.checkout_visits import Street
from tests.checkout_web.gallery import LONG
from tests.checkout_web.scenes import Shop, open_shop
from tests.checkout_web.watching import Gallery, open_gallery
from tests.support.databases import SqliteDatabases

Client = TestClient[web.Request, web.Application]


@pytest.fixture
def shop(request: pytest.FixtureRequest) -> Shop:
    """A merchant with an empty, migrated database and a current view of the chain."""
    opened: Shop = request.getfixturevalue("_browsed_shop" if "browser" in request.fixturenames else "_own_shop")
    return opened


@pytest_asyncio.fixture(loop_scope="session")
async def _browsed_shop(sqlite_url: str) -> AsyncIterator[Shop]:
    async with open_shop(sqlite_url) as opened:
        yield opened


@pytest.fixture
async def _own_shop(sqlite_url: str) -> AsyncIterator[Shop]:
    async with open_shop(sqlite_url) as opened:
        yield opened


@pytest.fixture
def page_settings() -> dict[str, Any]:
    """What the server's application is told beyond the shop; a module with other needs has its own."""
    return {}


@pytest.fixture
async def client(shop: Shop, aiohttp_client: Callable[[web.Application], Awaitable[Client]]) -> Client:
    """The shop's pages, for a test that needs no browser."""
    return await aiohttp_client(shop.application(public_url="https://pay.example"))


@pytest_asyncio.fixture(loop_scope="session")
async def server(browser: Browser, shop: Shop, page_settings: dict[str, Any]) -> AsyncIterator[TestServer]:
    """The shop's pages, for a browser."""
    async with TestServer(shop.application(**page_settings)) as started:
        yield started


@pytest.fixture
def street(shop: Shop, server: TestServer, browser: Browser) -> Street:
    return Street(shop=shop, server=server, browser=browser)


@pytest.fixture(scope="module")
def module_sqlite_url(_sqlite_databases: SqliteDatabases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A migrated database without rows that all tests of a module share."""
    with _sqlite_databases.migrated(tmp_path_factory.mktemp("module")) as url:
        yield url


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def gallery(
    browser: Browser, _sqlite_databases: SqliteDatabases, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Gallery]:
    """Every state of the page with the merchant's words at their worst. To be looked at: nobody changes an exhibit."""
    with _sqlite_databases.migrated(tmp_path_factory.mktemp("gallery")) as url:
        async with open_gallery(browser, url, **LONG) as opened:
            yield opened
