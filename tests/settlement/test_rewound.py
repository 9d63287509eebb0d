"""The operator's work after a rewind: what was sent is followed again, and nothing is paid out twice."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from openpay.app.records import OperatorTransaction, TransactionStatus, WithdrawalStatus
from openpay.domain.payment import Payment, SettlementStatus
from openpay.domain.refunds import RefundStatus, without_effect
from openpay.errors import ConcurrentChange
from tests.settlement.refund_desk import HOUR_S, RefundDesk
from tests.settlement.till import DyingPool, Killed, Till
from tests.watcher.rewinding import differences, rewound, stopped_below_finality
from tests.watcher.scene import UNIT, Scene


def raw(scene: Scene, tx_hash: bytes) -> str:
    signed: str = scene.anvil.rpc("eth_getRawTransactionByHash", "0x" + tx_hash.hex())
    return signed


async def refunded(desk: RefundDesk) -> tuple[Payment, int]:
    """A payment with two deposits of which the first was given back; and the block before the refund."""
    scene = desk.scene
    payment = await scene.create("USDT")
    scene.pay(payment, "USDT", 5 * UNIT)
    await desk.pass_time(2 * HOUR_S)
    before = scene.anvil.block_number()
    await desk.settle_up()
    refund = await desk.refund(payment)
    assert refund.status is RefundStatus.SUCCEEDED
    return payment, before


async def work_on(till: Till, rounds: int = 4) -> None:
    """Settler and watcher, as they take turns."""
    for _ in range(rounds):
        await till.settler().step()
        await till.until_final()


async def test_refund_that_the_other_branch_lacks_is_sent_again_by_the_same_transaction(till: Till) -> None:
    desk = RefundDesk(till)
    payment, before = await refunded(desk)
    scene = till.scene
    first = await desk.refund(payment)
    scene.pay(payment, "USDT", 7 * UNIT)  # more money in the vault, which is not for that refund
    await till.until_final()
    scene.anvil.reorg(scene.anvil.block_number() - before)
    assert desk.held(payment) == 5 * UNIT
    await stopped_below_finality(scene)
    await rewound(scene, before)
    await scene.watch()

    with capture_logs() as logs:
        await till.settler().step()
    assert any("read again after a rewind" in str(log["event"]) for log in logs)
    assert till.operator_nonce() == 0

    await till.until_final()
    await till.until_final()
    again, late = await desk.refunds(payment)
    assert (again.id, again.status) == (first.id, RefundStatus.SUBMITTED)
    assert late.status is RefundStatus.CANCELED, "the later money is not on this branch"
    await work_on(till)
    again, late = await desk.refunds(payment)
    assert (again.status, again.tx_hash) == (RefundStatus.SUCCEEDED, first.tx_hash)
    assert late.status is RefundStatus.CANCELED
    assert till.operator_nonce() == 1
    assert desk.held(payment) == 0
    assert (await scene.events(payment)).count("refunded") == 1
    assert await differences(scene) == []


async def test_refund_that_both_branches_hold_is_not_paid_again_from_later_money(till: Till) -> None:
    desk = RefundDesk(till)
    payment, before = await refunded(desk)
    scene = till.scene
    refund = await desk.refund(payment)
    assert refund.tx_hash is not None
    again = raw(scene, refund.tx_hash)
    later = scene.sign(scene.transfer("USDT", payment.address, 7 * UNIT))
    scene.anvil.reorg(scene.anvil.block_number() - before, [(again, 4), (later, 6)])
    await stopped_below_finality(scene)
    # Below the deposit too: it comes again in the same block as before, and the refund in another.
    await rewound(scene, before - 20)
    await till.until_final()
    await till.until_final()
    await work_on(till)
    (same, other) = await desk.refunds(payment)
    assert (same.id, same.status, same.tx_hash) == (refund.id, RefundStatus.SUCCEEDED, refund.tx_hash)
    assert (other.units, other.status) == (7 * UNIT, RefundStatus.SCHEDULED), "it waits for its hour"
    assert desk.held(payment) == 7 * UNIT
    assert (await scene.events(payment)).count("refunded") == 1
    assert await differences(scene) == []


async def test_settlement_that_the_other_branch_lacks_is_made_again(till: Till) -> None:
    scene = till.scene
    payment = await till.paid("USDT")
    before = scene.anvil.block_number()
    await till.settler().step()
    await till.until_final()
    await till.settler().step()
    assert (await till.settlement(payment)).status is SettlementStatus.SETTLED
    scene.anvil.reorg(scene.anvil.block_number() - before)
    await stopped_below_finality(scene)
    await rewound(scene, before)
    await till.until_final()
    await till.until_final()
    await work_on(till)
    assert (await till.settlement(payment)).status is SettlementStatus.SETTLED
    assert (await scene.events(payment)).count("settled") == 1
    assert await differences(scene) == []
    async with scene.store.read() as uow:
        assert await uow.operations.open_transactions(scene.chain.chain_id) == []


async def test_withdrawal_that_the_other_branch_lacks_is_made_again_once(till: Till) -> None:
    scene = till.scene
    await till.settled("USDT")
    withdrawal = await till.request_withdrawal("USDT")
    before = scene.anvil.block_number()
    await till.settler().step()
    await till.until_final()
    await till.settler().step()
    assert (await till.withdrawal(withdrawal)).status is WithdrawalStatus.SUCCEEDED
    scene.anvil.reorg(scene.anvil.block_number() - before)
    await stopped_below_finality(scene)
    await rewound(scene, before)
    assert (await till.withdrawal(withdrawal)).status is WithdrawalStatus.SUBMITTED
    await till.until_final()
    await till.until_final()
    await work_on(till)
    assert (await till.withdrawal(withdrawal)).status is WithdrawalStatus.SUCCEEDED
    signed = await till.transactions(withdrawal.id)
    assert [each.status for each in signed] == [TransactionStatus.MINED]
    assert await differences(scene) == []


async def expired_with_two(till: Till) -> tuple[RefundDesk, Payment]:
    """An expired payment whose refunds are due, of 5 units and 7: from the second the first could be paid twice."""
    desk = RefundDesk(till)
    payment = await desk.expired_with(5 * UNIT)
    till.scene.pay(payment, "USDT", 7 * UNIT)
    await desk.pass_time(2 * HOUR_S)
    return desk, payment


async def test_refund_waits_for_the_end_of_a_transaction_that_is_open_again(till: Till) -> None:
    """Its transaction had reverted, so it was to go out anew; a rewind took that end back."""
    desk, payment = await expired_with_two(till)
    with pytest.raises(Killed):
        await till.settler(DyingPool(till.scene.pool, sent=False)).step()
    first = (await desk.refunds(payment))[0]
    (opened,) = await till.transactions(first.id)
    async with till.scene.store.write() as uow:
        await uow.refunds.put([without_effect(first)])

    await till.settler().step()
    assert [each.tx_hash for each in await till.transactions(first.id)] == [opened.tx_hash]
    await work_on(till)
    assert [each.status for each in await desk.refunds(payment)] == [RefundStatus.SUCCEEDED] * 2
    assert len(await till.transactions(first.id)) == 1
    assert desk.held(payment) == 0


class Interrupted:
    """A pool that lets something happen after the first question of a kind: `ask_hosts`, or a `call`."""

    def __init__(self, pool: Any, name: str, meanwhile: Callable[[], Awaitable[Any]]) -> None:
        self._pool = pool
        self._name = name
        self._meanwhile: Callable[[], Awaitable[Any]] | None = meanwhile

    def __getattr__(self, name: str) -> Any:
        asked = getattr(self._pool, name)
        if name != self._name:
            return asked

        async def ask(*arguments: Any) -> Any:
            answer = await asked(*arguments)
            meanwhile, self._meanwhile = self._meanwhile, None
            if meanwhile is not None:
                await meanwhile()
            return answer

        return ask


async def test_end_that_was_seen_before_a_rewind_is_not_recorded_after_it(till: Till) -> None:
    payment = await till.paid("USDT")
    before = till.scene.anvil.block_number() - 11
    await till.settler().step()
    await till.until_final()
    await till.settler(Interrupted(till.scene.pool, "ask_hosts", lambda: rewound(till.scene, before))).step()
    (signed,) = await till.transactions(payment.id)
    assert signed.status is TransactionStatus.SIGNED
    await work_on(till)
    (signed,) = await till.transactions(payment.id)
    assert signed.status is TransactionStatus.MINED


async def test_work_that_was_prepared_before_a_rewind_is_not_sent_after_it(till: Till) -> None:
    payment = await till.paid("USDT")
    before = till.scene.anvil.block_number() - 11
    with pytest.raises(ConcurrentChange, match="rewound"):
        await till.settler(Interrupted(till.scene.pool, "call", lambda: rewound(till.scene, before))).step()
    assert await till.transactions(payment.id) == []
    await work_on(till)
    assert (await till.settlement(payment)).status is SettlementStatus.SETTLED


async def test_refund_whose_earlier_transaction_is_open_again_by_then_is_not_sent(till: Till) -> None:
    """A settler stands still between its look and its signature, for as long as a rewind and reading again take."""
    desk, payment = await expired_with_two(till)
    refund = (await desk.refunds(payment))[0]
    earlier = OperatorTransaction(
        id="otx_earlier",
        chain_id=till.scene.chain.chain_id,
        kind="refund",
        subjects=(refund.id,),
        sender=bytes([7]) * 20,
        nonce=0,
        tx_hash=bytes([7]) * 32,
        raw=b"",
        gas=1,
        gas_price=1,
        status=TransactionStatus.SIGNED,
        created_at=1,
    )

    async def opened_again() -> None:
        async with till.scene.store.write() as uow:
            await uow.operations.add_transaction(earlier)

    with pytest.raises(ConcurrentChange, match=refund.id):
        await till.settler(Interrupted(till.scene.pool, "call", opened_again)).step()
    assert await till.transactions(refund.id) == [earlier]


async def test_refund_that_would_move_more_than_is_left_of_its_deposit_is_held_and_reported(till: Till) -> None:
    """Whatever mistake led to it: this is the last look before the operator signs."""
    desk, payment = await expired_with_two(till)
    first, _ = await desk.refunds(payment)
    moved = replace(first, id="ref_moved", status=RefundStatus.SUCCEEDED, tx_hash=bytes(32), log_index=0)
    async with till.scene.store.write() as uow:
        await uow.refunds.put([moved])

    with capture_logs() as logs:
        await till.settler().step()

    assert await till.transactions(first.id) == []
    assert [log["refund"] for log in logs if "more than is left" in str(log["event"])] == [first.id]


async def test_refund_of_a_payment_that_is_still_to_be_judged_waits_for_that(till: Till) -> None:
    """Somebody acted on it in the moment in which the chain had been read again: what that changes is not decided."""
    desk = RefundDesk(till)
    payment = await desk.expired_with(5 * UNIT)
    await desk.pass_time(2 * HOUR_S)
    (refund,) = await desk.refunds(payment)
    async with till.scene.store.write() as uow:
        await uow.rewinds.mark(till.scene.chain.chain_id, [payment.id])

    await till.settler().step()
    assert await till.transactions(refund.id) == []

    await till.until_final()
    await till.settler().step()
    assert len(await till.transactions(refund.id)) == 1


async def test_transaction_that_another_of_its_refund_replaced_is_not_sent_again_after_a_rewind(till: Till) -> None:
    """The first had reverted, the second went out instead; a rewind took both ends back. Mined on this branch the first
    might have an effect, and the second too."""
    desk, payment = await expired_with_two(till)
    with pytest.raises(Killed):
        await till.settler(DyingPool(till.scene.pool, sent=False)).step()
    refund = (await desk.refunds(payment))[0]
    (first,) = await till.transactions(refund.id)
    async with till.scene.store.write() as uow:
        await uow.refunds.put([without_effect(refund)])
        await uow.operations.end_transaction(replace(first, status=TransactionStatus.MINED, ended_at=1, ended_block=1))
    with pytest.raises(Killed):
        await till.settler(DyingPool(till.scene.pool, sent=False)).step()
    async with till.scene.store.write() as uow:
        await uow.operations.end_transaction(first)

    await work_on(till)
    _, second = await till.transactions(refund.id)
    assert [(each.units, each.status) for each in await desk.refunds(payment)] == [
        (5 * UNIT, RefundStatus.SUCCEEDED),
        (7 * UNIT, RefundStatus.SUCCEEDED),
    ]
    assert (await desk.refunds(payment))[0].tx_hash == second.tx_hash
    assert till.scene.anvil.rpc("eth_getTransactionReceipt", "0x" + first.tx_hash.hex()) is None
    assert desk.held(payment) == 0
    assert await differences(till.scene) == []
