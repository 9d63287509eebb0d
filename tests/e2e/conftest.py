"""Fixtures of the end-to-end tests: programs that run for a whole session, since to start one takes seconds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.dev import Dev, running
from tests.e2e.market import Market, open_market
from tests.e2e.shop import Shop, open_shop


@pytest.fixture
def shop() -> Iterator[Shop]:
    """A merchant's server that listens for webhooks."""
    with open_shop() as opened:
        yield opened


@pytest.fixture(scope="session")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    """One `openpay dev` as it starts: its settings, its chain and its clock are left alone."""
    with running(tmp_path_factory.mktemp("dev") / "state") as started:
        yield started


@pytest.fixture(scope="session")
def busy_dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    """One whose webhooks, chain and clock are the tests' own. They leave each other's payments alone."""
    with running(tmp_path_factory.mktemp("busy-dev") / "state") as started:
        yield started


@pytest.fixture
def listening(busy_dev: Dev, shop: Shop) -> Iterator[Shop]:
    """The merchant's server, configured as an endpoint and knowing the key."""
    shop.public_key = busy_dev.api.webhooks.public_key()["public_key"]
    busy_dev.api.webhooks.configure(shop.url + "/a")
    yield shop
    assert shop.refused == []


@pytest.fixture(scope="session")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    """One program and one chain whose blocks can be held."""
    with open_market(tmp_path_factory.mktemp("market")) as opened:
        yield opened
