"""How a payment that is confirming ends: final, settled, refused, or reverted."""

from __future__ import annotations

from dataclasses import replace

import pytest

from openpay.domain.assessment import Accepted, EscrowAnswer, Evidence, Outcome, Refused, advance
from openpay.domain.payment import Settlement, SettlementStatus, Status
from tests.domain.assessing import LAST_BLOCK, confirming, paid, told
from tests.domain.builders import block_time, evidence, head_at, make_attempt, make_deposit, make_payment, make_settled

# --- confirmation ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [None, Accepted(), Refused(error="BelowMin")])
def test_nothing_is_decided_before_the_block_is_final(answer: EscrowAnswer) -> None:
    payment = confirming(make_deposit(block=10))
    outcome = advance(payment, evidence(make_deposit(block=10), escrow_answer=answer), head_at(30, final=9))
    assert outcome == Outcome(payment=payment)


def test_payment_is_paid_at_the_block_that_completed_its_confirmations_though_more_were_read_at_once() -> None:
    deposit = make_deposit(block=10)
    head = replace(head_at(60, final=49), times={number: block_time(number) for number in range(11, 61)})
    payment = advance(confirming(deposit), evidence(deposit, escrow_answer=Accepted()), head).payment
    assert (payment.paid_at, payment.ended_at, payment.paid_confirmations) == (block_time(21), block_time(21), 12)


def test_payment_whose_confirmations_were_complete_before_is_paid_at_the_newest_block() -> None:
    deposit = make_deposit(block=10)
    head = replace(head_at(60, final=49), times={number: block_time(number) for number in range(22, 61)})
    payment = advance(confirming(deposit), evidence(deposit, escrow_answer=Accepted()), head).payment
    assert (payment.paid_at, payment.paid_confirmations) == (block_time(60), 51)


def test_final_deposit_is_paid_by_the_escrows_word() -> None:
    deposit = make_deposit(block=10)
    outcome = advance(confirming(deposit), evidence(deposit, escrow_answer=Accepted()), head_at(21, final=10))
    assert (outcome.payment.status, told(outcome)) == (Status.PAID, ["completed"])
    assert outcome.payment.paid_at == outcome.payment.ended_at == block_time(21)
    assert outcome.payment.settlement == Settlement(status=SettlementStatus.PENDING)


def test_without_an_answer_of_the_escrow_a_payment_stays_confirming() -> None:
    payment = confirming(make_deposit(block=10))
    assert advance(payment, evidence(make_deposit(block=10)), head_at(500, final=480)).payment == payment


def test_named_refusal_of_the_escrow_fails_the_payment() -> None:
    deposit = make_deposit(block=10)
    outcome = advance(
        confirming(deposit), evidence(deposit, escrow_answer=Refused(error="PriceTooOld")), head_at(21, final=10)
    )
    assert (outcome.payment.status, told(outcome)) == (Status.FAILED, ["failed"])
    assert outcome.payment.failure == "PriceTooOld"


def test_confirmations_count_the_deposits_own_block_and_stop_when_paid() -> None:
    deposit = make_deposit(block=10)
    payment = confirming(deposit)
    assert [payment.confirmations(number) for number in (10, 11, 21)] == [1, 2, 12]
    assert payment.confirmations(None) is None
    assert make_payment().confirmations(10) is None
    assert paid(deposit).confirmations(10_000) == 12


def test_strangers_settlement_is_the_escrows_own_word_once_it_is_final() -> None:
    deposit, log = make_deposit(block=10), make_settled(block=12)
    early = advance(confirming(deposit), evidence(deposit, settled=log), head_at(21, final=10))
    assert early.payment.status is Status.CONFIRMING
    # The escrow would refuse a second settlement; its log says why.
    settled = evidence(deposit, settled=log, escrow_answer=Refused(error="AlreadySettled"))
    outcome = advance(early.payment, settled, head_at(23, final=12))
    assert (outcome.payment.status, told(outcome)) == (Status.PAID, ["completed", "settled"])


def test_deposit_settled_by_a_stranger_in_its_own_block_is_paid_and_settled() -> None:
    deposit, log = make_deposit(block=10), make_settled(block=10)
    outcome = advance(make_payment(), evidence(deposit, settled=log), head_at(21, final=10))
    assert told(outcome) == ["confirming", "completed", "settled"]
    assert outcome.payment.settlement == Settlement(
        status=SettlementStatus.SETTLED, tx_hash=log.tx_hash, units=100, settled_at=block_time(10)
    )


