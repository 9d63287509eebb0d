"""The watcher and the API change one payment at the same time; nothing is lost, in either order."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from openpay.app.judging import judge
from openpay.app.payments import PaymentService
from openpay.app.refund_requests import RefundService
from openpay.domain.address import to_checksum
from openpay.domain.payment import Payment, Status
from openpay.domain.refunds import NamedBy, Refund
from openpay.errors import Conflict
from tests.app.worlds import CHAIN, Pause, World
from tests.domain.builders import BLOCK_S, LIFE_S, START, make_deposit, make_payment

PAYMENT_ID = "pay_" + "a" * 24


async def cancel(world: World, pause: Pause | None = None) -> Payment:
    db = world.store if pause is None else pause.of(world.store)
    service: PaymentService = world.service
    async with db.write() as uow:
        return await service.cancel(uow, PAYMENT_ID)


async def until_it_waits(world: World, task: asyncio.Task[object]) -> None:
    """Return once the task's transaction waits for the other's lock (on SQLite: in the queue of writers)."""
    if world.url.startswith("sqlite"):
        for _ in range(20):  # more turns than it takes to get into the queue
            await asyncio.sleep(0)
        return
    async with world.auditor.connect() as connection:
        while not task.done():
            waiting = await connection.exec_driver_sql(
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
            )
            if waiting.scalar_one():
                return
            await connection.rollback()
            await asyncio.sleep(0.005)


async def test_cancel_waits_for_a_deposit_that_is_being_committed_and_refuses(world: World) -> None:
    await world.add(PAYMENT_ID)
    pause = Pause("deposits.add")
    commit = asyncio.create_task(
        world.mine(1, deposits=[make_deposit(40, payment_id=PAYMENT_ID)], db=pause.of(world.store))
    )
    await pause.reached_by(commit)
    canceling = asyncio.create_task(cancel(world))
    await until_it_waits(world, canceling)
    pause.resume.set()
    await commit
    with pytest.raises(Conflict) as refused:
        await canceling
    assert refused.value.code == "payment_has_deposits"
    assert (await world.get(PAYMENT_ID)).status is Status.PENDING


async def test_deposit_waits_for_a_cancel_that_is_being_committed_and_is_late(world: World) -> None:
    await world.add(PAYMENT_ID)
    pause = Pause("payments.save")
    canceling = asyncio.create_task(cancel(world, pause))
    await pause.reached_by(canceling)
    commit = asyncio.create_task(world.mine(1, deposits=[make_deposit(payment_id=PAYMENT_ID)]))
    await until_it_waits(world, commit)
    pause.resume.set()
    assert (await canceling).status is Status.CANCELED
    await commit
    assert (await world.get(PAYMENT_ID)).status is Status.CANCELED
    assert await world.told(PAYMENT_ID) == ["canceled", "late_deposit"]


async def test_opening_the_page_while_a_deposit_arrives_loses_neither(world: World) -> None:
    await world.add(PAYMENT_ID, status=Status.INITIATED)
    pause = Pause("payments.lock")

    async def open_page() -> Payment:
        async with world.store.write() as uow:
            return await world.service.open(uow, PAYMENT_ID)

    commit = asyncio.create_task(
        world.mine(1, deposits=[make_deposit(payment_id=PAYMENT_ID)], db=pause.of(world.store))
    )
    await pause.reached_by(commit)
    opening = asyncio.create_task(open_page())
    await until_it_waits(world, opening)
    pause.resume.set()
    await commit
    assert (await opening).status is Status.CONFIRMING
    assert await world.told(PAYMENT_ID) == ["confirming"]


async def test_address_approved_while_time_moves_a_refund_on_is_the_one_it_goes_to(world: World) -> None:
    await world.add(PAYMENT_ID)
    await world.mine(LIFE_S // BLOCK_S, deposits=[make_deposit(40, payment_id=PAYMENT_ID)])
    await world.mine(LIFE_S // BLOCK_S + 1, final=LIFE_S // BLOCK_S + 1)
    async with world.store.write() as uow:
        (refund,) = (await uow.refunds.of([PAYMENT_ID]))[PAYMENT_ID]
        await uow.refunds.put([replace(refund, available_at=0)])  # to be changed by whoever looks at it next
        cursor = await uow.chain.cursor(56)
    assert cursor is not None
    elsewhere, pause = bytes([9]) * 20, Pause("refunds.put")

    async def approve() -> Refund:
        service = RefundService(chains={True: CHAIN}, clock=world.clock, wall=world.clock)
        async with pause.of(world.store).write() as uow:
            return await service.approve(uow, refund, to_checksum(elsewhere))

    async def look() -> None:
        async with world.store.write() as uow:
            await judge(
                uow, cursor, (), {PAYMENT_ID}, answers={}, signed={}, tokens=CHAIN.tokens, wall_now=world.clock.seconds
            )

    approving = asyncio.create_task(approve())
    await pause.reached_by(approving)
    looking = asyncio.create_task(look())
    await until_it_waits(world, looking)
    pause.resume.set()
    await approving
    await looking
    async with world.store.read() as reader:
        after = await reader.refunds.get(refund.id)
    assert after is not None
    assert (after.destination, after.named_by) == (elsewhere, NamedBy.MERCHANT)


async def test_watched_addresses_with_a_gap_left_by_an_open_transaction(postgres_world: World) -> None:
    world = postgres_world
    slow = world.store.write()
    uow = await slow.__aenter__()
    await uow.payments.add(make_payment("slow", merchant_id=world.merchant.id))
    await world.add("quick")

    async with world.store.read() as reader:
        (seen,) = await reader.payments.watched(56, after=0, also=())
    assert seen.address == make_payment("quick").address
    gap = range(1, seen.seq)
    assert gap

    await slow.__aexit__(None, None, None)
    async with world.store.read() as reader:
        assert await reader.payments.watched(56, after=seen.seq, also=()) == []
        (late,) = await reader.payments.watched(56, after=seen.seq, also=gap)
    assert late.address == make_payment("slow").address


async def test_reader_sees_one_moment_however_many_queries_it_makes(world: World) -> None:
    await world.add(PAYMENT_ID)
    async with world.store.read() as uow:
        before = await uow.payments.get(PAYMENT_ID)
        await world.mine(1, deposits=[make_deposit(payment_id=PAYMENT_ID)])
        assert before is not None
        view = await world.service.view(uow, before)
    assert (view.deposits, view.cursor) == ((), None)


async def test_time_of_the_server_is_only_in_the_events(world: World) -> None:
    await world.add(PAYMENT_ID)
    world.clock.seconds = START + 10**6
    await world.mine(1, deposits=[make_deposit(payment_id=PAYMENT_ID)])
    assert (await world.get(PAYMENT_ID)).status is Status.CONFIRMING
    assert [event.created_at for event in await world.events()] == [START + 10**6]
