"""What the operator is told when finality falters, and what it does to payments."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from openpay.app.clock import SystemClock
from openpay.chain.pool import connect
from openpay.domain.alerts import AlertKind
from openpay.domain.payment import Payment, Status
from openpay.errors import ChainUnavailable, ReorgBelowFinality
from tests.faults.proxy import Proxy, proxies
from tests.watcher.nodes import behind, other_hashes, paid_up, reorg_for_all_but
from tests.watcher.rewinding import rewound
from tests.watcher.scene import CHAIN_ID, Scene

STALLED = (AlertKind.FINALITY_STALLED, "")
DISAGREE = (AlertKind.HOSTS_DISAGREE, "")
ALONE = (AlertKind.NO_SECOND_HOST, "")
BELOW = (AlertKind.REORG_BELOW_FINALITY, "")


def finalized_at(block: dict[str, Any]) -> Callable[[str, list[Any], Any], Any]:
    """A node whose finalized tag stands at `block`."""
    return lambda method, params, result: block if params[:1] == ["finalized"] else result


@asynccontextmanager
async def stalls_at(scene: Scene, depth: int, hosts: int = 1) -> AsyncIterator[list[Proxy]]:
    """The watcher behind hosts, on a chain where so much depth takes the place of a tag that stands still."""
    async with proxies(*[scene.anvil] * hosts) as made:
        urls = [proxy.url for proxy in made]
        async with connect(urls, chain_id=CHAIN_ID, stalled_finality_confirmations=depth) as pool:
            scene.restart(pool=pool, chain=replace(scene.chain, stalled_finality_confirmations=depth))
            yield made


async def test_finality_that_stands_still_holds_then_gives_way_and_is_told_until_it_moves(scene: Scene) -> None:
    async with stalls_at(scene, 40) as (node,):
        await scene.mine(1)
        payment = await paid_up(scene)
        node.lie = finalized_at(scene.anvil.block("finalized"))
        await scene.mine(8)
        assert STALLED not in scene.alarm.standing
        await scene.mine(12)
        assert "payments wait" in scene.alarm.standing[STALLED]
        assert await scene.status(payment) is Status.CONFIRMING
        await scene.mine(18)
        assert await scene.status(payment) is Status.CONFIRMING
        await scene.mine(1)
        assert await scene.status(payment) is Status.PAID
        assert "depth takes its place" in scene.alarm.standing[STALLED]
        node.lie = None
        await scene.mine(1)
        assert STALLED not in scene.alarm.standing
        assert scene.alarm.raised.count(STALLED) == 1


async def test_tag_that_goes_back_takes_nothing_back_and_pays_nothing_early(scene: Scene) -> None:
    async with behind(scene, 1) as (node,):
        earlier = await paid_up(scene)
        await scene.mine(12)
        assert await scene.status(earlier) is Status.PAID
        final = (await scene.cursor()).final_number
        assert final is not None
        payment = await paid_up(scene)
        node.lie = finalized_at(scene.anvil.block(final - 5))
        await scene.mine(20)
        assert (await scene.cursor()).final_number == final
        assert await scene.status(earlier) is Status.PAID
        assert await scene.status(payment) is Status.CONFIRMING
        node.lie = None
        await scene.mine(1)
        assert await scene.status(payment) is Status.PAID


async def test_restart_while_the_tag_is_back_changes_nothing(scene: Scene) -> None:
    async with behind(scene, 1) as (node,):
        await scene.mine(20)
        final = (await scene.cursor()).final_number
        assert final is not None
        node.lie = finalized_at(scene.anvil.block(final - 9))
        scene.restart()
        scene.anvil.reorg(3)
        await scene.watch()
        await scene.mine(5)
        assert (await scene.cursor()).final_number == final


async def test_hosts_that_disagree_are_told_until_they_agree(scene: Scene) -> None:
    async with behind(scene, 2) as (_, second):
        payment = await paid_up(scene)
        second.lie = other_hashes
        await scene.mine(15)
        assert await scene.status(payment) is Status.CONFIRMING
        assert "disagrees" in scene.alarm.standing[DISAGREE]
        second.lie = None
        await scene.mine(1)
        assert await scene.status(payment) is Status.PAID
        assert DISAGREE not in scene.alarm.standing
        assert scene.alarm.raised.count(DISAGREE) == 1


async def test_silent_second_host_is_told_until_it_answers(scene: Scene) -> None:
    async with stalls_at(scene, 30, hosts=2) as (_, second):
        payment = await paid_up(scene)
        second.is_away = True
        await scene.mine(15)
        assert ALONE in scene.alarm.standing
        assert await scene.status(payment) is Status.CONFIRMING
        await scene.mine(15)
        assert await scene.status(payment) is Status.PAID
        assert ALONE in scene.alarm.standing
        second.is_away = False
        await scene.mine(1)
        assert ALONE not in scene.alarm.standing


async def test_reorg_below_finality_is_told_with_where_to_read_what_to_do_until_the_watcher_reads_on(
    scene: Scene,
) -> None:
    payment: Payment = await paid_up(scene)
    before = scene.anvil.block_number() - 1
    await scene.mine(12)
    assert await scene.status(payment) is Status.PAID
    scene.anvil.reorg(scene.anvil.block_number() - before)
    with pytest.raises(ReorgBelowFinality, match="openpay rewind"):
        await scene.watch()
    assert "docs/runbook.md#reorg_below_finality" in scene.alarm.standing[BELOW]
    await rewound(scene, before)
    assert BELOW in scene.alarm.standing
    await scene.watch()
    assert BELOW not in scene.alarm.standing


async def test_branch_below_finality_that_only_one_host_has_is_told_and_stops_nothing(scene: Scene) -> None:
    await scene.mine(20)
    async with behind(scene, 2) as (_, second):
        await reorg_for_all_but(second, scene)
        with pytest.raises(ChainUnavailable, match="not confirmed"):
            await scene.watch()
        assert BELOW not in scene.alarm.standing
        assert "disagrees" in scene.alarm.standing[DISAGREE]


class JumpingClock(SystemClock):
    """A server clock that jumps by days, back and forth."""

    def __init__(self) -> None:
        self._calls = 0

    def now(self) -> int:
        self._calls += 1
        return super().now() + (10**8 if self._calls % 2 else -(10**8))


async def test_jumps_of_the_servers_clock_change_nothing_about_money(scene: Scene) -> None:
    scene.wall = JumpingClock()
    scene.restart()
    payment, idle = await paid_up(scene), await scene.create("USDT")
    for _ in range(13):
        await scene.mine(1)
    assert await scene.status(payment) is Status.PAID
    assert await scene.status(idle) is Status.INITIATED
    paid = await scene.now(payment)
    assert paid.paid_at is not None
    assert abs(paid.paid_at - scene.anvil.timestamp()) < 3600


async def test_chain_time_that_steps_back_in_a_reorg_expires_nothing_early_and_nothing_twice(scene: Scene) -> None:
    payment = await scene.create("USDT", expires_in=300)
    late = await scene.create("USDT", expires_in=300)
    snapshot = scene.anvil.snapshot()
    scene.anvil.increase_time(400)
    await scene.mine(3)  # past the deadline, but not finally
    assert await scene.status(payment) is Status.INITIATED
    scene.anvil.revert(snapshot)
    scene.anvil.rpc("evm_setNextBlockTimestamp", scene.anvil.timestamp() + 1)
    scene.pay(payment, "USDT", (payment.offer("USDT")).full_units)  # type: ignore[union-attr]
    scene.anvil.mine(4, interval_s=1)
    await scene.watch()
    assert (await scene.cursor()).time < payment.deadline
    assert await scene.status(payment) is Status.CONFIRMING
    await scene.mine(9)
    assert await scene.status(payment) is Status.PAID
    scene.anvil.increase_time(400)
    await scene.mine(13)
    assert await scene.status(late) is Status.EXPIRED
    assert (await scene.events(late)).count("expired") == 1
