"""What customers send, and what the watcher makes of it: each on a real chain, from transfer to status."""

from __future__ import annotations

import pytest
from eth_abi.abi import encode

from openpay.chain.artifacts import load_artifact
from openpay.chain.blocks import read_bytes
from openpay.chain.escrow_abi import selector
from openpay.domain.payment import Payment, SettlementStatus, Status
from tests.support.anvil import ACCOUNTS
from tests.watcher.code import deploy_splitter
from tests.watcher.scene import UNIT, Scene, Unsigned, due, transfer_data


@pytest.mark.parametrize("token", ["USDT", "USDC", "BNB"])
async def test_full_amount_is_confirming_at_once_and_paid_at_twelve_confirmations(
    either_scene: Scene, token: str
) -> None:
    scene = either_scene
    payment = await scene.create(token)
    tx_hash = scene.pay(payment, token, due(payment, token)[0])
    await scene.watch()
    assert await scene.status(payment) is Status.CONFIRMING
    await scene.mine(10)
    assert ((await scene.now(payment)).confirmations((await scene.cursor()).number), await scene.status(payment)) == (
        11,
        Status.CONFIRMING,
    )
    await scene.mine(1)
    paid = await scene.now(payment)
    assert (paid.status, paid.paid_confirmations) == (Status.PAID, 12)
    assert paid.completion is not None
    assert paid.completion.tx_hash == bytes.fromhex(tx_hash[2:])
    assert paid.paid_at == scene.anvil.timestamp()
    assert await scene.events(payment) == ["confirming", "completed"]


async def test_deposit_knows_who_signed_it(scene: Scene) -> None:
    payment = await scene.create("USDT")
    scene.pay(payment, "USDT", 7)
    await scene.watch()
    (deposit,) = await scene.deposits(payment)
    assert (deposit.sender, deposit.payer, deposit.units) == (scene.customer, scene.customer, 7)


async def test_worthless_token_with_the_same_symbol_counts_for_nothing(scene: Scene) -> None:
    payment = await scene.create("USDT")
    code = load_artifact("TestToken").bytecode + encode(["string", "string"], ["Tether USD", "USDT"])
    receipt = scene.anvil.receipt(scene.anvil.send(from_=ACCOUNTS[0].address, data="0x" + code.hex()))
    worthless = receipt["contractAddress"]
    mint = selector("mint", "TestToken") + payment.address.rjust(32, b"\0") + (25 * UNIT).to_bytes(32, "big")
    scene.anvil.receipt(scene.anvil.send(from_=ACCOUNTS[0].address, to=worthless, data="0x" + mint.hex()))
    await scene.watch()
    assert await scene.status(payment) is Status.INITIATED
    assert await scene.deposits(payment) == []


async def test_zero_value_transfers_count_for_nothing(scene: Scene) -> None:
    payment = await scene.create()
    scene.send(*(scene.transfer(token, payment.address, 0) for token in ("USDT", "USDC", "BNB")))
    await scene.watch()
    assert await scene.status(payment) is Status.INITIATED
    assert await scene.deposits(payment) == []


async def test_transfer_to_the_token_contract_itself_counts_for_nothing(scene: Scene) -> None:
    payment = await scene.create("USDT")
    scene.send(scene.transfer("USDT", scene.deployment.tokens["USDT"], 25 * UNIT))
    await scene.watch()
    assert await scene.status(payment) is Status.INITIATED
    assert await scene.deposits(payment) == []


async def test_two_transfers_in_one_transaction_are_added(scene: Scene) -> None:
    payment = await scene.create("USDT")
    splitter = deploy_splitter(scene)
    half = due(payment, "USDT")[0] // 2
    scene.send(scene.transfer("USDT", splitter, 2 * half))
    call = scene.deployment.tokens["USDT"].rjust(32, b"\0") + transfer_data(payment.address, half)
    (tx_hash,) = scene.send(Unsigned(to=splitter, data=call, gas=200_000))
    await scene.watch()
    assert await scene.status(payment) is Status.CONFIRMING
    found = await scene.deposits(payment)
    assert [deposit.units for deposit in found] == [half, half]
    assert {deposit.tx_hash for deposit in found} == {read_bytes(tx_hash)}
    assert len({deposit.position for deposit in found}) == 2


