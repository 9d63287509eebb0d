"""From the treasury to the merchant's own address, on a real chain."""

from __future__ import annotations

from typing import Any

import pytest

from openpay.app.records import TransactionStatus, WithdrawalStatus
from openpay.chain.errors import JsonRpcError
from openpay.chain.escrow_abi import selector, withdraw_for_data
from openpay.chain.pool import Pool
from openpay.chain.rpc import Call
from openpay.domain.payment import SettlementStatus
from tests.settlement.till import Till
from tests.watcher.scene import UNIT


async def settled(till: Till, token: str) -> int:
    """The units of one settled payment, now in the treasury."""
    await till.paid(token)
    await till.settler().step()
    await till.until_final()
    return till.treasury(token)


@pytest.mark.parametrize("token", ["USDT", "BNB"])
async def test_withdrawal_pays_the_whole_treasury_to_the_merchant(either_till: Till, token: str) -> None:
    till = either_till
    units = await settled(till, token)
    merchant = till.scene.deployment.merchant.address
    before = till.balance(token, merchant)
    withdrawal = await till.request_withdrawal(token)
    settler = till.settler()

    await settler.step()
    (sent,) = await till.transactions(withdrawal.id)
    submitted = await till.withdrawal(withdrawal)
    assert (submitted.status, submitted.tx_hash) == (WithdrawalStatus.SUBMITTED, sent.tx_hash)
    till.scene.anvil.receipt("0x" + sent.tx_hash.hex())
    mined_at = till.scene.anvil.timestamp()
    await settler.step()
    assert (await till.withdrawal(withdrawal)).status is WithdrawalStatus.SUBMITTED

    await till.until_final()
    await settler.step()
    done = await till.withdrawal(withdrawal)
    assert (done.status, done.units, done.completed_at) == (WithdrawalStatus.SUCCEEDED, units, mined_at)
    assert till.balance(token, merchant) - before == units
    assert till.treasury(token) == 0


async def test_empty_treasury_fails_by_the_escrows_own_word_without_gas(till: Till) -> None:
    withdrawal = await till.request_withdrawal("USDT")
    await till.settler().step()
    failed = await till.withdrawal(withdrawal)
    assert (failed.status, failed.failure, failed.tx_hash) == (WithdrawalStatus.FAILED, "NothingToMove", None)
    assert till.operator_nonce() == 0


async def test_withdrawal_overtaken_by_a_stranger_fails_and_the_merchant_has_the_money(till: Till) -> None:
    units = await settled(till, "USDT")
    withdrawal = await till.request_withdrawal("USDT")
    till.scene.anvil.rpc("evm_setAutomine", False)
    settler = till.settler()
    await settler.step()
    merchant = till.scene.deployment.merchant.address
    data = withdraw_for_data(merchant, till.scene.deployment.tokens["USDT"])
    till.stranger_sends(data, gasPrice=hex(500 * 10**9))
    till.scene.anvil.mine()
    till.scene.anvil.rpc("evm_setAutomine", True)
    await till.until_final()
    await settler.step()
    failed = await till.withdrawal(withdrawal)
    assert (failed.status, failed.failure) == (WithdrawalStatus.FAILED, "reverted")
    assert till.balance("USDT", merchant) == units


async def test_withdrawals_of_two_tokens_are_carried_out_one_after_the_other(till: Till) -> None:
    units = {token: await settled(till, token) for token in ("USDT", "USDC")}
    requested = [await till.request_withdrawal(token) for token in units]
    settler = till.settler()
    for _ in requested:
        await settler.step()
        await till.until_final()
    await settler.step()
    done = [await till.withdrawal(withdrawal) for withdrawal in requested]
    assert [(w.status, w.units) for w in done] == [(WithdrawalStatus.SUCCEEDED, 25 * UNIT)] * 2


async def test_withdrawal_whose_nonce_was_taken_is_tried_again(till: Till) -> None:
    units = await settled(till, "USDT")
    withdrawal = await till.request_withdrawal("USDT")
    till.scene.anvil.rpc("evm_setAutomine", False)
    settler = till.settler()
    await settler.step()
    till.nonce_taken()
    await till.until_final()

    await settler.step()
    await till.until_final()
    await settler.step()
    done = await till.withdrawal(withdrawal)
    assert (done.status, done.units) == (WithdrawalStatus.SUCCEEDED, units)
    statuses = [transaction.status for transaction in await till.transactions(withdrawal.id)]
    assert statuses == [TransactionStatus.DROPPED, TransactionStatus.MINED]


class GivingUpPool:
    """A pool whose nodes give up on simulating a withdrawal, as for a merchant whose contract computes for ever."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)

    async def call(self, call: Call[Any]) -> Any:
        if call.method == "eth_call" and selector("withdrawFor").hex() in str(call.params):
            raise JsonRpcError("node:1", method=call.method, code=-32000, message="execution aborted (timeout = 5s)")
        return await self._pool.call(call)


async def test_withdrawal_on_which_nodes_give_up_holds_up_nothing_else(till: Till) -> None:
    withdrawal = await till.request_withdrawal("BNB")
    payment = await till.paid()
    settler = till.settler(GivingUpPool(till.scene.pool))
    await settler.step()
    await till.until_final()
    await settler.step()
    assert (await till.settlement(payment)).status is SettlementStatus.SETTLED
    assert (await till.withdrawal(withdrawal)).status is WithdrawalStatus.PENDING
