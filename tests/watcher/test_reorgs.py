"""The chain changes its mind: what is taken back, what stays, and where the watcher stops instead."""

from __future__ import annotations

import random

import pytest

from openpay.chain.bep20 import TRANSFER_TOPIC
from openpay.chain.blocks import read_bytes
from openpay.domain.payment import Status
from openpay.errors import ReorgBelowFinality
from tests.watcher.scene import Scene, due


async def test_reorg_before_eleven_confirmations_returns_payment_to_pending(either_scene: Scene) -> None:
    scene = either_scene
    payment = await scene.create("USDT")
    scene.pay(payment, "USDT", due(payment, "USDT")[0])
    await scene.mine(5)
    assert await scene.status(payment) is Status.CONFIRMING
    scene.anvil.reorg(6)
    await scene.watch()
    retracted = await scene.now(payment)
    assert (retracted.status, retracted.completion) == (Status.PENDING, None)
    assert await scene.deposits(payment) == []
    assert await scene.events(payment) == ["confirming", "pending"]
    # The transaction is gone, so the customer pays again.
    scene.pay(payment, "USDT", due(payment, "USDT")[0])
    await scene.mine(11)
    assert await scene.status(payment) is Status.PAID


async def test_reorg_at_eleven_confirmations_still_retracts(scene: Scene) -> None:
    payment = await scene.create("USDT")
    scene.pay(payment, "USDT", due(payment, "USDT")[0])
    await scene.mine(10)
    now = await scene.now(payment)
    assert now.confirmations((await scene.cursor()).number) == 11
    scene.anvil.reorg(11)
    await scene.watch()
    assert await scene.status(payment) is Status.PENDING


async def test_reorg_after_paid_stops_the_watcher_and_changes_nothing(scene: Scene) -> None:
    payment = await scene.create("USDT")
    scene.pay(payment, "USDT", due(payment, "USDT")[0])
    await scene.mine(11)
    before = await scene.cursor()
    scene.anvil.reorg(12)
    with pytest.raises(ReorgBelowFinality):
        await scene.watch()
    assert await scene.status(payment) is Status.PAID
    assert await scene.cursor() == before
    scene.restart()
    with pytest.raises(ReorgBelowFinality):
        await scene.watch()
    assert await scene.cursor() == before


async def test_transaction_that_moves_to_another_block_is_one_deposit_in_its_new_place(scene: Scene) -> None:
    payment = await scene.create("USDT")
    raw = scene.sign(scene.transfer("USDT", payment.address, due(payment, "USDT")[0]))
    scene.anvil.rpc("eth_sendRawTransaction", raw)
    await scene.mine(3)
    (before,) = await scene.deposits(payment)
    scene.anvil.reorg(4, [(raw, 2)])
    await scene.watch()
    (after,) = await scene.deposits(payment)
    assert after.tx_hash == before.tx_hash
    assert after.block_number == before.block_number + 2
    assert await scene.status(payment) is Status.CONFIRMING
    await scene.mine(9)
    assert await scene.status(payment) is Status.CONFIRMING
    await scene.mine(1)
    assert await scene.status(payment) is Status.PAID


async def test_branch_of_the_same_height_is_followed(scene: Scene) -> None:
    payment = await scene.create("USDT")
    scene.pay(payment, "USDT", due(payment, "USDT")[0])
    await scene.watch()
    height = scene.anvil.block_number()
    scene.anvil.reorg(1)
    assert scene.anvil.block_number() == height
    await scene.watch()
    cursor = await scene.cursor()
    assert (cursor.number, cursor.hash) == (height, read_bytes(scene.anvil.block()["hash"]))
    assert await scene.status(payment) is Status.PENDING


async def test_chain_that_was_set_back_is_followed_down_and_up_again(scene: Scene) -> None:
    payment = await scene.create("USDT")
    await scene.mine(3)
    snapshot = scene.anvil.snapshot()
    scene.pay(payment, "USDT", due(payment, "USDT")[0])
    await scene.mine(2)
    scene.anvil.revert(snapshot)
    scene.anvil.increase_time(1)
    await scene.watch()
    assert await scene.status(payment) is Status.PENDING
    assert (await scene.cursor()).number == scene.anvil.block_number()


async def test_reorg_while_the_watcher_was_stopped_is_undone_after_its_restart(scene: Scene) -> None:
    payment = await scene.create("USDT")
    scene.pay(payment, "USDT", due(payment, "USDT")[0])
    await scene.mine(4)
    scene.anvil.reorg(5)
    scene.anvil.mine(30)
    scene.restart()
    await scene.watch()
    assert await scene.status(payment) is Status.PENDING
    assert await scene.deposits(payment) == []


async def test_time_spent_confirming_is_given_back_after_a_retraction(scene: Scene) -> None:
    payment = await scene.create("USDT")
    scene.pay(payment, "USDT", due(payment, "USDT")[0])
    await scene.watch()
    scene.anvil.increase_time(1200)
    await scene.watch()
    scene.anvil.reorg(2)
    scene.anvil.increase_time(1)
    await scene.watch()
    retracted = await scene.now(payment)
    assert retracted.status is Status.PENDING
    assert retracted.deadline >= payment.deadline
    assert retracted.deadline >= scene.anvil.timestamp() + 290


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_happened_the_record_ends_as_the_chain_is(scene: Scene, seed: int) -> None:
    """Random payments, blocks, reorgs and restarts; in the end deposits on record are those on the chain."""
    chance = random.Random(seed)
    payments = [await scene.create("USDT", amount="1000.00") for _ in range(3)]
    for _ in range(25):
        match chance.choice(["pay", "pay", "mine", "mine", "reorg", "restart", "read"]):
            case "pay":
                scene.pay(chance.choice(payments), "USDT", chance.randint(1, 100))
            case "mine":
                scene.anvil.mine(chance.randint(1, 4))
            case "reorg":
                # Never deeper than what is recorded as final allows, given what was read so far.
                final = (await scene.cursor()).final_number or 0
                scene.anvil.reorg(min(chance.randint(1, 9), scene.anvil.block_number() - max(final, 0)))
            case "restart":
                scene.restart()
            case "read":
                await scene.watch()
    scene.anvil.mine(1)
    await scene.watch()
    on_record = {
        (deposit.block_hash, deposit.position, deposit.units)
        for payment in payments
        for deposit in await scene.deposits(payment)
    }
    receivers = ["0x" + payment.address.rjust(32, b"\0").hex() for payment in payments]
    served = scene.anvil.rpc(
        "eth_getLogs", {"fromBlock": "0x0", "topics": ["0x" + TRANSFER_TOPIC.hex(), None, receivers]}
    )
    on_chain = {(read_bytes(log["blockHash"]), int(log["logIndex"], 16), int(log["data"], 16)) for log in served}
    assert on_record == on_chain
    assert (await scene.cursor()).hash == read_bytes(scene.anvil.block()["hash"])
