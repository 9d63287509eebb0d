"""Several payments in one transaction, on a real chain: each item succeeds or fails by its own log."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from openpay.app.records import TransactionStatus
from openpay.chain.escrow_abi import settle_data
from openpay.domain.payment import Payment, SettlementStatus
from openpay.settlement.batches import BASE_GAS, Batching
from openpay.settlement.settlements import GAS_PER_ITEM
from tests.settlement.till import DyingPool, Killed, Till, WallClock
from tests.watcher.scene import UNIT, due

DEAR = hex(500 * 10**9)
"""A gas price that overtakes everybody."""


async def statuses(till: Till, payments: list[Payment]) -> list[SettlementStatus]:
    return [(await till.settlement(payment)).status for payment in payments]


async def test_payments_that_are_due_together_share_a_transaction(either_till: Till) -> None:
    till = either_till
    payments = await till.paid_together(5)
    settler = till.settler()
    await settler.step()
    (sent,) = await till.transactions(payments[0].id)
    assert sent.subjects == tuple(payment.id for payment in payments)
    assert sent.gas == 5 * GAS_PER_ITEM + BASE_GAS

    await till.until_final()
    await settler.step()
    settlements = [await till.settlement(payment) for payment in payments]
    assert {(each.status, each.tx_hash) for each in settlements} == {(SettlementStatus.SETTLED, sent.tx_hash)}
    assert till.treasury("USDT") == 5 * 25 * UNIT
    (ended,) = await till.transactions(payments[4].id)
    receipt = till.scene.anvil.receipt("0x" + sent.tx_hash.hex())
    assert ended.status is TransactionStatus.MINED
    assert ended.fee_wei == int(receipt["gasUsed"], 16) * sent.gas_price


async def test_different_tokens_share_a_transaction(till: Till) -> None:
    payments = [*await till.paid_together(2, "USDT"), *await till.paid_together(2, "BNB")]
    await till.settler().step()
    assert {len(await till.transactions(payment.id)) for payment in payments} == {1}
    assert till.operator_nonce() == 1
    await till.until_final()
    assert set(await statuses(till, payments)) == {SettlementStatus.SETTLED}
    assert till.treasury("BNB") == sum(due(payment, "BNB")[0] for payment in payments[2:])


async def test_more_than_a_batch_becomes_several(till: Till) -> None:
    payments = await till.paid_together(5)
    await till.settler(batching=Batching(size=2)).step()
    transactions = [(await till.transactions(payment.id))[0] for payment in payments]
    assert [len(each.subjects) for each in transactions] == [2, 2, 2, 2, 1]
    assert [each.nonce for each in transactions] == [0, 0, 1, 1, 2]


async def test_lone_payment_does_not_wait_when_no_other_is_coming(till: Till) -> None:
    payment = await till.paid()
    await till.settler(batching=Batching(max_age_s=3_600)).step()
    assert len(await till.transactions(payment.id)) == 1


async def test_payment_waits_for_one_that_is_confirming_and_never_longer_than_allowed(till: Till) -> None:
    payment = await till.paid()
    other = await till.scene.create("USDT")
    till.scene.pay(other, "USDT", due(other, "USDT")[0])
    await till.scene.watch()
    wall = WallClock(1_000_000)
    settler = till.settler(wall=wall, batching=Batching(max_age_s=30))
    await settler.step()
    wall.pass_(29)
    await settler.step()
    assert await till.transactions(payment.id) == []
    wall.pass_(1)
    await settler.step()
    assert len(await till.transactions(payment.id)) == 1


async def test_stranger_who_settles_one_of_a_batch_first_leaves_the_others_to_us(till: Till) -> None:
    payments = await till.paid_together(3)
    settler = till.settler()
    till.scene.anvil.rpc("evm_setAutomine", False)
    await settler.step()
    theirs = till.stranger_sends(settle_data(payments[1].terms, 0), gasPrice=DEAR)
    till.scene.anvil.mine()
    till.scene.anvil.rpc("evm_setAutomine", True)

    await till.until_final()
    await settler.step()
    (ours,) = await till.transactions(payments[1].id)
    hashes = [(await till.settlement(payment)).tx_hash for payment in payments]
    assert hashes == [ours.tx_hash, bytes.fromhex(theirs[2:]), ours.tx_hash]
    assert set(await statuses(till, payments)) == {SettlementStatus.SETTLED}
    await settler.step()
    assert till.operator_nonce() == 1
    assert till.treasury("USDT") == 75 * UNIT


async def test_bad_item_is_left_out_before_it_costs_gas(till: Till) -> None:
    payments = await till.paid_together(40)
    bad = payments[36]
    till.scene.anvil.receipt(await till.merchant_refunds(bad))
    with capture_logs() as logs:
        await till.settler().step()
    assert [log["subject"] for log in logs if log["event"] == "cannot be done now"] == [bad.id]
    (sent,) = await till.transactions(payments[0].id)
    assert sent.subjects == tuple(payment.id for payment in payments if payment is not bad)
    await till.until_final()
    assert (await statuses(till, payments)).count(SettlementStatus.SETTLED) == 39
    assert (await till.settlement(bad)).status is SettlementStatus.PENDING


async def test_item_that_turned_bad_on_the_way_is_due_again_alone_though_the_receipt_says_success(till: Till) -> None:
    first, bad, last = await till.paid_together(3)
    settler = till.settler()
    till.scene.anvil.rpc("evm_setAutomine", False)
    await settler.step()
    await till.merchant_refunds(bad, gasPrice=DEAR)
    till.scene.anvil.mine()
    till.scene.anvil.rpc("evm_setAutomine", True)
    (sent,) = await till.transactions(bad.id)
    assert till.scene.anvil.receipt("0x" + sent.tx_hash.hex())["status"] == "0x1"
    assert (await till.settlement(bad)).status is SettlementStatus.SUBMITTED

    await till.until_final()
    await settler.step()
    settled = SettlementStatus.SETTLED
    assert await statuses(till, [first, bad, last]) == [settled, SettlementStatus.PENDING, settled]

    # Filled up again it settles: alone, although another is due with it.
    till.scene.pay(bad, "USDT", UNIT)
    await till.scene.mine(1)
    other = await till.paid()
    await till.settler().step()
    (_, again), (with_nobody,) = await till.transactions(bad.id), await till.transactions(other.id)
    assert (again.subjects, with_nobody.subjects) == ((bad.id,), (other.id,))


@pytest.mark.parametrize("sent", [False, True], ids=["before-sending", "after-sending"])
async def test_batch_happens_once_when_the_process_dies_around_sending(till: Till, sent: bool) -> None:
    payments = await till.paid_together(3)
    with pytest.raises(Killed):
        await till.settler(DyingPool(till.scene.pool, sent=sent)).step()
    settler = till.settler()
    await settler.step()
    await till.until_final()
    await settler.step()
    assert set(await statuses(till, payments)) == {SettlementStatus.SETTLED}
    assert till.operator_nonce() == 1
    assert {len(await till.transactions(payment.id)) for payment in payments} == {1}


async def test_batch_whose_nonce_was_taken_is_sent_again_whole(till: Till) -> None:
    payments = await till.paid_together(3)
    till.scene.anvil.rpc("evm_setAutomine", False)
    settler = till.settler()
    await settler.step()
    till.nonce_taken()
    with capture_logs() as logs:
        await settler.step()
    assert "another program used the operator's nonce" in [log["event"] for log in logs]
    await till.until_final()
    await settler.step()
    dropped, again = await till.transactions(payments[0].id)
    assert (dropped.status, again.subjects) == (TransactionStatus.DROPPED, dropped.subjects)
    await till.until_final()
    assert set(await statuses(till, payments)) == {SettlementStatus.SETTLED}
