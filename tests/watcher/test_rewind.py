"""A reorg below finality, and the way back from it."""

from __future__ import annotations

import pytest

from openpay.chain.blocks import read_bytes
from openpay.domain.payment import Payment, Status
from openpay.errors import ChainUnavailable, Invalid
from tests.watcher.code import deploy_forwarder, forward
from tests.watcher.nodes import behind, other_hashes
from tests.watcher.rewinding import differences, rewound, stopped_below_finality
from tests.watcher.scene import CHAIN_ID, Scene, Unsigned, due
from tests.watcher.vaults import balances, lying, states_gone, step


async def paid_at(scene: Scene, token: str = "USDT") -> tuple[Payment, str, int]:
    """A payment that is paid and final, the raw transfer, and the block before the transfer's."""
    payment = await scene.create(token)
    raw = scene.sign(scene.transfer(token, payment.address, due(payment, token)[0]))
    before = scene.anvil.block_number()
    scene.anvil.rpc("eth_sendRawTransaction", raw)
    await scene.mine(12)
    assert await scene.status(payment) is Status.PAID
    return payment, raw, before


async def test_payment_whose_transfer_is_on_the_other_branch_too_is_not_reversed(either_scene: Scene) -> None:
    scene = either_scene
    payment, raw, before = await paid_at(scene)
    scene.anvil.reorg(scene.anvil.block_number() - before, [(raw, 3)])
    await stopped_below_finality(scene)
    stood = (await scene.cursor()).number

    cursor = await rewound(scene, before)

    assert (cursor.number, cursor.reread_to) == (before, stood)
    assert await scene.deposits(payment) == []
    assert (await scene.now(payment)).reversed_at is None
    await scene.mine(15)
    now = await scene.now(payment)
    (deposit,) = await scene.deposits(payment)
    assert deposit.block_number == before + 4
    assert (now.status, now.reversed_at) == (Status.PAID, None)
    assert now.completion is not None
    assert (now.completion.block_number, now.completion.block_hash) == (deposit.block_number, deposit.block_hash)
    assert "reversed" not in await scene.events(payment)
    assert (await scene.cursor()).reread_to is None
    assert await differences(scene) == []


async def test_payment_whose_money_is_gone_is_reversed_once_the_other_branch_is_as_final(scene: Scene) -> None:
    payment, _, before = await paid_at(scene)
    scene.anvil.reorg(scene.anvil.block_number() - before)
    await stopped_below_finality(scene)
    stood = (await scene.cursor()).number
    await rewound(scene, before)
    await scene.watch()
    while (await scene.cursor()).final_number < stood:  # type: ignore[operator]
        assert (await scene.now(payment)).reversed_at is None
        assert "reversed" not in await scene.events(payment)
        await scene.mine(1)
    now = await scene.now(payment)
    assert (now.status, now.reversed_at is not None) == (Status.PAID, True)
    assert (await scene.events(payment)).count("reversed") == 1
    await scene.mine(5)
    assert (await scene.events(payment)).count("reversed") == 1
    assert await differences(scene) == []


async def test_money_that_no_log_shows_is_found_again(scene: Scene) -> None:
    payment = await scene.create("BNB")
    before = scene.anvil.block_number()
    forward(scene, payment, due(payment, "BNB")[0])
    await scene.mine(12)
    assert await scene.status(payment) is Status.PAID
    # Blocks change above the money only, and the rewind goes below it.
    scene.anvil.reorg(5)
    await rewound(scene, before)
    await scene.watch()
    scene.anvil.increase_time(2)  # balances are looked at in blocks later than the payment's end
    await scene.mine(15)
    now = await scene.now(payment)
    assert (now.status, now.reversed_at) == (Status.PAID, None)
    assert await scene.received(payment, "BNB") == due(payment, "BNB")[0]
    assert await differences(scene) == []


