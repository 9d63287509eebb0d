"""What the chain makes of a payment, one rule of its life at a time."""

from __future__ import annotations

from typing import Any

import pytest

from openpay.domain.assessment import RETRACTION_GRACE_S, Accepted, Head, Outcome, advance, is_late, tally
from openpay.domain.payment import Status
from tests.domain.assessing import LAST_BLOCK, confirming, paid, told
from tests.domain.builders import (
    BLOCK_S,
    LIFE_S,
    START,
    block_time,
    evidence,
    head_at,
    make_attempt,
    make_deposit,
    make_payment,
    make_settled,
)

# --- receiving ---------------------------------------------------------------------------------------------------


def test_nothing_happens_to_a_payment_that_nobody_pays() -> None:
    payment = make_payment(status=Status.INITIATED)
    assert advance(payment, evidence(), head_at(5)) == Outcome(payment=payment)


def test_partial_deposit_makes_an_initiated_payment_pending_and_says_what_is_missing() -> None:
    outcome = advance(make_payment(status=Status.INITIATED), evidence(make_deposit(40)), head_at(10))
    assert outcome.payment.status is Status.PENDING
    assert told(outcome) == ["pending", "underpaid"]
    assert outcome.events[1].data == {"token": "USDT", "received_units": "40", "remaining_units": "60"}


def test_sufficient_deposit_makes_confirming_from_either_waiting_status() -> None:
    for status in (Status.INITIATED, Status.PENDING):
        outcome = advance(make_payment(status=status), evidence(make_deposit()), head_at(10))
        assert outcome.payment.status is Status.CONFIRMING
        assert told(outcome) == ["confirming"]


def test_three_transfers_add_up_and_the_third_is_the_completing_one() -> None:
    parts = [make_deposit(30, block=10), make_deposit(30, block=11), make_deposit(40, block=12)]
    payment = make_payment()
    for count, missing in ((1, 70), (2, 40)):
        outcome = advance(payment, evidence(*parts[:count]), head_at(9 + count))
        assert (outcome.payment.status, told(outcome)) == (Status.PENDING, ["underpaid"])
        assert tally(outcome.payment, parts[:count])["USDT"].remaining_units == missing
    completion = confirming(*parts).completion
    assert completion is not None
    assert (completion.tx_hash, completion.block_number) == (parts[2].tx_hash, 12)


def test_two_transfers_of_one_transaction_are_two_deposits() -> None:
    same = {"block": 10, "tx_hash": bytes(32)}
    assert confirming(make_deposit(50, position=1, **same), make_deposit(50, position=2, **same))


def test_within_a_block_the_earlier_transfer_completes() -> None:
    first, second = make_deposit(100, position=3), make_deposit(100, position=4)
    completion = confirming(second, first).completion
    assert completion is not None
    assert completion.tx_hash == first.tx_hash


def test_least_amount_suffices_and_one_unit_less_does_not() -> None:
    assert confirming(make_deposit(990, "BNB"))
    outcome = advance(make_payment(), evidence(make_deposit(989, "BNB")), head_at(10))
    assert outcome.payment.status is Status.PENDING
    assert tally(outcome.payment, [make_deposit(989, "BNB")])["BNB"].remaining_units == 11


def test_nothing_remains_from_the_least_amount_on() -> None:
    deposits = [make_deposit(95, "USDC")]
    assert tally(confirming(*deposits), deposits)["USDC"].remaining_units == 0


def test_tokens_are_never_added_together() -> None:
    deposits = [make_deposit(99, "USDT"), make_deposit(94, "USDC", position=1), make_deposit(989, "BNB")]
    outcome = advance(make_payment(), evidence(*deposits), head_at(10))
    assert outcome.payment.status is Status.PENDING
    assert [draft.data["token"] for draft in outcome.events] == ["BNB", "USDC", "USDT"]


def test_first_token_to_suffice_wins() -> None:
    deposits = [
        make_deposit(60, "USDT", block=8),
        make_deposit(95, "USDC", block=9),
        make_deposit(40, "USDT", block=10),
    ]
    completion = confirming(*deposits).completion
    assert completion is not None
    assert completion.token == "USDC"


def test_token_that_is_not_accepted_never_counts() -> None:
    payment = make_payment(status=Status.INITIATED, offers=make_payment().offers[:1])
    outcome = advance(payment, evidence(make_deposit(10**6, "BNB")), head_at(10))
    assert outcome == Outcome(payment=payment)
    assert "BNB" not in tally(payment, [make_deposit(10**6, "BNB")])


