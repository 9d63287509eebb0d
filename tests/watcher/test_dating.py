"""In which block BNB from inside contracts came, though it is found later."""

from __future__ import annotations

import pytest

from openpay.domain.assessment import is_late
from openpay.domain.deposit import Source
from openpay.domain.payment import Status
from tests.faults.faults import without
from tests.watcher.code import forward
from tests.watcher.nodes import behind
from tests.watcher.scene import Scene, due
from tests.watcher.vaults import WEI, ended, states_gone, step
from watcher import dating


async def test_money_of_a_block_far_behind_is_dated_there_and_in_time(either_scene: Scene) -> None:
    """A watcher that was down: blocks share a transaction, and the deadline passes while it catches up."""
    scene = either_scene
    payment = await scene.create("BNB", expires_in=300)
    scene.anvil.mine(20, interval_s=1)
    forward(scene, payment, due(payment, "BNB")[0])
    at = scene.anvil.block_number()
    scene.anvil.mine(200, interval_s=3)
    scene.restart()
    await scene.watch()
    (deposit,) = await scene.deposits(payment)
    assert deposit.block_number == at
    assert await scene.status(payment) is Status.PAID


async def test_where_states_are_gone_money_is_dated_at_the_oldest_that_is_left(scene: Scene) -> None:
    payment = await scene.create("BNB")
    async with behind(scene, 1) as (node,):
        forward(scene, payment, WEI)
        scene.anvil.mine(150, interval_s=1)
        oldest = scene.anvil.block_number() - 20
        node.faults = [states_gone(scene, below=oldest)]
        await scene.watch()
        (deposit,) = await scene.deposits(payment)
        assert deposit.block_number == oldest


async def test_what_cannot_be_dated_before_the_deadline_is_late(scene: Scene) -> None:
    payment = await scene.create("BNB", expires_in=300)
    async with behind(scene, 1) as (node,):
        forward(scene, payment, due(payment, "BNB")[0])
        scene.anvil.mine(150, interval_s=4)
        node.faults = [states_gone(scene, below=scene.anvil.block_number() - 20)]
        await scene.watch()
        await step(scene)
        (deposit,) = await scene.deposits(payment)
        now = await scene.now(payment)
        assert now.status is Status.EXPIRED
        assert is_late(now, deposit)


@pytest.mark.parametrize("blocks", [30, 400], ids=["within what every node keeps", "as only archives keep them"])
async def test_blocks_whose_balances_were_not_read_are_looked_at_later(scene: Scene, blocks: int) -> None:
    payment = await scene.create("BNB")
    async with behind(scene, 1) as (node,):
        node.faults = [without("eth_call")]
        await scene.mine(5)
        forward(scene, payment, WEI)
        at = scene.anvil.block_number()
        await scene.mine(blocks)
        node.faults = []
        scene.restart(pool=scene.pool)
        await scene.mine(1)
        (deposit,) = await scene.deposits(payment)
        assert deposit.block_number == at


async def test_two_arrivals_found_together_are_dated_apart(scene: Scene) -> None:
    payment = await scene.create("BNB")
    forward(scene, payment, WEI)
    first = scene.anvil.block_number()
    scene.anvil.mine(10)
    scene.pay(payment, "BNB", 7)
    forward(scene, payment, 2 * WEI)
    second = scene.anvil.block_number()
    scene.anvil.mine(100)
    scene.restart()
    await scene.watch()
    found = [each for each in await scene.deposits(payment) if each.source is Source.INTERNAL]
    assert [(each.block_number, each.units) for each in found] == [(first, WEI), (second, 2 * WEI)]


async def test_search_ends_after_so_many_looks_and_dates_money_as_well_as_it_can(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dating, "MOST_LOOKS", 3)
    payment = await scene.create("BNB")
    forward(scene, payment, WEI)
    at = scene.anvil.block_number()
    scene.anvil.mine(200)
    await scene.watch()
    (deposit,) = await scene.deposits(payment)
    assert at < deposit.block_number < at + 60


async def test_dating_late_money_takes_few_looks(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whenever it came it is late: dust in ended payments holds up nobody who waits."""
    monkeypatch.setattr(dating, "LOOKS_FOR_ENDED", 2)
    payment = await ended(scene)
    await step(scene)
    forward(scene, payment, WEI)
    at = scene.anvil.block_number()
    scene.anvil.mine(6)
    await step(scene)
    (deposit,) = await scene.deposits(payment)
    assert deposit.block_number == scene.anvil.block_number() - 1 > at
