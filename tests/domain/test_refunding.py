"""What must go back, when, and never twice."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from openpay.domain.deposit import Source
from openpay.domain.payment import Completion, Payment, Status
from openpay.domain.refunding import MAX_PERSONAL_NONCE, MIN_WORTH_USD, SETTLEABLE_S, RefundRules, worth_usd_down
from openpay.domain.refunds import (
    NamedBy,
    RefundMode,
    RefundPolicy,
    RefundReason,
    RefundStatus,
    RefundTrigger,
    approved,
    sent,
    without_effect,
)
from tests.domain.builders import START, USDT, block_time, head_at, make_deposit, make_payment
from tests.domain.refunding import AFTER, ELSEWHERE, EXPIRY, HOUR_S, SENDER, TOKENS, assess, expired, outflow, the

# --- what must go back -----------------------------------------------------------------------------------------------


def test_partial_money_goes_back_to_its_sender_at_expiry() -> None:
    refund = the(assess(expired(), make_deposit(40)))

    assert (refund.reason, refund.mode, refund.status) == (
        RefundReason.PARTIAL,
        RefundMode.AUTOMATIC,
        RefundStatus.SCHEDULED,
    )
    assert (refund.units, refund.destination, refund.named_by) == (40, SENDER, NamedBy.RULE)


@pytest.mark.parametrize("status", [Status.INITIATED, Status.PENDING, Status.CONFIRMING, Status.PAID])
def test_money_that_counts_does_not_go_back(status: Status) -> None:
    completion = Completion(token="USDT", tx_hash=None, block_number=10, block_hash=bytes(32))

    assert assess(make_payment(status=status, completion=completion), make_deposit(40)) == ()


@pytest.mark.parametrize(
    ("payment", "reason"),
    [
        (expired(), RefundReason.LATE),
        (make_payment(status=Status.FAILED, failure="reverted", ended_at=block_time(AFTER)), RefundReason.LATE),
        (make_payment(status=Status.CANCELED, ended_at=START + 10), RefundReason.LATE),
    ],
    ids=["expired", "failed", "canceled"],
)
def test_money_after_the_end_is_late(payment: Payment, reason: RefundReason) -> None:
    assert the(assess(payment, make_deposit(40, block=AFTER + 5))).reason is reason


def test_money_of_a_failed_payment_is_partial() -> None:
    failed = make_payment(status=Status.FAILED, failure="PriceTooOld", ended_at=block_time(30))

    assert the(assess(failed, make_deposit(40))).reason is RefundReason.PARTIAL


@pytest.mark.parametrize("status", list(Status))
def test_token_that_is_not_accepted_goes_back_whatever_the_status(status: Status) -> None:
    completion = Completion(token="USDT", tx_hash=None, block_number=10, block_hash=bytes(32))
    payment = make_payment(status=status, offers=(USDT,), completion=completion, ended_at=EXPIRY)

    refund = the(assess(payment, make_deposit(10**18, "USDC")))

    assert (refund.reason, refund.status) == (RefundReason.NOT_ACCEPTED, RefundStatus.SCHEDULED)


# --- automatic, or by a claim ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"payer": ELSEWHERE},
        {"sender_nonce": MAX_PERSONAL_NONCE},
        {"source": Source.INTERNAL, "payer": None, "sender": None, "sender_nonce": None},
        {"payer": None},
        {"sender_nonce": None},
    ],
    ids=["contract wallet", "exchange", "internal", "unknown payer", "unknown nonce"],
)
def test_sender_that_is_no_personal_wallet_waits_for_a_claim(changes: dict[str, Any]) -> None:
    refund = the(assess(expired(), replace(make_deposit(40), **changes)))

    assert (refund.status, refund.mode, refund.destination) == (RefundStatus.AWAITING_CLAIM, RefundMode.CLAIM, None)


def test_last_nonce_of_a_personal_wallet_is_paid_back() -> None:
    deposit = replace(make_deposit(40), sender_nonce=MAX_PERSONAL_NONCE - 1)

    assert the(assess(expired(), deposit)).status is RefundStatus.SCHEDULED


def test_merchant_who_decides_by_hand_is_asked_with_the_senders_address() -> None:
    refund = the(assess(expired(), make_deposit(40), rules=RefundRules(policy=RefundPolicy.MANUAL)))

    assert (refund.status, refund.mode, refund.destination) == (RefundStatus.REQUESTED, RefundMode.MANUAL, SENDER)


def test_worth_comes_from_the_payments_own_quote() -> None:
    payment = expired()  # 25 USD are 100 units of a stablecoin, or 1,000 of BNB

    assert worth_usd_down(payment, "USDT", 2, TOKENS) == MIN_WORTH_USD
    assert worth_usd_down(payment, "BNB", 20, TOKENS) == MIN_WORTH_USD
    assert worth_usd_down(payment, "BNB", 19, TOKENS) == MIN_WORTH_USD * 19 // 20


@pytest.mark.parametrize(("units", "status"), [(2, RefundStatus.SCHEDULED), (1, RefundStatus.DUST)])
def test_dust_is_kept_and_shown(units: int, status: RefundStatus) -> None:
    assert the(assess(expired(), make_deposit(units))).status is status


def test_token_without_a_price_waits_for_a_claim() -> None:
    refund = the(assess(expired(offers=(USDT,)), make_deposit(10**18, "BNB")))

    assert refund.status is RefundStatus.AWAITING_CLAIM


# --- when ------------------------------------------------------------------------------------------------------------


def test_nothing_goes_out_before_the_window_has_passed() -> None:
    late = make_deposit(40, block=AFTER + 5)

    assert the(assess(expired(), late)).available_at == late.block_time + HOUR_S
    assert the(assess(expired(), late, rules=RefundRules(window_s=60))).available_at == late.block_time + 60


def test_nothing_goes_out_before_the_terms_expire() -> None:
    canceled = make_payment(status=Status.CANCELED, ended_at=START + 10)

    refund = the(assess(canceled, make_deposit(40), rules=RefundRules(window_s=0)))

    assert refund.available_at == EXPIRY + 1


@pytest.mark.parametrize(("units", "waits"), [(99, False), (100, True)])
def test_money_that_could_still_settle_waits_a_day_longer(units: int, waits: bool) -> None:
    refunds = assess(expired(), make_deposit(units, block=AFTER + 5), rules=RefundRules(window_s=0))

    assert (the(refunds).available_at == EXPIRY + SETTLEABLE_S) is waits


def test_deposits_that_settle_only_together_all_wait() -> None:
    refunds = assess(expired(), make_deposit(60), make_deposit(40, block=AFTER + 5))

    assert {refund.available_at for refund in refunds} == {EXPIRY + SETTLEABLE_S}


def test_merchants_approval_needs_no_window_but_still_the_expiry() -> None:
    canceled = make_payment(status=Status.CANCELED, ended_at=START + 10)
    deposit = make_deposit(40)
    waiting = approved(the(assess(canceled, deposit)), ELSEWHERE)

    assert the(assess(canceled, deposit, refunds=[waiting])).available_at == EXPIRY + 1


# --- what the chain does to it ---------------------------------------------------------------------------------------


def test_final_log_completes_a_refund_and_an_unfinal_one_does_not() -> None:
    payment, deposit = expired(), make_deposit(40)
    log = outflow()
    submitted = sent(the(assess(payment, deposit)), log.tx_hash)

    seen = the(assess(payment, deposit, outflows=[log], refunds=[submitted], head=head_at(AFTER + 21, final=AFTER)))
    final = the(assess(payment, deposit, outflows=[log], refunds=[submitted]))

    assert seen.status is RefundStatus.SUBMITTED
    assert (final.status, final.tx_hash, final.completed_at) == (
        RefundStatus.SUCCEEDED,
        log.tx_hash,
        log.block_time,
    )


def test_fee_bumped_transaction_completes_its_refund_too() -> None:
    payment, deposit = expired(), make_deposit(40)
    submitted = sent(the(assess(payment, deposit)), bytes(32))

    assert the(assess(payment, deposit, outflows=[outflow()], refunds=[submitted])).status is RefundStatus.SUCCEEDED


def test_two_equal_refunds_in_one_transaction_are_two() -> None:
    payment = expired()
    deposits = (make_deposit(40, position=0), make_deposit(40, position=1))
    refunds = assess(payment, *deposits)
    submitted = [sent(each, outflow().tx_hash) for each in refunds]

    one = assess(payment, *deposits, outflows=[outflow()], refunds=submitted)
    both = assess(payment, *deposits, outflows=[outflow(), outflow(log_index=1)], refunds=one)

    assert sorted(each.status for each in one) == [RefundStatus.SUBMITTED, RefundStatus.SUCCEEDED]
    assert [each.status for each in both] == [RefundStatus.SUCCEEDED] * 2
    assert {each.log_index for each in both} == {0, 1}


def test_refund_that_the_merchant_made_at_the_escrow_is_recorded_and_nothing_more_is_promised() -> None:
    payment, deposit = expired(), make_deposit(40)
    refunds = assess(payment, deposit, outflows=[outflow(units=30, to=ELSEWHERE)])

    ours, direct = sorted(refunds, key=lambda each: each.units)
    assert (ours.units, ours.status) == (10, RefundStatus.SCHEDULED)
    assert (direct.reason, direct.mode, direct.status, direct.destination) == (
        RefundReason.MERCHANT,
        RefundMode.MERCHANT_SIGNATURE,
        RefundStatus.SUCCEEDED,
        ELSEWHERE,
    )


def test_merchant_who_sent_the_same_amount_back_completes_the_claim() -> None:
    payment, deposit = expired(), replace(make_deposit(40), sender_nonce=9_000)
    claim = the(assess(payment, deposit))

    done = the(assess(payment, deposit, outflows=[outflow(to=ELSEWHERE)], refunds=[claim]))

    assert (done.status, done.destination) == (RefundStatus.SUCCEEDED, ELSEWHERE)


def test_reorganised_deposit_takes_its_unsent_refund_along() -> None:
    payment, deposit = expired(), make_deposit(40)
    refund = the(assess(payment, deposit))

    assert the(assess(payment, refunds=[refund])).status is RefundStatus.CANCELED


def test_refund_that_was_sent_before_the_reorg_stays_with_its_transaction() -> None:
    payment, deposit = expired(), make_deposit(40)
    submitted = sent(the(assess(payment, deposit)), bytes(32))

    assert the(assess(payment, refunds=[submitted])) == submitted
    assert the(assess(payment, refunds=[without_effect(submitted)])).status is RefundStatus.CANCELED


def test_deposit_that_returns_is_refunded_once() -> None:
    payment, deposit = expired(), make_deposit(40)
    refund = the(assess(payment, deposit))
    canceled = assess(payment, refunds=[refund])

    assert assess(payment, deposit, refunds=canceled) == (refund,)


def test_settled_vault_has_no_refunds() -> None:
    payment, deposit = expired(), make_deposit(100)
    refund = the(assess(payment, deposit))
    settled = outflow("Settled", units=100)

    waiting = the(assess(payment, deposit, outflows=[settled], refunds=[refund], head=head_at(AFTER + 21, final=AFTER)))
    gone = the(assess(payment, deposit, outflows=[settled], refunds=[refund]))

    assert waiting == refund
    assert gone.status is RefundStatus.CANCELED
    assert assess(payment, deposit, outflows=[settled]) == ()


def test_merchants_part_is_taken_from_the_deposit() -> None:
    payment, deposit = expired(), make_deposit(40)
    refund = the(assess(payment, deposit))
    part = replace(
        refund, id="ref_part", units=15, source=None, reason=RefundReason.MERCHANT, named_by=NamedBy.MERCHANT
    )

    rest, asked = assess(payment, deposit, refunds=[refund, part])

    assert (rest.units, asked.units) == (25, 15)


def test_trigger_words_differ() -> None:
    assert len({trigger.value for trigger in RefundTrigger}) == len(RefundTrigger)
