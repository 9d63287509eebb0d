"""Open pages hear of changes, at one read for all of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient

from checkout_web.deps import Deps
from checkout_web.live import LiveHub
from checkout_web.reader import Loaded, load
from checkout_web.view import Part
from openpay.app.ports import UnitOfWork
from openpay.domain.payment import Payment
from openpay.errors import RateLimited
from openpay.store import Store
from tests.checkout_web.scenes import WHOLE, Shop

Client = TestClient[web.Request, web.Application]
Connect = Callable[[web.Application], Awaitable[Client]]

NEVER_S = 3_600.0


@dataclass(frozen=True, kw_only=True)
class Event:
    name: str
    id: str | None
    data: Any


@asynccontextmanager
async def stream(client: Client, payment: Payment, query: str = "", **headers: str) -> AsyncIterator[ClientResponse]:
    answer = await client.get(f"/checkout/{payment.id}/events{query}", headers=headers)
    try:
        yield answer
    finally:
        answer.close()


async def next_event(answer: ClientResponse) -> Event:
    """The next event of a stream, comments left out (HTML Standard, server-sent events)."""
    fields: dict[str, str] = {}
    async with asyncio.timeout(60):
        while True:
            line = (await answer.content.readline()).decode().rstrip("\r\n")
            if line and not line.startswith(":"):
                name, _, value = line.partition(": ")
                fields[name] = value
            elif fields and not line:
                return Event(name=fields["event"], id=fields.get("id"), data=json.loads(fields["data"]))


async def test_a_page_is_sent_its_state_and_then_every_change(shop: Shop, aiohttp_client: Connect) -> None:
    client = await aiohttp_client(shop.application(tick_s=NEVER_S))
    payment = await shop.create()
    async with stream(client, payment) as events:
        assert events.content_type == "text/event-stream"
        first = await next_event(events)
        assert first.name == "state"
        assert first.id == first.data["tag"]
        assert 'data-part="waiting"' in first.data["html"]
        await shop.pay(payment)
        assert 'data-part="confirming"' in (await next_event(events)).data["html"]
        await shop.mine()
        assert "2</span> of 12 confirmations" in (await next_event(events)).data["html"]
        await shop.confirm(payment)
        while 'data-part="paid"' not in (await next_event(events)).data["html"]:
            pass


async def test_changes_by_another_process_are_seen_without_a_signal(shop: Shop, aiohttp_client: Connect) -> None:
    client = await aiohttp_client(shop.application(tick_s=0.05))
    payment = await shop.create()
    async with stream(client, payment) as events:
        await next_event(events)
        async with shop.store.write() as uow:
            await shop.service.cancel(uow, payment.id)
        assert 'data-part="canceled"' in (await next_event(events)).data["html"]


async def test_the_deadline_passing_is_a_change(shop: Shop, aiohttp_client: Connect) -> None:
    client = await aiohttp_client(shop.application(tick_s=0.05))
    payment = await shop.create()
    async with stream(client, payment) as events:
        await next_event(events)
        shop.clock.seconds = payment.deadline + 1
        assert 'data-part="closing"' in (await next_event(events)).data["html"]


async def test_the_age_of_the_view_is_told_as_it_grows_and_when_it_is_over(shop: Shop, aiohttp_client: Connect) -> None:
    client = await aiohttp_client(shop.application(tick_s=0.05))
    payment = await shop.create()
    async with stream(client, payment) as events:
        assert "Catching up" not in (await next_event(events)).data["html"]
        for waited_s, words in ((60, "about 60 seconds"), (120, "about 3 minutes")):
            shop.clock.seconds += waited_s
            assert f"Catching up with the network: {words} behind." in (await next_event(events)).data["html"]
        await shop.mine()
        assert "Catching up" not in (await next_event(events)).data["html"]


async def test_each_viewer_sees_the_token_it_chose(shop: Shop, aiohttp_client: Connect) -> None:
    client = await aiohttp_client(shop.application())
    payment = await shop.create()
    async with stream(client, payment, "?token=USDC&qr=address") as events:
        html = (await next_event(events)).data["html"]
    assert 'id="token-USDC" href=' in html
    assert "QR code with the address only" in html


@pytest.mark.parametrize("how", ["Last-Event-ID", "tag"])
async def test_a_page_that_reconnects_is_not_sent_what_it_shows(shop: Shop, aiohttp_client: Connect, how: str) -> None:
    client = await aiohttp_client(shop.application(tick_s=NEVER_S))
    payment = await shop.create()
    async with stream(client, payment) as events:
        tag = (await next_event(events)).id
    assert tag is not None
    again = stream(client, payment, f"?tag={tag}") if how == "tag" else stream(client, payment, **{how: tag})
    async with again as events:
        assert (await next_event(events)).name == "alive"
        await shop.pay(payment)
        assert 'data-part="confirming"' in (await next_event(events)).data["html"]
    async with stream(client, payment, **{"Last-Event-ID": tag}) as events:
        assert 'data-part="confirming"' in (await next_event(events)).data["html"]


async def test_an_unknown_payment_has_no_events(aiohttp_client: Connect, shop: Shop) -> None:
    client = await aiohttp_client(shop.application())
    assert (await client.get("/checkout/pay_000000000000000000000000/events")).status == 404


async def test_streams_above_the_limit_are_refused_and_their_pages_may_poll(
    shop: Shop, aiohttp_client: Connect
) -> None:
    client = await aiohttp_client(shop.application(max_viewers=1))
    payment = await shop.create()
    async with stream(client, payment) as first:
        await next_event(first)
        async with stream(client, payment) as second:
            assert second.status == 429
            assert second.headers["Retry-After"] == "10"
        assert (await client.get(f"/checkout/{payment.id}/state")).status == 200


async def test_open_streams_end_when_the_server_stops(shop: Shop, aiohttp_client: Connect) -> None:
    client = await aiohttp_client(shop.application(tick_s=NEVER_S))
    payment = await shop.create()
    async with stream(client, payment) as events:
        await next_event(events)
        async with asyncio.timeout(60):
            await client.server.close()
            assert await events.content.read() == b""


# --- the hub -----------------------------------------------------------------------------------------------------


class CountingStore:
    """A database that counts its reading transactions."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.reads = 0
        self.write = store.write

    @asynccontextmanager
    async def read(self) -> AsyncIterator[UnitOfWork]:
        self.reads += 1
        async with self._store.read() as uow:
            yield uow


