"""What goes into a transaction, at which nonce, and at what price: decided without a chain."""

from __future__ import annotations

import random
from dataclasses import astuple, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openpay.chain.escrow_abi import read_settled, selector, settle_many_data
from openpay.chain.signing import Signer, read_call
from openpay.config import LARGEST_BATCH
from openpay.domain.terms import Terms
from openpay.settlement.batches import Batching, Bundle, bundles_of
from openpay.settlement.fees import FeePolicy, start_of_day
from openpay.settlement.nonces import is_gap, next_nonce, slots_of
from openpay.settlement.reminders import Reminders
from openpay.settlement.sources import SettleItem, Work
from tests.settlement.samples import TRANSACTION

TERMS = Terms(
    merchant=b"\x01" * 20,
    operator=b"\x02" * 20,
    usd=25_000_000,
    slippage_bps=100,
    underpayment_bps=0,
    quoted_at=1,
    expiry=2,
    round=3,
    assets=7,
    payment_key=b"\x03" * 32,
)
ESCROW, OLDER_ESCROW = b"\xaa" * 20, b"\xbb" * 20


def item(subject: str, to: bytes = ESCROW) -> Work:
    settle = SettleItem(terms=TERMS, asset_index=0)
    return Work(kind="settle", subject=subject, to=to, data=b"settle", gas=200_000, item=settle)


def single(subject: str) -> Work:
    return Work(kind="withdraw", subject=subject, to=ESCROW, data=b"withdraw", gas=100_000)


def plan(
    works: list[Work], *, now: int = 100, alone: tuple[str, ...] = (), coming: tuple[str, ...] = (), size: int = 3
) -> list[tuple[str, ...]]:
    """The subjects of each transaction. Every item was first seen at 95 seconds."""
    bundles = bundles_of(
        works,
        rules=Batching(size=size, max_age_s=10),
        alone=alone,
        waiting_since={work.subject: 95 for work in works},
        more_coming=coming,
        now=now,
    )
    return [bundle.subjects for bundle in bundles]


# --- batches -------------------------------------------------------------------------------------------------------


def test_items_of_one_escrow_share_transactions_up_to_the_size() -> None:
    assert plan([item(name) for name in "abcde"]) == [("a", "b", "c"), ("d", "e")]


def test_items_of_different_escrows_do_not_mix() -> None:
    assert plan([item("a"), item("b", OLDER_ESCROW), item("c")]) == [("a", "c"), ("b",)]


def test_single_calls_come_first_and_alone() -> None:
    assert plan([item("a"), single("w"), item("b"), single("x")]) == [("w",), ("x",), ("a", "b")]


def test_item_that_a_batch_failed_goes_alone() -> None:
    assert plan([item("a"), item("b"), item("c")], alone=("b",)) == [("b",), ("a", "c")]


def test_rest_waits_for_company_while_more_is_coming_and_not_longer_than_its_age() -> None:
    works = [item(name) for name in "abcd"]
    assert plan(works, coming=("settle",), now=104) == [("a", "b", "c")]
    assert plan(works, coming=("settle",), now=105) == [("a", "b", "c"), ("d",)]


def test_batch_never_exceeds_what_a_transaction_may_carry() -> None:
    planned = plan([item(str(number)) for number in range(200)], size=1_000)
    assert max(len(subjects) for subjects in planned) == LARGEST_BATCH
    assert Bundle(works=tuple(item("a") for _ in range(LARGEST_BATCH))).gas <= 16_777_216


def test_gas_of_a_batch_is_the_sum_of_its_items() -> None:
    assert Bundle(works=(item("a"),)).gas == 200_000
    assert Bundle(works=(item("a"), item("b"))).gas == 450_000


def test_bundle_shrinks_to_the_gas_it_may_have() -> None:
    bundle = Bundle(works=(item("a"), item("b"), item("c")))
    assert bundle.within(None) == bundle
    limits = {650_000: 3, 649_999: 2, 449_999: 1, 200_000: 1}
    assert {limit: len((bundle.within(limit) or bundle).works) for limit in limits} == limits
    assert bundle.within(199_999) is None


def test_single_item_is_its_own_call() -> None:
    assert Bundle(works=(item("a"),)).data == b"settle"
    assert Bundle(works=(item("a"), item("b"))).data == settle_many_data([(TERMS, 0), (TERMS, 0)])


def test_call_of_settle_many_is_what_the_abi_says() -> None:
    from eth_abi import encode

    items = [(replace(TERMS, usd=usd), usd % 3) for usd in (1, 2, 3)]
    kinds = "(address,address,uint96,uint16,uint16,uint40,uint40,uint80,uint32,bytes32)[]"
    expected = encode([kinds, "uint8[]"], [[astuple(terms) for terms, _ in items], [index for _, index in items]])
    assert settle_many_data(items) == selector("settleMany") + expected