def test_settlement_is_settled_only_when_its_log_is_final() -> None:
    deposit, log = make_deposit(block=10), make_settled(block=25)
    submitted = Settlement(status=SettlementStatus.SUBMITTED, tx_hash=log.tx_hash)
    payment = make_payment(**{**vars(paid(deposit)), "settlement": submitted})
    assert advance(payment, evidence(deposit, settled=log), head_at(26, final=15)).payment.settlement == submitted
    outcome = advance(payment, evidence(deposit, settled=log), head_at(36, final=25))
    assert told(outcome) == ["settled"]
    assert outcome.payment.settlement is not None
    assert outcome.payment.settlement.status is SettlementStatus.SETTLED


# --- reverted transactions ---------------------------------------------------------------------------------------


def test_reverted_transaction_of_the_page_is_confirming_and_then_failed() -> None:
    attempts = [make_attempt(block=10)]
    outcome = advance(make_payment(), evidence(attempts=attempts), head_at(10))
    assert (outcome.payment.status, told(outcome)) == (Status.CONFIRMING, ["confirming"])
    outcome = advance(outcome.payment, evidence(attempts=attempts), head_at(21, final=10))
    assert (outcome.payment.status, told(outcome)) == (Status.FAILED, ["failed"])
    assert outcome.payment.failure == "reverted"


def test_reverted_transaction_after_the_deadline_changes_nothing() -> None:
    late = make_attempt(block=LAST_BLOCK + 1)
    assert advance(make_payment(), evidence(attempts=[late]), head_at(LAST_BLOCK + 1)).events == ()


def test_reorg_of_a_reverted_transaction_returns_payment_to_pending() -> None:
    payment = advance(make_payment(), evidence(attempts=[make_attempt(block=10)]), head_at(10)).payment
    assert told(advance(payment, evidence(), head_at(9, tip=10))) == ["pending"]


@pytest.mark.parametrize(
    ("reverted_in", "block"),
    [
        (10, 12),
        (LAST_BLOCK, LAST_BLOCK + 3),  # past the deadline: the clock stands still while confirming
    ],
)
def test_successful_transfer_wins_over_a_reverted_one_that_is_confirming(reverted_in: int, block: int) -> None:
    attempts = [make_attempt(block=reverted_in)]
    payment = advance(make_payment(), evidence(attempts=attempts), head_at(reverted_in)).payment
    deposit = make_deposit(block=block)
    both = evidence(deposit, attempts=attempts)
    outcome = advance(payment, both, head_at(block, final=block - 11))
    assert (outcome.payment.status, told(outcome)) == (Status.CONFIRMING, ["confirming"])
    outcome = advance(
        outcome.payment,
        Evidence(deposits=[deposit], attempts=attempts, escrow_answer=Accepted()),
        head_at(block + 11, final=block),
    )
    assert (outcome.payment.status, told(outcome)) == (Status.PAID, ["completed"])
    assert told(advance(outcome.payment, both, head_at(block + 12, final=block + 1))) == []


def test_reorg_of_the_successful_transfer_does_not_fall_back_on_the_reverted_one() -> None:
    # The transfer may return in the new branch; a failure before it must not end the payment in between.
    attempts = [make_attempt(block=10)]
    payment = advance(make_payment(), evidence(make_deposit(block=12), attempts=attempts), head_at(20, final=9)).payment
    outcome = advance(payment, evidence(attempts=attempts), head_at(11, final=10, tip=21))
    assert (outcome.payment.status, told(outcome)) == (Status.PENDING, ["pending"])
    outcome = advance(outcome.payment, evidence(attempts=attempts), head_at(22, final=11))
    assert outcome.payment.status is Status.PENDING
    returned = make_deposit(block=23, branch="other")
    assert told(advance(outcome.payment, evidence(returned, attempts=attempts), head_at(23))) == ["confirming"]
    # One that fails afterwards counts as ever.
    again = [*attempts, make_attempt(block=24)]
    assert told(advance(outcome.payment, evidence(attempts=again), head_at(24))) == ["confirming"]
