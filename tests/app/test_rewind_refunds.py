"""What becomes of refunds while the chain is read again after a rewind, and when it was."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from openpay.app.ports import Database
from openpay.app.refund_requests import RefundService
from openpay.app.refunds import refresh_refunds
from openpay.domain.address import to_checksum
from openpay.domain.deposit import Deposit, Source
from openpay.domain.keccak import keccak
from openpay.domain.refunds import UNSENT, Refund, RefundStatus, approved, sent
from openpay.store.chain import DOUBTED_BLOCKS
from tests.app.rewinding import cursor_of, log_of, mine_to, take_back
from tests.app.worlds import CHAIN, Pause, World
from tests.domain.builders import BLOCK_S, LIFE_S, make_deposit

LAST_BLOCK = LIFE_S // BLOCK_S
AFTER = LAST_BLOCK + 1
CUSTOMER = bytes([5]) * 20
ELSEWHERE = bytes([9]) * 20
LOOKED_AT = LAST_BLOCK + DOUBTED_BLOCKS
"""The first block in which a look settles the doubt about the balance."""


def inner() -> Deposit:
    return replace(make_deposit(500, "BNB"), source=Source.INTERNAL, tx_hash=None, sender=None, payer=None)


async def doubted(world: World) -> Refund:
    """A refund of money from inside a contract, approved by the merchant, after a rewind: its blocks were read again,
    and its vault's balance was not looked at yet."""
    await world.add()
    await world.mine(LAST_BLOCK - 1)
    await world.mine(LAST_BLOCK, deposits=[inner()])
    await mine_to(world, AFTER + 5, branch="main")
    async with world.store.write() as uow:
        ((refund,),) = (await uow.refunds.of(["pay_1"])).values()
        await uow.refunds.put([approved(refund, ELSEWHERE)])
    await take_back(world, LAST_BLOCK - 1)
    await mine_to(world, LOOKED_AT - 1, branch="other")
    cursor = await cursor_of(world)
    assert (cursor.reread_to, cursor.is_rereading) == (AFTER + 5, False)
    return await world.the_refund()


async def refresh(world: World, db: Database | None = None) -> None:
    async with (db or world.store).write() as uow:
        await refresh_refunds(uow, "pay_1", tokens=CHAIN.tokens, wall_now=1)


async def look_at_balance(world: World, *found: Deposit, db: Database | None = None) -> None:
    """The block in which the doubt is settled, and what is found then."""
    facts = world.facts(LOOKED_AT, deposits=found, branch="other")
    await world.commit(replace(facts, settled_doubts=("pay_1",)), final=LOOKED_AT, db=db)


async def test_nothing_is_decided_of_a_refund_before_its_payments_turn_after_a_rewind(world: World) -> None:
    before = await doubted(world)
    await refresh(world)
    assert await world.the_refund() == before, "its deposit is not on record, and may be about to come"

    await look_at_balance(world, inner())
    assert (await cursor_of(world)).reread_to is None
    assert {each.status for each in await world.refunds()} == {RefundStatus.CANCELED, RefundStatus.AWAITING_CLAIM}


async def test_word_that_the_merchant_gives_before_the_payments_turn_is_kept(world: World) -> None:
    refund = await doubted(world)
    service = RefundService(chains={True: CHAIN, False: CHAIN}, clock=world.clock, wall=world.clock)
    async with world.store.write() as uow:
        kept = await service.approve(uow, refund, to_checksum(CUSTOMER))
    assert (kept.status, kept.destination) == (RefundStatus.SCHEDULED, CUSTOMER)
    assert await world.the_refund() == kept


async def test_merchant_and_watcher_come_to_a_rewound_payment_at_once(world: World) -> None:
    await doubted(world)
    pause = Pause("rewinds.unmark")
    watcher = asyncio.create_task(look_at_balance(world, db=pause.of(world.store)))
    await pause.reached_by(watcher)
    merchant = asyncio.create_task(refresh(world))
    if world.url.startswith("postgresql"):
        await merchant  # it sees the mark still, waits for nobody, and leaves the deciding to the watcher
    pause.resume.set()
    await asyncio.wait_for(asyncio.gather(watcher, merchant), 20)
    async with world.store.read() as uow:
        assert not await uow.rewinds.is_any_marked(56)
    assert (await world.the_refund()).status is RefundStatus.CANCELED


