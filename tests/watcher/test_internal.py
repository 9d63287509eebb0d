"""BNB from inside contracts: found by balance, never counted twice, and looked for after a payment's end."""

from __future__ import annotations

import random

import pytest

from openpay.app.records import BalanceRound
from openpay.domain.assessment import is_late
from openpay.domain.deposit import Source
from openpay.domain.payment import LATE_WINDOW_S, Status
from tests.faults.faults import without
from tests.watcher.code import deploy_forwarder, deploy_testament, forward
from tests.watcher.nodes import behind
from tests.watcher.scene import CHAIN_ID, Scene, Unsigned, due
from tests.watcher.vaults import WEI, ended, settled, step, sums, sweep
from watcher.internal import STEP_S

# --- found ---------------------------------------------------------------------------------------------------------


async def test_bnb_sent_from_inside_a_contract_is_found_by_balance(either_scene: Scene) -> None:
    scene = either_scene
    payment = await scene.create("BNB")
    full = due(payment, "BNB")[0]
    forward(scene, payment, full)
    await scene.watch()
    confirming = await scene.now(payment)
    assert confirming.status is Status.CONFIRMING
    assert confirming.completion is not None
    assert confirming.completion.tx_hash is None
    assert await sums(scene, payment) == [(Source.INTERNAL, full)]
    await scene.mine(11)
    assert await scene.status(payment) is Status.PAID
    assert len(await scene.deposits(payment)) == 1