# --- the deadline ------------------------------------------------------------------------------------------------


def test_deposit_in_a_block_at_the_deadline_counts_and_one_second_later_is_late() -> None:
    assert confirming(make_deposit(time=START + LIFE_S))
    late = make_deposit(time=START + LIFE_S + 1)
    outcome = advance(make_payment(), evidence(late), head_at(LAST_BLOCK + 1))
    assert outcome == Outcome(payment=make_payment())
    assert is_late(make_payment(), late)


def test_only_a_final_block_later_than_the_deadline_expires() -> None:
    payment = make_payment()
    assert advance(payment, evidence(), head_at(LAST_BLOCK + 1_000, final=LAST_BLOCK)).payment == payment
    outcome = advance(payment, evidence(), head_at(LAST_BLOCK + 1_000, final=LAST_BLOCK + 1))
    assert (outcome.payment.status, told(outcome)) == (Status.EXPIRED, ["expired"])
    assert outcome.payment.ended_at == block_time(LAST_BLOCK + 1)


def test_initiated_payment_expires_without_becoming_pending_first() -> None:
    outcome = advance(
        make_payment(status=Status.INITIATED),
        evidence(make_deposit(40)),
        head_at(LAST_BLOCK + 20, final=LAST_BLOCK + 9),
    )
    assert (outcome.payment.status, told(outcome)) == (Status.EXPIRED, ["expired"])


def test_watcher_that_is_behind_counts_a_deposit_made_in_time() -> None:
    # It reads the deposit's block and a final block past the deadline in one go.
    outcome = advance(
        make_payment(),
        evidence(make_deposit(block=LAST_BLOCK), escrow_answer=Accepted()),
        head_at(LAST_BLOCK + 500, final=LAST_BLOCK + 480),
    )
    assert (outcome.payment.status, told(outcome)) == (Status.PAID, ["confirming", "completed"])


def test_confirming_payment_never_expires() -> None:
    deposits = [make_deposit(block=LAST_BLOCK)]
    outcome = advance(confirming(*deposits), evidence(*deposits), head_at(LAST_BLOCK + 500, final=LAST_BLOCK - 1))
    assert outcome.payment.status is Status.CONFIRMING
    outcome = advance(confirming(*deposits), evidence(*deposits), head_at(LAST_BLOCK + 500, final=LAST_BLOCK + 480))
    assert outcome.payment.status is Status.CONFIRMING


# --- reorganisations ---------------------------------------------------------------------------------------------


def test_reorg_below_confirmations_returns_payment_to_pending() -> None:
    outcome = advance(confirming(make_deposit(block=10)), evidence(), head_at(9, tip=20))
    assert (outcome.payment.status, told(outcome)) == (Status.PENDING, ["pending"])
    assert (outcome.payment.completion, outcome.payment.confirming_since) == (None, None)


def test_timer_pauses_while_confirming() -> None:
    # Confirming from block 10 to 500: the 490 blocks do not count against the customer.
    outcome = advance(confirming(make_deposit(block=10)), evidence(), head_at(9, tip=500))
    assert outcome.payment.deadline == START + LIFE_S + 490 * BLOCK_S


def test_at_least_five_minutes_remain_after_a_retraction() -> None:
    outcome = advance(
        confirming(make_deposit(block=LAST_BLOCK)), evidence(), head_at(LAST_BLOCK - 1, tip=LAST_BLOCK + 4)
    )
    assert outcome.payment.deadline == block_time(LAST_BLOCK + 4) + RETRACTION_GRACE_S


def test_transaction_that_returns_in_another_block_confirms_from_there() -> None:
    pending = advance(confirming(make_deposit(block=10)), evidence(), head_at(9, tip=12)).payment
    again = make_deposit(block=11, branch="other")
    outcome = advance(pending, evidence(again), head_at(11))
    assert (outcome.payment.status, told(outcome)) == (Status.CONFIRMING, ["confirming"])
    assert outcome.payment.confirmations(11) == 1


def test_loss_of_one_of_several_deposits_leaves_what_the_others_make() -> None:
    parts = [make_deposit(60, block=10), make_deposit(40, block=11)]
    outcome = advance(confirming(*parts), evidence(parts[0]), head_at(10, tip=11))
    assert told(outcome) == ["pending", "underpaid"]
    assert tally(outcome.payment, parts[:1])["USDT"].remaining_units == 40


