"""Many different pages: what changes all of them is noted at once, and drawn while others have their turns."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request

from checkout_web.content.view import Checkout
from checkout_web.deps import Deps
from checkout_web.drawing.pages import StatePart
from checkout_web.live.hub import NOTED_AT_ONCE, LiveHub, Viewer
from openpay.domain.payment import Payment
from tests.checkout_web.hubs import CountingStore, Line, loaded
from tests.checkout_web.scenes import Shop, open_shop

PAGES = 30
PATIENCE_S = 60
NEVER_S = 3_600.0


@dataclass(frozen=True)
class Noted:
    """A look that notes what is drawn, and when: in which turn of the loop."""

    clock: Turns = field(compare=False)
    drawn: list[tuple[str, str, int]] = field(default_factory=list, compare=False)

    def tag(self, checkout: Checkout) -> str:
        return f"{checkout.part}-{checkout.behind_s}"

    def draw(self, checkout: Checkout) -> StatePart:
        self.drawn.append((checkout.payment_id, str(checkout.part), self.clock.count))
        return StatePart(html=checkout.part, title="", tag=self.tag(checkout))


class Turns:
    """Counts how often others have their turn."""

    def __init__(self) -> None:
        self.count = 0

    async def run(self) -> None:
        while True:
            self.count += 1
            await asyncio.sleep(0)


@pytest.fixture
async def anywhere(database_url: str) -> AsyncIterator[Shop]:
    async with open_shop(database_url) as shop:
        yield shop


async def watched(hub: LiveHub, shop: Shop, payment: Payment, look: Noted) -> tuple[Viewer, Line]:
    """A page that shows what its payment is, and hears of what follows."""
    viewer, line = hub.watch(await loaded(shop, payment), look), Line()
    viewer.open(make_mocked_request("GET", "/", transport=line), seen=viewer.shown.tag)
    return viewer, line


@asynccontextmanager
async def running(*work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Other work of the loop, until the block ends."""
    tasks = [asyncio.create_task(one) for one in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()


async def all_heard(pages: Sequence[tuple[Viewer, Line]]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not all(line.written for _, line in pages):
            await asyncio.sleep(0)


async def test_all_pages_hear_that_the_network_is_behind_after_one_read(anywhere: Shop) -> None:
    shop, counting, turns = anywhere, CountingStore(anywhere.store), Turns()
    deps = Deps(db=counting, payments=shop.service, signals=shop.signals, tick_s=NEVER_S)
    hub, look = LiveHub(deps), Noted(turns)
    payments = [await shop.create() for _ in range(PAGES)]
    pages = [await watched(hub, shop, payment, look) for payment in payments]
    async with running(hub.run(), turns.run()):
        while turns.count < 10:  # the hub is listening
            await asyncio.sleep(0)
        counting.reads = 0
        async with shop.store.write() as uow:
            await shop.service.cancel(uow, payments[-1].id)
        shop.clock.seconds += 60  # since the newest block
        shop.signals.notify("payments")
        await all_heard(pages)
    assert counting.reads == 1, "whatever the number of pages"
    order = [payment_id for payment_id, _, _ in look.drawn]
    assert len(order) == len(set(order)) == PAGES, "each is drawn once"
    assert order[0] == payments[-1].id, "what happened to a payment does not wait for the others"
    turns_of = [turn for _, _, turn in look.drawn]
    assert len(set(turns_of)) == PAGES, "others have a turn between any two drawings"


async def test_busy_shop_does_not_keep_pages_from_hearing_of_the_network(shop: Shop) -> None:
    deps = Deps(db=shop.store, payments=shop.service, signals=shop.signals, tick_s=NEVER_S)
    hub, look = LiveHub(deps), Noted(Turns())
    pages = [await watched(hub, shop, await shop.create(), look) for _ in range(PAGES)]

    async def business() -> None:
        while True:
            shop.signals.notify("payments")
            await asyncio.sleep(0)

    shop.clock.seconds += 60
    async with running(hub.run(), business()):
        await all_heard(pages)


async def test_comparing_pages_lets_others_have_their_turn(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    assert NOTED_AT_ONCE <= 1_000
    monkeypatch.setattr("checkout_web.live.hub.NOTED_AT_ONCE", 1)
    turns = Turns()
    deps = Deps(db=shop.store, payments=shop.service, signals=shop.signals)
    hub = LiveHub(deps)
    for _ in range(5):
        await watched(hub, shop, await shop.create(), Noted(turns))
    closed, _ = await watched(hub, shop, await shop.create(), Noted(turns))
    leaving = asyncio.create_task(turns.run())
    leaving.add_done_callback(lambda _: closed.end())
    shop.clock.seconds += 60
    refreshing = asyncio.create_task(hub.refresh())
    await asyncio.sleep(0)
    leaving.cancel()  # a reader leaves while all pages are being compared
    await refreshing
    assert hub.viewers == 5
