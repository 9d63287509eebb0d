"""Which refund a log of the escrow carried out."""

from __future__ import annotations

from dataclasses import replace

from openpay.domain.refunds import RefundStatus, sent
from tests.domain.builders import make_deposit
from tests.domain.refunding import AFTER, ELSEWHERE, assess, expired, outflow


def test_log_of_one_refunds_replaced_transaction_completes_no_other_of_the_same_amount() -> None:
    """The first was sent after the second, whose transaction was mined although a dearer one had replaced it. Taken
    for the first's log, the second would be sent again while the first is on its way: three payments for two."""
    payment = expired()
    deposits = (make_deposit(40, position=0), make_deposit(40, position=1))
    first, second = assess(payment, *deposits)
    mined = outflow()
    under_way = [sent(first, b"\x01" * 32), sent(second, b"\x02" * 32)]

    after = assess(payment, *deposits, outflows=[mined], refunds=under_way, signed_for={mined.tx_hash: second.id})

    assert [each.status for each in after] == [RefundStatus.SUBMITTED, RefundStatus.SUCCEEDED]


def test_log_of_one_refunds_transaction_completes_no_other_that_still_waits() -> None:
    payment = expired()
    deposits = (make_deposit(40, position=0), make_deposit(40, position=1))
    first, second = assess(payment, *deposits)
    mined = outflow(block=AFTER + 20)

    after = assess(
        payment,
        *deposits,
        outflows=[mined],
        refunds=[first, sent(second, b"\x02" * 32)],
        signed_for={mined.tx_hash: second.id},
    )

    assert [each.status for each in after] == [RefundStatus.SCHEDULED, RefundStatus.SUCCEEDED]


def test_log_of_a_transaction_for_another_refund_is_not_taken_by_one_that_waits_for_an_address() -> None:
    """The first is on its way for the second time, because nobody knew that its first transaction could still be mined;
    the second has no address yet. Whoever it belongs to still gets it."""
    payment = expired()
    unknown = replace(make_deposit(40, position=1), sender_nonce=9_000, payer=ELSEWHERE, sender=ELSEWHERE)
    deposits = (make_deposit(40, position=0), unknown)
    first, claim = assess(payment, *deposits)
    logs = [outflow(), outflow(log_index=1, tx_hash=b"\x01" * 32)]
    signed_for = {log.tx_hash: first.id for log in logs}

    after = assess(
        payment, *deposits, outflows=logs, refunds=[sent(first, logs[1].tx_hash), claim], signed_for=signed_for
    )

    assert after[0].status is RefundStatus.SUCCEEDED
    assert after[1] != claim
    assert after[1].status is not RefundStatus.SUCCEEDED
