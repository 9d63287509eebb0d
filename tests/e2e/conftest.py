"""Fixtures of the end-to-end tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.dev import Dev, running
from tests.e2e.shop import Shop, open_shop


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