async def test_host_that_hides_money_while_no_other_has_the_state_reverses_nothing(scene: Scene) -> None:
    payment = await scene.create("BNB")
    raw = scene.sign(Unsigned(to=deploy_forwarder(scene, payment), value=due(payment, "BNB")[0]))
    before = scene.anvil.block_number()
    scene.anvil.rpc("eth_sendRawTransaction", raw)
    await scene.mine(14)
    assert await scene.status(payment) is Status.PAID
    scene.anvil.reorg(scene.anvil.block_number() - before, [(raw, 3)])
    await stopped_below_finality(scene)
    async with behind(scene, 2) as (liar, honest):
        await rewound(scene, before)
        scene.anvil.increase_time(2)  # balances are looked at in blocks later than the payment's end
        scene.anvil.mine(400)
        honest.faults = [states_gone(scene, below=scene.anvil.block_number() - 20)]
        liar.lie = lying(lambda *_: balances(0), "eth_call")
        await scene.mine(3)
        cursor = await scene.cursor()
        assert (cursor.number, (await scene.now(payment)).reversed_at) == (scene.anvil.block_number(), None)
        await step(scene)
        await scene.mine(1)
        now = await scene.now(payment)
        assert (now.status, now.reversed_at, (await scene.cursor()).reread_to) == (Status.PAID, None, None)
        assert await scene.received(payment, "BNB") == due(payment, "BNB")[0]


async def test_confirming_payment_goes_back_to_pending_and_is_paid_on_the_other_branch(scene: Scene) -> None:
    payment = await scene.create("USDT")
    before = scene.anvil.block_number()
    raw = scene.sign(scene.transfer("USDT", payment.address, due(payment, "USDT")[0]))
    scene.anvil.rpc("eth_sendRawTransaction", raw)
    await scene.mine(8)
    await rewound(scene, before - 5)
    assert await scene.status(payment) is Status.PENDING
    await scene.mine(4)
    assert await scene.status(payment) is Status.PAID


async def test_rewind_must_go_below_every_recorded_block_that_is_gone(scene: Scene) -> None:
    payment, _, before = await paid_at(scene)
    scene.anvil.reorg(scene.anvil.block_number() - before)
    await stopped_below_finality(scene)
    recorded = (await scene.deposits(payment))[0].block_number
    for target in (recorded, recorded + 1):
        with pytest.raises(Invalid, match=rf"block {target} is on record .* rewind to block {before} or below"):
            await rewound(scene, target)
    assert [deposit.block_number for deposit in await scene.deposits(payment)] == [recorded]


async def test_hosts_must_agree_on_the_block(scene: Scene) -> None:
    _, _, before = await paid_at(scene)
    stood = await scene.cursor()
    async with behind(scene, 2) as (_, second):
        second.lie = other_hashes
        with pytest.raises(ChainUnavailable, match="hosts do not agree"):
            await rewound(scene, before)
        second.lie = None
        second.is_away = True
        with pytest.raises(ChainUnavailable, match="silent"):
            await rewound(scene, before)
        assert await scene.cursor() == stood
        second.is_away = False
        assert (await rewound(scene, before)).number == before


async def test_block_that_is_not_final_is_no_place_to_go_back_to(scene: Scene) -> None:
    await scene.mine(20)
    with pytest.raises(ChainUnavailable, match="not yet"):
        await rewound(scene, (await scene.cursor()).number - 2)


@pytest.mark.parametrize("target", [-1, 10**9])
async def test_there_must_be_something_to_take_back(scene: Scene, target: int) -> None:
    with pytest.raises(Invalid):
        await rewound(scene, target)


async def test_rewind_far_below_what_is_folded_is_caught_up_with(scene: Scene) -> None:
    payment, _, before = await paid_at(scene)
    await scene.mine(70)
    stood = (await scene.cursor()).number
    await rewound(scene, before - 3)
    await scene.mine(1)
    cursor = await scene.cursor()
    assert (cursor.hash, cursor.reread_to) == (read_bytes(scene.anvil.block()["hash"]), stood)
    await scene.mine(12)
    assert (await scene.cursor()).reread_to is None
    async with scene.store.read() as uow:
        assert await uow.chain.covered(CHAIN_ID) == (0, (await scene.cursor()).number)
    assert (await scene.now(payment)).reversed_at is None
    assert await differences(scene) == []
