"""Refunds on record: kept with the chain, block by block, on either database."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from openpay.app.records import EscrowLog, OperatorTransaction, TransactionStatus
from openpay.app.refund_requests import RefundRequest, RefundService
from openpay.app.refunds import refresh_refunds
from openpay.domain.address import to_checksum
from openpay.domain.keccak import keccak
from openpay.domain.payment import Payment, Status
from openpay.domain.refunds import RefundPolicy, RefundStatus, sent
from tests.app.worlds import CHAIN, Interrupted, World, failing
from tests.domain.builders import BLOCK_S, LIFE_S, block_time, make_deposit

LAST_BLOCK = LIFE_S // BLOCK_S
"""The last block in which a payment may still be paid."""
AFTER = LAST_BLOCK + 1
ELSEWHERE = bytes([9]) * 20
TX = keccak(b"refund")


async def expire(world: World, *, final: int | None = AFTER) -> Payment:
    """A payment of which 40 of 100 units came, and whose time is over."""
    payment = await world.add()
    await world.mine(LAST_BLOCK, deposits=[make_deposit(40)])
    await world.mine(AFTER, final=final)
    assert (await world.get()).status is Status.EXPIRED
    return payment


def refunded(payment: Payment, *, units: int = 40, to: bytes = bytes([5]) * 20) -> EscrowLog:
    return EscrowLog(
        chain_id=56,
        name="Refunded",
        payment_id=None,
        terms_id=payment.terms.id(),
        account=to,
        token="USDT",
        units=units,
        tx_hash=TX,
        log_index=3,
        block_number=0,
        block_hash=bytes(32),
        block_time=0,
    )


async def test_expiry_and_its_refund_are_one_commit(world: World) -> None:
    await expire(world)

    refund = await world.the_refund()
    assert (refund.status, refund.units, refund.created_at) == (RefundStatus.SCHEDULED, 40, block_time(AFTER))


async def test_no_moment_leaves_an_expired_payment_without_its_refund(world: World) -> None:
    await world.add()
    await world.mine(LAST_BLOCK, deposits=[make_deposit(40)])
    facts = world.facts(AFTER)

    for moment in range(1, 200):
        try:
            await world.commit(facts, final=AFTER, db=failing(world.store, at=moment))
        except Interrupted:
            assert await world.refunds() == []
            assert (await world.get()).status is Status.PENDING
        else:
            break
    else:
        pytest.fail("the commit never went through")
    assert len(await world.refunds()) == 1


async def test_refund_succeeds_when_its_log_is_final_and_is_told_once(world: World) -> None:
    payment = await expire(world)
    async with world.store.write() as uow:
        await uow.refunds.put([sent(await world.the_refund(), TX)])
    await world.mine(AFTER + 1, escrow_logs=[refunded(payment)])
    assert (await world.the_refund()).status is RefundStatus.SUBMITTED

    await world.mine(AFTER + 2, final=AFTER + 1)
    await world.mine(AFTER + 3, final=AFTER + 2)

    done = await world.the_refund()
    assert (done.status, done.tx_hash, done.log_index) == (RefundStatus.SUCCEEDED, TX, 3)
    told = [json.loads(event.body) for event in await world.events("pay_1") if event.type == "payment.refunded"]
    assert [event["data"] for event in told] == [
        {
            "refund_id": done.id,
            "token": "USDT",
            "amount_units": "40",
            "reason": "partial",
            "destination": "0x" + "05" * 20,
            "tx_hash": "0x" + TX.hex(),
        }
    ]
    assert told[0]["status"] == "expired"


async def test_undone_log_leaves_the_refund_under_way(world: World) -> None:
    payment = await expire(world)
    async with world.store.write() as uow:
        await uow.refunds.put([sent(await world.the_refund(), TX)])
    await world.mine(AFTER + 1, escrow_logs=[refunded(payment)])
    await world.undo()
    await world.mine(AFTER + 1, final=AFTER + 1)

    assert (await world.the_refund()).status is RefundStatus.SUBMITTED


async def test_late_deposit_of_an_undone_block_takes_its_refund_along_and_brings_it_back(world: World) -> None:
    await world.add(status=Status.EXPIRED, ended_at=block_time(AFTER))
    late = [make_deposit(40)]
    await world.mine(AFTER + 1)
    await world.mine(AFTER + 2, deposits=late)
    first = await world.the_refund()
    await world.undo()
    assert (await world.the_refund()).status is RefundStatus.CANCELED

    await world.mine(AFTER + 2, deposits=late, branch="other")

    canceled, again = await world.refunds()
    assert (canceled.id, canceled.status) == (first.id, RefundStatus.CANCELED)
    assert (again.status, again.units) == (RefundStatus.SCHEDULED, 40)

    await world.undo()
    await world.mine(AFTER + 2, deposits=late)
    assert [refund.status for refund in await world.refunds()] == [RefundStatus.SCHEDULED, RefundStatus.CANCELED]


async def test_merchants_policy_and_window_are_heeded(world: World) -> None:
    async with world.store.write() as uow:
        await uow.merchants.save(replace(world.merchant, refund_policy=RefundPolicy.MANUAL, refund_window_s=5))
    await expire(world)

    refund = await world.the_refund()
    assert (refund.status, refund.available_at) == (
        RefundStatus.REQUESTED,
        max(block_time(LAST_BLOCK) + 5, block_time(0) + LIFE_S + 1),
    )


async def test_refunds_due_are_those_whose_time_has_come(world: World) -> None:
    await expire(world)
    refund = await world.the_refund()

    async with world.store.read() as uow:
        assert await uow.refunds.due(56, refund.available_at - 1, limit=10) == []
        assert await uow.refunds.due(97, refund.available_at, limit=10) == []
        assert await uow.refunds.due(56, refund.available_at, limit=10) == [refund]


async def test_looking_again_changes_nothing(world: World) -> None:
    await expire(world)
    before = await world.refunds()

    async with world.store.write() as uow:
        _, after = await refresh_refunds(uow, "pay_1", tokens=CHAIN.tokens, wall_now=0)

    assert after == before


async def test_part_that_the_merchant_sent_elsewhere_is_recorded_whole(world: World) -> None:
    payment = await expire(world)
    service = RefundService(chains={True: CHAIN}, clock=world.clock, wall=world.clock)
    wanted = RefundRequest(amount="0.000000000000000015", destination=to_checksum(ELSEWHERE))
    async with world.store.write() as uow:
        (part,) = await service.request(uow, await world.get(), wanted, treasury_units={})
    assert [refund.units for refund in await world.refunds()] == [25, 15]
    async with world.store.write() as uow:
        await uow.refunds.put([sent(part, TX)])

    await world.mine(AFTER + 1, escrow_logs=[refunded(payment, units=15, to=ELSEWHERE)])
    await world.mine(AFTER + 2, final=AFTER + 1)

    rest, done = await world.refunds()
    assert (rest.units, rest.status) == (25, RefundStatus.SCHEDULED)
    assert (done.id, done.units, done.status) == (part.id, 15, RefundStatus.SUCCEEDED)


async def test_replaced_transaction_that_was_mined_after_all_completes_its_own_refund(world: World) -> None:
    payment = await world.add()
    await world.mine(LAST_BLOCK, deposits=[make_deposit(40), make_deposit(40, position=1)])
    await world.mine(AFTER, final=AFTER)
    first, second = await world.refunds()
    replaced, dearer, other = TX, keccak(b"dearer"), keccak(b"other")
    async with world.store.write() as uow:
        for nonce, tx_hash, refund in ((0, replaced, second), (0, dearer, second), (1, other, first)):
            await uow.operations.add_transaction(operator_transaction(tx_hash, nonce=nonce, subject=refund.id))
        await uow.refunds.put([sent(first, other), sent(second, dearer)])

    await world.mine(AFTER + 1, final=AFTER + 1, escrow_logs=[refunded(payment)])

    assert [each.status for each in await world.refunds()] == [RefundStatus.SUBMITTED, RefundStatus.SUCCEEDED]


def operator_transaction(tx_hash: bytes, *, nonce: int, subject: str) -> OperatorTransaction:
    return OperatorTransaction(
        id=f"otx_{tx_hash.hex()[:20]}",
        chain_id=56,
        kind="refund",
        subjects=(subject,),
        sender=bytes([3]) * 20,
        nonce=nonce,
        tx_hash=tx_hash,
        raw=b"raw",
        gas=300_000,
        gas_price=10**9,
        status=TransactionStatus.SIGNED,
        created_at=1,
    )
