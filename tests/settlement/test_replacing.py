"""Transactions that stay in no block: replaced under the same nonce, and right whichever of the two is mined."""

from __future__ import annotations

from typing import Any

import pytest
from structlog.testing import capture_logs

from openpay.app.records import OperatorTransaction, TransactionStatus, WithdrawalStatus
from openpay.domain.payment import Payment, SettlementStatus
from openpay.settlement import Settler
from openpay.settlement.fees import FeePolicy, Patience
from tests.settlement.till import DyingPool, Killed, StrangeNoncePool, Till, WallClock
from tests.watcher.scene import UNIT

PATIENCE = Patience(blocks=3, seconds=15)
GWEI = 10**9
START = 1_000_000


@pytest.fixture
def wall() -> WallClock:
    return WallClock(START)


def settler_of(till: Till, wall: WallClock, **options: Any) -> Settler:
    return till.settler(wall=wall, patience=PATIENCE, **options)


async def stuck(till: Till, settler: Settler, wall: WallClock) -> None:
    """Blocks pass that are too dear for what the operator sent, until its patience ends."""
    await till.dear_blocks(1, gwei=20)
    await settler.step()
    await till.dear_blocks(PATIENCE.blocks, gwei=20)
    wall.pass_(PATIENCE.seconds)
    await settler.step()


@pytest.fixture
async def waiting(till: Till) -> Payment:
    """A payment that is due, on a chain that mines no block by itself."""
    payment = await till.paid()
    till.scene.anvil.rpc("evm_setAutomine", False)
    return payment


async def settled_by(till: Till, settler: Settler, payment: Payment) -> OperatorTransaction:
    """Mine and watch to the end; the transaction that the payment's record names."""
    await till.until_final()
    await settler.step()
    settlement = await till.settlement(payment)
    assert settlement.status is SettlementStatus.SETTLED
    (mined,) = [each for each in await till.transactions(payment.id) if each.tx_hash == settlement.tx_hash]
    assert mined.status is TransactionStatus.MINED
    assert till.operator_nonce() == 1
    assert till.treasury("USDT") == 25 * UNIT
    return mined


async def test_stuck_transaction_is_replaced_at_a_higher_price(till: Till, wall: WallClock, waiting: Payment) -> None:
    settler = settler_of(till, wall)
    await settler.step()
    await stuck(till, settler, wall)
    old, new = await till.transactions(waiting.id)
    assert (new.nonce, new.subjects, new.gas) == (old.nonce, old.subjects, old.gas)
    assert new.gas_price >= old.gas_price * 9 / 8
    assert (await till.settlement(waiting)).tx_hash == new.tx_hash

    mined = await settled_by(till, settler, waiting)
    old, new = await till.transactions(waiting.id)
    assert mined == new
    assert (old.status, old.fee_wei) == (TransactionStatus.DROPPED, None)


async def test_old_transaction_may_be_the_one_that_is_mined(till: Till, wall: WallClock, waiting: Payment) -> None:
    settler = settler_of(till, wall)
    await settler.step()
    await stuck(till, settler, wall)
    old, _ = await till.transactions(waiting.id)
    await only_mined(till, old)

    mined = await settled_by(till, settler, waiting)
    assert mined.tx_hash == old.tx_hash
    statuses = [each.status for each in await till.transactions(waiting.id)]
    assert statuses == [TransactionStatus.MINED, TransactionStatus.DROPPED]


async def test_withdrawal_is_recorded_by_the_transaction_that_was_mined(till: Till, wall: WallClock) -> None:
    await till.paid()
    await till.settler().step()
    await till.until_final()
    withdrawal = await till.request_withdrawal("USDT")
    till.scene.anvil.rpc("evm_setAutomine", False)
    settler = settler_of(till, wall)
    await settler.step()
    await stuck(till, settler, wall)
    old, new = await till.transactions(withdrawal.id)
    assert (await till.withdrawal(withdrawal)).tx_hash == new.tx_hash
    await only_mined(till, old)

    await till.until_final()
    await settler.step()
    done = await till.withdrawal(withdrawal)
    assert (done.status, done.tx_hash, done.units) == (WithdrawalStatus.SUCCEEDED, old.tx_hash, 25 * UNIT)
    assert till.balance("USDT", till.scene.deployment.merchant.address) == 25 * UNIT


async def only_mined(till: Till, transaction: OperatorTransaction) -> None:
    """As when the miner never heard of anything but this transaction."""
    till.scene.anvil.rpc("anvil_dropAllTransactions")
    till.scene.anvil.rpc("anvil_setNextBlockBaseFeePerGas", hex(1))
    till.scene.anvil.rpc("eth_sendRawTransaction", "0x" + transaction.raw.hex())
    till.scene.anvil.mine()
    assert till.scene.anvil.is_mined("0x" + transaction.tx_hash.hex())


@pytest.mark.parametrize("sent", [False, True], ids=["before-sending", "after-sending"])
async def test_replacement_survives_the_death_of_the_process(
    till: Till, wall: WallClock, waiting: Payment, sent: bool
) -> None:
    dying = settler_of(till, wall, pool=DyingPool(till.scene.pool, sent=sent, spared=1))
    await dying.step()
    with pytest.raises(Killed):
        await stuck(till, dying, wall)
    assert len(await till.transactions(waiting.id)) == 2
    settler = settler_of(till, wall)
    await settler.step()
    await settled_by(till, settler, waiting)


async def test_chain_that_stands_still_replaces_nothing(till: Till, wall: WallClock, waiting: Payment) -> None:
    settler = settler_of(till, wall)
    for _ in range(5):
        await settler.step()
        wall.pass_(3_600)
    assert len(await till.transactions(waiting.id)) == 1


