"""Deliveries that fail, are sent again, or end their endpoint."""

from __future__ import annotations

import asyncio
import json
from email.utils import formatdate

import pytest
from aiohttp import web

from openpay.app.records import DeliveryState
from openpay.app.sealing import Sealer
from openpay.app.webhooks import resend
from openpay.errors import Conflict, NotFound
from openpay.store import Store
from tests.webhooks.conftest import PATIENCE_S, Clock, Receiver, Shop, open_shop

# --- retries ---------------------------------------------------------------------------------------------------------


async def test_failed_delivery_is_sent_again_with_the_same_id_and_a_fresh_signature(
    shop: Shop, receiver: Receiver, clock: Clock
) -> None:
    receiver.answer(500, 503, 200)
    await shop.configure(receiver.url())
    event = await shop.tell()
    arrived = []
    async with shop.dispatching():
        for number, delay_s in ((1, 5), (2, 30)):
            arrived.append(await receiver.next())
            delivery = await shop.attempted(event, number)
            last = (await shop.attempts_of(event))[-1]
            assert delivery.next_attempt_at is not None
            # From the end of the attempt, which may fall into the next second.
            assert delivery.next_attempt_at - last.at in (delay_s, delay_s + 1)
            assert receiver.received.empty()
            clock.ahead_s += delay_s + 1
        arrived.append(await receiver.next())
        assert (await shop.ended(event)).state is DeliveryState.SUCCEEDED
    assert {received.event_id for received in arrived} == {event.id}
    assert len({received.headers["X-OpenPay-Timestamp"] for received in arrived}) == 3
    assert len({received.headers["X-OpenPay-Signature"] for received in arrived}) == 3


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_redirect_is_a_failure_and_is_not_followed(shop: Shop, receiver: Receiver, status: int) -> None:
    async def redirect(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, headers={"Location": receiver.url("/elsewhere")})

    receiver.answer(redirect)
    await shop.configure(receiver.url())
    event = await shop.tell()
    async with shop.dispatching():
        delivery = await shop.attempted(event, 1)
        assert (await receiver.next()).path == "/hook"
    assert delivery.state is DeliveryState.PENDING
    assert (await shop.attempts_of(event))[0].status == status
    assert receiver.received.empty()


@pytest.mark.parametrize("form", ["seconds", "date"])
async def test_retry_after_is_honoured(shop: Shop, receiver: Receiver, clock: Clock, form: str) -> None:
    async def busy(_request: web.Request) -> web.StreamResponse:
        value = "600" if form == "seconds" else formatdate(clock.now() + 600, usegmt=True)
        return web.Response(status=429, headers={"Retry-After": value})

    receiver.answer(busy)
    await shop.configure(receiver.url())
    event = await shop.tell()
    async with shop.dispatching():
        delivery = await shop.attempted(event, 1)
    assert delivery.next_attempt_at is not None
    assert delivery.next_attempt_at - (await shop.attempts_of(event))[0].at in range(599, 603)


async def test_410_disables_the_endpoint_and_tells_the_others(shop: Shop, receiver: Receiver) -> None:
    receiver.answer(410, path="/gone")
    gone, _ = await shop.configure(receiver.url("/gone"), ["payment.completed"])
    await shop.configure(receiver.url("/other"), ["webhook.disabled"])
    event = await shop.tell()
    async with shop.dispatching():
        assert (await receiver.next()).path == "/gone"
        told = await receiver.next()
        assert (await shop.ended(event)).state is DeliveryState.FAILED
    assert told.path == "/other"
    assert json.loads(told.body)["data"] == {
        "endpoint_id": gone.id,
        "url": receiver.url("/gone"),
        "reason": "it answered 410 Gone",
    }
    async with shop.db.read() as uow:
        endpoint = await uow.webhooks.endpoint(gone.id)
    assert endpoint is not None
    assert not endpoint.active
    assert endpoint.disabled_reason == "it answered 410 Gone"


