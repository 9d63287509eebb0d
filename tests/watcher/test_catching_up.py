"""However far behind, every block is read, in order, and many share a transaction."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest
from structlog.testing import capture_logs

from openpay.app import follow
from openpay.domain.payment import Status
from tests.watcher.scene import Scene, due
from watcher import catch_up
from watcher.catch_up import CatchUp


def count_writes(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many blocks each transaction holds, from now on."""
    sizes: list[int] = []
    commit = follow.commit_blocks

    async def counted(db: Any, facts: Any, **options: Any) -> Any:
        sizes.append(len(facts))
        return await commit(db, facts, **options)

    monkeypatch.setattr(follow, "commit_blocks", counted)
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
    scene.restart(catch_up=CatchUp(scene.chain, scene.pool, clock=lambda: 0.0))  # however slow this machine is
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


async def test_money_is_found_in_blocks_that_were_let_go_before_anybody_knew_of_the_payment(scene: Scene) -> None:
    first = await scene.create("USDT")
    scene.pay(first, "USDT", due(first, "USDT")[0])
    scene.anvil.mine(120)
    scene.restart(catch_up=CatchUp(scene.chain, scene.pool, watched=()))
    await scene.watch()
    assert await scene.status(first) is Status.PAID


async def test_long_gap_is_read_with_processes_that_end_with_it(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catch_up, "LONG_GAP", 100)
    monkeypatch.setattr(catch_up, "LONGEST_STEP", 50)
    early, late = await scene.create("USDT"), await scene.create("BNB")
    scene.pay(early, "USDT", due(early, "USDT")[0])
    scene.anvil.mine(300)
    scene.pay(late, "BNB", due(late, "BNB")[0])
    scene.anvil.mine(3)
    reading = CatchUp(scene.chain, scene.pool, watched={early.address}, processes=2)
    scene.restart(catch_up=reading)
    pids: set[int] = set()
    while await scene.follower.step():
        pids |= set(reading.pids)
        assert pids or (await scene.cursor()).number < 200  # the first step is taken alone
        if len(pids) == 2 and len(reading.pids) == 2:
            os.kill(reading.pids[0], signal.SIGKILL)
    assert len(pids) == 2
    assert reading.pids == []
    assert await scene.status(early) is Status.PAID
    assert await scene.status(late) is Status.CONFIRMING
    assert [deposit.units for deposit in await scene.deposits(early)] == [due(early, "USDT")[0]]


async def test_reorg_during_catch_up_takes_back_what_was_read_of_the_old_branch(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    payment = await scene.create("USDT")
    scene.anvil.mine(150)
    scene.pay(payment, "USDT", due(payment, "USDT")[0])
    scene.anvil.mine(5)
    head = scene.anvil.block_number()
    seen: list[Status] = []
    commit = follow.commit_blocks

    async def committed(db: Any, facts: Any, **options: Any) -> Any:
        done = await commit(db, facts, **options)
        if not seen and facts[-1].block.number == head - 2:
            seen.append(await scene.status(payment))
            scene.anvil.reorg(8)
        return done

    monkeypatch.setattr(follow, "commit_blocks", committed)
    await scene.watch()
    await scene.mine(1)
    assert seen == [Status.CONFIRMING]
    assert await scene.status(payment) is Status.PENDING
    assert await scene.deposits(payment) == []
    cursor = await scene.cursor()
    assert "0x" + cursor.hash.hex() == scene.anvil.rpc("eth_getBlockByNumber", "latest", False)["hash"]


async def test_progress_is_told_while_catching_up_and_its_end_once(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0

    def clock() -> float:
        nonlocal now
        now += 0.05
        return now

    scene.anvil.mine(300)
    scene.restart(catch_up=CatchUp(scene.chain, scene.pool, clock=clock))
    first = (await scene.cursor()).number
    with capture_logs() as lines:
        await scene.watch()
        await scene.mine(2)
    told = [line for line in lines if line["event"] == "catching up"]
    assert told[0]["blocks_left"] == 300
    assert all(line["blocks_per_s"] > 0 and line["time_left"] for line in told[1:])
    assert 2 <= len(told) < 60
    (end,) = [line for line in lines if line["event"] == "caught up, following now"]
    assert first < end["block"] <= first + 300
    assert end["blocks"] == end["block"] - first


async def test_blocks_that_come_slowly_or_are_large_share_a_transaction_with_few(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.anvil.mine(200)
    for limit, value in (("BYTES_PER_TRANSACTION", 1), ("SECONDS_PER_TRANSACTION", 0.0)):
        with monkeypatch.context() as limits:
            limits.setattr(catch_up, limit, value)
            scene.restart()
            sizes = count_writes(scene, limits)
            await scene.follower.step()
            assert set(sizes) == {1}


async def test_steps_take_as_long_whatever_the_speed(scene: Scene) -> None:
    now = 0.0
    reading = CatchUp(scene.chain, scene.pool, clock=lambda: now)
    await reading.begin_step(1000, 50_000)
    assert reading.last_of_step(1001, 50_000) == 1100
    now = 1.0
    await reading.begin_step(1100, 50_000)
    assert reading.last_of_step(1101, 50_000) == 1300
    now = 101.0
    await reading.begin_step(1300, 50_000)
    assert reading.last_of_step(1301, 50_000) == 1310
    assert reading.last_of_step(1301, 1305) == 1305


async def test_every_block_is_read_once_and_none_left_out_where_following_begins(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers: list[int] = []
    commit = follow.commit_blocks

    async def noted(db: Any, facts: Any, **options: Any) -> Any:
        numbers.extend(fact.block.number for fact in facts)
        return await commit(db, facts, **options)

    monkeypatch.setattr(follow, "commit_blocks", noted)
    first = (await scene.cursor()).number
    scene.anvil.mine(180)
    step = scene.follower.step
    while await step():
        if scene.anvil.block_number() < first + 190:
            scene.anvil.mine(1)  # the chain does not stand still meanwhile
    assert numbers == list(range(first + 1, scene.anvil.block_number() + 1))
