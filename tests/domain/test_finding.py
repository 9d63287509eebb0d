"""What a customer is told of the transaction they name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openpay.domain.assessment import advance, tally
from openpay.domain.chains import Chain, Token
from openpay.domain.deposit import Deposit, Source
from openpay.domain.finding import (
    Finding,
    Record,
    SeenTransaction,
    TransactionState,
    Transfer,
    Verdict,
    explain_recorded,
    explain_seen,
)
from openpay.domain.payment import Payment, Status
from tests.domain.assessing import LAST_BLOCK, confirming, paid
from tests.domain.builders import (
    BNB,
    ESCROW,
    LIFE_S,
    START,
    USDC,
    USDT,
    block_time,
    evidence,
    head_at,
    make_deposit,
    make_payment,
)

LISTED_ONLY = Token(symbol="DAI", asset_index=3, contract=bytes([0xDA]) * 20, decimals=18)
CHAIN = Chain(
    chain_id=56,
    name="BNB Smart Chain",
    escrow=ESCROW,
    tokens=(
        *(
            Token(symbol=offer.token, asset_index=offer.asset_index, contract=offer.contract, decimals=18)
            for offer in (USDT, USDC, BNB)
        ),
        LISTED_ONLY,
    ),
)
STRANGER = bytes([0x77]) * 20
FAKE_TOKEN = bytes([0xFA]) * 20


def record(payment: Payment, *deposits: Deposit, head: int = 30, final: int = 5, now: int | None = None) -> Record:
    return Record(
        payment=payment,
        chain=CHAIN,
        deposits=deposits,
        head_number=head,
        final_number=final,
        now=block_time(head) if now is None else now,
    )


def seen(*transfers: Transfer, block: int = 31, **changes: Any) -> SeenTransaction:
    fields: dict[str, Any] = {
        "state": TransactionState.SUCCEEDED,
        "transfers": transfers,
        "calls_contract": False,
        "block_number": block,
        "block_time": block_time(block),
    }
    return SeenTransaction(**fields | changes)


def pending(*transfers: Transfer, **changes: Any) -> SeenTransaction:
    return seen(*transfers, **{"state": TransactionState.PENDING, "block_number": None, "block_time": None} | changes)


def to_us(payment: Payment, units: int = 100, contract: bytes | None = USDT.contract) -> Transfer:
    return Transfer(contract=contract, to=payment.address, units=units)


def tx_of(deposit: Deposit) -> bytes:
    assert deposit.tx_hash is not None
    return deposit.tx_hash


# --- on record ---------------------------------------------------------------------------------------------------


def test_a_transaction_on_record_is_counted_with_its_confirmations() -> None:
    deposit = make_deposit(100, block=10)
    verdict = explain_recorded(record(confirming(deposit), deposit, head=14), tx_of(deposit))
    assert verdict == Verdict(finding=Finding.COUNTED, token="USDT", units=100, remaining=0, confirmations=5)


def test_a_part_on_record_is_counted_and_says_what_remains() -> None:
    deposit = make_deposit(40, block=10)
    verdict = explain_recorded(record(make_payment(), deposit), tx_of(deposit))
    assert verdict is not None
    assert (verdict.finding, verdict.units, verdict.remaining) == (Finding.COUNTED, 40, 60)


def test_what_came_after_enough_is_extra() -> None:
    first, second = make_deposit(100, block=10), make_deposit(100, block=12)
    for payment in (confirming(first), paid(first)):
        verdict = explain_recorded(record(payment, first, second), tx_of(second))
        assert verdict is not None
        assert verdict.finding is Finding.EXTRA


def test_a_late_deposit_is_late_and_one_in_time_to_an_expired_payment_is_unused() -> None:
    expired = replace(make_payment(), status=Status.EXPIRED, ended_at=START + LIFE_S + 3)
    early, late = make_deposit(10, block=10), make_deposit(100, block=LAST_BLOCK + 1)
    for deposit, finding in ((early, Finding.UNUSED), (late, Finding.LATE)):
        verdict = explain_recorded(record(expired, early, late, head=900), tx_of(deposit))
        assert verdict is not None
        assert verdict.finding is finding


def test_a_listed_token_that_this_payment_does_not_accept_is_named() -> None:
    deposit = make_deposit(100, "DAI")
    verdict = explain_recorded(record(make_payment(), deposit), tx_of(deposit))
    assert verdict is not None
    assert (verdict.finding, verdict.token) == (Finding.NOT_ACCEPTED, "DAI")


def test_of_several_transfers_in_one_transaction_the_one_that_counts_is_told() -> None:
    useless = make_deposit(5, "DAI", position=0)
    good = replace(make_deposit(100, position=1), tx_hash=useless.tx_hash)
    verdict = explain_recorded(record(confirming(good), useless, good), tx_of(good))
    assert verdict is not None
    assert (verdict.finding, verdict.token) == (Finding.COUNTED, "USDT")


def test_what_is_not_on_record_is_not_judged_by_it() -> None:
    assert explain_recorded(record(make_payment(), make_deposit()), bytes(32)) is None


# --- as a node shows it ------------------------------------------------------------------------------------------


def test_the_right_transfer_is_on_its_way_or_pending() -> None:
    payment = make_payment()
    assert explain_seen(record(payment), seen(to_us(payment))).finding is Finding.ON_ITS_WAY
    assert explain_seen(record(payment), pending(to_us(payment))).finding is Finding.PENDING


def test_too_little_says_what_will_remain_and_what_the_tolerance_forgives_is_enough() -> None:
    payment = make_payment()
    verdict = explain_seen(record(payment, make_deposit(30)), seen(to_us(payment, 50)))
    assert (verdict.finding, verdict.units, verdict.remaining) == (Finding.TOO_LITTLE, 50, 20)
    within = explain_seen(record(payment), seen(to_us(payment, USDC.min_units, USDC.contract)))
    assert within.finding is Finding.ON_ITS_WAY
    below = explain_seen(record(payment), seen(to_us(payment, USDC.min_units - 1, USDC.contract)))
    assert (below.finding, below.remaining) == (Finding.TOO_LITTLE, 6)


def test_two_transfers_of_one_transaction_add_up() -> None:
    payment = make_payment()
    assert explain_seen(record(payment), seen(to_us(payment, 60), to_us(payment, 40))).finding is Finding.ON_ITS_WAY


def test_a_token_that_is_not_listed_is_named_by_its_contract() -> None:
    payment = make_payment()
    verdict = explain_seen(record(payment), seen(to_us(payment, 100, FAKE_TOKEN)))
    assert (verdict.finding, verdict.contract) == (Finding.UNLISTED, FAKE_TOKEN)
    assert verdict.token is None
    both = explain_seen(record(payment), seen(to_us(payment, 100, FAKE_TOKEN), to_us(payment)))
    assert both.finding is Finding.ON_ITS_WAY


def test_after_the_deadline_it_is_too_late_whether_mined_or_not() -> None:
    payment = make_payment()
    after = block_time(LAST_BLOCK + 1)
    late = seen(to_us(payment), block=LAST_BLOCK + 1)
    assert explain_seen(record(payment), late).finding is Finding.LATE
    in_time = seen(to_us(payment), block=LAST_BLOCK)
    assert explain_seen(record(payment, now=after), in_time).finding is Finding.ON_ITS_WAY
    assert explain_seen(record(payment, now=after), pending(to_us(payment))).finding is Finding.LATE


@pytest.mark.parametrize("status", [Status.EXPIRED, Status.CANCELED, Status.FAILED])
def test_what_comes_to_a_payment_that_ended_is_late(status: Status) -> None:
    ended = replace(make_payment(), status=status, ended_at=START + 60)
    assert explain_seen(record(ended), seen(to_us(ended))).finding is Finding.LATE
    assert explain_seen(record(ended), pending(to_us(ended))).finding is Finding.LATE


def test_what_comes_once_there_is_enough_is_extra() -> None:
    deposit = make_deposit(100, block=10)
    for payment in (confirming(deposit), paid(deposit)):
        for view in (seen(to_us(payment)), pending(to_us(payment))):
            assert explain_seen(record(payment, deposit), view).finding is Finding.EXTRA


def test_a_node_that_invents_a_transfer_in_a_final_block_is_contradicted_by_the_record() -> None:
    payment = make_payment()
    verdict = explain_seen(record(payment, final=20), seen(to_us(payment), block=20))
    assert verdict.finding is Finding.CONTRADICTED
    assert explain_seen(record(payment, final=20), seen(to_us(payment), block=21)).finding is Finding.ON_ITS_WAY


def test_a_transfer_long_after_the_end_is_late_since_nobody_watched_any_more() -> None:
    ended = replace(make_payment(), status=Status.EXPIRED, ended_at=START + LIFE_S)
    assert ended.watched_until is not None
    view = seen(to_us(ended), block=20, block_time=ended.watched_until + 1)
    assert explain_seen(record(ended, final=20), view).finding is Finding.LATE


def test_a_reverted_transaction_paid_nothing_wherever_it_was_meant_to_go() -> None:
    payment = make_payment()
    for transfer in (to_us(payment), Transfer(contract=None, to=STRANGER, units=1)):
        view = seen(transfer, state=TransactionState.REVERTED)
        assert explain_seen(record(payment), view) == Verdict(finding=Finding.REVERTED)


def test_coins_that_a_contract_may_have_sent_inside_are_not_called_lost() -> None:
    payment = make_payment()
    assert explain_seen(record(payment), seen(calls_contract=True)).may_be_internal
    assert explain_seen(record(payment), pending(calls_contract=True)).finding is Finding.PENDING_UNCLEAR
    inside = replace(make_deposit(1_000, "BNB", block=31), source=Source.INTERNAL, tx_hash=None)
    found = explain_seen(record(payment, inside), seen(calls_contract=True, block=31))
    assert (found.finding, found.token) == (Finding.COUNTED, "BNB")
    other_block = explain_seen(record(payment, inside), seen(calls_contract=True, block=32))
    assert other_block.finding is Finding.ELSEWHERE


def test_money_sent_to_the_tokens_own_contract_is_told_as_such() -> None:
    assert USDT.contract is not None
    payment = make_payment()
    for contract in (None, USDT.contract):
        view = seen(Transfer(contract=contract, to=USDT.contract, units=100))
        assert explain_seen(record(payment), view).finding is Finding.AT_CONTRACT


def test_another_payments_address_is_a_strangers() -> None:
    payment, other = make_payment(), make_payment("pay_2")
    assert payment.address != other.address
    told = {
        address: explain_seen(record(payment), seen(Transfer(contract=USDT.contract, to=address, units=100)))
        for address in (other.address, STRANGER)
    }
    assert told[other.address] == replace(told[STRANGER], sent_to=other.address)
    assert told[STRANGER] == Verdict(finding=Finding.ELSEWHERE, sent_to=STRANGER)


def test_several_receivers_are_not_named() -> None:
    payment = make_payment()
    view = seen(*(Transfer(contract=FAKE_TOKEN, to=bytes([n]) * 20, units=1) for n in (50, 51)))
    assert explain_seen(record(payment), view) == Verdict(finding=Finding.ELSEWHERE)


def test_what_no_node_knows_is_unknown() -> None:
    assert explain_seen(record(make_payment()), None) == Verdict(finding=Finding.UNKNOWN)


# --- for any story -----------------------------------------------------------------------------------------------

CONTRACTS = st.sampled_from([USDT.contract, USDC.contract, None, LISTED_ONLY.contract, FAKE_TOKEN])
GOOD = {Finding.PENDING, Finding.ON_ITS_WAY}


@st.composite
def views(draw: st.DrawFn, payment: Payment) -> SeenTransaction:
    transfers = draw(
        st.lists(
            st.builds(
                Transfer,
                contract=CONTRACTS,
                to=st.sampled_from([payment.address, STRANGER]),
                units=st.integers(1, 1_200),
            ),
            max_size=4,
        )
    )
    state = draw(st.sampled_from(TransactionState))
    block = None if state is TransactionState.PENDING else draw(st.integers(0, LAST_BLOCK + 50))
    time = None if block is None or draw(st.booleans()) else block_time(block)
    return SeenTransaction(
        state=state,
        transfers=tuple(transfers),
        calls_contract=draw(st.booleans()),
        block_number=block,
        block_time=time,
    )


def views_with_deposits() -> st.SearchStrategy[tuple[SeenTransaction, list[Deposit]]]:
    deposits = st.lists(st.integers(1, 120), max_size=3).map(
        lambda units: [make_deposit(each, block=10 + place) for place, each in enumerate(units)]
    )
    return st.tuples(views(make_payment()), deposits)


@given(views_with_deposits(), st.sampled_from([5, 20, LAST_BLOCK + 60]), st.sampled_from([12, 30, LAST_BLOCK + 60]))
def test_only_what_would_really_be_enough_is_called_right(
    drawn: tuple[SeenTransaction, list[Deposit]], final: int, head: int
) -> None:
    view, deposits = drawn
    payment = advance(make_payment(), evidence(*deposits), head_at(12)).payment
    verdict = explain_seen(record(payment, *deposits, final=final, head=head), view)
    if verdict.finding not in GOOD | {Finding.TOO_LITTLE}:
        return
    assert payment.status is Status.PENDING
    assert view.state is not TransactionState.REVERTED
    offer = payment.offer(verdict.token or "")
    assert offer is not None
    brought = sum(
        transfer.units
        for transfer in view.transfers
        if (transfer.to, transfer.contract) == (payment.address, offer.contract)
    )
    assert brought == verdict.units
    deposit = make_deposit(brought, offer.token, block=11, position=9)
    after = tally(payment, [*deposits, deposit])[offer.token].remaining_units
    assert after == (verdict.remaining or 0)
    assert (after == 0) == (verdict.finding in GOOD)


@given(views_with_deposits())
def test_a_verdict_tells_no_more_of_an_address_than_the_transaction_itself(
    drawn: tuple[SeenTransaction, list[Deposit]],
) -> None:
    view, deposits = drawn
    verdict = explain_seen(record(make_payment(), *deposits), view)
    assert verdict.sent_to is None or verdict.sent_to in {transfer.to for transfer in view.transfers}
    assert verdict.sent_to != make_payment().address
