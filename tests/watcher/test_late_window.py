"""An ended payment is watched for thirty days, on a real chain; what comes later is found by reading again."""

from __future__ import annotations

from openpay.domain.payment import LATE_WINDOW_S, Payment, Status
from tests.watcher.rescanning import rescanned
from tests.watcher.scene import Scene
from watcher.watch_set import SWEEP_S


async def expired(scene: Scene) -> Payment:
    payment = await scene.create("USDT", expires_in=300)
    scene.anvil.increase_time(400)
    await scene.mine(14)
    assert await scene.status(payment) is Status.EXPIRED
    return payment


async def pass_until(scene: Scene, payment: Payment, *, before_end_s: int) -> None:
    """Let time go by until so long before the last moment at which the payment's address is watched."""
    until = (await scene.now(payment)).watched_until
    assert until is not None
    scene.anvil.increase_time(until - before_end_s - scene.anvil.timestamp())
    await scene.mine(1)


async def test_money_on_the_last_day_of_the_late_window_is_late_money(scene: Scene) -> None:
    payment = await expired(scene)
    await pass_until(scene, payment, before_end_s=3600)
    scene.pay(payment, "USDT", 5)
    await scene.mine(1)
    assert await scene.received(payment, "USDT") == 5
    assert "late_deposit" in await scene.events(payment)


async def test_money_after_the_late_window_goes_unnoticed_until_its_block_is_read_again(scene: Scene) -> None:
    payment = await expired(scene)
    await pass_until(scene, payment, before_end_s=-SWEEP_S)
    scene.pay(payment, "USDT", 5)
    await scene.mine(14)
    assert await scene.received(payment, "USDT") == 0
    scene.restart()
    await scene.mine(1)
    done = await rescanned(scene, 0, (await scene.cursor()).final_number or 0)
    assert done.found_deposits == 1
    assert await scene.received(payment, "USDT") == 5
    assert "late_deposit" in await scene.events(payment)


def test_late_window_is_thirty_days() -> None:
    assert LATE_WINDOW_S == 30 * 24 * 3600
