"""The process ends where it hurts most: money moves once, and the record says what happened."""

from __future__ import annotations

import asyncio
import signal
import sys

import pytest

from openpay.app.records import TransactionStatus, WithdrawalStatus
from openpay.domain.payment import Payment, SettlementStatus
from tests.settlement.till import DyingPool, DyingSigner, Killed, Till
from tests.watcher.scene import UNIT


async def settled_once(till: Till, payment: Payment) -> None:
    """After a restart the payment gets settled by exactly one transaction, and is recorded so."""
    settler = till.settler()
    await settler.step()
    await till.until_final()
    await settler.step()
    (transaction,) = await till.transactions(payment.id)
    settlement = await till.settlement(payment)
    assert (settlement.status, settlement.tx_hash) == (SettlementStatus.SETTLED, transaction.tx_hash)
    assert transaction.status is TransactionStatus.MINED
    assert till.operator_nonce() == 1
    assert till.treasury("USDT") == 25 * UNIT


@pytest.mark.parametrize("sent", [False, True], ids=["before-sending", "after-sending"])
async def test_settlement_happens_once_when_the_process_dies_around_sending(either_till: Till, sent: bool) -> None:
    till = either_till
    payment = await till.paid()
    with pytest.raises(Killed):
        await till.settler(DyingPool(till.scene.pool, sent=sent)).step()
    (signed,) = await till.transactions(payment.id)
    assert (signed.status, signed.sent_at) == (TransactionStatus.SIGNED, None)
    assert (await till.settlement(payment)).status is SettlementStatus.SUBMITTED
    await settled_once(till, payment)


async def test_settlement_happens_once_when_the_process_dies_between_signing_and_storing(till: Till) -> None:
    payment = await till.paid()
    key = till.scene.deployment.operator.private_key
    with pytest.raises(Killed):
        await till.settler(signer=DyingSigner(key)).step()
    assert await till.transactions(payment.id) == []
    assert (await till.settlement(payment)).status is SettlementStatus.PENDING
    await settled_once(till, payment)


async def test_signed_bytes_are_committed_before_any_node_sees_them(till: Till) -> None:
    payment = await till.paid()
    with pytest.raises(Killed):
        await till.settler(DyingPool(till.scene.pool, sent=False)).step()
    (signed,) = await till.transactions(payment.id)
    assert not till.scene.anvil.is_mined("0x" + signed.tx_hash.hex())
    await till.settler().step()
    assert till.scene.anvil.receipt("0x" + signed.tx_hash.hex())["status"] == "0x1"


@pytest.mark.parametrize("sent", [False, True], ids=["before-sending", "after-sending"])
async def test_withdrawal_happens_once_when_the_process_dies_around_sending(till: Till, sent: bool) -> None:
    await till.paid()
    await till.settler().step()
    await till.until_final()
    withdrawal = await till.request_withdrawal("USDT")
    with pytest.raises(Killed):
        await till.settler(DyingPool(till.scene.pool, sent=sent)).step()

    settler = till.settler()
    await settler.step()
    await till.until_final()
    await settler.step()
    assert (await till.withdrawal(withdrawal)).status is WithdrawalStatus.SUCCEEDED
    assert len(await till.transactions(withdrawal.id)) == 1
    assert till.balance("USDT", till.scene.deployment.merchant.address) == 25 * UNIT


async def test_end_that_was_not_recorded_is_recorded_after_the_restart(till: Till) -> None:
    payment = await till.paid()
    await till.settler().step()
    await till.until_final()
    (signed,) = await till.transactions(payment.id)
    assert signed.status is TransactionStatus.SIGNED
    await settled_once(till, payment)


KILLED_SETTLER = """
import asyncio, os, signal, sys
from openpay.chain.pool import connect
from openpay.devnet.deployment import deploy
from openpay.store import Store
from tests.settlement.till import DyingPool, Killed, make_settler

async def main(rpc_url, database_url, private_key, sent):
    store = Store.open(database_url)
    async with connect([rpc_url], chain_id=31337) as pool:
        chain = (await deploy(pool, chain_id=31337)).chain
        try:
            await make_settler(chain, DyingPool(pool, sent=sent == "sent"), store, bytes.fromhex(private_key)).step()
        except Killed:
            os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize("sent", ["unsent", "sent"])
async def test_killed_process_leaves_one_settlement_to_its_successor(till: Till, sqlite_url: str, sent: str) -> None:
    payment = await till.paid()
    key = till.scene.deployment.operator.private_key.hex()
    arguments = [till.scene.anvil.rpc_url, sqlite_url, key, sent]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", KILLED_SETTLER, *arguments, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(60):
        _, errors = await process.communicate()
    assert process.returncode == -signal.SIGKILL, errors.decode()
    assert (await till.settlement(payment)).status is SettlementStatus.SUBMITTED
    await settled_once(till, payment)
