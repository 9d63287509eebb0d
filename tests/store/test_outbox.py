"""Events are stored once, reach the endpoints that want them, and are claimed by one process at a time."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace

import pytest

from openpay.app.records import Delivery, DeliveryAttempt, DeliveryState, DueDelivery, WebhookEndpoint
from openpay.domain.events import Draft, EventType, payment_event
from openpay.store import Store
from tests.app.worlds import World
from tests.domain.builders import START, make_payment

LEASE_S = 30


async def add_endpoint(world: World, number: int = 1, **changes: object) -> WebhookEndpoint:
    endpoint = WebhookEndpoint(
        id=f"whe_{number}",
        merchant_id=world.merchant.id,
        livemode=True,
        url=f"https://shop{number}.example/",
        events=(),
        sealed_secret=b"sealed",
        created_at=START,
    )
    async with world.store.write() as uow:
        assert await uow.webhooks.add_endpoint(replace(endpoint, **changes))  # type: ignore[arg-type]
    return endpoint


async def add_event(world: World, number: int, draft: Draft | None = None) -> bool:
    draft = Draft(type=EventType.PENDING) if draft is None else draft
    payment = make_payment(merchant_id=world.merchant.id)
    async with world.store.write() as uow:
        return await uow.events.add(payment_event(payment, draft, event_id=f"evt_{number}", now=START + number))


async def claim(
    store: Store, *, now: int = START + 1_000, limit: int = 100, per_endpoint: int = 100
) -> list[DueDelivery]:
    async with store.write() as uow:
        return await uow.webhooks.claim(now=now, lease_s=LEASE_S, limit=limit, per_endpoint=per_endpoint)


def ids(claimed: list[DueDelivery]) -> list[str]:
    return [due.delivery.id for due in claimed]


def attempt_of(delivery: Delivery, number: int = 1) -> DeliveryAttempt:
    return DeliveryAttempt(
        delivery_id=delivery.id, number=number, at=START, status=500, latency_ms=3, error=None, answer=""
    )


# --- events ------------------------------------------------------------------------------------------------------


async def test_event_with_a_subject_is_stored_once_and_delivered_once(world: World) -> None:
    await add_endpoint(world)
    draft = Draft(type=EventType.LATE_DEPOSIT, subject="here")
    assert [await add_event(world, number, draft) for number in (1, 2)] == [True, False]
    assert await add_event(world, 3, replace(draft, subject="there"))
    assert await add_event(world, 4, replace(draft, type=EventType.UNDERPAID))
    assert [due.event.id for due in await claim(world.store)] == ["evt_1", "evt_3", "evt_4"]


async def test_event_without_a_subject_is_stored_each_time(world: World) -> None:
    assert [await add_event(world, number) for number in (1, 2)] == [True, True]


async def test_only_active_endpoints_of_the_mode_that_want_the_event_get_it(world: World) -> None:
    await add_endpoint(world, 1)
    await add_endpoint(world, 2, events=(EventType.PENDING, EventType.COMPLETED))
    await add_endpoint(world, 3, events=(EventType.COMPLETED,))
    await add_endpoint(world, 4, active=False)
    await add_endpoint(world, 5, livemode=False)
    await add_event(world, 1)
    assert {due.endpoint.id for due in await claim(world.store)} == {"whe_1", "whe_2"}


async def test_claimed_delivery_carries_all_that_sending_needs(world: World) -> None:
    endpoint = await add_endpoint(world)
    await add_event(world, 1)
    (due,) = await claim(world.store)
    assert due.endpoint == endpoint
    assert due.event.body.startswith(b'{"event":"payment.pending","payment_id":"pay_1"')
    assert (due.delivery.state, due.delivery.attempts) == (DeliveryState.PENDING, 0)
    assert (due.delivery.event_type, due.delivery.payment_id) == (EventType.PENDING, "pay_1")


# --- claims ------------------------------------------------------------------------------------------------------


async def test_claimed_delivery_is_not_claimed_again_until_the_claim_lapses(world: World) -> None:
    await add_endpoint(world)
    await add_event(world, 1)
    now = START + 1_000
    first = ids(await claim(world.store, now=now))
    assert await claim(world.store, now=now + LEASE_S - 1) == []
    assert ids(await claim(world.store, now=now + LEASE_S)) == first


async def test_delivery_is_not_claimed_before_its_time(world: World) -> None:
    await add_endpoint(world)
    await add_event(world, 1)
    assert await claim(world.store, now=START) == []
    assert len(await claim(world.store, now=START + 1)) == 1


async def test_recorded_failure_falls_due_at_its_next_time_and_success_never(world: World) -> None:
    await add_endpoint(world)
    for number in (1, 2):
        await add_event(world, number)
    failed, succeeded = [due.delivery for due in await claim(world.store)]
    async with world.store.write() as uow:
        retried = replace(failed, attempts=1, next_attempt_at=START + 2_000)
        assert await uow.webhooks.record(retried, attempt_of(failed))
        done = replace(succeeded, attempts=1, state=DeliveryState.SUCCEEDED, next_attempt_at=None)
        assert await uow.webhooks.record(done, attempt_of(succeeded))
    assert await claim(world.store, now=START + 1_999) == []
    assert ids(await claim(world.store, now=START + 2_000)) == [failed.id]


async def test_second_record_of_the_same_attempt_changes_nothing(world: World) -> None:
    await add_endpoint(world)
    await add_event(world, 1)
    (due,) = await claim(world.store)
    done = replace(due.delivery, attempts=1, state=DeliveryState.SUCCEEDED, next_attempt_at=None)
    async with world.store.write() as uow:
        assert await uow.webhooks.record(done, attempt_of(due.delivery))
        assert not await uow.webhooks.record(replace(due.delivery, attempts=1), attempt_of(due.delivery))
        stored = await uow.webhooks.delivery(due.delivery.id)
    assert stored == done


async def test_claims_stay_within_the_limits(world: World) -> None:
    for number in (1, 2, 3):
        await add_endpoint(world, number)
    for number in range(5):
        await add_event(world, number)
    assert Counter(due.endpoint.id for due in await claim(world.store, per_endpoint=2)) == {
        "whe_1": 2,
        "whe_2": 2,
        "whe_3": 2,
    }
    # Those are being sent: nothing more for any of the three, whoever asks.
    assert await claim(world.store, per_endpoint=2) == []
    assert len(await claim(world.store, per_endpoint=3, limit=2)) == 2


async def test_backlog_of_one_endpoint_hides_no_other(world: World) -> None:
    await add_endpoint(world, 1)
    for number in range(30):
        await add_event(world, number)
    await add_endpoint(world, 2)
    await add_event(world, 31)
    claimed = await claim(world.store, limit=4, per_endpoint=3)
    assert Counter(due.endpoint.id for due in claimed) == {"whe_1": 3, "whe_2": 1}


async def test_disabled_endpoints_deliveries_are_given_up(world: World) -> None:
    await add_endpoint(world)
    await add_event(world, 1)
    async with world.store.write() as uow:
        await uow.webhooks.fail_pending("whe_1")
    assert await claim(world.store) == []


async def test_next_due_time_counts_claims_until_they_lapse(world: World) -> None:
    async def next_due_at() -> int | None:
        async with world.store.read() as uow:
            return await uow.webhooks.next_due_at()

    assert await next_due_at() is None
    await add_endpoint(world)
    await add_event(world, 1)
    assert await next_due_at() == START + 1
    await claim(world.store, now=START + 5)
    assert await next_due_at() == START + 5 + LEASE_S


async def test_claimers_at_once_never_share_a_delivery_nor_pass_the_limit(world: World) -> None:
    for number in (1, 2):
        await add_endpoint(world, number)
    for number in range(12):
        await add_event(world, number)
    stores = [Store.open(world.url) for _ in range(4)]
    try:
        claims = await asyncio.gather(*(claim(store, per_endpoint=5, limit=3) for store in stores for _ in range(3)))
    finally:
        for store in stores:
            await store.close()
    claimed = [due for each in claims for due in each]
    assert len(set(ids(claimed))) == len(claimed)
    assert max(Counter(due.endpoint.id for due in claimed).values()) <= 5


async def test_claimer_that_is_in_the_middle_of_claiming_is_not_waited_for(postgres_world: World) -> None:
    world = postgres_world
    await add_endpoint(world)
    for number in range(4):
        await add_event(world, number)
    async with world.store.write() as slow:
        first = await slow.webhooks.claim(now=START + 1_000, lease_s=LEASE_S, limit=2, per_endpoint=4)
        # Uncommitted: the other sees these rows as due, and passes them by.
        second = await claim(world.store, per_endpoint=4)
    assert len(first) == 2
    assert set(ids(first)).isdisjoint(ids(second))
    assert len(second) == 2


@pytest.mark.parametrize("limit", [1, 2, 5])
async def test_deliveries_are_listed_newest_first(world: World, limit: int) -> None:
    await add_endpoint(world)
    for number in range(3):
        await add_event(world, number)
    async with world.store.read() as uow:
        page = await uow.webhooks.deliveries(world.merchant.id, True, limit=limit, starting_after=None)
    assert [delivery.event_id for delivery in page.items] == ["evt_2", "evt_1", "evt_0"][:limit]
    assert page.has_more is (limit < 3)
