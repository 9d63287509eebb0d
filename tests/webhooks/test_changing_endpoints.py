"""Endpoints that are moved, disabled or deleted while something is on its way to them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web

from openpay.app.ports import UnitOfWork
from openpay.app.records import DeliveryState, WebhookEndpoint
from openpay.app.webhooks import change, delete
from openpay.errors import ConcurrentChange, Conflict, NotFound
from tests.webhooks.conftest import Receiver, Shop

Change = Callable[[UnitOfWork], Awaitable[object]]


async def committed(shop: Shop, work: Change) -> None:
    async with shop.db.write() as uow:
        await work(uow)


def deleting(shop: Shop, endpoint: WebhookEndpoint) -> Change:
    return lambda uow: delete(uow, shop.caller, endpoint.id, now=shop.clock.now())


def disabling(shop: Shop, endpoint: WebhookEndpoint) -> Change:
    return lambda uow: change(uow, shop.caller, endpoint.id, disabled=True)


async def stored(shop: Shop, endpoint: WebhookEndpoint) -> WebhookEndpoint:
    async with shop.db.read() as uow:
        found = await uow.webhooks.endpoint(endpoint.id)
    assert found is not None
    return found


@pytest.mark.parametrize("ending", [deleting, disabling])
async def test_what_waits_for_an_endpoint_that_ended_is_never_sent(
    shop: Shop, receiver: Receiver, ending: Callable[[Shop, WebhookEndpoint], Change]
) -> None:
    endpoint, _ = await shop.configure(receiver.url("/ended"))
    await shop.configure(receiver.url("/stays"))
    waiting = await shop.tell()
    await committed(shop, ending(shop, endpoint))
    later = await shop.tell()

    async with shop.dispatching():
        paths = {(await receiver.next()).path for _ in (waiting, later)}
        await shop.ended(later)

    assert paths == {"/stays"}
    assert receiver.received.empty()


async def test_event_written_while_its_endpoint_is_deleted_is_not_sent(shop: Shop, receiver: Receiver) -> None:
    endpoint, _ = await shop.configure(receiver.url())
    event = await shop.tell()
    await committed(shop, deleting(shop, endpoint))
    async with shop.db.write() as uow:  # as one whose transaction began before
        delivery = await shop.delivery_of(event)
        await uow.webhooks.deliver_again(delivery.id, now=shop.clock.now())

    async with shop.dispatching():
        ended = await shop.ended(event)

    assert (ended.state, ended.attempts) == (DeliveryState.FAILED, 0)
    assert receiver.received.empty()


@pytest.mark.parametrize("status", [200, 410, 500])
async def test_endpoint_deleted_during_a_request_stays_deleted_whatever_is_answered(
    shop: Shop, receiver: Receiver, status: int
) -> None:
    endpoint, _ = await shop.configure(receiver.url())
    answering = asyncio.Event()

    async def slowly(_request: web.Request) -> web.StreamResponse:
        await answering.wait()
        return web.Response(status=status)

    receiver.answer(slowly)
    event = await shop.tell()
    async with shop.dispatching():
        await receiver.next()
        await committed(shop, deleting(shop, endpoint))
        answering.set()
        delivery = await shop.attempted(event, 1)

    assert delivery.state is (DeliveryState.SUCCEEDED if status == 200 else DeliveryState.FAILED)
    after = await stored(shop, endpoint)
    assert (after.active, after.sealed_secret) == (False, b"")
    assert after.deleted_at is not None
    async with shop.db.read() as uow:
        page = await uow.events.page(shop.caller.merchant.id, True, limit=10, starting_after=None, payment_id=None)
    assert [each.id for each in page.items] == [event.id]  # no word of an endpoint that was disabled


async def test_failed_delivery_goes_to_the_url_that_its_endpoint_has_by_then(shop: Shop, receiver: Receiver) -> None:
    endpoint, _ = await shop.configure(receiver.url("/before"))
    receiver.answer(500, path="/before")
    event = await shop.tell()
    async with shop.dispatching():
        await shop.attempted(event, 1)
        await committed(
            shop,
            lambda uow: change(uow, shop.caller, endpoint.id, url=receiver.url("/after"), allow_insecure=True),
        )
        shop.clock.ahead_s += 10
        ended = await shop.ended(event)

    assert (ended.state, ended.attempts) == (DeliveryState.SUCCEEDED, 2)
    assert [(await receiver.next()).path for _ in range(2)] == ["/before", "/after"]
    assert (await stored(shop, endpoint)).failing_since is None


@pytest.mark.parametrize("status", [410, 500])
async def test_answer_of_the_url_before_says_nothing_of_the_url_that_its_endpoint_has_by_then(
    shop: Shop, receiver: Receiver, status: int
) -> None:
    endpoint, _ = await shop.configure(receiver.url("/before"))
    answering = asyncio.Event()

    async def slowly(_request: web.Request) -> web.StreamResponse:
        await answering.wait()
        return web.Response(status=status)

    receiver.answer(slowly, path="/before")
    event = await shop.tell()
    async with shop.dispatching():
        await receiver.next()
        await committed(
            shop,
            lambda uow: change(uow, shop.caller, endpoint.id, url=receiver.url("/after"), allow_insecure=True),
        )
        answering.set()
        await shop.attempted(event, 1)
        moved = await stored(shop, endpoint)
        assert (moved.active, moved.failing_since) == (True, None)
        shop.clock.ahead_s += 10
        ended = await shop.ended(event)

    assert (ended.state, ended.attempts) == (DeliveryState.SUCCEEDED, 2)
    assert (await receiver.next()).path == "/after"


async def test_endpoint_enabled_again_loses_nothing_to_a_claim_from_when_it_was_disabled(
    shop: Shop, receiver: Receiver
) -> None:
    endpoint, _ = await shop.configure(receiver.url())
    before = await shop.tell()
    await committed(shop, disabling(shop, endpoint))
    async with shop.db.write() as uow:  # as one whose transaction began before
        await uow.webhooks.deliver_again((await shop.delivery_of(before)).id, now=shop.clock.now())
    async with shop.db.write() as uow:
        (claimed,) = await uow.webhooks.claim(now=shop.clock.now(), lease_s=20, limit=1, per_endpoint=1)
    await committed(shop, lambda uow: change(uow, shop.caller, endpoint.id, disabled=False))
    after = await shop.tell()

    await shop.dispatcher()._deliver(claimed, (), claimed_at=shop.clock.now())

    for event in (before, after):
        assert (await shop.delivery_of(event)).state is DeliveryState.PENDING


@pytest.mark.parametrize("winner", ["delete", "other"])
async def test_deleting_and_changing_at_once_leave_no_endpoint_that_is_both(shop: Shop, winner: str) -> None:
    """Both read the endpoint before either is committed; on SQLite the second waits before it reads."""
    endpoint, _ = await shop.configure("https://shop.example/hook")
    read = asyncio.Event()

    async def first() -> None:
        async with shop.db.write() as uow:
            work = deleting if winner == "delete" else disabling
            await work(shop, endpoint)(uow)
            read.set()
            await asyncio.sleep(0.2)  # room for the other to come to the same row; too short, and the test is lenient

    async def second() -> None:
        await read.wait()
        if winner == "delete":
            with pytest.raises(NotFound):
                await committed(shop, lambda uow: change(uow, shop.caller, endpoint.id, events=["payment.failed"]))
        else:
            await committed(shop, deleting(shop, endpoint))

    await asyncio.gather(first(), second())
    after = await stored(shop, endpoint)
    assert (after.active, after.deleted_at is None, after.events) == (False, False, ())


async def test_configuring_the_url_while_it_is_deleted_makes_another_endpoint(shop: Shop) -> None:
    endpoint, _ = await shop.configure("https://shop.example/hook")
    read = asyncio.Event()

    async def first() -> None:
        async with shop.db.write() as uow:
            await deleting(shop, endpoint)(uow)
            read.set()
            await asyncio.sleep(0.2)

    async def second() -> tuple[WebhookEndpoint, str | None]:
        await read.wait()
        return await shop.configure("https://shop.example/hook")

    _, (made, secret) = await asyncio.gather(first(), second())
    assert made.id != endpoint.id
    assert secret is not None
    assert (await stored(shop, endpoint)).deleted_at is not None


async def test_two_endpoints_moving_to_one_url_at_once_do_not_both_get_there(shop: Shop) -> None:
    endpoints = [(await shop.configure(f"https://shop.example/{name}"))[0] for name in ("a", "b")]

    async def move(endpoint: WebhookEndpoint) -> None:
        async with shop.db.write() as uow:
            await change(uow, shop.caller, endpoint.id, url="https://shop.example/c")
            await asyncio.sleep(0.1)

    moved = await asyncio.gather(*map(move, endpoints), return_exceptions=True)
    (refusal,) = [each for each in moved if each is not None]
    assert isinstance(refusal, ConcurrentChange | Conflict)  # met at the database, or seen before
    again, secret = await shop.configure("https://shop.example/c")
    assert (again.id in {endpoint.id for endpoint in endpoints}, secret) == (True, None)
