"""Transactions that brought BNB from inside contracts, named by traces."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.faults.faults import Fault, without
from tests.watcher.code import deploy_forwarder, forward
from tests.watcher.nodes import behind
from tests.watcher.scene import Scene, Unsigned
from tests.watcher.vaults import WEI, lying
from watcher import naming


async def test_trace_names_the_transaction_and_its_sender_but_no_payer(scene: Scene) -> None:
    payment = await scene.create("BNB")
    tx_hash = forward(scene, payment, WEI)
    await scene.watch()
    (deposit,) = await scene.deposits(payment)
    assert (deposit.tx_hash, deposit.sender) == (tx_hash, scene.customer)
    assert (deposit.payer, deposit.sender_nonce) == (None, None)


async def test_transfers_of_one_block_are_a_deposit_each(scene: Scene) -> None:
    payment = await scene.create("BNB")
    forwarder = deploy_forwarder(scene, payment)
    hashes = scene.send(Unsigned(to=forwarder, value=WEI), Unsigned(to=forwarder, value=2 * WEI))
    await scene.watch()
    found = {each.tx_hash: (each.units, each.position) for each in await scene.deposits(payment)}
    assert {units for units, _ in found.values()} == {WEI, 2 * WEI}
    assert {position for _, position in found.values()} == {0, 1}
    assert set(found) == {bytes.fromhex(each[2:]) for each in hashes}


async def test_trace_that_does_not_add_up_names_nothing(scene: Scene) -> None:
    def invented(method: str, params: list[Any], result: Any) -> Any:
        return [*result, *result]

    async with behind(scene, 1) as (node,):
        payment = await scene.create("BNB")
        node.lie = lying(invented, "debug_traceBlockByHash")
        forward(scene, payment, WEI)
        await scene.watch()
        (deposit,) = await scene.deposits(payment)
        assert (deposit.units, deposit.tx_hash) == (WEI, None)


@pytest.mark.parametrize("broken", [[without("debug_traceBlockByHash", "trace_block")], []])
async def test_without_a_usable_trace_the_deposit_is_there_all_the_same(scene: Scene, broken: list[Fault]) -> None:
    async with behind(scene, 1) as (node,):
        payment = await scene.create("BNB")
        node.faults = broken
        node.lie = lying(lambda *_: [{"result": 7}], "debug_traceBlockByHash")
        forward(scene, payment, WEI)
        await scene.watch()
        (deposit,) = await scene.deposits(payment)
        assert (deposit.units, deposit.tx_hash, deposit.sender) == (WEI, None, None)


async def test_trace_that_takes_for_ever_holds_up_nothing_for_long(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(naming, "NAMING_S", 0.2)

    async def hang(method: str, params: list[Any], ask: Any) -> Any:
        if "trace" in method:
            await asyncio.Event().wait()
        return await ask(method, params)

    async with behind(scene, 1) as (node,):
        payment = await scene.create("BNB")
        node.faults = [Fault(name="hanging traces", answer=hang)]
        forward(scene, payment, WEI)
        forward(scene, payment, WEI)
        scene.anvil.mine(100)
        await scene.watch()
        assert [(each.units, each.tx_hash) for each in await scene.deposits(payment)] == [(WEI, None), (WEI, None)]
        assert node.asked.count("debug_traceBlockByHash") == 1
