"""What must go back, when, and never twice."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openpay.domain.assessment import Head
from openpay.domain.chains import Token
from openpay.domain.deposit import Deposit, Source
from openpay.domain.keccak import keccak
from openpay.domain.payment import Completion, Payment, Status
from openpay.domain.refunding import (
    MAX_PERSONAL_NONCE,
    MIN_WORTH_USD,
    SETTLEABLE_S,
    Outflow,
    RefundRules,
    assess_refunds,
    vault_units,
    worth_usd_down,
)
from openpay.domain.refunds import (
    UNSENT,
    NamedBy,
    Refund,
    RefundMode,
    RefundPolicy,
    RefundReason,
    RefundStatus,
    RefundTrigger,
    approved,
    named,
    refused,
    sent,
    without_effect,
)
from tests.domain.builders import BNB, LIFE_S, START, USDC, USDT, block_time, head_at, make_deposit, make_payment

EXPIRY = START + LIFE_S
AFTER = LIFE_S // 3 + 10
"""A block after the deadline."""
SENDER = bytes([5]) * 20
ELSEWHERE = bytes([9]) * 20
TOKENS = (
    Token(symbol="USDT", asset_index=0, contract=bytes([1]) * 20, decimals=18),
    Token(symbol="USDC", asset_index=1, contract=bytes([2]) * 20, decimals=18),
    Token(symbol="BNB", asset_index=2, contract=None, decimals=18, feed=bytes([7]) * 20),
)
HOUR_S = 3_600


def expired(**changes: Any) -> Payment:
    fields: dict[str, Any] = {"status": Status.EXPIRED, "ended_at": EXPIRY + 1}
    return make_payment(**fields | changes)


def assess(
    payment: Payment,
    *deposits: Deposit,
    outflows: Sequence[Outflow] = (),
    refunds: Sequence[Refund] = (),
    head: Head | None = None,
    rules: RefundRules | None = None,
) -> tuple[Refund, ...]:
    head = head or head_at(AFTER + 100, final=AFTER + 90)
    rules = rules or RefundRules()
    first = assess_refunds(
        payment, deposits=deposits, outflows=outflows, refunds=refunds, head=head, tokens=TOKENS, rules=rules
    )
    again = assess_refunds(
        payment, deposits=deposits, outflows=outflows, refunds=first, head=head, tokens=TOKENS, rules=rules
    )
    assert again == first, "deciding twice must change nothing"
    return first


def the(refunds: Sequence[Refund]) -> Refund:
    assert len(refunds) == 1, refunds
    return refunds[0]


def outflow(name: str = "Refunded", *, units: int = 40, block: int = AFTER + 20, **changes: Any) -> Outflow:
    fields: dict[str, Any] = {
        "name": name,
        "token": "USDT",
        "units": units,
        "to": SENDER,
        "tx_hash": keccak(f"out {block}".encode()),
        "log_index": 0,
        "block_number": block,
        "block_time": block_time(block),
    }
    return Outflow(**fields | changes)


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


# --- whatever happens ------------------------------------------------------------------------------------------------

OFFERS = {"all": (USDT, USDC, BNB), "usdt": (USDT,)}

deposits_made = st.builds(
    make_deposit,
    st.integers(1, 150),
    st.sampled_from(["USDT", "USDC", "BNB"]),
    block=st.integers(1, AFTER + 50),
    position=st.integers(0, 3),
)
happenings = st.lists(
    st.one_of(
        st.tuples(st.just("deposit"), deposits_made),
        st.tuples(st.just("reorg"), st.integers(0, 5)),
        st.tuples(st.just("send"), st.integers(0, 5)),
        st.tuples(st.just("mined"), st.integers(0, 5)),
        st.tuples(st.just("revert"), st.integers(0, 5)),
        st.tuples(st.just("refuse"), st.integers(0, 5)),
        st.tuples(st.just("claim"), st.integers(0, 5)),
        st.tuples(st.just("approve"), st.integers(0, 5)),
        st.tuples(st.just("merchant takes"), st.integers(1, 60)),
        st.tuples(st.just("settle"), st.sampled_from(["USDT", "USDC", "BNB"])),
    ),
    max_size=14,
)


class Story:
    """A vault, and the refunds that are decided after every happening."""

    def __init__(self, payment: Payment, policy: RefundPolicy) -> None:
        self.payment = payment
        self.rules = RefundRules(policy=policy)
        self.deposits: dict[str, Deposit] = {}
        self.outflows: list[Outflow] = []
        self.refunds: tuple[Refund, ...] = ()

    def happen(self, what: str, value: Any) -> None:
        if what == "deposit":
            self.deposits.setdefault(value.key, value)
        elif what == "reorg":
            # Only what no refund has drawn on yet can still be undone: the others are final.
            free = [key for key in self.deposits if not self.outflows and not self._in(RefundStatus.SUBMITTED)]
            if free:
                del self.deposits[free[value % len(free)]]
        elif what == "merchant takes":
            self._out("Refunded", "USDT", min(value, self._held("USDT")), ELSEWHERE)
        elif what == "settle":
            if not self._settled():
                self._out("Settled", value, self._held(value), ELSEWHERE)
        else:
            self._act(what, value)
        self.refunds = assess(
            self.payment, *self.deposits.values(), outflows=self.outflows, refunds=self.refunds, rules=self.rules
        )

    def _act(self, what: str, index: int) -> None:
        wanted = {
            "send": {RefundStatus.SCHEDULED},
            "mined": {RefundStatus.SUBMITTED},
            "revert": {RefundStatus.SUBMITTED},
            "refuse": {RefundStatus.SCHEDULED},
            "claim": {RefundStatus.AWAITING_CLAIM, RefundStatus.FAILED},
            "approve": UNSENT,
        }[what]
        some = self._in(*wanted)
        if not some:
            return
        one = some[index % len(some)]
        if what == "mined":
            if one.units <= self._held(one.token) and not self._settled():
                self._out("Refunded", one.token, one.units, one.destination or ELSEWHERE, one.tx_hash)
            return
        after = {
            "send": lambda: sent(one, keccak(one.id.encode())),
            "revert": lambda: without_effect(one),
            "refuse": lambda: refused(one, "reverted"),
            "claim": lambda: named(one, ELSEWHERE, by=NamedBy.SENDER),
            "approve": lambda: approved(one, ELSEWHERE),
        }[what]()
        self.refunds = tuple(after if each is one else each for each in self.refunds)

    def _in(self, *statuses: RefundStatus) -> list[Refund]:
        return [each for each in self.refunds if each.status in statuses]

    def _held(self, token: str) -> int:
        return vault_units(list(self.deposits.values()), self.outflows).get(token, 0)

    def _settled(self) -> bool:
        return any(each.name == "Settled" for each in self.outflows)

    def _out(self, name: str, token: str, units: int, to: bytes, tx_hash: bytes | None = None) -> None:
        if units > 0 and not (name == "Refunded" and self._settled()):
            index = len(self.outflows)
            self.outflows.append(
                outflow(
                    name,
                    token=token,
                    units=units,
                    to=to,
                    log_index=index,
                    tx_hash=tx_hash or keccak(f"{name} {index}".encode()),
                )
            )


@given(
    offers=st.sampled_from(sorted(OFFERS)),
    status=st.sampled_from([Status.EXPIRED, Status.FAILED, Status.CANCELED, Status.PENDING]),
    policy=st.sampled_from(list(RefundPolicy)),
    story=happenings,
)
def test_refunds_never_promise_more_than_lies_in_the_vault(
    offers: str, status: Status, policy: RefundPolicy, story: list[tuple[str, Any]]
) -> None:
    it = Story(make_payment(status=status, offers=OFFERS[offers], ended_at=EXPIRY + 1), policy)
    for what, value in story:
        it.happen(what, value)
        held = vault_units(list(it.deposits.values()), it.outflows)
        promised: dict[str, int] = defaultdict(int)
        for refund in it.refunds:
            assert refund.units > 0
            if refund.status in UNSENT:
                promised[refund.token] += refund.units
                assert refund.available_at > EXPIRY
        if not it._settled():
            assert all(units <= held.get(token, 0) for token, units in promised.items())
        else:
            assert not promised

        returned: dict[str, int] = defaultdict(int)
        for refund in it._in(RefundStatus.SUCCEEDED):
            returned[refund.token] += refund.units
        moved: dict[str, int] = defaultdict(int)
        for log in it.outflows:
            if log.name == "Refunded":
                moved[log.token] += log.units
        assert returned == moved, "every final log is one refund, and every done refund is one log"

        sources = [refund.source for refund in it.refunds if refund.source is not None]
        assert len(sources) == len(set(sources)), "a deposit has one refund"


def test_trigger_words_differ() -> None:
    assert len({trigger.value for trigger in RefundTrigger}) == len(RefundTrigger)
