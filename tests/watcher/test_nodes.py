"""Nodes that are away, lag, or lie: they delay what the watcher does, and never change what it finds."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from openpay.app.clock import SystemClock
from openpay.app.signals import Signals
from openpay.chain.errors import NoEndpointAnswered, ProofFailed
from openpay.chain.escrow import EscrowClient
from openpay.domain.payment import Status
from openpay.errors import ChainUnavailable, ReorgBelowFinality
from tests.watcher.nodes import behind, other_hashes, paid_up, reorg_for_all_but
from tests.watcher.scene import Scene, due
from watcher import Watcher

# --- away --------------------------------------------------------------------------------------------------------


async def test_node_gone_for_five_minutes_delays_a_payment_and_loses_nothing(scene: Scene) -> None:
    async with behind(scene, 1) as (node,):
        waiting = await scene.create("USDT", expires_in=300)
        payment = await scene.create("USDT", expires_in=600)
        node.is_away = True
        scene.pay(payment, "USDT", due(payment, "USDT")[0])
        scene.anvil.mine(100, interval_s=4)
        before = await scene.cursor()
        for _ in range(3):
            with pytest.raises(ChainUnavailable):
                await scene.watch()
        assert await scene.cursor() == before
        assert await scene.status(waiting) is Status.INITIATED
        node.is_away = False
        await scene.watch()
        assert await scene.status(payment) is Status.PAID
        assert await scene.status(waiting) is Status.EXPIRED


async def test_daemon_outlasts_a_node_that_goes_away_and_comes_back(scene: Scene) -> None:
    async with behind(scene, 1) as (node,):
        payment = await paid_up(scene)
        node.is_away = True
        escrow = EscrowClient(scene.pool, scene.chain, operator=scene.deployment.operator.address)
        watcher = Watcher(scene.chain, scene.pool, scene.store, escrow, signals=Signals(), wall=SystemClock())
        stop = asyncio.Event()
        running = asyncio.create_task(watcher.run(stop))
        await asyncio.sleep(0.6)
        assert not running.done()
        node.is_away = False
        scene.anvil.mine(11)
        async with asyncio.timeout(60):
            while await scene.status(payment) is not Status.PAID:
                await asyncio.sleep(0.05)
            stop.set()
            await running


async def test_node_far_behind_the_record_is_told_once_and_so_is_its_return(scene: Scene) -> None:
    async with behind(scene, 1) as (node,):
        await scene.mine(30)
        old = scene.anvil.block(1)
        with capture_logs() as logs:
            node.lie = lambda method, params, result: old if params[:1] == ["latest"] else result
            for _ in range(3):
                assert not await scene.follower.step()
            node.lie = None
            await scene.follower.step()
            await scene.follower.step()
    told = [entry["event"] for entry in logs if entry["event"].startswith("node ")]
    assert told == ["node is far behind what was recorded", "node has caught up with what was recorded"]


async def test_one_of_two_hosts_gone_does_not_delay_reading(scene: Scene) -> None:
    async with behind(scene, 2) as (first, _):
        payment = await paid_up(scene)
        first.is_away = True
        await scene.watch()
        assert await scene.status(payment) is Status.CONFIRMING


# --- two hosts before money ----------------------------------------------------------------------------------------


async def test_two_agreeing_hosts_confirm_at_twelve_confirmations(scene: Scene) -> None:
    async with behind(scene, 2):
        payment = await paid_up(scene)
        await scene.mine(11)
        assert await scene.status(payment) is Status.PAID


async def test_silent_second_host_slows_confirmation_down_to_240_blocks(scene: Scene) -> None:
    async with behind(scene, 2) as (_, second):
        second.is_away = True
        payment = await paid_up(scene)
        await scene.mine(238)
        assert await scene.status(payment) is Status.CONFIRMING
        await scene.mine(1)
        assert await scene.status(payment) is Status.PAID


async def test_second_host_that_lags_is_waited_for(scene: Scene) -> None:
    async with behind(scene, 2) as (_, second):
        final = scene.anvil.block("finalized")
        second.lie = lambda method, params, result: final if params[:1] == ["finalized"] else result
        payment = await paid_up(scene)
        await scene.mine(20)
        assert await scene.status(payment) is Status.CONFIRMING
        second.lie = None
        await scene.mine(1)
        assert await scene.status(payment) is Status.PAID


async def test_disagreeing_second_host_stops_payments_and_expiry_for_as_long_as_it_disagrees(scene: Scene) -> None:
    async with behind(scene, 2) as (_, second):
        second.lie = other_hashes
        payment, idle = await paid_up(scene), await scene.create("USDT")
        scene.anvil.increase_time(4000)
        await scene.mine(300)
        assert await scene.status(payment) is Status.CONFIRMING
        assert await scene.status(idle) is Status.INITIATED
        second.lie = None
        await scene.mine(1)
        assert await scene.status(payment) is Status.PAID
        assert await scene.status(idle) is Status.EXPIRED


async def test_finality_that_stands_still_is_replaced_by_240_confirmations(scene: Scene) -> None:
    async with behind(scene, 1) as (node,):
        final = scene.anvil.block("finalized")
        node.lie = lambda method, params, result: final if params[:1] == ["finalized"] else result
        payment = await paid_up(scene)
        await scene.mine(238)
        assert await scene.status(payment) is Status.CONFIRMING
        await scene.mine(1)
        assert await scene.status(payment) is Status.PAID


# --- lies ----------------------------------------------------------------------------------------------------------


def without_logs(method: str, params: list[Any], result: Any) -> Any:
    if method == "eth_getBlockReceipts":
        return [{**receipt, "logs": []} for receipt in result]
    return result


def without_transactions(method: str, params: list[Any], result: Any) -> Any:
    if method == "eth_getBlockByHash" and params[1]:
        return {**result, "transactions": []}
    return result


def more_money(method: str, params: list[Any], result: Any) -> Any:
    if method == "eth_getBlockReceipts":
        logs = [[{**log, "data": "0x" + "11" * 32} for log in receipt["logs"]] for receipt in result]
        return [{**receipt, "logs": each} for receipt, each in zip(result, logs, strict=True)]
    return result


@pytest.mark.parametrize("lie", [without_logs, without_transactions, more_money])
async def test_lying_node_is_caught_and_another_is_asked(scene: Scene, lie: Any) -> None:
    async with behind(scene, 2) as (liar, _):
        liar.lie = lie
        payment = await paid_up(scene)
        await scene.watch()
        assert await scene.status(payment) is Status.CONFIRMING
        assert await scene.received(payment, "USDT") == due(payment, "USDT")[0]


async def test_cursor_never_passes_a_block_that_nobody_can_prove(scene: Scene) -> None:
    async with behind(scene, 1) as (liar,):
        before = await scene.cursor()
        liar.lie = without_logs
        payment = await paid_up(scene)
        scene.anvil.mine(5)
        with pytest.raises(NoEndpointAnswered) as caught:
            await scene.watch()
        assert [type(fault) for fault in caught.value.faults.values()] == [ProofFailed]
        assert await scene.cursor() == before
        liar.lie = None
        await scene.watch()
        assert await scene.status(payment) is Status.CONFIRMING


async def test_node_that_answers_with_another_height_is_caught_and_another_is_asked(scene: Scene) -> None:
    async with behind(scene, 2) as (confused, _):
        payment = await paid_up(scene)
        scene.anvil.mine(3)
        old = scene.anvil.block(5)
        confused.lie = lambda method, params, result: (
            old if method == "eth_getBlockByNumber" and params[0].startswith("0x") else result
        )
        await scene.watch()
        assert (await scene.cursor()).number == scene.anvil.block_number()
        assert await scene.status(payment) is Status.CONFIRMING


async def test_invented_head_takes_nothing_back(scene: Scene) -> None:
    async with behind(scene, 1) as (liar,):
        payment = await paid_up(scene)
        await scene.mine(3)
        head = scene.anvil.block()
        liar.lie = lambda method, params, result: (
            {**head, "hash": "0x" + "77" * 32} if params[:1] == ["latest"] else result
        )
        with pytest.raises(ChainUnavailable):
            await scene.watch()
        assert await scene.status(payment) is Status.CONFIRMING


async def test_reorg_below_finality_on_one_of_two_hosts_stops_nothing(scene: Scene) -> None:
    """A host on a dead branch is distrusted; only when two say so does the watcher stop."""
    payment = await paid_up(scene)
    await scene.mine(11)
    before = await scene.cursor()
    async with behind(scene, 2) as (_, second):
        await reorg_for_all_but(second, scene)
        with pytest.raises(ChainUnavailable, match="not confirmed"):
            await scene.watch()
        second.lie = None
        with pytest.raises(ReorgBelowFinality):
            await scene.watch()
    assert await scene.cursor() == before
    assert await scene.status(payment) is Status.PAID


async def test_reported_transaction_in_a_block_that_is_not_on_record_is_no_transition(scene: Scene) -> None:
    async with behind(scene, 1) as (node,):
        payment = await scene.create("USDT")
        (tx_hash,) = scene.send(scene.transfer("USDT", payment.address, 10**40))
        await scene.mine(3)
        # As a node on another branch: at that height it has a block that we do not have there.
        elsewhere = hex(scene.anvil.block_number())
        node.lie = lambda method, params, result: (
            {**result, "blockNumber": elsewhere} if method == "eth_getTransactionReceipt" else result
        )
        await scene.report(payment, tx_hash)
        await scene.mine(2)
        assert await scene.status(payment) is Status.INITIATED
        node.lie = None
        await scene.mine(1)
        assert await scene.status(payment) is Status.CONFIRMING
