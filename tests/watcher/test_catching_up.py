"""However far behind, every block is read, in order, and many share a transaction."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any

import pytest

from openpay.domain.payment import Status
from tests.watcher.scene import Scene, due
from watcher import follower
from watcher.backfill import read_blocks


def count_writes(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many blocks each transaction holds, from now on."""
    sizes: list[int] = []
    commit = follower.follow.commit_blocks

    async def counted(db: Any, facts: Any, **options: Any) -> Any:
        sizes.append(len(facts))
        return await commit(db, facts, **options)

    monkeypatch.setattr(follower.follow, "commit_blocks", counted)
    return sizes


async def test_stop_of_any_length_is_caught_up_with(either_scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = either_scene
    early, late, never = await scene.create("USDT"), await scene.create("USDT"), await scene.create("USDT")
    scene.pay(early, "USDT", due(early, "USDT")[0])
    scene.anvil.mine(250)
    scene.pay(late, "USDT", due(late, "USDT")[0])
    scene.anvil.mine(200)
    scene.anvil.increase_time(2000)
    scene.anvil.mine(100)
    behind = scene.anvil.block_number() - (await scene.cursor()).number
    sizes = count_writes(scene, monkeypatch)
    scene.restart()
    await scene.watch()
    assert await scene.status(early) is Status.PAID
    assert await scene.status(late) is Status.PAID
    assert await scene.status(never) is Status.EXPIRED
    assert sum(sizes) == behind
    assert max(sizes) == 50
    assert sizes[-64:] == [1] * 64


async def test_final_blocks_share_a_transaction_only_when_far_behind(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = count_writes(scene, monkeypatch)
    await scene.mine(64)
    assert sizes == [1] * 64


async def test_payment_made_while_catching_up_is_not_overlooked(scene: Scene) -> None:
    scene.anvil.mine(120)
    step = scene.follower.step
    payment = await scene.create("USDT")
    scene.pay(payment, "USDT", due(payment, "USDT")[0])
    while await step():
        pass
    assert await scene.status(payment) is Status.CONFIRMING


async def test_blocks_are_handed_out_in_order_however_many_are_in_flight(scene: Scene) -> None:
    scene.anvil.mine(60)
    async with aclosing(read_blocks(scene.pool, 1, 75, in_flight=16)) as blocks:
        assert [block.number async for block in blocks] == list(range(1, 76))


async def test_reading_can_be_left_early(scene: Scene) -> None:
    scene.anvil.mine(60)
    async with aclosing(read_blocks(scene.pool, 1, 75)) as blocks:
        async for block in blocks:
            assert block.number == 1
            break
