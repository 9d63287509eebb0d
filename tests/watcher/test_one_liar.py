"""One host of two that invents heads, times and tags to delay what it cannot forge."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest

from openpay.domain.assessment import LONGEST_UNSURE_S
from openpay.domain.payment import Status
from openpay.errors import ChainUnavailable
from tests.faults.proxy import Lie
from tests.watcher.code import forward
from tests.watcher.nodes import behind, child, paid_up, serving
from tests.watcher.scene import Scene, due
from tests.watcher.vaults import balances, ended, step

FAR_FUTURE = hex(2**33)


def without_money(method: str, params: list[Any], result: Any) -> Any:
    """No vault holds anything."""
    if method == "eth_call" and "to" not in params[0]:
        return balances(*[0] * ((len(result) - 2) // 64 - 2))
    return result


async def test_block_of_the_far_future_does_not_end_the_rounds_over_balances(scene: Scene) -> None:
    async with behind(scene, 2) as (liar, _):
        payment = await ended(scene)
        liar.lie = serving(child(scene.anvil.block(), timestamp=FAR_FUTURE))
        await scene.watch()
        assert (await scene.cursor()).time == int(FAR_FUTURE, 16)
        liar.lie = None
        await scene.mine(3)
        forward(scene, payment, due(payment, "BNB")[0])
        await step(scene)
        await step(scene)
        assert len(await scene.deposits(payment)) == 1


async def test_host_that_names_a_head_nobody_has_cannot_hide_money_behind_it(scene: Scene) -> None:
    """Far behind the head nobody is asked for state. How far we are behind is not for one host to say."""
    async with behind(scene, 2) as (liar, _):
        payment = await scene.create("BNB")
        heads = serving(child(scene.anvil.block(), number=hex(2**50)))
        liar.lie = lambda method, params, result: without_money(method, params, heads(method, params, result))
        forward(scene, payment, due(payment, "BNB")[0])
        for _ in range(5):
            scene.anvil.increase_time(11)
            with suppress(ChainUnavailable):
                await scene.watch()
        assert (await scene.cursor()).number == scene.anvil.block_number()
        assert await scene.status(payment) is Status.CONFIRMING


async def test_host_that_names_a_head_nobody_has_is_not_followed_for_a_while(scene: Scene) -> None:
    async with behind(scene, 2) as (liar, _):
        liar.lie = serving(child(scene.anvil.block(), number=hex(2**50)))
        for _ in range(2):
            with suppress(ChainUnavailable):
                await scene.watch()
        for _ in range(5):
            await scene.mine(1)  # without a fault
            assert (await scene.cursor()).seen_head == scene.anvil.block_number()


def final_at(scene: Scene, depth: int) -> Lie:
    """A node that calls final what lies so deep."""

    def lie(method: str, params: list[Any], result: Any) -> Any:
        return scene.anvil.block(max(0, scene.anvil.block_number() - depth)) if params[:1] == ["finalized"] else result

    return lie


@pytest.mark.parametrize("depth", [0, 19])
async def test_host_whose_finalized_block_is_ahead_of_the_other_s_keeps_nothing_from_being_final(
    scene: Scene, depth: int
) -> None:
    """Where the tag lags further than the confirmations, which it does on some chains, and on others at times."""
    async with behind(scene, 2) as hosts:
        payment = await paid_up(scene)
        hosts[0].lie, hosts[1].lie = final_at(scene, depth), final_at(scene, 20)
        for _ in range(19):
            await scene.mine(1)
        assert await scene.status(payment) is Status.CONFIRMING
        for _ in range(2):
            await scene.mine(1)
        assert await scene.status(payment) is Status.PAID


async def test_host_whose_finalized_block_stands_still_keeps_nothing_from_being_final_for_two_others(
    scene: Scene,
) -> None:
    async with behind(scene, 3) as (liar, *_):
        payment = await paid_up(scene)
        liar.lie = final_at(scene, 2**50)
        for _ in range(11):
            await scene.mine(1)
        assert await scene.status(payment) is Status.PAID


async def test_times_of_blocks_that_are_taken_back_keep_no_payment_open_for_ever(scene: Scene) -> None:
    async with behind(scene, 2) as (liar, _):
        below = scene.anvil.block()
        payment = await paid_up(scene)
        for length in range(4, 10):
            liar.lie = serving(child(scene.anvil.block(), timestamp=FAR_FUTURE))
            await scene.watch()
            branch = [below]
            for _ in range(length):
                branch.append(child(branch[-1], timestamp="0x0"))
            liar.lie = serving(*branch[1:])
            scene.restart(pool=scene.pool)  # which looks at all hosts at first
            await scene.watch()
            assert await scene.status(payment) is Status.PENDING
            liar.lie = None
            scene.anvil.mine(1)
            scene.restart(pool=scene.pool)
            await scene.watch()
        assert await scene.status(payment) is Status.CONFIRMING
        longest = LONGEST_UNSURE_S + payment.expires_at - payment.created_at
        assert (await scene.now(payment)).deadline <= scene.anvil.timestamp() + longest


async def test_payment_is_not_paid_in_the_far_future(scene: Scene) -> None:
    async with behind(scene, 2) as (liar, _):
        payment = await paid_up(scene)
        await scene.mine(10)
        liar.lie = serving(child(scene.anvil.block(), timestamp=FAR_FUTURE))
        await scene.watch()
        paid_at = (await scene.now(payment)).paid_at
        assert paid_at is not None
        assert paid_at <= scene.anvil.timestamp() + LONGEST_UNSURE_S


async def test_head_that_nobody_else_has_is_not_shown_as_how_far_the_watcher_lags(scene: Scene) -> None:
    async with behind(scene, 2) as (liar, _):
        scene.anvil.mine(3)
        liar.lie = serving(child(scene.anvil.block(), number=hex(2**50)))
        with suppress(ChainUnavailable):
            await scene.watch()
        cursor = await scene.cursor()
        assert cursor.number == scene.anvil.block_number()
        assert cursor.seen_head <= cursor.number + 2
