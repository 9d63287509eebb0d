"""From paid to settled, on a real chain: by us, by a stranger, and when things get lost on the way."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from openpay.app.records import TransactionStatus
from openpay.chain.escrow_abi import settle_data
from openpay.chain.pool import connect
from openpay.devnet.wallet import set_balance
from openpay.domain.payment import Payment, Settlement, SettlementStatus
from openpay.errors import ChainUnavailable
from openpay.settlement.batches import Batching
from openpay.settlement.settler import MOST_IN_FLIGHT
from tests.settlement.till import DyingPool, Killed, Till, make_settler
from tests.support.process import free_port
from tests.watcher.scene import UNIT, due


async def test_paid_payment_is_pending_then_submitted_then_settled(either_till: Till) -> None:
    till = either_till
    payment = await till.paid("USDT")
    settler = till.settler()
    assert await till.settlement(payment) == Settlement(status=SettlementStatus.PENDING)

    await settler.step()
    (sent,) = await till.transactions(payment.id)
    assert await till.settlement(payment) == Settlement(status=SettlementStatus.SUBMITTED, tx_hash=sent.tx_hash)

    till.scene.anvil.receipt("0x" + sent.tx_hash.hex())
    mined_at = till.scene.anvil.timestamp()
    await till.scene.watch()
    assert (await till.settlement(payment)).status is SettlementStatus.SUBMITTED
    await till.until_final()
    assert await till.settlement(payment) == Settlement(
        status=SettlementStatus.SETTLED, tx_hash=sent.tx_hash, units=25 * UNIT, settled_at=mined_at
    )
    assert till.treasury("USDT") == 25 * UNIT
    assert await till.scene.events(payment) == ["confirming", "completed", "settled"]

    await settler.step()
    (ended,) = await till.transactions(payment.id)
    assert ended.status is TransactionStatus.MINED
    assert ended.sent_at is not None


async def test_bnb_is_settled_whole_with_what_was_paid_above_the_amount(till: Till) -> None:
    payment = await till.scene.create("BNB")
    units = due(payment, "BNB")[0] + 12_345
    till.scene.pay(payment, "BNB", units)
    await till.until_final()
    await till.settler().step()
    await till.until_final()
    assert (await till.settlement(payment)).units == units
    assert till.treasury("BNB") == units


async def test_payment_that_is_not_paid_yet_is_left_alone(till: Till) -> None:
    payment = await till.scene.create("USDT")
    till.scene.pay(payment, "USDT", 25 * UNIT)
    await till.scene.mine(5)
    await till.settler().step()
    assert await till.transactions(payment.id) == []
    assert till.operator_nonce() == 0


async def test_settled_payment_is_never_sent_again(till: Till) -> None:
    payment = await till.paid()
    settler = till.settler()
    for _ in range(4):
        await settler.step()
        await till.until_final()
    assert len(await till.transactions(payment.id)) == till.operator_nonce() == 1


async def test_transactions_follow_each_other_without_waiting_for_a_block(till: Till) -> None:
    payments = [await till.paid() for _ in range(3)]
    till.scene.anvil.rpc("evm_setAutomine", False)
    await till.settler(batching=Batching(size=1)).step()
    sent = [await till.transactions(payment.id) for payment in payments]
    assert [transaction.nonce for (transaction,) in sent] == [0, 1, 2]
    await till.until_final()
    assert till.treasury("USDT") == 75 * UNIT


async def test_transactions_in_no_block_are_bounded(till: Till) -> None:
    payments = [await till.paid() for _ in range(MOST_IN_FLIGHT + 1)]
    till.scene.anvil.rpc("evm_setAutomine", False)
    settler = till.settler(batching=Batching(size=1))
    await settler.step()
    await settler.step()
    sent = [len(await till.transactions(payment.id)) for payment in payments]
    assert sent == [1] * MOST_IN_FLIGHT + [0]
    till.scene.anvil.mine()
    await settler.step()
    assert len(await till.transactions(payments[-1].id)) == 1


# --- a stranger ------------------------------------------------------------------------------------------------------


def stranger_settles(till: Till, payment: Payment, **fields: str) -> str:
    return till.stranger_sends(settle_data(payment.terms, 0), **fields)


async def test_stranger_who_settles_first_saves_us_the_gas(either_till: Till) -> None:
    till = either_till
    payment = await till.paid()
    tx_hash = stranger_settles(till, payment)
    till.scene.anvil.receipt(tx_hash)
    settler = till.settler()
    await settler.step()
    await till.until_final()
    await settler.step()
    settlement = await till.settlement(payment)
    assert (settlement.status, settlement.tx_hash) == (SettlementStatus.SETTLED, bytes.fromhex(tx_hash[2:]))
    assert await till.transactions(payment.id) == []
    assert till.operator_nonce() == 0


async def test_stranger_who_overtakes_us_is_the_one_recorded(till: Till) -> None:
    payment = await till.paid()
    till.scene.anvil.rpc("evm_setAutomine", False)
    settler = till.settler()
    await settler.step()
    theirs = stranger_settles(till, payment, gasPrice=hex(500 * 10**9))
    till.scene.anvil.mine()
    till.scene.anvil.rpc("evm_setAutomine", True)
    (ours,) = await till.transactions(payment.id)
    assert till.scene.anvil.receipt("0x" + ours.tx_hash.hex())["status"] == "0x0"

    await till.until_final()
    await settler.step()
    settlement = await till.settlement(payment)
    assert (settlement.status, settlement.tx_hash) == (SettlementStatus.SETTLED, bytes.fromhex(theirs[2:]))
    assert till.treasury("USDT") == 25 * UNIT
    assert [t.status for t in await till.transactions(payment.id)] == [TransactionStatus.MINED]


async def test_payment_that_cannot_settle_costs_no_gas_and_holds_up_no_other(till: Till) -> None:
    refunded = await till.paid()
    till.scene.anvil.receipt(await till.merchant_refunds(refunded))
    fine = await till.paid()

    settler = till.settler()
    await settler.step()
    assert await till.transactions(refunded.id) == []
    assert (await till.settlement(refunded)).status is SettlementStatus.PENDING
    assert len(await till.transactions(fine.id)) == 1
    assert till.operator_nonce() == 1


# --- what gets lost --------------------------------------------------------------------------------------------------


async def test_transaction_lost_in_a_reorg_is_sent_again_unchanged(till: Till) -> None:
    payment = await till.paid()
    settler = till.settler()
    await settler.step()
    (sent,) = await till.transactions(payment.id)
    tx_hash = "0x" + sent.tx_hash.hex()
    till.scene.anvil.receipt(tx_hash)
    await till.scene.mine(3)
    till.scene.anvil.reorg(4)
    assert not till.scene.anvil.is_mined(tx_hash)
    await till.scene.watch()
    assert (await till.settlement(payment)).status is SettlementStatus.SUBMITTED

    await settler.step()
    till.scene.anvil.receipt(tx_hash)
    await till.until_final()
    assert (await till.settlement(payment)).tx_hash == sent.tx_hash
    assert len(await till.transactions(payment.id)) == 1
    assert till.treasury("USDT") == 25 * UNIT


async def test_nonce_taken_by_another_transaction_leads_to_a_new_one(till: Till) -> None:
    payment = await till.paid()
    till.scene.anvil.rpc("evm_setAutomine", False)
    settler = till.settler()
    await settler.step()
    (first,) = await till.transactions(payment.id)
    till.nonce_taken()
    await till.until_final()

    await settler.step()
    dropped, second = await till.transactions(payment.id)
    assert (dropped.tx_hash, dropped.status) == (first.tx_hash, TransactionStatus.DROPPED)
    assert second.nonce == first.nonce + 1
    assert await till.settlement(payment) == Settlement(status=SettlementStatus.SUBMITTED, tx_hash=second.tx_hash)
    await till.until_final()
    assert (await till.settlement(payment)).tx_hash == second.tx_hash


async def test_operator_without_gas_says_so_once_and_settles_when_it_is_funded(till: Till) -> None:
    payment = await till.paid()
    await set_balance(till.scene.pool, till.scene.deployment.operator.address, 0)
    settler = till.settler()
    with capture_logs() as logs:
        for _ in range(3):
            await settler.step()
    assert [log["operator"] for log in logs if log["event"] == "operator has no money for gas"] == [till.operator]
    assert await till.transactions(payment.id) == []

    await set_balance(till.scene.pool, till.scene.deployment.operator.address, UNIT)
    with capture_logs() as logs:
        await settler.step()
    assert "over: operator has no money for gas" in [log["event"] for log in logs]
    await till.until_final()
    assert (await till.settlement(payment)).status is SettlementStatus.SETTLED
    assert len(await till.transactions(payment.id)) == 1


async def test_signed_transaction_survives_that_the_money_for_its_gas_is_gone(till: Till) -> None:
    payment = await till.paid()
    with pytest.raises(Killed):
        await till.settler(DyingPool(till.scene.pool, sent=False)).step()
    await set_balance(till.scene.pool, till.scene.deployment.operator.address, 0)
    settler = till.settler()
    await settler.step()
    (waiting,) = await till.transactions(payment.id)
    assert (waiting.status, waiting.sent_at) == (TransactionStatus.SIGNED, None)

    await set_balance(till.scene.pool, till.scene.deployment.operator.address, UNIT)
    await settler.step()
    await till.until_final()
    assert (await till.settlement(payment)).tx_hash == waiting.tx_hash


# --- the role --------------------------------------------------------------------------------------------------------


async def test_running_settler_works_until_it_is_stopped(till: Till) -> None:
    payment = await till.paid()
    stop = asyncio.Event()
    running = asyncio.create_task(till.settler().run(stop))
    async with asyncio.timeout(60):
        while (await till.settlement(payment)).status is not SettlementStatus.SUBMITTED:
            await asyncio.sleep(0.02)
    stop.set()
    async with asyncio.timeout(60):
        await running


async def test_node_that_is_away_is_waited_for(till: Till) -> None:
    payment = await till.paid()
    chain, store = till.scene.chain, till.scene.store
    async with connect([f"http://127.0.0.1:{free_port()}"], chain_id=chain.chain_id) as nowhere:
        settler = make_settler(chain, nowhere, store, till.scene.deployment.operator.private_key)
        with pytest.raises(ChainUnavailable):
            await settler.step()
        stop = asyncio.Event()
        running = asyncio.create_task(settler.run(stop))
        await asyncio.sleep(0.2)
        assert not running.done()
        stop.set()
        await running
    assert await till.transactions(payment.id) == []
    assert await till.settlement(payment) == Settlement(status=SettlementStatus.PENDING)