def test_loss_of_the_completing_deposit_falls_back_on_another_that_suffices() -> None:
    deposits = [make_deposit(60, block=10), make_deposit(40, block=11), make_deposit(40, block=12)]
    outcome = advance(confirming(*deposits), evidence(deposits[0], deposits[2]), head_at(12))
    assert (outcome.payment.status, told(outcome)) == (Status.CONFIRMING, ["confirming"])
    assert outcome.payment.completion is not None
    assert outcome.payment.completion.block_number == 12


def test_paid_payment_whose_money_is_taken_away_stays_paid_and_is_marked_reversed() -> None:
    payment = paid(make_deposit(block=10))
    outcome = advance(payment, evidence(), head_at(9))
    assert (outcome.payment.status, told(outcome)) == (Status.PAID, ["reversed"])
    assert outcome.payment.reversed_at == block_time(9)
    assert told(advance(outcome.payment, evidence(), head_at(10))) == []


def test_later_money_does_not_hide_that_a_payment_was_reversed() -> None:
    excess = make_deposit(block=40)
    attempt = make_attempt(block=9)
    payment = paid(make_deposit(block=10))
    assert told(advance(payment, evidence(excess, attempts=[attempt]), head_at(41))) == ["reversed"]


# --- after the end -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ended",
    [
        {"status": Status.EXPIRED, "ended_at": START + LIFE_S + 3},
        {"status": Status.CANCELED, "ended_at": START + 5},
        {"status": Status.FAILED, "ended_at": START + LIFE_S, "failure": "BelowMin"},
    ],
    ids=lambda ended: ended["status"],
)
def test_deposit_after_the_end_is_late_and_reported_and_changes_nothing(ended: dict[str, Any]) -> None:
    payment = make_payment(**ended)
    deposit = make_deposit(block=LAST_BLOCK + 20)
    outcome = advance(
        payment, evidence(deposit, escrow_answer=Accepted()), head_at(LAST_BLOCK + 50, final=LAST_BLOCK + 39)
    )
    assert outcome.payment == payment
    assert told(outcome) == ["late_deposit"]
    assert outcome.events[0].subject == deposit.key


def test_two_late_deposits_are_two_reports() -> None:
    payment = make_payment(status=Status.CANCELED, ended_at=START)
    outcome = advance(payment, evidence(make_deposit(5, block=30), make_deposit(5, block=20)), head_at(30))
    assert [draft.data["block_number"] for draft in outcome.events] == [20, 30]
    assert len({draft.subject for draft in outcome.events}) == 2


def test_deposit_between_deadline_and_expiry_is_reported_as_late_when_the_payment_expires() -> None:
    deposit = make_deposit(block=LAST_BLOCK + 1)
    waiting = advance(make_payment(), evidence(deposit), head_at(LAST_BLOCK + 1, final=LAST_BLOCK))
    assert told(waiting) == []
    outcome = advance(waiting.payment, evidence(deposit), head_at(LAST_BLOCK + 12, final=LAST_BLOCK + 1))
    assert told(outcome) == ["expired", "late_deposit"]


def test_partial_money_in_time_is_not_late_when_the_payment_expires() -> None:
    partial = make_deposit(40)
    outcome = advance(make_payment(), evidence(partial), head_at(LAST_BLOCK + 12, final=LAST_BLOCK + 1))
    assert told(outcome) == ["expired"]
    assert tally(outcome.payment, [partial])["USDT"].received_units == 40


def test_money_after_paid_is_excess_and_not_late() -> None:
    deposit, excess = make_deposit(block=10), make_deposit(block=LAST_BLOCK + 99)
    payment = paid(deposit)
    assert advance(payment, evidence(deposit, excess), head_at(LAST_BLOCK + 99)) == Outcome(payment=payment)
    assert tally(payment, [deposit, excess])["USDT"].received_units == 200


def test_more_than_due_in_one_transfer_is_paid() -> None:
    deposit = make_deposit(1_000)
    assert tally(paid(deposit), [deposit])["USDT"].remaining_units == 0


def test_settlement_of_an_ended_payment_leaves_its_status() -> None:
    payment = make_payment(status=Status.EXPIRED, ended_at=START + LIFE_S + 3)
    late = make_deposit(block=LAST_BLOCK + 5)
    outcome = advance(payment, evidence(late, settled=make_settled(block=LAST_BLOCK + 6)), head_at(999, final=988))
    assert outcome.payment == payment
    assert told(outcome) == ["late_deposit"]


def test_first_block_ever_may_have_no_final_one() -> None:
    head = Head(number=0, time=START + 10 * LIFE_S, tip_time=START + 10 * LIFE_S, final_number=None, final_time=None)
    assert advance(make_payment(), evidence(), head).payment == make_payment()
