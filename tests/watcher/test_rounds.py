"""The rounds over all vaults: a few at a time, seldom, and whatever restarts or goes unanswered."""

from __future__ import annotations

from dataclasses import replace

import pytest

from openpay.domain.deposit import Source
from tests.faults.faults import without
from tests.watcher.code import forward
from tests.watcher.nodes import behind
from tests.watcher.scene import CHAIN_ID, Scene
from tests.watcher.vaults import WEI, ended, step, sums
from watcher import internal


async def test_rounds_reach_every_vault_a_few_at_a_time_whatever_restarts(
    either_scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = either_scene
    monkeypatch.setattr(internal, "ADDRESSES_PER_CALL", 2)
    payments = [await scene.create("BNB", expires_in=300) for _ in range(3)]
    scene.anvil.increase_time(400)
    await scene.mine(12)
    payments += [await scene.create("USDT") for _ in range(2)]
    for payment in payments:
        forward(scene, payment, WEI)
    found = []
    for _ in range(4):
        scene.restart()
        await step(scene)
        found.append(sum([len(await scene.deposits(payment)) for payment in payments]))
    assert found[-1] == 5
    assert all(later - earlier <= 2 for earlier, later in zip([0, *found], found, strict=False))


async def test_rounds_ask_once_in_ten_seconds_however_many_blocks_there_are(scene: Scene) -> None:
    async with behind(scene, 1) as (node,):
        await ended(scene)
        await step(scene)
        node.asked.clear()
        scene.anvil.mine(25, interval_s=1)
        await scene.watch()
        assert node.asked.count("eth_call") == 2
        node.asked.clear()
        scene.anvil.mine(5, interval_s=0)
        await scene.watch()
        assert node.asked.count("eth_call") == 0


async def test_a_step_that_no_node_answers_is_taken_again(scene: Scene) -> None:
    async with behind(scene, 1) as (node,):
        payment = await ended(scene)
        forward(scene, payment, WEI)
        node.faults = [without("eth_call")]
        await step(scene)
        async with scene.store.read() as uow:
            before = await uow.vault_looks.round_(CHAIN_ID)
        assert await scene.deposits(payment) == []
        node.faults = []
        await step(scene)
        assert await sums(scene, payment) == [(Source.INTERNAL, WEI)]
        async with scene.store.read() as uow:
            assert await uow.vault_looks.round_(CHAIN_ID) != before


async def test_more_arrivals_than_are_dated_at_once_are_dated_by_and_by(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever sends dust to many vaults makes no search longer, and no money is passed over."""
    monkeypatch.setattr(internal, "MOST_AT_ONCE", 2)
    payments = [await scene.create("USDT") for _ in range(5)]
    for payment in payments:
        forward(scene, payment, WEI)
    found = []
    for _ in range(3):
        await step(scene)
        found.append(sum([len(await scene.deposits(payment)) for payment in payments]))
    assert found == [2, 4, 5]


async def test_chain_whose_coin_is_not_listed_is_asked_for_no_balances(scene: Scene) -> None:
    tokens = tuple(token for token in scene.chain.tokens if token.contract is not None)
    async with behind(scene, 1) as (node,):
        scene.restart(chain=replace(scene.chain, tokens=tokens))
        payment = await scene.create("USDT")
        forward(scene, payment, WEI)
        await step(scene)
        assert node.asked.count("eth_call") == 0
        assert await scene.deposits(payment) == []
