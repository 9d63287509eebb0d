"""What arrives at a real receiver, and what is recorded of it."""

from __future__ import annotations

import asyncio
import base64
import json

import pytest
from aiohttp import web
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key
from standardwebhooks import Webhook

from openpay.app.records import DeliveryState
from openpay.app.sealing import Sealer
from openpay.app.webhooks import public_key, rotate_signing_key, send_test
from openpay.client import verify_webhook
from openpay.domain.events import EventType
from openpay.store import Store
from tests.webhooks.conftest import Clock, Received, Receiver, Shop, open_shop, paid_payment


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