async def test_deposit_of_which_a_rewind_left_too_little_has_a_second_refund(world: World) -> None:
    payment = await world.add()
    first, second = make_deposit(60), make_deposit(30, position=1)
    await world.mine(LAST_BLOCK - 1, deposits=[first])
    await world.mine(LAST_BLOCK, deposits=[second])
    await mine_to(world, AFTER + 3, branch="main")
    (great, small) = await world.refunds()
    assert (great.units, small.units) == (60, 30)
    small_log = log_of(payment, "Refunded", units=30, to=CUSTOMER, tx=keccak(b"small"))
    great_log = log_of(payment, "Refunded", units=30, to=CUSTOMER, tx=keccak(b"great"), log_index=4)
    async with world.store.write() as uow:
        await uow.refunds.put([sent(small, keccak(b"small"))])
    # On the other branch the second deposit is missing, and its refund was mined all the same.
    await take_back(world, LAST_BLOCK - 1)
    await world.mine(LAST_BLOCK, branch="other", escrow_logs=[small_log])
    await mine_to(world, AFTER + 9, branch="other")
    great = next(each for each in await world.refunds() if each.id == great.id)
    assert great.units == 30
    async with world.store.write() as uow:
        await uow.refunds.put([sent(great, keccak(b"great"))])
    await world.mine(AFTER + 10, branch="other", escrow_logs=[great_log])
    # There it comes a few blocks later.
    await world.mine(AFTER + 11, branch="other")
    await mine_to(world, AFTER + 14, branch="other")
    await take_back(world, LAST_BLOCK - 1)
    await world.mine(LAST_BLOCK, deposits=[second])
    await world.mine(AFTER, escrow_logs=[small_log, great_log])
    await mine_to(world, AFTER + 20, branch="main")

    moved = [each for each in await world.refunds() if each.status is RefundStatus.SUCCEEDED]
    assert sum(each.units for each in moved) == 60
    (rest,) = [each for each in await world.refunds() if each.status in UNSENT]
    assert (rest.units, rest.source) == (30, great.source)


async def test_mark_made_in_the_moment_in_which_the_last_was_taken_is_taken_with_the_next_block(world: World) -> None:
    """On PostgreSQL somebody acts on a refund of a payment that no rewind concerns, in a transaction that began while
    the chain was being read again, and ends after the one that ended that. (SQLite has one writer at a time.)"""
    await world.add()
    await world.mine(LAST_BLOCK - 1, deposits=[make_deposit(40)])
    await mine_to(world, AFTER + 3, branch="main")
    refund = await world.the_refund()
    await take_back(world, AFTER + 1)
    await mine_to(world, AFTER + 4, branch="other")
    assert (await cursor_of(world)).is_rereading

    pause = Pause("rewinds.mark")
    merchant = asyncio.create_task(approve(world, refund, db=pause.of(world.store)))
    await pause.reached_by(merchant)
    if world.url.startswith("postgresql"):
        await mine_to(world, AFTER + 5, branch="other")
        assert (await cursor_of(world)).reread_to is None
    pause.resume.set()
    await merchant
    assert (await world.the_refund()).available_at == refund.available_at, "kept, and not judged yet"

    await mine_to(world, AFTER + 6, branch="other")
    judged = await world.the_refund()
    assert (judged.status, judged.destination) == (RefundStatus.SCHEDULED, ELSEWHERE)
    assert judged.available_at < refund.available_at, "the merchant's word needs no window"
    async with world.store.read() as uow:
        assert not await uow.rewinds.is_any_marked(56)


async def approve(world: World, refund: Refund, *, db: Database) -> None:
    service = RefundService(chains={True: CHAIN, False: CHAIN}, clock=world.clock, wall=world.clock)
    async with db.write() as uow:
        await service.approve(uow, refund, to_checksum(ELSEWHERE))