async def test_bnb_from_inside_a_contract_adds_to_what_was_sent_directly(scene: Scene) -> None:
    payment = await scene.create("BNB")
    full = due(payment, "BNB")[0]
    scene.pay(payment, "BNB", full // 4)
    forward(scene, payment, full // 4)
    await scene.mine(3)
    forward(scene, payment, full)
    await scene.watch()
    assert await sums(scene, payment) == [
        (Source.TRANSACTION, full // 4),
        (Source.INTERNAL, full // 4),
        (Source.INTERNAL, full),
    ]


async def test_both_kinds_in_one_block_are_told_apart(scene: Scene) -> None:
    payment = await scene.create("BNB")
    forwarder = deploy_forwarder(scene, payment)
    scene.send(Unsigned(to=forwarder, value=3 * WEI), scene.transfer("BNB", payment.address, 5 * WEI))
    await scene.mine(2)
    assert await sums(scene, payment) == [(Source.TRANSACTION, 5 * WEI), (Source.INTERNAL, 3 * WEI)]


async def test_what_a_destroyed_contract_leaves_is_found(scene: Scene) -> None:
    payment = await scene.create("BNB")
    scene.send(Unsigned(to=deploy_testament(scene, payment), value=WEI))
    await scene.watch()
    assert await sums(scene, payment) == [(Source.INTERNAL, WEI)]


async def test_settled_in_its_own_block_it_is_found(scene: Scene) -> None:
    payment = await scene.create("BNB")
    full = due(payment, "BNB")[0]
    forwarder = deploy_forwarder(scene, payment)
    scene.send(Unsigned(to=forwarder, value=full), scene.settle(payment, "BNB"))
    await scene.mine(11)
    assert await scene.status(payment) is Status.PAID
    assert await scene.received(payment, "BNB") == full
    assert scene.anvil.balance("0x" + payment.address.hex()) == 0


# --- after the end -------------------------------------------------------------------------------------------------


async def test_after_the_end_it_is_found_and_late(either_scene: Scene) -> None:
    scene = either_scene
    payment = await ended(scene)
    forward(scene, payment, due(payment, "BNB")[0])
    await step(scene)
    (deposit,) = await scene.deposits(payment)
    now = await scene.now(payment)
    assert (deposit.source, now.status, is_late(now, deposit)) == (Source.INTERNAL, Status.EXPIRED, True)
    assert (await scene.events(payment))[-1] == "late_deposit"
    await scene.mine(30)
    assert len(await scene.deposits(payment)) == 1


async def test_it_is_dated_at_its_own_block_though_it_is_found_later(scene: Scene) -> None:
    payment = await ended(scene)
    await step(scene)
    forward(scene, payment, WEI)
    at = scene.anvil.block()
    await scene.mine(6)
    assert await scene.deposits(payment) == []
    await step(scene)
    (deposit,) = await scene.deposits(payment)
    assert (deposit.block_number, deposit.block_hash.hex()) == (int(at["number"], 16), at["hash"][2:])


async def test_sent_before_the_end_and_found_after_it_counts_from_the_end(scene: Scene) -> None:
    """The verdict is final: what nobody saw in time is late, and told as such."""
    async with behind(scene, 1) as (node,):
        payment = await scene.create("BNB", expires_in=300)
        node.faults = [without("eth_call", "eth_getProof")]
        forward(scene, payment, due(payment, "BNB")[0])
        scene.anvil.increase_time(400)
        await scene.mine(12)
        assert await scene.status(payment) is Status.EXPIRED
        node.faults = []
        scene.restart(pool=scene.pool)
        await step(scene)
        (deposit,) = await scene.deposits(payment)
        now = await scene.now(payment)
        assert now.ended_at is not None
        assert deposit.block_time > now.ended_at
        assert is_late(now, deposit)


async def test_what_comes_after_a_payment_was_paid_is_excess(scene: Scene) -> None:
    payment = await settled(scene)
    forward(scene, payment, WEI)
    await step(scene)
    (_, deposit) = await scene.deposits(payment)
    assert (deposit.source, deposit.units) == (Source.INTERNAL, WEI)
    async with scene.store.read() as uow:
        (excess,) = await uow.excess.of_chain(CHAIN_ID, limit=10)
    assert (excess.payment_id, excess.token, excess.units) == (payment.id, "BNB", WEI)


async def test_what_comes_after_a_payment_was_canceled_is_late(scene: Scene) -> None:
    payment = await scene.create("BNB")
    async with scene.store.write() as uow:
        await scene.service.cancel(uow, payment.id)
    scene.anvil.increase_time(5)
    forward(scene, payment, WEI)
    await step(scene)
    (deposit,) = await scene.deposits(payment)
    assert is_late(await scene.now(payment), deposit)


@pytest.mark.parametrize("is_open", [True, False])
async def test_payment_that_accepts_no_bnb_is_looked_at_too(scene: Scene, is_open: bool) -> None:
    payment = await scene.create("USDT") if is_open else await ended(scene, "USDT")
    forward(scene, payment, WEI)
    await step(scene)
    assert await sums(scene, payment) == [(Source.INTERNAL, WEI)]
    assert await scene.status(payment) is (Status.INITIATED if is_open else Status.EXPIRED)


async def test_thirty_days_after_the_end_nobody_looks_any_more(scene: Scene) -> None:
    payment = await ended(scene)
    until = (await scene.now(payment)).watched_until
    assert until is not None
    scene.anvil.increase_time(until - scene.anvil.timestamp() - 60)
    forward(scene, payment, WEI)
    await step(scene)
    assert await sums(scene, payment) == [(Source.INTERNAL, WEI)]
    scene.anvil.increase_time(LATE_WINDOW_S)
    forward(scene, payment, WEI)
    await step(scene)
    assert await sums(scene, payment) == [(Source.INTERNAL, WEI)]


async def test_money_that_a_stranger_swept_in_its_own_block_is_on_record(scene: Scene) -> None:
    payment = await settled(scene)
    forwarder = deploy_forwarder(scene, payment)
    scene.send(Unsigned(to=forwarder, value=WEI), sweep(payment))
    await scene.watch()
    assert scene.anvil.balance("0x" + payment.address.hex()) == 0
    assert (await sums(scene, payment))[1:] == [(Source.INTERNAL, WEI)]


# --- reorgs ----------------------------------------------------------------------------------------------------------


async def test_it_is_retracted_like_any_deposit(scene: Scene) -> None:
    payment = await scene.create("BNB")
    forward(scene, payment, due(payment, "BNB")[0])
    await scene.mine(2)
    assert await scene.status(payment) is Status.CONFIRMING
    scene.anvil.reorg(3)
    await scene.watch()
    assert await scene.status(payment) is Status.PENDING
    assert await scene.deposits(payment) == []


async def test_late_money_that_a_reorg_moved_is_found_again_at_once(either_scene: Scene) -> None:
    """Not when the rounds come by again: a hundred thousand vaults may stand before it in them."""
    scene = either_scene
    payment = await ended(scene)
    forwarder = deploy_forwarder(scene, payment)
    raw = scene.sign(Unsigned(to=forwarder, value=WEI))
    scene.anvil.rpc("evm_setAutomine", False)
    scene.anvil.rpc("eth_sendRawTransaction", raw)
    scene.anvil.mine()
    scene.anvil.rpc("evm_setAutomine", True)
    await step(scene)
    await scene.mine(2)
    (before,) = await scene.deposits(payment)
    async with scene.store.write() as uow:
        # As if the rounds had just come by.
        at = scene.anvil.timestamp()
        await uow.vault_looks.move_round(BalanceRound(chain_id=CHAIN_ID, watched_until=None, seq=10**9, looked_at=at))
    depth = scene.anvil.block_number() - before.block_number + 1
    scene.anvil.reorg(depth, [(raw, depth - 2)])
    scene.anvil.increase_time(1)
    scene.restart()
    await scene.watch()
    (after,) = await scene.deposits(payment)
    assert after.block_hash != before.block_hash
    assert after.units == WEI
    await scene.mine(110)
    async with scene.store.read() as uow:
        assert await uow.vault_looks.doubted(CHAIN_ID) == []


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_happened_all_that_came_in_is_on_record_once(scene: Scene, seed: int) -> None:
    """Random transfers of both kinds, settlements and sweeps by strangers, reorgs and restarts: in the end each vault's
    deposits are its balance and what went out of it."""
    chance = random.Random(seed)
    payments = [await scene.create(*tokens, amount="1.00") for tokens in (("BNB",), ("BNB",), ("USDT",))]
    forwarders = [deploy_forwarder(scene, payment) for payment in payments]
    actions = ["inside", "inside", "direct", "mine", "read", "reorg", "restart", "out", "time"]
    for _ in range(30):
        index = chance.randrange(len(payments))
        payment, units = payments[index], chance.randint(1, 100) * 10**13
        match chance.choice(actions):
            case "inside":
                scene.send(*[Unsigned(to=forwarders[index], value=units)] * chance.randint(1, 2))
            case "direct":
                scene.send(scene.transfer("BNB", payment.address, units))
            case "mine":
                scene.anvil.mine(chance.randint(1, 4))
            case "read":
                await scene.watch()
            case "reorg":
                final = (await scene.cursor()).final_number or 0
                scene.anvil.reorg(min(chance.randint(1, 9), scene.anvil.block_number() - max(final, 0)))
            case "restart":
                scene.restart()
            case "out":
                calls = [scene.settle(payments[0], "BNB"), *(sweep(payment) for payment in payments)]
                scene.send(chance.choice(calls))
            case "time":
                scene.anvil.increase_time(chance.choice([3, STEP_S, 600]))
    scene.anvil.mine(12)
    for _ in range(3):
        await step(scene)
    for payment in payments:
        async with scene.store.read() as uow:
            logs = (await uow.chain.escrow_logs_of([payment.id])).get(payment.id, [])
        went_out = sum(log.units for log in logs if log.token == "BNB")
        assert await scene.received(payment, "BNB") == went_out + scene.anvil.balance("0x" + payment.address.hex())
