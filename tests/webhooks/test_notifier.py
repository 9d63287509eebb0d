"""The operator is told of every alert, however long the receiver is away, and in the order of things."""

from __future__ import annotations

import asyncio
import base64
import json

import pytest
from aiohttp import web
from standardwebhooks import Webhook

from openpay.app.alerts import record_cleared, record_raised
from openpay.app.signals import Signals
from openpay.domain.alert_board import Key
from openpay.domain.alerts import AlertKind
from openpay.store import Store
from openpay.webhooks.dispatcher import LEASE_S
from openpay.webhooks.notifier import Notifier
from tests.webhooks.conftest import Clock, Receiver

SECRET = "whsec_" + base64.b64encode(b"an operator's secret of 32 bytes").decode()
STALLED = Key(AlertKind.FINALITY_STALLED, 56, "")


def notifier(store: Store, receiver: Receiver, clock: Clock, *, secret: str | None = SECRET) -> Notifier:
    return Notifier(
        store, url=receiver.url(), secret=secret, signals=Signals(), wall_now=clock, jitter=lambda: 0.0, poll_s=0.02
    )


async def raise_(store: Store, clock: Clock, key: Key = STALLED, *, notify: bool = True) -> None:
    async with store.write() as uow:
        await record_raised(uow, key, "no news", at=clock.now(), now=clock.now(), notify=notify)


async def clear(store: Store, clock: Clock, key: Key = STALLED) -> None:
    async with store.write() as uow:
        assert await record_cleared(uow, key, at=clock.now(), now=clock.now(), notify=True)


async def wait_at(store: Store) -> int | None:
    async with store.read() as uow:
        return await uow.alerts.next_notice_at()


async def test_alert_arrives_signed(store: Store, receiver: Receiver, clock: Clock) -> None:
    await raise_(store, clock)
    async with notifier(store, receiver, clock).running():
        received = await receiver.next()
    body = json.loads(received.body)
    assert Webhook(SECRET).verify(received.body, received.headers) == body
    assert (body["event"], body["data"]["kind"], body["event_id"]) == (
        "alert.raised",
        "finality_stalled",
        received.event_id,
    )


async def test_without_a_secret_nothing_claims_to_be_signed(store: Store, receiver: Receiver, clock: Clock) -> None:
    await raise_(store, clock)
    async with notifier(store, receiver, clock, secret=None).running():
        received = await receiver.next()
    assert "webhook-signature" not in received.headers
    assert received.event_id.startswith("evt_")


async def test_what_is_raised_while_running_is_sent_too(store: Store, receiver: Receiver, clock: Clock) -> None:
    async with notifier(store, receiver, clock).running():
        await raise_(store, clock)
        assert json.loads((await receiver.next()).body)["event"] == "alert.raised"
        await clear(store, clock)
        assert json.loads((await receiver.next()).body)["event"] == "alert.cleared"


async def test_last_words_of_a_process_are_sent(store: Store, receiver: Receiver, clock: Clock) -> None:
    speaker = notifier(store, receiver, clock)
    async with speaker.running():
        await speaker.deliver_due()
        await raise_(store, clock)
    assert receiver.received.qsize() == 1
    assert await wait_at(store) is None


@pytest.mark.parametrize("refusal", [500, 404, 410, 302])
async def test_refused_alert_is_sent_again_until_it_is_taken(
    store: Store, receiver: Receiver, clock: Clock, refusal: int
) -> None:
    receiver.answer(refusal, refusal, 204)
    await raise_(store, clock)
    async with notifier(store, receiver, clock).connected() as speaker:
        ids = []
        for expected_wait_s in (5, 15, None):
            assert await speaker.deliver_due() is (expected_wait_s is None)
            ids.append((await receiver.next()).event_id)
            again_at = await wait_at(store)
            assert (again_at is None) is (expected_wait_s is None)
            if again_at is not None and expected_wait_s is not None:
                assert again_at - clock.now() in (expected_wait_s - 1, expected_wait_s)
            assert await speaker.deliver_due() is False  # not due yet
            clock.ahead_s += expected_wait_s or 0
    assert len(set(ids)) == 1


async def test_next_process_delivers_what_a_killed_one_had_claimed(
    store: Store, receiver: Receiver, clock: Clock
) -> None:
    await raise_(store, clock)
    async with store.write() as uow:
        assert await uow.alerts.claim_notices(now=clock.now(), lease_s=LEASE_S, limit=10)
    async with notifier(store, receiver, clock).connected() as successor:
        assert await successor.deliver_due() is False
        clock.ahead_s += LEASE_S + 1
        assert await successor.deliver_due() is True
    assert receiver.received.qsize() == 1


async def test_over_is_not_said_before_raised_was_heard(store: Store, receiver: Receiver, clock: Clock) -> None:
    receiver.answer(500, 200)
    await raise_(store, clock)
    await clear(store, clock)
    async with notifier(store, receiver, clock).connected() as speaker:
        await speaker.deliver_due()
        clock.ahead_s += 6
        while await speaker.deliver_due():
            pass
    events = [json.loads((await receiver.next()).body)["event"] for _ in range(receiver.received.qsize())]
    assert events == ["alert.raised", "alert.raised", "alert.cleared"]


async def test_receiver_that_is_set_up_later_hears_of_what_is_open(
    store: Store, receiver: Receiver, clock: Clock
) -> None:
    await raise_(store, clock, notify=False)
    async with notifier(store, receiver, clock).connected() as speaker:
        assert await speaker.deliver_due() is True
    assert json.loads((await receiver.next()).body)["event"] == "alert.raised"


async def test_hanging_receiver_delays_the_end_of_a_process_by_little(
    store: Store, receiver: Receiver, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openpay.webhooks.notifier.LAST_WORDS_S", 0.05)

    async def hang(_request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(3_600)
        raise AssertionError

    receiver.answers["/hook"] = hang
    await raise_(store, clock)
    async with notifier(store, receiver, clock).running():
        await receiver.next()
    assert await wait_at(store) is not None  # its claim lapses, and the next process sends it
