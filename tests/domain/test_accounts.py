"""Whatever rewinds and rescans make of a payment's deposits, each sender gets back what it paid, once."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openpay.domain.accounts import is_covered
from openpay.domain.keccak import keccak
from openpay.domain.refunds import (
    UNSENT,
    NamedBy,
    RefundMode,
    RefundReason,
    RefundStatus,
    approved,
    sent,
    without_effect,
)
from tests.domain.builders import head_at
from tests.domain.forking import MOVED, Fork, Weather, tell
from tests.domain.refunding import AFTER, ELSEWHERE, SENDER, assess, expired, outflow, the
from tests.domain.rescanning import rescanned
from tests.domain.test_replacements import OTHER, bnb, by_source, inner, paid_out

REWINDS = Weather(unmined=0.3, reverted=0.3)
DECIDABLE = {
    "rewinds": REWINDS,
    "transfers that come and go": replace(REWINDS, missing=0.25),
    "money from inside contracts": replace(REWINDS, missing=0.25, unknown=0.4),
    "rescans in time": replace(REWINDS, missing=0.2, unknown=0.3, missed=0.3, found_in_time=True),
}
ANYTHING = replace(REWINDS, missing=0.2, unknown=0.3, missed=0.3)

randoms = st.randoms(use_true_random=False)


def check(fork: Fork) -> None:
    """What holds at any moment. That judging again changes nothing is checked wherever something is judged."""
    promised = fork.sum_of(UNSENT)
    assert promised == max(0, fork.held() - fork.under_way()), "all that lies in the vault, and nothing else"
    paid: Counter[bytes | None] = Counter()
    moved: Counter[bytes | None] = Counter()
    owed: Counter[bytes | None] = Counter()
    for deposit in fork.deposits:
        paid[deposit.payer] += deposit.units
    for refund in fork.refunds:
        if refund.source is not None:
            (moved if refund.status in MOVED else owed)[refund.sender] += (
                refund.units if refund.status in MOVED | UNSENT else 0
            )
    for sender in owed.keys() - {None}:
        assert owed[sender] <= max(0, paid[sender] - moved[sender]), "no more than the sender paid, and did not get"
    for refund in fork.refunds:
        if refund.status in UNSENT:
            own = [deposit for deposit in fork.deposits if deposit.key == refund.source]
            assert all(is_covered(refund, each, fork.refunds) for each in own), "the last look holds up nothing"


@pytest.mark.parametrize("weather", DECIDABLE.values(), ids=DECIDABLE.keys())
@given(random=randoms)
def test_everybody_ends_with_exactly_what_they_paid(weather: Weather, random: Random) -> None:
    fork = tell(random, weather, check=check)

    assert +fork.back(MOVED) == fork.paid()
    assert fork.held() == 0


@given(random=randoms)
def test_what_cannot_be_known_stays_in_the_vault_until_the_merchant_has_said_whose_it_is(random: Random) -> None:
    fork = tell(random, ANYTHING, check=check)

    back, paid = fork.back(MOVED), fork.paid()
    assert all(back[sender] <= paid[sender] for sender in back), "nobody got what is not theirs"
    waiting = [refund for refund in fork.refunds if refund.status in UNSENT]
    assert sum(refund.units for refund in waiting) == fork.held() == sum(paid.values()) - sum(back.values())
    assert all(refund.status is not RefundStatus.SCHEDULED for refund in waiting)


@given(random=randoms)
def test_what_the_merchant_sends_elsewhere_is_taken_from_somebody_once(random: Random) -> None:
    fork = tell(random, replace(DECIDABLE["transfers that come and go"], wished=0.3), check=check)

    back, paid = fork.back(MOVED), fork.paid()
    assert all(back[sender] <= paid[sender] for sender in back)
    assert fork.sum_of(MOVED) == sum(paid.values())
    assert fork.held() == 0


def test_unequal_deposits_of_one_sender_are_owed_in_sum() -> None:
    payment = expired()
    first = (bnb(50, block=10), bnb(130, block=20))
    refunds = by_source(assess(payment, *first))
    submitted = sent(refunds[first[0].key], bytes(32))
    known, log = (submitted, refunds[first[1].key]), paid_out(submitted)

    # They come again the other way round: what was sent for the small one may have been the great one's.
    again = (bnb(130, block=11, branch="other"), bnb(50, block=21, branch="other"))
    after = assess(payment, *again, refunds=known, outflows=[log])

    assert sum(refund.units for refund in after if refund.status in UNSENT) == 130
    assert {refund.destination for refund in after if refund.status in UNSENT} == {SENDER}


def test_deposit_of_which_too_little_was_sent_has_a_second_refund_for_the_rest() -> None:
    payment, first, gone = expired(), bnb(130, block=10), bnb(50, block=20)
    refunds = by_source(assess(payment, first, gone))
    small = sent(refunds[gone.key], keccak(b"small"))
    logs = [paid_out(small)]
    # A rewind takes the later one away; its refund drew on the earlier.
    known = assess(payment, first, refunds=[refunds[first.key], small], outflows=logs)
    assert by_source(known)[first.key].units == 80
    most = sent(by_source(known)[first.key], keccak(b"most"))
    logs.append(paid_out(most, log_index=1))
    known = assess(payment, first, refunds=[most, by_source(known)[gone.key]], outflows=logs)
    assert all(refund.status is RefundStatus.SUCCEEDED for refund in known)

    after = assess(payment, first, gone, refunds=known, outflows=logs)

    (rest,) = [refund for refund in after if refund.status in UNSENT]
    assert (rest.source, rest.units, rest.destination) == (first.key, 50, SENDER)
    assert rest.id not in {refund.id for refund in known}


def test_what_is_missing_in_the_vault_is_not_taken_from_money_that_came_later() -> None:
    payment, gone, there = expired(), bnb(100, block=10), bnb(60, by=OTHER, block=20)
    refunds = by_source(assess(payment, gone, there))
    submitted = sent(refunds[gone.key], bytes(32))
    logs = [replace(paid_out(submitted), units=100)]
    # The rewind took the transfer away for good, and its refund was mined all the same, out of two others' money.
    second = bnb(90, by=bytes([8]) * 20, block=30)
    known = assess(payment, there, second, refunds=[submitted, refunds[there.key]], outflows=logs)

    late = bnb(70, by=bytes([9]) * 20, block=AFTER + 110)
    after = by_source(assess(payment, there, second, late, refunds=known, outflows=logs))

    assert after[late.key].units == 70
    assert sum(after[each.key].units for each in (there, second) if each.key in after) == 50


@pytest.mark.parametrize("is_sent", [False, True])
def test_part_that_the_merchant_sends_elsewhere_is_not_taken_from_money_that_comes_later(is_sent: bool) -> None:
    payment, there = expired(), bnb(100, block=10)
    refund = the(assess(payment, there))
    part = replace(
        refund,
        id="ref_part",
        units=40,
        source=None,
        sender=None,
        reason=RefundReason.MERCHANT,
        mode=RefundMode.MANUAL,
        named_by=NamedBy.MERCHANT,
        destination=ELSEWHERE,
    )
    part = sent(part, bytes(32)) if is_sent else part
    logs = [paid_out(part)] if is_sent else []
    known = assess(payment, there, refunds=[refund, part], outflows=logs)

    late = bnb(70, by=OTHER, block=AFTER + 110)
    after = by_source(assess(payment, there, late, refunds=known, outflows=logs))

    assert (after[None].units, after[there.key].units, after[late.key].units) == (40, 60, 70)


@pytest.mark.parametrize("final", [AFTER + 90, AFTER], ids=["final", "not yet final"])
def test_what_the_merchant_sent_to_a_payer_by_itself_was_that_payers(final: int) -> None:
    payment, mine, others = expired(), bnb(100, block=10), bnb(60, by=OTHER, block=20)
    log = outflow(token="BNB", units=30, to=SENDER, block=AFTER + 20)

    after = by_source(assess(payment, mine, others, outflows=[log], head=head_at(AFTER + 100, final=final)))

    assert (after[mine.key].units, after[others.key].units) == (70, 60)


def test_money_from_inside_a_contract_that_moved_and_is_gone_makes_the_merchant_decide_about_the_rest() -> None:
    payment, seen, others = expired(), inner(100, block=9), bnb(60, by=OTHER, block=20)
    refunds = by_source(assess(payment, seen, others))
    submitted = sent(approved(refunds[seen.key], ELSEWHERE), bytes(32))
    # On the other branch two transfers are there, and no money from inside a contract: whose was it?
    again = (bnb(100, block=31, branch="other"), bnb(60, by=OTHER, block=32, branch="other"))
    after = by_source(assess(payment, *again, refunds=[submitted, refunds[others.key]], outflows=[paid_out(submitted)]))

    rest = after[again[1].key]
    assert again[0].key not in after
    assert (rest.units, rest.status, rest.mode) == (60, RefundStatus.REQUESTED, RefundMode.MANUAL)


def test_money_from_inside_a_contract_that_moved_and_is_there_changes_nothing_for_others() -> None:
    payment, seen, others = expired(), inner(100, block=9), bnb(60, by=OTHER, block=20)
    submitted = sent(approved(the(assess(payment, seen)), ELSEWHERE), bytes(32))

    after = by_source(assess(payment, seen, others, refunds=[submitted]))

    assert after[others.key].status is RefundStatus.SCHEDULED


def test_what_a_rescan_told_apart_is_held_against_its_sender_alone() -> None:
    payment, missed, unknown = expired(), inner(100, block=11), inner(50, block=9)
    others = bnb(60, by=OTHER, block=20)
    first = by_source(assess(payment, unknown, missed))
    submitted = sent(approved(first[missed.key], ELSEWHERE), bytes(32))

    record, known = rescanned([unknown, missed], [bnb(100, block=10)], (first[unknown.key], submitted))
    after = by_source(assess(payment, *record, others, refunds=known))

    assert set(after) == {missed.key, unknown.key, others.key}
    assert (after[unknown.key].units, after[unknown.key].status) == (50, RefundStatus.AWAITING_CLAIM)
    assert (after[others.key].units, after[others.key].status) == (60, RefundStatus.SCHEDULED)


def test_refund_that_went_out_smaller_after_a_rescan_moved_nothing_of_the_sender_that_was_found() -> None:
    payment, seen = expired(), inner(100, block=11)
    submitted = sent(approved(the(assess(payment, seen)), ELSEWHERE), bytes(32))
    record, known = rescanned([seen], [bnb(60, block=10)], [submitted])
    refunds = by_source(assess(payment, *record, refunds=[without_effect(each) for each in known]))
    assert refunds[seen.key].units == 40
    again = sent(refunds[seen.key], keccak(b"again"))

    found, rest = bnb(60, block=21, branch="other"), replace(inner(40), block_hash=keccak(b"other"))
    after = by_source(assess(payment, found, rest, refunds=[again, refunds[record[1].key]], outflows=[paid_out(again)]))

    assert after[found.key].units == 60
    assert rest.key not in after


def test_what_was_sent_is_held_against_a_deposit_of_the_same_amount_where_there_is_one() -> None:
    payment, small, great = expired(), inner(50, block=9), inner(100, block=11)
    refunds = by_source(assess(payment, small, great))
    submitted = sent(approved(refunds[great.key], ELSEWHERE), bytes(32))
    again = [replace(each, block_hash=keccak(b"other" + bytes([each.units]))) for each in (small, great)]

    after = by_source(assess(payment, *again, refunds=[refunds[small.key], submitted], outflows=[paid_out(submitted)]))

    assert after[again[0].key].units == 50
    assert again[1].key not in after
