"""When one host is looked at, and when all are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from openpay.chain.pool import Pool, connect
from tests.faults.faults import stale_head
from tests.faults.proxy import Proxy, proxies
from tests.watcher.scene import CHAIN_ID, Scene
from watcher.lookout import EVERY_S, LOOKS_IN_VAIN, Lookout


@asynccontextmanager
async def two_hosts(scene: Scene) -> AsyncIterator[tuple[list[Proxy], Pool]]:
    async with AsyncExitStack() as stack:
        hosts = await stack.enter_async_context(proxies(scene.anvil, scene.anvil))
        yield hosts, await stack.enter_async_context(connect([host.url for host in hosts], chain_id=CHAIN_ID))


async def test_one_host_is_asked_while_it_has_news_and_all_when_it_has_none(scene: Scene) -> None:
    now = 1000.0
    async with two_hosts(scene) as (_, pool):
        lookout = Lookout(scene.chain, pool, clock=lambda: now)
        assert (await lookout.look()).of_all, "at first all are heard"
        for _ in range(5):
            scene.anvil.mine(1)
            assert not (await lookout.look()).of_all
        looks = [(await lookout.look()).of_all for _ in range(LOOKS_IN_VAIN + 1)]
        assert looks == [False] * LOOKS_IN_VAIN + [True]
        now += EVERY_S
        scene.anvil.mine(1)
        assert (await lookout.look()).of_all
        lookout.doubt()
        assert (await lookout.look()).of_all


async def test_host_far_behind_is_asked_after_the_others_until_it_has_caught_up(scene: Scene) -> None:
    await scene.mine(20)
    async with two_hosts(scene) as (hosts, pool):
        lookout = Lookout(scene.chain, pool)
        hosts[0].faults = [stale_head(10)]
        head = await lookout.look()
        assert head.latest.number == scene.anvil.block_number()
        asked = len(hosts[0].asked)
        await lookout.look()
        assert len(hosts[0].asked) == asked
        hosts[0].faults = []
        lookout.doubt()
        await lookout.look()
        await lookout.look()
        assert len(hosts[0].asked) > asked + 2
