"""Money that was sent back for a deposit which is gone is not sent back again from what others paid."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from openpay.domain.deposit import Deposit, Source
from openpay.domain.keccak import keccak
from openpay.domain.receipts import Outflow
from openpay.domain.refunds import UNSENT, NamedBy, Refund, RefundStatus, approved, sent, without_effect
from tests.domain.builders import make_deposit
from tests.domain.refunding import AFTER, ELSEWHERE, SENDER, assess, expired, outflow, the
from tests.domain.rescanning import rescanned

OTHER = bytes([6]) * 20


def bnb(units: int, *, by: bytes = SENDER, block: int = 10, position: int = 0, branch: str = "main") -> Deposit:
    deposit = make_deposit(units, "BNB", block=block, position=position, branch=branch)
    return replace(deposit, sender=by, payer=by)


def inner(units: int, *, block: int = 10, position: int = 0) -> Deposit:
    """What a balance read took for money from inside a contract."""
    deposit = make_deposit(units, "BNB", block=block, position=position)
    return replace(deposit, source=Source.INTERNAL, tx_hash=None, sender=None, sender_nonce=None, payer=None)


def paid_out(refund: Refund, *, log_index: int = 0) -> Outflow:
    assert refund.destination is not None
    return outflow(
        token=refund.token,
        units=refund.units,
        to=refund.destination,
        tx_hash=refund.tx_hash or keccak(refund.id.encode()),
        log_index=log_index,
    )


def by_source(refunds: tuple[Refund, ...]) -> dict[str | None, Refund]:
    return {refund.source: refund for refund in refunds}


def test_transfer_that_a_rescan_finds_was_sent_back_with_what_was_taken_for_it() -> None:
    payment, wrong, others = expired(), inner(100), bnb(60, by=OTHER, block=AFTER + 5)
    first = by_source(assess(payment, wrong, others))
    submitted = sent(approved(first[wrong.key], ELSEWHERE), bytes(32))
    found = bnb(100, block=9)
    _, known = rescanned([wrong, others], [found], (submitted, first[others.key]))
    submitted = known[0]

    on_its_way = by_source(assess(payment, found, others, refunds=known))
    done = by_source(assess(payment, found, others, refunds=known, outflows=[paid_out(submitted)]))

    assert on_its_way == {wrong.key: submitted, others.key: first[others.key]}
    assert done[wrong.key].status is RefundStatus.SUCCEEDED
    assert done[others.key] == first[others.key]
    assert found.key not in done


def test_money_that_comes_after_such_a_rescan_goes_back_to_whoever_sent_it() -> None:
    payment, wrong, found = expired(), inner(100), bnb(100, block=9)
    submitted = sent(approved(the(assess(payment, wrong)), ELSEWHERE), bytes(32))
    log = paid_out(submitted)
    _, refunds_found = rescanned([wrong], [found], [submitted])
    known = assess(payment, found, refunds=refunds_found, outflows=[log])

    late = bnb(60, by=OTHER, block=AFTER + 110)
    refunds = by_source(assess(payment, found, late, refunds=known, outflows=[log]))

    assert set(refunds) == {wrong.key, late.key}
    assert (refunds[late.key].units, refunds[late.key].destination) == (60, OTHER)


def test_what_was_found_beyond_what_went_back_is_still_owed() -> None:
    payment, wrong = expired(), inner(100)
    submitted = sent(approved(the(assess(payment, wrong)), ELSEWHERE), bytes(32))

    record, known = rescanned([wrong], [bnb(130, block=9)], [submitted])
    refunds = by_source(assess(payment, *record, refunds=known))

    assert refunds[bnb(130, block=9).key].units == 30


def test_refund_that_comes_to_nothing_leaves_the_found_transfer_owed() -> None:
    payment, wrong, found = expired(), inner(100), bnb(100, block=9)
    submitted = sent(approved(the(assess(payment, wrong)), ELSEWHERE), bytes(32))

    _, known = rescanned([wrong], [found], [submitted])
    refunds = by_source(assess(payment, found, refunds=[without_effect(each) for each in known]))

    assert refunds[wrong.key].status is RefundStatus.CANCELED
    assert (refunds[found.key].units, refunds[found.key].status) == (100, RefundStatus.SCHEDULED)


def test_same_transfer_in_another_block_after_a_rewind_was_sent_back_before() -> None:
    payment = expired()
    before = (bnb(100, block=20), bnb(60, by=OTHER, block=10))
    refunds = by_source(assess(payment, *before))
    submitted = sent(refunds[before[0].key], bytes(32))
    known = assess(payment, *before, refunds=[submitted, refunds[before[1].key]], outflows=[paid_out(submitted)])

    # Both are in other blocks now, the refund's own transaction is where it was.
    again = (bnb(100, block=21, branch="other"), bnb(60, by=OTHER, block=11, branch="other"))
    after = by_source(assess(payment, *again, refunds=known, outflows=[paid_out(submitted)]))

    assert again[0].key not in after
    assert (after[again[1].key].units, after[again[1].key].destination) == (60, OTHER)


def test_same_transfer_in_its_first_block_again_after_a_second_rewind_was_sent_back_before() -> None:
    payment = expired()
    first = (bnb(100, block=20), bnb(60, by=OTHER, block=30))
    second = (bnb(100, block=21, branch="other"), bnb(60, by=OTHER, block=31, branch="other"))
    refunds = by_source(assess(payment, *second, refunds=assess(payment, *first)))
    submitted = sent(refunds[second[0].key], bytes(32))
    refunds[second[0].key] = submitted
    log = paid_out(submitted)
    known = assess(payment, *second, refunds=list(refunds.values()), outflows=[log])

    after = by_source(assess(payment, *first, refunds=known, outflows=[log]))

    assert after[first[0].key].status is RefundStatus.CANCELED
    assert (after[first[1].key].units, after[first[1].key].destination) == (60, OTHER)


payments_in = st.lists(st.tuples(st.integers(20, 400), st.booleans()), min_size=1, max_size=5)
"""What each of several payers sends, one after the other, and whether it is missed at first."""


@given(
    sent_in=payments_in, out=st.lists(st.booleans(), min_size=5, max_size=5), mined=st.booleans(), late=st.booleans()
)
def test_a_rescan_takes_nothing_from_whoever_was_read_at_once(
    sent_in: list[tuple[int, bool]], out: list[bool], mined: bool, late: bool
) -> None:
    payment = expired()
    transfers = [bnb(units, by=bytes([50 + n]) * 20, block=10 + 2 * n) for n, (units, _) in enumerate(sent_in)]
    missed = [transfer for transfer, (_, is_missed) in zip(transfers, sent_in, strict=True) if is_missed]
    read = [inner(each.units, block=each.block_number + 1) if each in missed else each for each in transfers]
    refunds = assess(payment, *read)
    named = [approved(each, ELSEWHERE) if each.sender is None else each for each in refunds]
    gone = [sent(each, keccak(each.id.encode())) if is_out else each for each, is_out in zip(named, out, strict=False)]
    logs = [paid_out(each, log_index=n) for n, each in enumerate(gone) if mined and each.status not in UNSENT]
    known = assess(payment, *read, refunds=gone, outflows=logs)

    record, known = rescanned(read, missed, known)
    if late:
        record.append(bnb(77, by=OTHER, block=AFTER + 110))
    after = assess(payment, *record, refunds=known, outflows=logs)

    owners = {each.key: each.payer for each in (*record, *transfers)}
    owners |= {wrong.key: right.payer for wrong, right in zip(read, transfers, strict=True)}
    back: dict[bytes | None, int] = defaultdict(int)
    for refund in after:
        if refund.status is not RefundStatus.CANCELED:
            assert refund.source is not None
            back[owners[refund.source]] += refund.units
    paid = {each.payer: each.units for each in record}
    assert back == paid, "each payer's money goes back once, whole, and nobody else's with it"
    assert all(each.named_by is not NamedBy.VISITOR for each in after)