async def test_five_days_of_failures_disable_the_endpoint_and_give_up_what_waits(
    shop: Shop, receiver: Receiver, clock: Clock
) -> None:
    receiver.answer(500)
    endpoint, _ = await shop.configure(receiver.url(), ["payment.completed"])
    first = await shop.tell()
    async with shop.dispatching():
        await shop.attempted(first, 1)
        clock.ahead_s += 5 * 86_400 - 60
        almost = await shop.tell()
        await shop.attempted(almost, 1)
        assert (await shop.delivery_of(almost)).state is DeliveryState.PENDING
        clock.ahead_s += 61
        last = await shop.tell()
        assert (await shop.ended(last)).state is DeliveryState.FAILED
        assert (await shop.ended(almost)).state is DeliveryState.FAILED
    async with shop.db.read() as uow:
        stored = await uow.webhooks.endpoint(endpoint.id)
    assert stored is not None
    assert (stored.active, stored.disabled_reason) == (False, "it has failed for five days")


async def test_success_between_failures_keeps_the_endpoint(shop: Shop, receiver: Receiver, clock: Clock) -> None:
    receiver.answer(500, 200, 500)
    endpoint, _ = await shop.configure(receiver.url())
    async with shop.dispatching():
        await shop.attempted(await shop.tell(), 1)
        clock.ahead_s += 10
        async with asyncio.timeout(PATIENCE_S):
            while receiver.received.qsize() < 2:
                await asyncio.sleep(0.01)
        clock.ahead_s += 5 * 86_400
        await shop.attempted(await shop.tell(), 1)
    async with shop.db.read() as uow:
        stored = await uow.webhooks.endpoint(endpoint.id)
    assert stored is not None
    assert stored.active


async def test_configuring_a_disabled_endpoint_switches_it_on_again(shop: Shop, receiver: Receiver) -> None:
    receiver.answer(410, 200)
    first, secret = await shop.configure(receiver.url())
    event = await shop.tell()
    async with shop.dispatching():
        assert (await shop.ended(event)).state is DeliveryState.FAILED
        again, no_secret = await shop.configure(receiver.url())
        assert (again.id, again.active, no_secret) == (first.id, True, None)
        assert (await shop.ended(await shop.tell())).state is DeliveryState.SUCCEEDED
    assert secret is not None


# --- resending -------------------------------------------------------------------------------------------------------


async def test_resend_delivers_again_with_the_same_id(shop: Shop, receiver: Receiver) -> None:
    await shop.configure(receiver.url())
    event = await shop.tell()
    async with shop.dispatching():
        first = await receiver.next()
        delivery = await shop.ended(event)
        async with shop.db.write() as uow:
            view = await resend(uow, shop.caller, delivery.id, now=shop.clock.now())
        assert (view.delivery.state, view.url, len(view.attempts)) == (DeliveryState.PENDING, receiver.url(), 1)
        shop.signals.notify("events")
        second = await receiver.next()
        assert (await shop.attempted(event, 2)).state is DeliveryState.SUCCEEDED
    assert second.event_id == first.event_id
    assert second.body == first.body


async def test_another_merchants_delivery_cannot_be_resent(
    shop: Shop, store: Store, sealer: Sealer, clock: Clock, receiver: Receiver
) -> None:
    stranger = await open_shop(store, sealer, clock)
    await shop.configure(receiver.url())
    delivery = await shop.delivery_of(await shop.tell())
    with pytest.raises(NotFound, match=delivery.id):
        async with store.write() as uow:
            await resend(uow, stranger.caller, delivery.id, now=clock.now())


async def test_resending_to_a_disabled_endpoint_says_so(shop: Shop, receiver: Receiver) -> None:
    receiver.answer(410)
    await shop.configure(receiver.url())
    event = await shop.tell()
    async with shop.dispatching():
        delivery = await shop.ended(event)
    with pytest.raises(Conflict, match="disabled") as refused:
        async with shop.db.write() as uow:
            await resend(uow, shop.caller, delivery.id, now=shop.clock.now())
    assert refused.value.code == "endpoint_disabled"
