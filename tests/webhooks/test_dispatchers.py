"""Dispatchers side by side, killed, stopped or without the right passphrase."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from aiohttp import web

from openpay.app.records import DeliveryState
from openpay.app.sealing import Sealer
from openpay.errors import ConfigurationError
from openpay.store import Store
from openpay.webhooks.dispatcher import LEASE_S
from tests.support.process import spawn, stop
from tests.webhooks.conftest import PATIENCE_S, Clock, Receiver, Shop

# --- side by side ----------------------------------------------------------------------------------------------------


async def test_hanging_endpoint_never_delays_another(shop: Shop, receiver: Receiver) -> None:
    released = asyncio.Event()
    hanging = 0

    async def hang(_request: web.Request) -> web.StreamResponse:
        nonlocal hanging
        hanging += 1
        await released.wait()
        return web.Response()

    receiver.answer(hang, path="/slow")
    await shop.configure(receiver.url("/slow"))
    for _ in range(12):
        await shop.tell()
    await shop.configure(receiver.url("/quick"), ["payment.completed"])
    event = await shop.tell()
    # Nothing is released until the other endpoint has its event: this passes only if it did not have to wait.
    async with shop.dispatching(per_endpoint=2):
        try:
            seen = [await receiver.next() for _ in range(3)]
            assert sorted(received.path for received in seen) == ["/quick", "/slow", "/slow"]
            assert next(received for received in seen if received.path == "/quick").event_id == event.id
            assert hanging == 2
        finally:
            released.set()
        arrived = [await receiver.next() for _ in range(11)]
    assert {received.path for received in arrived} == {"/slow"}


async def test_two_dispatchers_never_send_the_same_delivery_at_the_same_time(
    shop: Shop, receiver: Receiver, database_url: str
) -> None:
    sending: list[str] = []
    overlaps: list[str] = []
    both_at_work = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        event_id = request.headers["webhook-id"]
        if event_id in sending:
            overlaps.append(event_id)
        sending.append(event_id)
        if len(sending) >= 4:
            both_at_work.set()
        await asyncio.wait_for(both_at_work.wait(), PATIENCE_S)
        sending.remove(event_id)
        return web.Response()

    receiver.answer(answer)
    await shop.configure(receiver.url())
    events = [await shop.tell() for _ in range(40)]
    other = Store.open(database_url)
    try:
        async with shop.dispatching(), shop.dispatching(other):
            for event in events:
                await shop.ended(event)
    finally:
        await other.close()
    assert not overlaps
    arrived = [receiver.received.get_nowait().event_id for _ in range(receiver.received.qsize())]
    assert sorted(arrived) == sorted(event.id for event in events)


async def test_stopping_finishes_what_is_being_sent(shop: Shop, receiver: Receiver) -> None:
    released = asyncio.Event()

    async def wait(_request: web.Request) -> web.StreamResponse:
        await released.wait()
        return web.Response()

    receiver.answer(wait)
    await shop.configure(receiver.url())
    event = await shop.tell()
    async with shop.dispatching():
        await receiver.next()
        asyncio.get_running_loop().call_later(0.05, released.set)
    delivery = await shop.delivery_of(event)
    assert (delivery.state, delivery.attempts) == (DeliveryState.SUCCEEDED, 1)


# --- small disasters -------------------------------------------------------------------------------------------------

_DISPATCHER_PROCESS = """
import asyncio, sys
from openpay.app.sealing import Sealer
from openpay.app.signals import Signals
from openpay.store import Store
from openpay.webhooks import Dispatcher

async def main():
    store = Store.open(sys.argv[1])
    sealer = Sealer("a passphrase for tests")
    await Dispatcher(store, sealer=sealer, signals=Signals(), allow_insecure=True).run(asyncio.Event())

asyncio.run(main())
"""


async def test_process_killed_between_sending_and_recording_delivers_again_with_the_same_id(
    shop: Shop, receiver: Receiver, clock: Clock, database_url: str, tmp_path: Path
) -> None:
    async def hang(_request: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    async def ok(_request: web.Request) -> web.StreamResponse:
        return web.Response()

    receiver.answer(hang, ok)
    await shop.configure(receiver.url())
    event = await shop.tell()
    command = [sys.executable, "-c", _DISPATCHER_PROCESS, database_url]
    process = spawn(command, log=tmp_path / "dispatcher.log")
    try:
        first = await receiver.next()
    finally:
        process.kill()
        await asyncio.to_thread(stop, process)
    assert (await shop.delivery_of(event)).attempts == 0
    async with shop.dispatching():
        clock.ahead_s += LEASE_S + 1
        second = await receiver.next()
        assert (await shop.ended(event)).state is DeliveryState.SUCCEEDED
    assert second.event_id == first.event_id == event.id


async def test_claim_of_a_process_that_stood_still_is_not_sent(shop: Shop, receiver: Receiver, clock: Clock) -> None:
    await shop.configure(receiver.url())
    await shop.tell()
    readings = 0
    several_polls = asyncio.Event()

    def jumping() -> float:
        """The second reading, between the claim and the request, is a lease later."""
        nonlocal readings
        readings += 1
        if readings == 6:
            several_polls.set()
        return clock() + (LEASE_S if readings == 2 else 0)

    async with shop.dispatching(wall_now=jumping):
        await asyncio.wait_for(several_polls.wait(), PATIENCE_S)
    # Leaving the block waited for all that was being sent.
    assert receiver.received.empty()


async def test_wrong_passphrase_stops_the_dispatcher_with_words(shop: Shop, receiver: Receiver) -> None:
    await shop.configure(receiver.url())
    await shop.tell()
    dispatcher = shop.dispatcher(sealer=Sealer("another passphrase"))
    with pytest.raises(ConfigurationError, match="OPENPAY_SECRET"):
        await asyncio.wait_for(dispatcher.run(asyncio.Event()), PATIENCE_S)
    assert receiver.received.empty()
