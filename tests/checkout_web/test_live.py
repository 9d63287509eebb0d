"""Open pages hear of changes, at one read for all of them."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient

from openpay.app.merchants import change_page
from openpay.domain.payment import Payment
from tests.checkout_web.scenes import Shop

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
        while (event := await next_event(events)).name == "alive":
            pass  # a heartbeat, on a slow machine
        assert 'data-part="confirming"' in event.data["html"]
    async with stream(client, payment, **{"Last-Event-ID": tag}) as events:
        assert 'data-part="confirming"' in (await next_event(events)).data["html"]


@pytest.mark.parametrize("query", ["", "?lang=tr", "?token=USDC&qr=address", "?embed=https://shop.example&lang=ar"])
async def test_page_and_stream_agree_on_what_the_page_shows(shop: Shop, aiohttp_client: Connect, query: str) -> None:
    async with shop.store.write() as uow:
        await change_page(uow, shop.merchant.id, accent="#aa3300", embed_origins=("https://shop.example",))
    client = await aiohttp_client(shop.application(tick_s=NEVER_S))
    payment = await shop.create()
    document = await (await client.get(f"/checkout/{payment.id}{query}")).text()
    (tag,) = re.findall(r'data-tag="([0-9a-f]+)"', document)
    state = await client.get(f"/checkout/{payment.id}/state{query}", headers={"If-None-Match": f'W/"x", W/"{tag}"'})
    assert state.status == 304
    async with stream(client, payment, f"{query or '?'}&tag={tag}") as events:
        assert (await next_event(events)).name == "alive"


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


async def test_what_a_page_says_it_shows_is_kept_no_longer_than_a_tag(shop: Shop, aiohttp_client: Connect) -> None:
    application = shop.application(tick_s=NEVER_S)
    client = await aiohttp_client(application)
    payment = await shop.create()
    async with stream(client, payment) as events:
        tag = (await next_event(events)).id
        assert tag is not None
    async with stream(client, payment, **{"Last-Event-ID": tag + "x" * 4_000}) as events:
        assert (await next_event(events)).name == "alive"  # cut, it is that tag


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
