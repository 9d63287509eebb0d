"""Holding the books against the chain."""

from __future__ import annotations

from dataclasses import replace

import pytest

from openpay.domain.ledger import Difference, compare_given_back, compare_sent_twice, unseen_in_vault
from openpay.domain.payment import LATE_WINDOW_S, Status
from openpay.domain.receipts import logged
from openpay.domain.refunds import sent
from tests.domain.builders import make_deposit, make_payment
from tests.domain.refunding import SENDER, assess, expired, outflow, the

TOKENS = ("USDT", "USDC", "BNB")
END = 2_000_000_000
"""Block time, later than any deadline here."""


@pytest.mark.parametrize(
    ("status", "at", "unseen"),
    [
        (Status.INITIATED, END + 10 * LATE_WINDOW_S, ()),
        (Status.CONFIRMING, END, ()),
        (Status.EXPIRED, END + LATE_WINDOW_S, ("BNB",)),
        (Status.EXPIRED, END + LATE_WINDOW_S + 1, TOKENS),
        (Status.PAID, END + LATE_WINDOW_S, ("BNB",)),
        (Status.PAID, END + LATE_WINDOW_S + 1, TOKENS),
    ],
)
def test_what_may_lie_unseen_in_a_vault_depends_on_whether_it_is_watched(
    status: Status, at: int, unseen: tuple[str, ...]
) -> None:
    ended_at = None if status in (Status.INITIATED, Status.CONFIRMING) else END
    payment = replace(make_payment(), status=status, ended_at=ended_at)
    assert unseen_in_vault(payment, TOKENS, native=["BNB"], at=at) == unseen


def test_sender_who_got_more_than_it_paid_is_a_difference() -> None:
    there, gone = make_deposit(60), make_deposit(40, block=20)
    refunds = [
        logged(each, outflow(units=each.units, log_index=place))
        for place, each in enumerate(assess(expired(), there, gone))
    ]

    assert compare_given_back("pay_1", [there, gone], refunds) == []
    assert compare_given_back("pay_1", [there], refunds) == [
        Difference(subject="pay_1", what=f"USDT given back to 0x{SENDER.hex()}", books="at most 60", found="100")
    ]


def test_what_turned_out_to_be_a_senders_counts_as_given_back_to_it() -> None:
    found = make_deposit(60)
    refund = logged(the(assess(expired(), found)), outflow(units=60))
    taken_for_it = replace(refund, id="ref_2", source="gone", sender=None, found_senders=((SENDER, 10),))

    (difference,) = compare_given_back("pay_1", [found], [refund, taken_for_it])

    assert (difference.books, difference.found) == ("at most 60", "70")


def test_second_log_of_transactions_for_one_refund_is_a_difference() -> None:
    """Its first transaction had reverted, and was mined with effect after a rewind, beside the second."""
    deposit, other = make_deposit(40), make_deposit(30, position=1)
    logs = [outflow(), outflow(log_index=1, tx_hash=b"\x02" * 32)]
    twice, left = assess(expired(), deposit, other)
    signed_for = {log.tx_hash: twice.id for log in logs}
    refunds = assess(
        expired(), deposit, other, outflows=logs, refunds=[sent(twice, logs[1].tx_hash), left], signed_for=signed_for
    )

    assert compare_sent_twice(refunds, {}) == []
    assert compare_sent_twice([each for each in refunds if each.id != twice.id], signed_for) == [], "it went out once"
    (difference,) = compare_sent_twice(refunds, signed_for)
    assert (difference.subject, difference.what) == (twice.id, "USDT sent by another of its transactions")
    assert (difference.books, difference.found) == ("nothing", "40")