@pytest.fixture
def counting(shop: Shop) -> CountingStore:
    return CountingStore(shop.store)


@pytest.fixture
def hub(shop: Shop, counting: CountingStore) -> LiveHub:
    return LiveHub(Deps(db=counting, payments=shop.service, signals=shop.signals, max_viewers=200))


async def loaded(shop: Shop, payment: Payment) -> Loaded:
    deps = Deps(db=shop.store, payments=shop.service, signals=shop.signals)
    async with shop.store.read() as uow:
        found = await load(deps, uow, payment.id)
    assert found is not None
    return found


async def test_a_hundred_viewers_cost_one_read(shop: Shop, counting: CountingStore, hub: LiveHub) -> None:
    payment = await shop.create()
    with ExitStack() as open_pages:
        viewers = [open_pages.enter_context(hub.watch(await loaded(shop, payment))) for _ in range(100)]
        await shop.pay(payment, WHOLE)
        await hub.refresh()
        assert counting.reads == 1
        assert {viewer.checkout.part for viewer in viewers} == {Part.UNDERPAID}


async def test_nothing_is_read_while_nobody_looks(shop: Shop, counting: CountingStore, hub: LiveHub) -> None:
    payment = await shop.create()
    with hub.watch(await loaded(shop, payment)):
        pass
    await hub.refresh()
    assert counting.reads == 0


async def test_viewers_are_woken_by_changes_only(shop: Shop, hub: LiveHub) -> None:
    payment, other = await shop.create(), await shop.create()
    with hub.watch(await loaded(shop, payment)) as viewer:
        await shop.pay(other)
        await hub.refresh()
        assert not viewer.has_news
        await shop.pay(payment)
        await hub.refresh()
        assert viewer.has_news


async def test_a_place_is_free_again_when_its_page_is_closed(shop: Shop) -> None:
    hub = LiveHub(Deps(db=shop.store, payments=shop.service, signals=shop.signals, max_viewers=1))
    payment = await loaded(shop, await shop.create())
    with hub.watch(payment), pytest.raises(RateLimited), hub.watch(payment):
        pass
    with hub.watch(payment):
        pass


async def test_a_failing_read_is_tried_again(shop: Shop, aiohttp_client: Connect) -> None:
    client = await aiohttp_client(shop.application(tick_s=0.05))
    payment = await shop.create()
    view = type(shop.service).views
    failures = iter([RuntimeError("the database went away")])

    async def failing(*arguments: Any) -> Any:
        for error in failures:
            raise error
        return await view(*arguments)

    async with stream(client, payment) as events:
        await next_event(events)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(shop.service), "views", failing)
            await shop.pay(payment)
            assert 'data-part="confirming"' in (await next_event(events)).data["html"]
