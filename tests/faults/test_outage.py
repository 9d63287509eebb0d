"""Outages: of every node for 400 blocks, and of clocks that cannot be trusted."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from openpay.domain.payment import Status
from openpay.errors import ChainUnavailable
from tests.faults.hosts import behind, mine_patiently
from tests.watcher.scene import Scene, due
from watcher.follower import Follower

BLOCKS = 400
DAY_S = 86_400


async def test_outage_of_400_blocks_misses_nothing_that_happened_meanwhile(scene: Scene) -> None:
    """Payments in every part of it: paid in full, in parts, too late, never."""
    async with behind(scene, 2) as hosts:
        full, in_parts, too_late, never = [await scene.create("USDT", expires_in=600) for _ in range(4)]
        for host in hosts:
            host.is_away = True
        due_units = due(full, "USDT")[0]
        scene.anvil.mine(50, interval_s=1)
        scene.pay(full, "USDT", due_units)
        scene.anvil.mine(100, interval_s=1)
        scene.pay(in_parts, "USDT", due_units - 5)
        scene.anvil.mine(100, interval_s=1)
        scene.pay(in_parts, "USDT", 5)
        scene.anvil.mine(146, interval_s=4)
        scene.pay(too_late, "USDT", due_units)
        assert scene.anvil.timestamp() > too_late.deadline
        for _ in range(2):
            with pytest.raises(ChainUnavailable):
                await scene.watch()
        for payment in (full, in_parts, too_late, never):
            assert await scene.status(payment) is Status.INITIATED, "nothing expires that nobody looked at"
        for host in hosts:
            host.is_away = False
        await mine_patiently(scene, 12)
        assert await scene.status(full) is Status.PAID
        assert await scene.status(in_parts) is Status.PAID
        assert await scene.status(too_late) is Status.EXPIRED
        assert await scene.status(never) is Status.EXPIRED
        assert await scene.received(in_parts, "USDT") == due_units
        assert await scene.received(too_late, "USDT") == due_units
        assert await scene.events(too_late) == ["expired", "late_deposit"]
        assert (await scene.cursor()).number == scene.anvil.block_number()


@dataclass
class LeapingClock:
    """The server's clock, which somebody sets while we work."""

    time: int

    def now(self) -> int:
        return self.time


def with_clock(scene: Scene, clock: LeapingClock) -> Follower:
    """The scene's follower on another clock."""
    scene.restart()
    scene.follower._wall = clock
    return scene.follower


@pytest.mark.parametrize("leap_s", [-400 * DAY_S, -3600, 3600, 400 * DAY_S])
async def test_server_s_clock_decides_nothing(scene: Scene, leap_s: int) -> None:
    clock = LeapingClock(scene.anvil.timestamp())
    with_clock(scene, clock)
    paid, idle = await scene.create("USDT", expires_in=900), await scene.create("USDT", expires_in=900)
    scene.pay(paid, "USDT", due(paid, "USDT")[0])
    for _ in range(12):
        clock.time += leap_s if clock.time + leap_s > 0 else 0
        await scene.mine(1)
    assert await scene.status(paid) is Status.PAID
    assert await scene.status(idle) is Status.INITIATED
    scene.anvil.increase_time(1000)
    await scene.mine(12)
    assert await scene.status(idle) is Status.EXPIRED


async def test_block_an_hour_ahead_expires_nothing_while_the_chain_may_still_step_back(scene: Scene) -> None:
    payment = await scene.create("USDT", expires_in=900)
    scene.anvil.increase_time(3600)
    await scene.mine(5)
    assert (await scene.cursor()).time > payment.deadline
    scene.anvil.reorg(6)
    await scene.mine(12)
    assert (await scene.cursor()).time < payment.deadline
    assert await scene.status(payment) is Status.INITIATED
    scene.anvil.increase_time(3600)
    await scene.mine(12)
    assert await scene.status(payment) is Status.EXPIRED