def test_answer_of_settle_many_is_read_or_refused() -> None:
    from eth_abi import encode

    answer = encode(["bool[]"], [[True, False, True]])
    assert read_settled(answer, 3) == [True, False, True]
    for wrong in (b"", answer[:-1], answer + bytes(32), answer[:-32] + (2).to_bytes(32, "big")):
        with pytest.raises(ValueError, match="3 items"):
            read_settled(wrong, 3)


# --- nonces ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("latest", "pending", "ended", "taken", "nonce"),
    [
        (5, 5, 4, (), 5),
        (5, 5, 4, (5, 6), 7),  # ours are on their way
        (5, 7, 4, (5, 6), 7),
        (5, 6, 4, (), 6),  # another program's is
        (5, 5, 4, (6, 7), 5),  # another program's was
        (3, 3, 4, (), 5),  # the node lags
        (0, 0, None, (), 0),
    ],
)
def test_next_nonce_is_the_lowest_that_nobody_uses(
    latest: int, pending: int, ended: int | None, taken: tuple[int, ...], nonce: int
) -> None:
    assert next_nonce(latest=latest, pending=pending, ended=ended, taken=taken) == nonce


def test_gap_is_a_free_nonce_below_one_of_ours() -> None:
    assert is_gap(5, {6, 7})
    assert not is_gap(8, {6, 7})
    assert not is_gap(0, set())


def test_transactions_with_one_nonce_and_key_are_one_slot() -> None:
    replacement = replace(TRANSACTION, id="otx_2", tx_hash=b"\x33" * 32, gas_price=TRANSACTION.gas_price * 2)
    other_key = replace(TRANSACTION, id="otx_3", sender=b"\x09" * 20)
    later = replace(TRANSACTION, id="otx_4", nonce=8)
    slots = slots_of([TRANSACTION, replacement, other_key, later])
    assert [[each.id for each in slot.attempts] for slot in slots] == [["otx_1", "otx_2"], ["otx_3"], ["otx_4"]]
    assert slots[0].newest == replacement
    assert slots[0].reserved_wei == TRANSACTION.gas * TRANSACTION.gas_price * 2


# --- prices ----------------------------------------------------------------------------------------------------------


def test_price_has_a_margin_as_far_as_the_cap_allows() -> None:
    assert FeePolicy().price(100) == 125
    assert FeePolicy(max_gas_price=110).price(100) == 110
    assert FeePolicy(max_gas_price=100).price(101) is None
    assert FeePolicy().price(0) == 1


@given(paid=st.integers(1, 10**12), asked=st.integers(0, 10**12), cap=st.integers(1, 10**12) | st.none())
def test_replacement_pays_an_eighth_more_and_never_above_the_cap(paid: int, asked: int, cap: int | None) -> None:
    price = FeePolicy(max_gas_price=cap).replacement_price(paid=paid, asked=asked)
    if price is None:
        assert cap is not None
        assert asked > cap or paid + -(-paid // 8) > cap
    else:
        assert price * 8 >= paid * 9
        assert price >= asked
        assert cap is None or price <= cap


def test_caps_bound_the_gas_of_one_transaction() -> None:
    assert FeePolicy().most_gas(gas_price=10, committed_today=0) is None
    assert FeePolicy(max_per_transaction=1_000).most_gas(gas_price=10, committed_today=10**9) == 100
    both = FeePolicy(max_per_transaction=1_000, max_per_day=1_500)
    assert both.most_gas(gas_price=10, committed_today=0) == 100
    assert both.most_gas(gas_price=10, committed_today=1_100) == 40
    assert both.most_gas(gas_price=10, committed_today=2_000) == 0


def test_day_begins_at_midnight_utc() -> None:
    assert start_of_day(1_774_529_999) == 1_774_483_200  # 2026-03-26 00:00:00Z


# --- signing, saying -------------------------------------------------------------------------------------------------


def test_signed_transaction_gives_its_call_back() -> None:
    numbers = random.Random(7)
    for length in (0, 1, 32, 55, 56, 17_000):
        data = numbers.randbytes(length)
        signed = Signer(b"\x07" * 32).sign(chain_id=56, nonce=3, to=ESCROW, gas=21_000, gas_price=9, data=data)
        call = read_call(signed.raw)
        assert (call.to, call.data) == (ESCROW, data)


def test_reminder_is_due_once_again_every_hour_and_over_once() -> None:
    reminders = Reminders()
    assert [at for at in range(0, 7_300, 100) if reminders.is_due("price", now=at)] == [0, 3_600, 7_200]
    assert [reminders.is_over("price"), reminders.is_over("price")] == [True, False]
