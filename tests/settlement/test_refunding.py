"""Money that did not pay goes back: on a real chain, through the watcher, the rules and the settler."""

from __future__ import annotations

import pytest

from openpay.chain.account import Account
from openpay.chain.escrow_abi import refund_data, withdraw_data
from openpay.domain.address import to_checksum
from openpay.domain.payment import Status
from openpay.domain.refunds import NamedBy, RefundMode, RefundPolicy, RefundReason, RefundStatus
from openpay.errors import Conflict, Forbidden, Invalid
from tests.settlement.refund_desk import DAY_S, ELSEWHERE, HOUR_S, RefundDesk
from tests.settlement.till import DyingPool, Killed, Till
from tests.watcher.scene import UNIT, due


@pytest.fixture
def desk(till: Till) -> RefundDesk:
    return RefundDesk(till)


@pytest.fixture
def either_desk(either_till: Till) -> RefundDesk:
    return RefundDesk(either_till)


# --- by itself -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", ["USDT", "BNB"])
async def test_partial_money_returns_to_its_sender_after_the_window(either_desk: RefundDesk, token: str) -> None:
    desk = either_desk
    payment = await desk.scene.create(token)
    units = due(payment, token)[1] // 2
    desk.scene.pay(payment, token, units)
    await desk.expire(payment)
    assert await desk.scene.status(payment) is Status.EXPIRED
    before = desk.till.balance(token, desk.scene.customer)

    await desk.settle_up()
    assert (await desk.refund(payment)).status is RefundStatus.SCHEDULED, "the window has not passed"
    assert desk.held(payment, token) == units

    await desk.pass_time(HOUR_S)
    await desk.settle_up()

    refund = await desk.refund(payment)
    assert (refund.status, refund.reason, refund.mode) == (
        RefundStatus.SUCCEEDED,
        RefundReason.PARTIAL,
        RefundMode.AUTOMATIC,
    )
    assert desk.held(payment, token) == 0
    assert desk.till.balance(token, desk.scene.customer) == before + units
    assert (await desk.scene.events(payment)).count("refunded") == 1
    assert await desk.scene.status(payment) is Status.EXPIRED


async def test_late_money_returns_and_money_that_could_settle_waits_a_day(desk: RefundDesk) -> None:
    payment = await desk.scene.create("USDT")
    await desk.expire(payment)
    desk.scene.pay(payment, "USDT", due(payment, "USDT")[0])
    await desk.pass_time(HOUR_S)
    refund = await desk.refund(payment)
    assert (refund.reason, refund.available_at) == (RefundReason.LATE, payment.terms.expiry + DAY_S)

    await desk.settle_up()
    assert desk.held(payment) > 0

    await desk.pass_time(DAY_S)
    await desk.settle_up()
    assert (await desk.refund(payment)).status is RefundStatus.SUCCEEDED
    assert desk.held(payment) == 0


async def test_token_that_the_payment_does_not_accept_returns(desk: RefundDesk) -> None:
    payment = await desk.scene.create("USDT")
    desk.scene.pay(payment, "USDC", 25 * UNIT)
    await desk.pass_time(2 * HOUR_S)

    await desk.settle_up()

    refund = await desk.refund(payment)
    assert (refund.reason, refund.status) == (RefundReason.NOT_ACCEPTED, RefundStatus.SUCCEEDED)
    assert desk.held(payment, "USDC") == 0


async def test_two_deposits_return_as_two_refunds(desk: RefundDesk) -> None:
    payment = await desk.scene.create("USDT")
    desk.scene.pay(payment, "USDT", 5 * UNIT)
    desk.scene.pay(payment, "USDT", 5 * UNIT)
    await desk.pass_time(2 * HOUR_S)

    await desk.settle_up()

    refunds = await desk.refunds(payment)
    assert [refund.status for refund in refunds] == [RefundStatus.SUCCEEDED] * 2
    assert len({refund.tx_hash for refund in refunds}) == 2
    assert desk.held(payment) == 0


