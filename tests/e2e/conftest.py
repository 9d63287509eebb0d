"""Fixtures of the end-to-end tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.e2e.dev import Dev, running
from tests.e2e.market import Market, open_market
from tests.e2e.shop import Shop, open_shop
from tests.support.browser import open_browser


@pytest.fixture
def shop() -> Iterator[Shop]:
    """A merchant's server that listens for webhooks."""
    with open_shop() as opened:
        yield opened


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    """One `openpay dev` for all tests of a module: they leave each other's payments alone."""
    with running(tmp_path_factory.mktemp("dev") / "state") as started:
        yield started


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    """One program and one chain whose blocks can be held, for all tests of a module."""
    with open_market(tmp_path_factory.mktemp("market")) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    """One Chromium for all tests of a module, each of which opens contexts of its own."""
    async with open_browser() as started:
        yield started
