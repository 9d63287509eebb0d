"""Announced blocks make the watcher look sooner, and can make it do nothing else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from openpay.app.clock import SystemClock
from openpay.app.signals import Signals
from openpay.chain.escrow import EscrowClient
from openpay.chain.heads import HeadHints
from openpay.chain.pool import connect
from openpay.domain.payment import Status
from tests.faults.proxy import Proxy, proxies
from tests.watcher.scene import CHAIN_ID, Scene, due
from watcher import Watcher

FOREVER_S = 3600.0


def watcher_of(scene: Scene) -> Watcher:
    escrow = EscrowClient(scene.pool, scene.chain, operator=scene.deployment.operator.address)
    return Watcher(scene.chain, scene.pool, scene.store, escrow, signals=Signals(), wall=SystemClock())


@asynccontextmanager
async def running(watcher: Watcher) -> AsyncIterator[None]:
    stop = asyncio.Event()
    task = asyncio.create_task(watcher.run(stop))
    try:
        yield
    finally:
        stop.set()
        await task


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(30):
        while not await condition():
            await asyncio.sleep(0.01)


async def announcing(scene: Scene, node: Proxy) -> None:
    """Until the watcher listens: a block that is announced is read."""
    before = await scene.cursor()

    async def is_heard() -> bool:
        scene.anvil.mine()
        await asyncio.sleep(0.05)
        return (await scene.cursor()).number > before.number

    await until(is_heard)


def as_they_are(announced: dict[str, Any]) -> list[dict[str, Any]]:
    return [announced]


def doubled(announced: dict[str, Any]) -> list[dict[str, Any]]:
    return [announced] * 3


def out_of_order_and_invented(announced: dict[str, Any]) -> list[dict[str, Any]]:
    made_up: dict[str, Any] = json.loads(json.dumps(announced))
    made_up["params"]["result"] |= {"number": "0xfffffff", "hash": "0x" + "66" * 32}
    old: dict[str, Any] = json.loads(json.dumps(announced))
    old["params"]["result"]["number"] = "0x1"
    return [made_up, announced, old]


@pytest.mark.parametrize("heads", [as_they_are, doubled, out_of_order_and_invented])
async def test_announced_block_is_read_without_waiting_for_the_next_look(scene: Scene, heads: Any) -> None:
    async with (
        proxies(scene.anvil) as (node,),
        connect([node.ws_url], chain_id=CHAIN_ID) as pool,
    ):
        node.heads = heads
        scene.restart(pool=pool)
        payment = await scene.create("USDT")
        await scene.watch()
        watcher = watcher_of(scene)
        watcher._poll_s = FOREVER_S
        async with running(watcher):
            await announcing(scene, node)
            scene.pay(payment, "USDT", due(payment, "USDT")[0])

            async def is_seen() -> bool:
                return await scene.status(payment) is Status.CONFIRMING

            await until(is_seen)
        assert await scene.received(payment, "USDT") == due(payment, "USDT")[0]


async def test_blocks_that_are_not_announced_are_found_by_looking(scene: Scene) -> None:
    async with (
        proxies(scene.anvil) as (node,),
        connect([node.ws_url], chain_id=CHAIN_ID) as pool,
    ):
        node.heads = lambda announced: []
        scene.restart(pool=pool)
        await scene.watch()
        payment = await scene.create("USDT")
        async with running(watcher_of(scene)):
            scene.pay(payment, "USDT", due(payment, "USDT")[0])

            async def is_seen() -> bool:
                return await scene.status(payment) is Status.CONFIRMING

            await until(is_seen)


class Steps:
    """A follower that finds nothing new, and counts how often it looked."""

    def __init__(self) -> None:
        self.count = 0

    async def step(self) -> bool:
        self.count += 1
        return False


async def test_hints_that_bring_nothing_do_not_hurry_the_watcher_on(scene: Scene) -> None:
    watcher, steps = watcher_of(scene), Steps()
    watcher._follower = steps  # type: ignore[assignment]
    hints = HeadHints(block_interval_s=0.45, clock=lambda: 0.0)
    stop = asyncio.Event()
    following = asyncio.create_task(watcher._follow(stop, hints))
    for _ in range(500):
        hints.give()
        await asyncio.sleep(0.001)
    stop.set()
    await following
    assert 2 <= steps.count < 250


async def test_looks_are_rarer_while_hints_come_and_as_often_as_ever_when_they_stop(scene: Scene) -> None:
    watcher = watcher_of(scene)
    now, waits = 0.0, []

    async def note(stop: asyncio.Event, seconds: float, *, unless: Any = None) -> bool:
        if unless is not None:
            unless.close()
        waits.append(seconds)
        return False

    hints = HeadHints(block_interval_s=0.45, clock=lambda: now)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("watcher.daemon.pause", note)
        await watcher._wait(asyncio.Event(), hints, in_vain=False)
        hints.give()
        await watcher._wait(asyncio.Event(), hints, in_vain=False)
        now = 60.0
        await watcher._wait(asyncio.Event(), hints, in_vain=False)
    assert waits == [watcher._poll_s, 4 * watcher._poll_s, watcher._poll_s]
