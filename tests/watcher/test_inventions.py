"""Nodes that invent blocks, heads and answers of their own: they stop nothing, and break nothing."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from openpay.chain.pool import connect
from openpay.domain.alerts import AlertKind
from openpay.domain.payment import Status
from openpay.errors import ChainUnavailable
from tests.faults.proxy import Lie
from tests.watcher.nodes import behind, child, paid_up, serving
from tests.watcher.scene import CHAIN_ID, Scene


@pytest.mark.parametrize("field", ["timestamp", "number"])
async def test_invented_block_with_an_absurd_number_is_a_bad_answer(scene: Scene, field: str) -> None:
    async with behind(scene, 2) as (liar, _):
        payment = await paid_up(scene)
        liar.lie = serving(child(scene.anvil.block(), **{field: hex(2**100)}))
        await scene.watch()
        assert (await scene.cursor()).number == scene.anvil.block_number()
        assert await scene.status(payment) is Status.CONFIRMING


async def test_invented_blocks_of_the_future_expire_nothing_that_a_second_host_does_not_know(scene: Scene) -> None:
    async with behind(scene, 2) as (liar, _):
        idle = await scene.create("USDT")
        invented = [scene.anvil.block()]
        for second in range(30):
            invented.append(child(invented[-1], timestamp=hex(2**33 + second)))
        liar.lie = serving(*invented[1:])
        await scene.watch()
        assert (await scene.cursor()).time > idle.deadline
        assert await scene.status(idle) is Status.INITIATED
        liar.lie = None
        payment = await paid_up(scene)
        await scene.mine(40)
        assert await scene.status(payment) is Status.PAID
        assert await scene.status(idle) is Status.INITIATED


async def test_head_far_above_all_blocks_does_not_keep_those_from_being_read(scene: Scene) -> None:
    async with behind(scene, 2) as (liar, _):
        payment = await paid_up(scene)
        scene.anvil.mine(11)
        liar.lie = serving(child(scene.anvil.block(), number=hex(2**50)))
        with pytest.raises(ChainUnavailable):  # at the end: the next block is nowhere
            await scene.watch()
        assert (await scene.cursor()).number == scene.anvil.block_number()
        assert await scene.status(payment) is Status.PAID


async def test_finalized_block_far_above_the_head_keeps_no_payment_from_being_paid(scene: Scene) -> None:
    async with behind(scene, 2) as (liar, _):
        payment = await paid_up(scene)
        final = child(scene.anvil.block("finalized"), number=hex(2**50))
        liar.lie = lambda method, params, result: final if params[:1] == ["finalized"] else result
        for _ in range(11):
            await scene.mine(1)
        assert await scene.status(payment) is Status.PAID


async def test_escrow_is_asked_at_a_block_that_holds_the_money_where_no_block_is_called_finalized(scene: Scene) -> None:
    chain = replace(scene.chain, has_finalized_tag=False)
    async with connect([scene.anvil.rpc_url], chain_id=CHAIN_ID, has_finalized_tag=False) as pool:
        scene.restart(pool=pool, chain=chain)
        payment = await paid_up(scene)
        for _ in range(11):
            await scene.mine(1)
        assert await scene.status(payment) is Status.PAID


async def test_reports_of_transactions_that_never_come_are_looked_up_ever_more_seldom(scene: Scene) -> None:
    """Whoever knows a page's address may report anything, and each look-up is a request to a node."""
    async with behind(scene, 1) as (node,):
        payment = await scene.create("USDT")
        for number in range(20):
            await scene.report(payment, f"0x{number:064x}")
        for _ in range(50):
            await scene.mine(1)
        assert 20 <= node.asked.count("eth_getTransactionReceipt") <= 20 * 10


def by_hash(*invented: dict[str, Any]) -> Lie:
    """Serve these blocks by their hashes, and the last as the head; what is asked for by height is real."""
    known = {block["hash"]: block for block in invented} | {"latest": invented[-1]}

    def lie(method: str, params: list[Any], result: Any) -> Any:
        return known.get(params[0], result) if method.startswith("eth_getBlockBy") else result

    return lie


async def deep_branch(scene: Scene, *, above: int) -> list[dict[str, Any]]:
    """An invented branch that leaves the chain below what is final, and ends so far above the newest block."""
    floor = (await scene.cursor()).final_number
    assert floor is not None
    invented = [scene.anvil.block(floor - 2)]
    while int(invented[-1]["number"], 16) < scene.anvil.block_number() + above:
        invented.append(child(invented[-1], extraData="0x1234"))
    return invented[1:]


async def test_branch_from_below_what_is_final_that_one_host_invents_does_not_hold_the_watcher_up(scene: Scene) -> None:
    await scene.mine(30)
    async with behind(scene, 2) as (liar, _):
        payment = await paid_up(scene)
        for _ in range(12):
            liar.lie = by_hash(*await deep_branch(scene, above=1))
            await scene.mine(1)
            assert (await scene.cursor()).number == scene.anvil.block_number()
        assert await scene.status(payment) is Status.PAID


async def test_host_that_has_another_chain_at_every_height_stops_payments_but_not_reading(scene: Scene) -> None:
    await scene.mine(30)
    async with behind(scene, 3) as (liar, *_):
        payment = await paid_up(scene)
        liar.lie = serving(*await deep_branch(scene, above=40))
        for _ in range(12):
            with suppress(ChainUnavailable):  # at the end: the block above the real ones is nowhere
                await scene.mine(1)
            assert (await scene.cursor()).number == scene.anvil.block_number()
        assert await scene.status(payment) is Status.CONFIRMING
        assert (AlertKind.HOSTS_DISAGREE, "") in scene.alarm.standing
        liar.lie = None
        await scene.mine(1)
        assert await scene.status(payment) is Status.PAID
