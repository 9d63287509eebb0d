"""Fixtures of the end-to-end tests: programs that several files share, since to start one takes seconds."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterator
from contextlib import AbstractContextManager, ExitStack
from typing import Any, TypeVar

import pytest

from tests.e2e.dev import Dev, running
from tests.e2e.market import Market, open_market
from tests.e2e.shop import Shop, open_shop

T = TypeVar("T")


class Programs:
    """What runs, by the name of its fixture."""

    def __init__(self) -> None:
        self._running: dict[str, tuple[Any, ExitStack]] = {}

    def one(self, name: str, start: Callable[[], AbstractContextManager[T]]) -> T:
        """The one of that name, started unless it runs."""
        if name not in self._running:
            stack = ExitStack()
            self._running[name] = stack.enter_context(start()), stack
        program: T = self._running[name][0]
        return program

    def keep(self, names: Collection[str]) -> None:
        """End all others: one that waits for blocks takes a tenth of a core from the tests that go on."""
        for name in self._running.keys() - set(names):
            self._running.pop(name)[1].close()


_PROGRAMS = pytest.StashKey[Programs]()


def _programs_of(session: pytest.Session) -> Programs:
    return session.stash.setdefault(_PROGRAMS, Programs())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None, None, None]:
    yield
    _programs_of(item.session).keep(getattr(nextitem, "fixturenames", ()))


@pytest.fixture
def programs(request: pytest.FixtureRequest) -> Programs:
    return _programs_of(request.session)


@pytest.fixture
def shop() -> Iterator[Shop]:
    """A merchant's server that listens for webhooks."""
    with open_shop() as opened:
        yield opened


@pytest.fixture
def dev(programs: Programs, tmp_path_factory: pytest.TempPathFactory) -> Dev:
    """One `openpay dev` as it starts: its settings, its chain and its clock are left alone."""
    return programs.one("dev", lambda: running(tmp_path_factory.mktemp("dev") / "state"))


@pytest.fixture
def busy_dev(programs: Programs, tmp_path_factory: pytest.TempPathFactory) -> Dev:
    """One whose webhooks, chain and clock are the tests' own. They leave each other's payments alone."""
    return programs.one("busy_dev", lambda: running(tmp_path_factory.mktemp("busy-dev") / "state"))


@pytest.fixture
def listening(busy_dev: Dev, shop: Shop) -> Iterator[Shop]:
    """The merchant's server, configured as an endpoint and knowing the key."""
    shop.public_key = busy_dev.api.webhooks.public_key()["public_key"]
    busy_dev.api.webhooks.configure(shop.url + "/a")
    yield shop
    assert shop.refused == []


@pytest.fixture
def market(programs: Programs, tmp_path_factory: pytest.TempPathFactory) -> Market:
    """One program and one chain whose blocks can be held."""
    return programs.one("market", lambda: open_market(tmp_path_factory.mktemp("market")))