async def test_dust_stays_where_it_is_until_the_merchant_says_so(desk: RefundDesk) -> None:
    payment = await desk.expired_with(UNIT // 10)
    await desk.pass_time(DAY_S)
    await desk.settle_up()
    refund = await desk.refund(payment)
    assert refund.status is RefundStatus.DUST

    signed = desk.signature(payment, refund, to_checksum(ELSEWHERE))
    assert (await desk.claim(payment, refund, ELSEWHERE, signature=signed)).status is RefundStatus.REQUESTED

    await desk.approve(refund)
    await desk.settle_up()
    assert desk.till.balance("USDT", ELSEWHERE) == UNIT // 10


# --- by a claim ------------------------------------------------------------------------------------------------------


async def test_exchange_like_sender_waits_for_a_claim_which_the_sender_signs(desk: RefundDesk) -> None:
    desk.age_customer(5_000)
    payment = await desk.expired_with(10 * UNIT)
    await desk.pass_time(DAY_S)
    await desk.settle_up()
    refund = await desk.refund(payment)
    assert (refund.status, refund.destination) == (RefundStatus.AWAITING_CLAIM, None)

    signature = desk.signature(payment, refund, to_checksum(ELSEWHERE))
    claimed = await desk.claim(payment, refund, ELSEWHERE, signature=signature)
    assert (claimed.status, claimed.named_by) == (RefundStatus.SCHEDULED, NamedBy.SENDER)

    await desk.settle_up()
    assert desk.till.balance("USDT", ELSEWHERE) == 10 * UNIT
    with pytest.raises(Conflict, match="succeeded"):
        await desk.claim(payment, refund, ELSEWHERE, signature=signature)


async def test_stranger_can_ask_but_not_take(desk: RefundDesk) -> None:
    desk.age_customer(9_000)
    payment = await desk.expired_with(10 * UNIT)
    refund = await desk.refund(payment)

    stranger = Account.create()
    forged = desk.signature(payment, refund, to_checksum(ELSEWHERE), key=bytes(stranger.key))
    with pytest.raises(Forbidden) as refusal:
        await desk.claim(payment, refund, ELSEWHERE, signature=forged)
    assert refusal.value.code == "not_the_sender"

    asked = await desk.claim(payment, refund, ELSEWHERE)
    assert asked.status is RefundStatus.REQUESTED
    await desk.pass_time(DAY_S)
    await desk.settle_up()
    assert desk.held(payment) == 10 * UNIT, "the page's URL alone sends nothing"

    with pytest.raises(Invalid, match="destination is required"):
        await desk.approve(asked)
    await desk.approve(asked, desk.scene.customer)
    await desk.settle_up()
    assert (await desk.refund(payment)).destination == desk.scene.customer


async def test_signature_for_one_address_names_no_other(desk: RefundDesk) -> None:
    desk.age_customer(9_000)
    payment = await desk.expired_with(10 * UNIT)
    refund = await desk.refund(payment)
    signature = desk.signature(payment, refund, to_checksum(desk.scene.customer))

    with pytest.raises(Forbidden):
        await desk.claim(payment, refund, ELSEWHERE, signature=signature)


async def test_visitor_cannot_write_over_what_the_sender_signed(desk: RefundDesk) -> None:
    await desk.set_policy(refund_policy=RefundPolicy.MANUAL)
    desk.age_customer(9_000)
    payment = await desk.expired_with(10 * UNIT)
    refund = await desk.refund(payment)
    signature = desk.signature(payment, refund, to_checksum(desk.scene.customer))
    await desk.claim(payment, refund, desk.scene.customer, signature=signature)

    with pytest.raises(Conflict) as refusal:
        await desk.claim(payment, refund, ELSEWHERE)
    assert refusal.value.code == "already_claimed"


async def test_addresses_that_swallow_money_are_refused(desk: RefundDesk) -> None:
    desk.age_customer(9_000)
    payment = await desk.expired_with(10 * UNIT)
    other = await desk.scene.create("USDT")
    refund = await desk.refund(payment)
    deployment = desk.scene.deployment
    swallowing = [
        bytes(20),
        payment.escrow,
        deployment.tokens["USDT"],
        deployment.tokens["USDC"],
        payment.address,
        other.address,
    ]

    for address in swallowing:
        with pytest.raises(Invalid) as refusal:
            await desk.claim(payment, refund, address)
        assert refusal.value.code == "invalid_destination"
    mistyped = "0xE1e1E1e1E1E1e1E1e1e1E1e1e1E1E1e1e1E1e1e1"
    with pytest.raises(Invalid) as refusal:
        async with desk.scene.store.write() as uow:
            await desk.service.claim(uow, payment.id, refund.id, mistyped, signer=None)
    assert refusal.value.code == "invalid_address"


# --- by the merchant -------------------------------------------------------------------------------------------------


async def test_merchant_who_decides_by_hand_approves_the_senders_address(desk: RefundDesk) -> None:
    await desk.set_policy(refund_policy=RefundPolicy.MANUAL)
    payment = await desk.expired_with(10 * UNIT)
    await desk.pass_time(DAY_S)
    await desk.settle_up()
    refund = await desk.refund(payment)
    assert (refund.status, refund.destination) == (RefundStatus.REQUESTED, desk.scene.customer)

    await desk.approve(refund)
    await desk.settle_up()

    assert (await desk.refund(payment)).status is RefundStatus.SUCCEEDED


async def test_merchant_sends_part_of_it_and_the_rest_stays_with_the_sender(desk: RefundDesk) -> None:
    payment = await desk.expired_with(10 * UNIT)

    (part,) = await desk.request(payment, amount="4", destination=to_checksum(ELSEWHERE))
    assert part.status is RefundStatus.SCHEDULED
    await desk.pass_time(HOUR_S)
    before = desk.till.balance("USDT", desk.scene.customer)
    await desk.settle_up()

    assert desk.till.balance("USDT", ELSEWHERE) == 4 * UNIT
    assert desk.till.balance("USDT", desk.scene.customer) == before + 6 * UNIT
    assert desk.held(payment) == 0


async def test_settled_money_returns_by_a_transaction_that_the_merchant_signs(desk: RefundDesk) -> None:
    payment = await desk.till.paid("USDT")
    with pytest.raises(Conflict) as refusal:
        await desk.request(payment, destination=to_checksum(ELSEWHERE))
    assert refusal.value.code == "not_settled"
    await desk.settle_up()

    (refund,) = await desk.request(payment, amount="10", destination=to_checksum(ELSEWHERE))
    assert refund.status is RefundStatus.REQUIRES_SIGNATURE
    with pytest.raises(Invalid, match="at most 15"):
        await desk.request(payment, amount="15.01", destination=to_checksum(ELSEWHERE))

    await desk.settle_up()
    assert (await desk.refund(payment)).status is RefundStatus.REQUIRES_SIGNATURE, "no key of ours can do it"
    contract = desk.scene.deployment.tokens["USDT"]
    tx_hash = desk.merchant_sends(withdraw_data(contract, 10 * UNIT, ELSEWHERE))
    await desk.till.until_final()

    done = await desk.refund(payment)
    assert (done.status, done.tx_hash) == (RefundStatus.SUCCEEDED, tx_hash)
    assert desk.till.balance("USDT", ELSEWHERE) == 10 * UNIT
    assert "refunded" in await desk.scene.events(payment)


async def test_refund_that_the_merchant_makes_at_the_escrow_is_on_record(desk: RefundDesk) -> None:
    payment = await desk.expired_with(10 * UNIT)
    contract = desk.scene.deployment.tokens["USDT"]
    desk.merchant_sends(refund_data(payment.terms, contract, ELSEWHERE, 4 * UNIT))
    await desk.pass_time(HOUR_S)
    await desk.settle_up()

    ours, theirs = await desk.refunds(payment)
    assert (theirs.status, theirs.destination, theirs.units) == (RefundStatus.SUCCEEDED, ELSEWHERE, 4 * UNIT)
    # From then on the escrow obeys nobody but the merchant.
    assert (ours.status, ours.failure, ours.units) == (RefundStatus.FAILED, "refunded_by_merchant", 6 * UNIT)


# --- when it goes wrong ----------------------------------------------------------------------------------------------


async def test_receiver_that_rejects_bnb_fails_and_another_address_takes_it(desk: RefundDesk) -> None:
    desk.age_customer(9_000)
    payment = await desk.scene.create("BNB")
    units = due(payment, "BNB")[1] // 2
    desk.scene.pay(payment, "BNB", units)
    await desk.pass_time(2 * HOUR_S)
    refund = await desk.refund(payment)
    rejecting = desk.scene.deployment.feeds["BNB/USD"]

    await desk.claim(payment, refund, rejecting, signature=desk.signature(payment, refund, to_checksum(rejecting)))
    await desk.settle_up()
    failed = await desk.refund(payment)
    assert (failed.status, failed.failure) == (RefundStatus.FAILED, "transfer_reverted")
    assert desk.held(payment, "BNB") == units

    await desk.claim(payment, failed, ELSEWHERE, signature=desk.signature(payment, failed, to_checksum(ELSEWHERE)))
    await desk.settle_up()
    assert desk.till.balance("BNB", ELSEWHERE) == units


async def test_receiver_that_burns_gas_costs_the_operator_no_more_than_two_transactions(desk: RefundDesk) -> None:
    desk.age_customer(9_000)
    payment = await desk.scene.create("BNB")
    units = due(payment, "BNB")[1] // 2
    desk.scene.pay(payment, "BNB", units)
    await desk.pass_time(2 * HOUR_S)
    # Counts down from 50,000 before it takes the money: 1.3 million gas, which a call for nothing has.
    desk.scene.anvil.rpc("anvil_setCode", to_checksum(ELSEWHERE), "0x6200c3505b600190038060045700")
    refund = await desk.refund(payment)
    await desk.claim(payment, refund, ELSEWHERE, signature=desk.signature(payment, refund, to_checksum(ELSEWHERE)))

    for _ in range(4):
        await desk.settle_up()

    failed = await desk.refund(payment)
    assert failed.status is RefundStatus.FAILED
    assert failed.failure in {"transfer_reverted", "transaction_reverted"}
    assert desk.till.operator_nonce() <= 2
    assert desk.held(payment, "BNB") == units


async def test_feed_that_reverts_delays_a_refund_by_a_day_and_fails_none(desk: RefundDesk) -> None:
    payment = await desk.scene.create("BNB")
    desk.scene.pay(payment, "BNB", due(payment, "BNB")[1] // 2)
    await desk.pass_time(2 * HOUR_S)
    desk.scene.anvil.rpc("anvil_setCode", to_checksum(desk.scene.deployment.feeds["BNB/USD"]), "0x60006000fd")
    await desk.settle_up()
    assert (await desk.refund(payment)).status is RefundStatus.SCHEDULED

    await desk.pass_time(DAY_S)
    await desk.settle_up()

    assert (await desk.refund(payment)).status is RefundStatus.SUCCEEDED
    assert desk.held(payment, "BNB") == 0


async def test_deposit_that_arrives_before_a_refund_is_mined_makes_both_wait(desk: RefundDesk) -> None:
    payment = await desk.expired_with(20 * UNIT)
    await desk.pass_time(HOUR_S)
    anvil = desk.scene.anvil
    anvil.rpc("evm_setAutomine", False)
    rest = desk.scene.sign(desk.scene.transfer("USDT", payment.address, 5 * UNIT))
    anvil.rpc("eth_sendRawTransaction", rest)  # pays more for its gas, so it comes first
    await desk.till.settler().step()
    assert (await desk.refund(payment)).status is RefundStatus.SUBMITTED
    anvil.mine()
    anvil.rpc("evm_setAutomine", True)
    await desk.till.until_final()
    await desk.till.settler().step()

    waiting = await desk.refunds(payment)
    assert [(refund.status, refund.available_at) for refund in waiting] == [
        (RefundStatus.SCHEDULED, payment.terms.expiry + DAY_S)
    ] * 2

    await desk.pass_time(DAY_S)
    await desk.settle_up()
    assert [refund.status for refund in await desk.refunds(payment)] == [RefundStatus.SUCCEEDED] * 2
    assert desk.held(payment) == 0


@pytest.mark.parametrize("sent", [False, True])
async def test_process_killed_around_sending_refunds_once(desk: RefundDesk, sent: bool) -> None:
    payment = await desk.expired_with(10 * UNIT)
    await desk.pass_time(HOUR_S)
    before = desk.till.balance("USDT", desk.scene.customer)

    with pytest.raises(Killed):
        await desk.till.settler(DyingPool(desk.scene.pool, sent=sent)).step()
    assert (await desk.refund(payment)).status is RefundStatus.SUBMITTED
    await desk.settle_up()
    await desk.settle_up()

    assert (await desk.refund(payment)).status is RefundStatus.SUCCEEDED
    assert desk.till.balance("USDT", desk.scene.customer) == before + 10 * UNIT


async def test_operator_may_refund_nothing_of_what_somebody_settled_first(desk: RefundDesk) -> None:
    payment = await desk.scene.create("USDT")
    await desk.expire(payment)
    desk.scene.pay(payment, "USDT", due(payment, "USDT")[0])
    await desk.pass_time(30 * DAY_S)
    desk.scene.send(desk.scene.settle(payment, "USDT"))  # from then on anyone may
    await desk.scene.watch()
    await desk.settle_up()

    assert (await desk.refund(payment)).status is RefundStatus.CANCELED
    assert desk.till.treasury("USDT") == due(payment, "USDT")[0]