async def test_price_above_the_cap_replaces_nothing_and_says_so_once(
    till: Till, wall: WallClock, waiting: Payment
) -> None:
    settler = settler_of(till, wall, fees=FeePolicy(max_gas_price=3 * GWEI))
    await settler.step()
    with capture_logs() as logs:
        for _ in range(4):
            await stuck(till, settler, wall)
    assert len(await till.transactions(waiting.id)) == 1
    assert [log["event"] for log in logs].count("transaction is stuck") == 1


# --- prices and caps -------------------------------------------------------------------------------------------------


async def test_price_above_the_cap_for_an_hour_is_waited_out_and_told_twice(
    till: Till, wall: WallClock, waiting: Payment
) -> None:
    settler = settler_of(till, wall, fees=FeePolicy(max_gas_price=5 * GWEI))
    await till.dear_blocks(1, gwei=20)
    with capture_logs() as logs:
        for _ in range(61):
            await settler.step()
            wall.pass_(60)
    told = [log for log in logs if log["event"] == "gas price above the cap"]
    assert [log["cap"] for log in told] == [5 * GWEI] * 2
    assert await till.transactions(waiting.id) == []

    till.scene.anvil.rpc("anvil_setNextBlockBaseFeePerGas", hex(GWEI))
    till.scene.anvil.mine()
    with capture_logs() as logs:
        await settler.step()
    assert "over: gas price above the cap" in [log["event"] for log in logs]
    (sent,) = await till.transactions(waiting.id)
    assert sent.gas_price <= 5 * GWEI


async def test_cap_per_transaction_makes_batches_smaller(till: Till) -> None:
    payments = await till.paid_together(4)
    price = 2 * int(till.scene.anvil.rpc("eth_gasPrice"), 16)
    await till.settler(fees=FeePolicy(max_per_transaction=price * 500_000)).step()
    sent = [await till.transactions(payment.id) for payment in payments]
    (first,) = sent[0]
    assert 1 <= len(first.subjects) < 4
    assert first.gas * first.gas_price <= price * 500_000


async def test_cap_per_day_stops_until_the_next_day(till: Till) -> None:
    wall = WallClock(86_400 * 20_000 + 3_600)
    first = await till.paid()
    await till.settler(wall=wall).step()
    await till.until_final()
    await till.settler(wall=wall).step()
    (mined,) = await till.transactions(first.id)
    assert mined.fee_wei is not None

    second = await till.paid()
    settler = till.settler(wall=wall, fees=FeePolicy(max_per_day=mined.fee_wei + 1_000))
    with capture_logs() as logs:
        await settler.step()
    assert [log["committed_today"] for log in logs if log["event"] == "gas cap reached"] == [mined.fee_wei]
    assert await till.transactions(second.id) == []

    tomorrow = till.settler(wall=WallClock(86_400 * 20_001), fees=FeePolicy(max_per_day=10 * mined.fee_wei))
    await tomorrow.step()
    assert len(await till.transactions(second.id)) == 1


# --- nonces of other programs ----------------------------------------------------------------------------------------


async def test_nonce_that_another_programs_transaction_left_unused_is_filled(till: Till) -> None:
    payment = await till.paid()
    till.scene.anvil.rpc("evm_setAutomine", False)
    till.operator_elsewhere()
    settler = till.settler()
    await settler.step()
    (ours,) = await till.transactions(payment.id)
    assert ours.nonce == 1

    till.scene.anvil.rpc("anvil_dropAllTransactions")
    await settler.step()
    await till.until_final()
    await settler.step()
    assert (await till.settlement(payment)).tx_hash == ours.tx_hash
    assert till.operator_nonce() == 2
    async with till.scene.store.read() as uow:
        assert await uow.operations.open_transactions(till.scene.chain.chain_id) == []


async def test_strange_nonce_of_one_node_is_not_believed(till: Till) -> None:
    await till.paid()
    await till.settler().step()
    second = await till.paid()
    settler = till.settler(pool=StrangeNoncePool(till.scene.pool))
    await settler.step()
    (sent,) = await till.transactions(second.id)
    assert sent.nonce == 1
    await till.until_final()
    assert (await till.settlement(second)).tx_hash == sent.tx_hash


async def test_transaction_whose_nonce_is_taken_in_the_new_branch_is_due_again(till: Till) -> None:
    payment = await till.paid()
    settler = till.settler()
    await settler.step()
    (first,) = await till.transactions(payment.id)
    till.scene.anvil.receipt("0x" + first.tx_hash.hex())
    await till.scene.mine(3)
    assert await logs_of(till, payment) == ["Settled"]
    till.scene.anvil.rpc("evm_setAutomine", False)
    till.scene.anvil.reorg(4)
    till.operator_elsewhere()
    till.scene.anvil.mine()
    till.scene.anvil.rpc("evm_setAutomine", True)
    await till.until_final()
    assert await logs_of(till, payment) == []

    await settler.step()
    dropped, second = await till.transactions(payment.id)
    assert (dropped.status, second.nonce) == (TransactionStatus.DROPPED, 1)
    await till.until_final()
    assert (await till.settlement(payment)).tx_hash == second.tx_hash
    assert till.treasury("USDT") == 25 * UNIT


async def logs_of(till: Till, payment: Payment) -> list[str]:
    async with till.scene.store.read() as uow:
        return [log.name for log in (await uow.chain.escrow_logs_of([payment.id])).get(payment.id, [])]
