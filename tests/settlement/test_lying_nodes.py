"""A node that lies to the settler: about the end of a transaction, and about what it cost."""

from __future__ import annotations

from typing import Any

import pytest
from structlog.testing import capture_logs

from openpay.app.records import TransactionStatus
from openpay.chain.pool import connect
from openpay.domain.refunds import RefundStatus
from tests.faults.proxy import Lie, proxies
from tests.settlement.refund_desk import HOUR_S, RefundDesk
from tests.settlement.till import Till
from tests.watcher.scene import CHAIN_ID, UNIT


@pytest.fixture
def desk(till: Till) -> RefundDesk:
    return RefundDesk(till)


def nonce_is_used(method: str, params: list[Any], result: Any) -> Any:
    """Another transaction took the operator's nonce, long ago."""
    return "0x1" if method == "eth_getTransactionCount" else result


def everything_reverted(method: str, params: list[Any], result: Any) -> Any:
    """Whatever was sent is in an old block, without effect."""
    if method != "eth_getTransactionReceipt":
        return result
    return {"blockHash": "0x" + "11" * 32, "blockNumber": "0x1", "status": "0x0", "gasUsed": "0x5208"}


@pytest.mark.parametrize("lie", [nonce_is_used, everything_reverted])
async def test_one_node_cannot_make_a_refund_be_paid_twice_from_other_deposits(desk: RefundDesk, lie: Lie) -> None:
    scene = desk.scene
    payment = await scene.create("USDT")
    scene.pay(payment, "USDT", 5 * UNIT)
    scene.pay(payment, "USDT", 5 * UNIT)
    await desk.pass_time(2 * HOUR_S)
    scene.anvil.rpc("evm_setAutomine", False)
    async with (
        proxies(scene.anvil, scene.anvil) as (liar, honest),
        connect([liar.url, honest.url], chain_id=CHAIN_ID) as pool,
    ):
        settler = desk.till.settler(pool)
        await settler.step()
        signed = {refund.id: await desk.till.transactions(refund.id) for refund in await desk.refunds(payment)}
        assert [len(transactions) for transactions in signed.values()] == [1, 1]
        liar.lie = lie
        with capture_logs() as logs:
            for _ in range(3):
                await settler.step()
        assert "hosts do not agree on the end of a transaction" in {log["event"] for log in logs}
        for refund in await desk.refunds(payment):
            assert refund.status is RefundStatus.SUBMITTED
            assert await desk.till.transactions(refund.id) == signed[refund.id]
        liar.lie = None
        scene.anvil.mine()
        scene.anvil.rpc("evm_setAutomine", True)
        await desk.till.until_final()
        await settler.step()
    assert [refund.status for refund in await desk.refunds(payment)] == [RefundStatus.SUCCEEDED] * 2
    assert desk.held(payment) == 0


async def test_end_is_recorded_once_the_second_host_is_back(till: Till) -> None:
    payment = await till.paid()
    async with (
        proxies(till.scene.anvil, till.scene.anvil) as (first, second),
        connect([first.url, second.url], chain_id=CHAIN_ID) as pool,
    ):
        settler = till.settler(pool)
        await settler.step()
        await till.until_final()
        second.is_away = True
        await settler.step()
        (waiting,) = await till.transactions(payment.id)
        assert waiting.status is TransactionStatus.SIGNED
        second.is_away = False
        await settler.step()
        (ended,) = await till.transactions(payment.id)
        assert ended.status is TransactionStatus.MINED


async def test_node_cannot_claim_that_a_transaction_cost_more_than_its_limit(till: Till) -> None:
    """What it names counts towards the day's cap, which would stop everything."""
    payment = await till.paid()
    async with proxies(till.scene.anvil) as (liar,), connect([liar.url], chain_id=CHAIN_ID) as pool:
        settler = till.settler(pool)
        await settler.step()
        await till.until_final()
        liar.lie = lambda method, _params, result: (
            result | {"gasUsed": "0x" + "f" * 63} if method == "eth_getTransactionReceipt" and result else result
        )
        await settler.step()
        (ended,) = await till.transactions(payment.id)
        signed_gas = 200_000
        assert ended.status is TransactionStatus.MINED
        assert ended.fee_wei is not None
        assert ended.fee_wei <= signed_gas * ended.gas_price
