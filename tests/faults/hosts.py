"""A scene whose watcher reads through hosts that fail as told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from openpay.chain.pool import connect
from openpay.domain.payment import Payment
from openpay.errors import ChainUnavailable
from tests.faults.proxy import Proxy, proxies
from tests.watcher.scene import CHAIN_ID, UNIT, Scene, due

TIMEOUT_S = 1.0
"""For one request: what hangs is to hold these tests up as little as possible."""


@asynccontextmanager
async def behind(scene: Scene, hosts: int) -> AsyncIterator[list[Proxy]]:
    """The scene's watcher as after a restart, behind that many hosts that serve its chain."""
    async with proxies(*[scene.anvil] * hosts) as made:
        urls = [proxy.url for proxy in made]
        async with connect(urls, chain_id=CHAIN_ID, timeout_s=TIMEOUT_S) as pool:
            scene.restart(pool=pool)
            yield made


async def pay_in_parts(scene: Scene) -> Payment:
    """A block with two transfers of different size to one payment, which make up its amount."""
    payment = await scene.create("USDT")
    full = due(payment, "USDT")[0]
    parts = (full - 7 * UNIT, 7 * UNIT)
    scene.send(*(scene.transfer("USDT", payment.address, units) for units in parts))
    return payment


async def watch_patiently(scene: Scene) -> None:
    """Read all there is, however often a step fails on the way."""
    for _ in range(20):
        try:
            await scene.watch()
        except ChainUnavailable:
            continue
        return
    raise AssertionError(f"no step succeeded; {await scene.cursor()} is as far as it got")


async def mine_patiently(scene: Scene, blocks: int) -> None:
    """Mine, and read it: the hosts' patience is short, and a slow machine's answers come late."""
    scene.anvil.mine(blocks)
    await watch_patiently(scene)
