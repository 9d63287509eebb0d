"""Hosts that answer late: no commit waits for them, and what they say late still counts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from openpay.chain import member
from openpay.chain.pool import Pool, connect
from openpay.domain.alerts import AlertKind
from openpay.domain.payment import Status
from tests.faults.faults import Ask, Fault
from tests.faults.proxy import Proxy, proxies
from tests.watcher.nodes import other_hashes, paid_up
from tests.watcher.scene import CHAIN_ID, Scene
from watcher import hearing

NEVER_S = 600.0
"""How long a host may take before it counts as absent: longer than a test takes that waits for none."""
HEIGHTS = "eth_getBlockByNumber"
DISAGREE = (AlertKind.HOSTS_DISAGREE, "")


class Gate:
    """Answers are made at once, and wait here until it is opened; `method` is the only one that does, unless None."""

    def __init__(self, method: str | None) -> None:
        self._open = asyncio.Event()
        self._method = method
        self.fault = Fault(name="gate", answer=self._answer)

    async def _answer(self, method: str, params: list[Any], ask: Ask) -> Any:
        result = await ask(method, params)
        if self._method in (None, method):
            await self._open.wait()
        return result

    def open(self) -> None:
        self._open.set()


@asynccontextmanager
async def behind(scene: Scene, hosts: int) -> AsyncIterator[tuple[list[Proxy], Pool]]:
    """The scene's watcher, restarted behind that many hosts, none of which ever counts as absent."""
    async with AsyncExitStack() as stack:
        made = await stack.enter_async_context(proxies(*[scene.anvil] * hosts))
        urls = [proxy.url for proxy in made]
        pool = await stack.enter_async_context(connect(urls, chain_id=CHAIN_ID, timeout_s=NEVER_S))
        scene.restart(pool=pool)
        await scene.watch()
        async with asyncio.timeout(30):
            yield made, pool


async def heard(pool: Pool) -> None:
    """All that is on its way has come."""
    await asyncio.gather(*pool._asking, return_exceptions=True)


def shut(host: Proxy, method: str | None = None) -> Gate:
    gate = Gate(method)
    host.faults = [gate.fault]
    return gate


async def let_late_words_in(host: Proxy, pool: Pool, gate: Gate) -> Gate:
    """What waited is heard; what hosts are asked about blocks at a height from now on waits again."""
    gate.open()
    await heard(pool)
    return shut(host, HEIGHTS)


def name_of(host: Proxy) -> str:
    return host.url.removeprefix("http://").rstrip("/")


@pytest.mark.parametrize("place", [1, 2])
async def test_one_host_of_three_that_never_answers_delays_no_payment(scene: Scene, place: int) -> None:
    async with behind(scene, 3) as (hosts, _):
        gate = shut(hosts[place])
        payment = await paid_up(scene)
        for _ in range(11):
            await scene.mine(1)
        assert await scene.status(payment) is Status.PAID
        gate.open()


async def test_host_that_is_held_back_by_its_pace_delays_no_payment(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(member, "LONGEST_WAIT_S", NEVER_S)
    async with behind(scene, 3) as (hosts, pool):
        pool.members[2].pace.throttled(sent_at=0.0, retry_after_s=NEVER_S / 2)
        asked = len(hosts[2].asked)
        payment = await paid_up(scene)
        for _ in range(11):
            await scene.mine(1)
        assert await scene.status(payment) is Status.PAID
        assert len(hosts[2].asked) == asked


async def test_only_host_there_is_is_waited_for(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its word no block becomes final, and no other could say anything meanwhile."""
    monkeypatch.setattr(hearing, "LONGEST_S", 0.0)
    async with behind(scene, 1):
        payment = await paid_up(scene)
        for _ in range(11):
            await scene.mine(1)
        assert await scene.status(payment) is Status.PAID


async def test_slow_host_is_asked_one_thing_at_a_time(scene: Scene) -> None:
    async with behind(scene, 3) as (hosts, _):
        gate = shut(hosts[2])
        await scene.mine(1)
        asked = len(hosts[2].asked)
        for _ in range(20):
            await scene.mine(1)
        assert len(hosts[2].asked) - asked <= 10
        gate.open()


async def test_two_hosts_pay_with_the_word_of_the_slow_one_once_it_has_come(scene: Scene) -> None:
    async with behind(scene, 2) as (hosts, pool):
        payment = await paid_up(scene)
        await scene.mine(10)
        gate = shut(hosts[1])
        await scene.mine(1)
        assert (await scene.cursor()).number == scene.anvil.block_number()
        assert await scene.status(payment) is Status.CONFIRMING
        gate = await let_late_words_in(hosts[1], pool, gate)
        await scene.mine(1)
        assert await scene.status(payment) is Status.PAID
        gate.open()


async def test_late_word_on_a_block_that_was_taken_back_makes_nothing_final(scene: Scene) -> None:
    async with behind(scene, 2) as (hosts, pool):
        await scene.mine(15)
        gate = shut(hosts[1])
        await scene.mine(1)
        before = await scene.cursor()
        assert before.final_number is not None
        scene.anvil.reorg(12)
        scene.anvil.mine(1)
        gate.open()
        await heard(pool)
        hosts[1].faults = []
        while (await scene.cursor()).number == before.number:
            await scene.follower.step()
        gate = shut(hosts[1], HEIGHTS)
        await scene.watch()
        cursor = await scene.cursor()
        assert cursor.number == scene.anvil.block_number()
        assert cursor.final_number == before.final_number
        gate.open()


async def test_late_contradiction_is_told_and_holds_what_is_not_final_yet(scene: Scene) -> None:
    async with behind(scene, 3) as (hosts, pool):
        await scene.mine(12)
        liar = hosts[2]
        liar.lie = other_hashes
        gate = shut(liar)
        await scene.mine(2)
        final = (await scene.cursor()).final_number
        assert final == scene.anvil.block_number() - 11
        assert DISAGREE not in scene.alarm.standing
        gate = await let_late_words_in(liar, pool, gate)
        for _ in range(3):
            await scene.mine(1)
            assert (await scene.cursor()).final_number == final
        told = scene.alarm.standing[DISAGREE]
        assert f"{name_of(liar)} disagrees" in told
        liar.lie = None
        gate.open()
        await heard(pool)
        liar.faults = []
        await scene.mine(1)
        assert (await scene.cursor()).final_number == scene.anvil.block_number() - 11
        assert DISAGREE not in scene.alarm.standing


async def test_disagreement_is_told_with_whose_block_is_which(scene: Scene) -> None:
    async with behind(scene, 3) as (hosts, _):
        hosts[2].lie = other_hashes
        await scene.mine(15)
        told = scene.alarm.standing[DISAGREE]
        number = scene.anvil.block_number() - 11
        ours = scene.anvil.block(number)["hash"]
        first, second = sorted(map(name_of, hosts[:2]))
        assert f"{name_of(hosts[2])} disagrees: block {number} is 0x{'77' * 32} there" in told
        assert f"what was read here is {ours}, which {first} and {second} has" in told
