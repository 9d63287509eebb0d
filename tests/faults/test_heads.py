"""Announced heads that come twice, late, in the wrong order or not at all; sockets that fall silent or break.

An announcement is a hint to look, so none of this changes what is found - and where none comes, the watcher looks.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from openpay.app.clock import SystemClock
from openpay.app.signals import Signals
from openpay.chain.escrow import EscrowClient
from openpay.chain.pool import connect
from openpay.domain.payment import Payment, Status
from tests.faults.faults import (
    Fault,
    duplicated_heads,
    reordered_heads,
    silent_heads,
    skipped_heads,
    wrong_chain_id,
)
from tests.faults.proxy import Proxy, proxies
from tests.watcher.scene import CHAIN_ID, Scene, due
from watcher import Watcher

CONFIRMATIONS = 12
INTERVAL_S = 0.2


@asynccontextmanager
async def watching(scene: Scene, *, http: int = 0) -> AsyncIterator[list[Proxy]]:
    """The daemon, on one host over a WebSocket and on `http` hosts that are polled."""
    async with proxies(*[scene.anvil] * (1 + http)) as made:
        urls = [made[0].ws_url, *(proxy.url for proxy in made[1:])]
        async with connect(urls, chain_id=CHAIN_ID, timeout_s=1.0) as pool:
            chain = replace(scene.chain, block_interval_s=INTERVAL_S)
            escrow = EscrowClient(pool, chain, operator=scene.deployment.operator.address)
            watcher = Watcher(chain, pool, scene.store, escrow, signals=Signals(), wall=SystemClock())
            stop = asyncio.Event()
            running = asyncio.create_task(watcher.run(stop))
            yield made
            assert not running.done() or running.exception() is None
            stop.set()
            await running


async def mine_slowly(scene: Scene, blocks: int) -> None:
    """One block after another, as a chain does."""
    for _ in range(blocks):
        scene.anvil.mine(1)
        await asyncio.sleep(0.03)


async def until(scene: Scene, payment: Payment, status: Status) -> None:
    async with asyncio.timeout(60):
        while await scene.status(payment) is not status:
            await asyncio.sleep(0.05)


async def pay(scene: Scene) -> Payment:
    payment = await scene.create("USDT")
    scene.pay(payment, "USDT", due(payment, "USDT")[0])
    return payment


async def expect_paid_once(scene: Scene, payment: Payment) -> None:
    await mine_slowly(scene, CONFIRMATIONS)
    await until(scene, payment, Status.PAID)
    assert len(await scene.deposits(payment)) == 1
    assert await scene.events(payment) == ["confirming", "completed"]


async def until_all_is_read(scene: Scene) -> None:
    async with asyncio.timeout(60):
        while (await scene.cursor()).number < scene.anvil.block_number():
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    "fault", [None, duplicated_heads(), skipped_heads(3), reordered_heads(), silent_heads()], ids=str
)
async def test_whatever_is_announced_every_block_is_read_once(scene: Scene, fault: Fault | None) -> None:
    async with watching(scene) as (host,):
        host.faults = [] if fault is None else [fault]
        await host.drop_sockets()  # so that it is subscribed to as it now is
        for _ in range(2):
            await expect_paid_once(scene, await pay(scene))
        await until_all_is_read(scene)


async def test_socket_that_breaks_is_opened_again(scene: Scene) -> None:
    async with watching(scene) as (host,):
        await expect_paid_once(scene, await pay(scene))
        for _ in range(3):
            payment = await pay(scene)
            await host.drop_sockets()
            await expect_paid_once(scene, payment)
        assert host.counts()["eth_subscribe"] > 1


async def test_node_that_comes_back_as_another_chain_s_is_not_listened_to(scene: Scene) -> None:
    async with watching(scene) as (host,):
        await expect_paid_once(scene, await pay(scene))
        await until_all_is_read(scene)
        host.faults = [wrong_chain_id()]
        await host.drop_sockets()
        before = await scene.cursor()
        payment = await pay(scene)
        await asyncio.sleep(1.5)
        assert (await scene.cursor()).number == before.number
        assert await scene.deposits(payment) == []
        host.faults = []
        await expect_paid_once(scene, payment)


async def test_socket_and_polled_host_together_outlast_each_other(scene: Scene) -> None:
    async with watching(scene, http=1) as (socket, polled):
        for away in (socket, polled):
            payment = await pay(scene)
            away.is_away = True
            await away.drop_sockets()
            await until(scene, payment, Status.CONFIRMING)
            away.is_away = False
            await mine_slowly(scene, CONFIRMATIONS)
            async with asyncio.timeout(60):
                # It is back once it was probed: a second host's word is needed again.
                while await scene.status(payment) is not Status.PAID:
                    await mine_slowly(scene, 1)
                    await asyncio.sleep(0.2)
