"""Deliveries between a database and a real receiver, on both databases."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from email.utils import formatdate
from pathlib import Path

import pytest
from aiohttp import web
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key
from standardwebhooks import Webhook

from openpay.app.records import DeliveryState
from openpay.app.sealing import Sealer
from openpay.app.webhooks import public_key, resend, rotate_signing_key, send_test
from openpay.client import verify_webhook
from openpay.domain.events import EventType
from openpay.errors import ConfigurationError, Conflict, NotFound
from openpay.store import Store
from openpay.webhooks.dispatcher import LEASE_S
from tests.support.process import spawn, stop
from tests.webhooks.conftest import PATIENCE_S, Clock, Received, Receiver, Shop, open_shop, paid_payment


async def fetched_key(shop: Shop) -> str:
    async with shop.db.read() as uow:
        return (await public_key(uow, shop.caller, now=shop.clock.now()))["public_key"]


def verify_independently(received: Received, der_base64: str) -> None:
    """By another library than ours, with nothing but the public key. Raises `InvalidSignature`."""
    key = load_der_public_key(base64.b64decode(der_base64))
    assert isinstance(key, Ed25519PublicKey)
    headers = received.headers
    timestamp = headers["X-OpenPay-Timestamp"]
    key.verify(base64.b64decode(headers["X-OpenPay-Signature"]), timestamp.encode() + b"." + received.body)
    assert headers["webhook-timestamp"] == timestamp
    signed = f"{headers['webhook-id']}.{timestamp}.".encode() + received.body
    signatures = [entry.split(",", 1) for entry in headers["webhook-signature"].split(" ")]
    key.verify(base64.b64decode(dict(signatures)["v1a"]), signed)


# --- what arrives ----------------------------------------------------------------------------------------------------


async def test_receiver_with_only_the_public_key_verifies_every_signature(shop: Shop, receiver: Receiver) -> None:
    _, secret = await shop.configure(receiver.url())
    event = await shop.tell()
    async with shop.dispatching():
        received = await receiver.next()
    key = await fetched_key(shop)
    verify_independently(received, key)
    assert secret is not None
    assert Webhook(secret).verify(received.body, received.headers) == json.loads(received.body)
    assert verify_webhook(received.body, received.headers, key) == json.loads(received.body)
    assert received.event_id == event.id
    assert received.headers["Content-Type"] == "application/json"
    tampered = Received(path=received.path, headers=received.headers, body=received.body + b" ")
    with pytest.raises(InvalidSignature):
        verify_independently(tampered, key)


async def test_body_of_a_completed_payment_is_nine_fields_in_order(shop: Shop, receiver: Receiver) -> None:
    await shop.configure(receiver.url())
    payment = paid_payment(shop.caller.merchant.id)
    await shop.tell(payment)
    async with shop.dispatching():
        received = await receiver.next()
    assert received.body.decode() == (
        '{"event":"payment.completed","payment_id":"' + payment.id + '","status":"paid","amount":"25.00",'
        '"currency":"USD","token":"USDT","tx_hash":"0x' + "ab" * 32 + '","paid_at":"2026-03-26T13:02:15Z",'
        '"metadata":{"order_id":"1042","customer_email":"buyer@example.com","note":"größer ✓"}}'
    )


async def test_other_events_carry_the_same_nine_fields_then_three_more(shop: Shop, receiver: Receiver) -> None:
    await shop.configure(receiver.url())
    event = await shop.tell(type=EventType.SETTLED)
    async with shop.dispatching():
        fields = json.loads((await receiver.next()).body)
    nine = ["event", "payment_id", "status", "amount", "currency", "token", "tx_hash", "paid_at", "metadata"]
    assert list(fields) == [*nine, "event_id", "created_at", "data"]
    assert fields["event_id"] == event.id


async def test_endpoint_gets_only_the_events_it_asked_for(shop: Shop, receiver: Receiver) -> None:
    await shop.configure(receiver.url(), ["payment.completed"])
    payment = paid_payment(shop.caller.merchant.id)
    await shop.tell(payment, EventType.CONFIRMING)
    wanted = await shop.tell(payment)
    async with shop.dispatching():
        assert (await receiver.next()).event_id == wanted.id
        await shop.ended(wanted)
    assert receiver.received.empty()


async def test_event_goes_to_its_own_merchant_and_mode_only(
    shop: Shop, store: Store, sealer: Sealer, clock: Clock, receiver: Receiver
) -> None:
    stranger = await open_shop(store, sealer, clock)
    await stranger.configure(receiver.url("/stranger"))
    await shop.configure(receiver.url())
    event = await shop.tell()
    async with shop.dispatching():
        assert (await receiver.next()).path == "/hook"
        await shop.ended(event)
    assert receiver.received.empty()
    assert await stranger.public_key() != await shop.public_key()


async def test_test_event_reaches_endpoints_that_asked_for_other_events(shop: Shop, receiver: Receiver) -> None:
    await shop.configure(receiver.url("/all"))
    await shop.configure(receiver.url("/some"), ["payment.completed"])
    async with shop.db.write() as uow:
        event = await send_test(uow, shop.caller, now=shop.clock.now())
    async with shop.dispatching():
        both = [await receiver.next(), await receiver.next()]
    assert {received.path for received in both} == {"/all", "/some"}
    assert {received.event_id for received in both} == {event.id}
    assert json.loads(both[0].body)["event"] == "webhook.test"


# --- what is recorded ------------------------------------------------------------------------------------------------


async def test_each_attempt_is_logged_with_status_and_the_start_of_the_answer(shop: Shop, receiver: Receiver) -> None:
    async def answer(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=500, text="x\0y" + "é" * 100_000)

    receiver.answer(answer)
    await shop.configure(receiver.url())
    event = await shop.tell()
    async with shop.dispatching():
        await shop.attempted(event, 1)
    (attempt,) = await shop.attempts_of(event)
    assert attempt.status == 500
    assert attempt.answer == "x\ufffdy" + "é" * 997
    assert attempt.error is None
    assert attempt.latency_ms >= 0


async def test_answer_that_never_ends_counts_by_its_status(shop: Shop, receiver: Receiver) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"thanks")
        await asyncio.Event().wait()
        return response

    receiver.answer(answer)
    await shop.configure(receiver.url())
    event = await shop.tell()
    async with shop.dispatching(timeout_s=0.5):
        delivery = await shop.ended(event)
    assert delivery.state is DeliveryState.SUCCEEDED
    assert (await shop.attempts_of(event))[0].answer.startswith("thanks")


async def test_endpoint_that_does_not_answer_is_given_up_after_the_time_limit(shop: Shop, receiver: Receiver) -> None:
    async def never(_request: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    receiver.answer(never)
    await shop.configure(receiver.url())
    event = await shop.tell()
    async with shop.dispatching(timeout_s=0.3):
        delivery = await shop.attempted(event, 1)
    assert delivery.state is DeliveryState.PENDING
    (attempt,) = await shop.attempts_of(event)
    assert attempt.status is None
    assert attempt.error == "no answer within 0.3 s"


async def test_refused_connection_is_recorded_and_tried_again(shop: Shop, receiver: Receiver) -> None:
    url = receiver.url()
    await receiver.close()
    await shop.configure(url)
    event = await shop.tell()
    async with shop.dispatching():
        delivery = await shop.attempted(event, 1)
    assert delivery.state is DeliveryState.PENDING
    error = (await shop.attempts_of(event))[0].error
    assert error is not None
    assert "connect" in error.lower()


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


# --- rotation --------------------------------------------------------------------------------------------------------


async def test_rotation_signs_with_both_keys_until_the_old_one_retires(
    shop: Shop, receiver: Receiver, clock: Clock
) -> None:
    await shop.configure(receiver.url())
    old_key = await fetched_key(shop)
    async with shop.db.write() as uow:
        new = await rotate_signing_key(
            uow, shop.caller.merchant.id, True, sealer=shop.sealer, now=clock.now(), overlap_s=3_600
        )
    async with shop.dispatching():
        await shop.tell()
        during = await receiver.next()
        assert await fetched_key(shop) == old_key
        verify_webhook(during.body, during.headers, old_key)
        assert during.headers["webhook-signature"].count("v1a,") == 2
        fresh = Ed25519PublicKey.from_public_bytes(new.public_key)
        signed = f"{during.event_id}.{during.headers['webhook-timestamp']}.".encode() + during.body
        first_entry, second_entry, _ = during.headers["webhook-signature"].split(" ")
        fresh.verify(base64.b64decode(second_entry.removeprefix("v1a,")), signed)
        with pytest.raises(InvalidSignature):
            fresh.verify(base64.b64decode(first_entry.removeprefix("v1a,")), signed)

        clock.ahead_s += 3_601
        await shop.tell()
        after = await receiver.next()
    new_key = await fetched_key(shop)
    assert new_key != old_key
    assert after.headers["OpenPay-Key-Id"] == new.id
    verify_webhook(after.body, after.headers, [old_key, new_key], now=clock())
    verify_independently(after, new_key)
    with pytest.raises(InvalidSignature):
        verify_independently(after, old_key)