async def test_payment_split_over_three_transfers_is_completed_by_the_third(scene: Scene) -> None:
    payment = await scene.create("USDC")
    full = due(payment, "USDC")[0]
    scene.pay(payment, "USDC", full // 3)
    await scene.watch()
    assert await scene.status(payment) is Status.PENDING
    scene.pay(payment, "USDC", full // 3)
    await scene.mine(12)
    assert await scene.status(payment) is Status.PENDING
    last = scene.pay(payment, "USDC", full - 2 * (full // 3))
    await scene.watch()
    confirming = await scene.now(payment)
    assert confirming.status is Status.CONFIRMING
    assert confirming.completion is not None
    assert confirming.completion.tx_hash == read_bytes(last)
    await scene.mine(11)
    assert await scene.status(payment) is Status.PAID
    assert await scene.events(payment) == ["pending", "underpaid", "underpaid", "confirming", "completed"]


async def test_less_than_due_is_pending_and_then_expires(scene: Scene) -> None:
    payment = await scene.create("USDT")
    scene.pay(payment, "USDT", due(payment, "USDT")[1] - 1)
    await scene.mine(20)
    assert await scene.status(payment) is Status.PENDING
    scene.anvil.increase_time(1801)
    await scene.mine(10)
    assert await scene.status(payment) is Status.PENDING
    await scene.mine(1)
    assert await scene.status(payment) is Status.EXPIRED
    assert await scene.events(payment) == ["pending", "underpaid", "expired"]


async def test_least_amount_accepted_of_bnb_is_enough(scene: Scene) -> None:
    payment = await scene.create("BNB")
    full, least = due(payment, "BNB")
    assert least < full
    scene.pay(payment, "BNB", least)
    await scene.mine(11)
    assert await scene.status(payment) is Status.PAID


async def test_more_than_due_is_paid(scene: Scene) -> None:
    payment = await scene.create("USDT")
    scene.pay(payment, "USDT", due(payment, "USDT")[0] + 100 * UNIT)
    await scene.mine(11)
    assert await scene.status(payment) is Status.PAID


async def test_transfer_after_expiry_is_late_and_changes_nothing(scene: Scene) -> None:
    payment = await scene.create("USDT")
    scene.anvil.increase_time(1801)
    await scene.mine(11)
    assert await scene.status(payment) is Status.EXPIRED
    scene.pay(payment, "USDT", due(payment, "USDT")[0])
    await scene.mine(11)
    assert await scene.status(payment) is Status.EXPIRED
    assert await scene.received(payment, "USDT") == due(payment, "USDT")[0]
    assert await scene.events(payment) == ["expired", "late_deposit"]


async def test_transfer_mined_after_the_deadline_but_before_expiry_is_final_does_not_pay(scene: Scene) -> None:
    payment = await scene.create("USDT")
    scene.anvil.increase_time(1801)
    scene.pay(payment, "USDT", due(payment, "USDT")[0])
    await scene.watch()
    assert await scene.status(payment) is Status.INITIATED
    await scene.mine(11)
    assert await scene.status(payment) is Status.EXPIRED


async def test_transfer_in_the_last_second_pays_even_when_it_is_final_after_the_deadline(scene: Scene) -> None:
    payment = await scene.create("USDT")
    scene.anvil.rpc("evm_setNextBlockTimestamp", hex(payment.deadline))
    scene.pay(payment, "USDT", due(payment, "USDT")[0])
    scene.anvil.increase_time(600)
    await scene.mine(11)
    assert await scene.status(payment) is Status.PAID


async def test_listed_token_that_the_payment_does_not_accept_never_counts(scene: Scene) -> None:
    payment = await scene.create("USDT")
    scene.pay(payment, "USDC", 25 * UNIT)
    scene.pay(payment, "BNB", UNIT)
    await scene.mine(12)
    assert await scene.status(payment) in (Status.INITIATED, Status.PENDING)
    assert sorted(deposit.token for deposit in await scene.deposits(payment)) == ["BNB", "USDC"]


async def test_tokens_are_never_added_together(scene: Scene) -> None:
    payment = await scene.create("USDT", "USDC")
    scene.pay(payment, "USDT", 15 * UNIT)
    scene.pay(payment, "USDC", 15 * UNIT)
    await scene.watch()
    assert await scene.status(payment) is Status.PENDING


async def test_deposit_settled_by_a_stranger_in_its_own_block_is_paid(scene: Scene) -> None:
    payment = await scene.create("USDT")
    full = due(payment, "USDT")[0]
    scene.send(scene.transfer("USDT", payment.address, full), scene.settle(payment, "USDT"))
    await scene.mine(11)
    paid = await scene.now(payment)
    assert paid.status is Status.PAID
    assert paid.settlement is not None
    assert (paid.settlement.status, paid.settlement.units) == (SettlementStatus.SETTLED, full)


# --- transactions that revert ------------------------------------------------------------------------------------


def reverting(scene: Scene, payment: Payment) -> Unsigned:
    """A transfer of more than the customer has."""
    return scene.transfer("USDT", payment.address, 10**40)


async def test_reverted_transfer_by_a_stranger_is_no_transition(scene: Scene) -> None:
    payment = await scene.create("USDT")
    (tx_hash,) = scene.send(reverting(scene, payment))
    await scene.mine(12)
    assert scene.anvil.receipt(tx_hash)["status"] == "0x0"
    assert await scene.status(payment) is Status.INITIATED
    assert await scene.events(payment) == []


async def test_reverted_transfer_reported_by_the_page_fails_the_payment(either_scene: Scene) -> None:
    scene = either_scene
    payment = await scene.create("USDT")
    (tx_hash,) = scene.send(reverting(scene, payment))
    await scene.report(payment, tx_hash)
    await scene.mine(1)
    assert await scene.status(payment) is Status.CONFIRMING
    await scene.mine(10)
    failed = await scene.now(payment)
    assert (failed.status, failed.failure) == (Status.FAILED, "reverted")
    assert await scene.events(payment) == ["confirming", "failed"]


async def test_reverted_transfer_reported_long_after_it_was_final_fails_the_payment(scene: Scene) -> None:
    payment = await scene.create("USDT")
    (tx_hash,) = scene.send(reverting(scene, payment))
    await scene.mine(40)
    await scene.report(payment, tx_hash)
    await scene.mine(2)
    assert await scene.status(payment) is Status.FAILED


async def test_reported_transaction_that_was_for_somebody_else_is_no_transition(scene: Scene) -> None:
    payment, other = await scene.create("USDT"), await scene.create("USDT")
    (tx_hash,) = scene.send(reverting(scene, other))
    await scene.report(payment, tx_hash)
    await scene.mine(12)
    assert await scene.status(payment) is Status.INITIATED


async def test_successful_transfer_wins_over_a_reverted_one_that_is_confirming(scene: Scene) -> None:
    payment = await scene.create("USDT")
    (tx_hash,) = scene.send(reverting(scene, payment))
    await scene.report(payment, tx_hash)
    await scene.mine(2)
    assert await scene.status(payment) is Status.CONFIRMING
    scene.pay(payment, "USDT", due(payment, "USDT")[0])
    await scene.mine(11)
    assert await scene.status(payment) is Status.PAID
