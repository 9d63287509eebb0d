"""Whatever happens to a payment, no more is promised than lies in its vault."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from openpay.domain.deposit import Deposit
from openpay.domain.keccak import keccak
from openpay.domain.payment import Payment, Status
from openpay.domain.receipts import Outflow
from openpay.domain.refunding import RefundRules, vault_units
from openpay.domain.refunds import (
    UNSENT,
    NamedBy,
    Refund,
    RefundPolicy,
    RefundStatus,
    approved,
    named,
    refused,
    sent,
    without_effect,
)
from tests.domain.builders import BNB, USDC, USDT, make_deposit, make_payment
from tests.domain.refunding import AFTER, ELSEWHERE, EXPIRY, assess, outflow

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
        self.seen: dict[str, Deposit] = {}
        """All there ever were: a block that returns holds what it held before."""
        self.outflows: list[Outflow] = []
        self.refunds: tuple[Refund, ...] = ()

    def happen(self, what: str, value: Any) -> None:
        if what == "deposit":
            self.deposits.setdefault(value.key, self.seen.setdefault(value.key, value))
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

        waiting = [refund.source for refund in it._in(*UNSENT) if refund.source is not None]
        assert len(waiting) == len(set(waiting)), "a deposit has one refund at a time"
        given: dict[str, int] = defaultdict(int)
        for refund in it.refunds:
            if refund.source is not None and refund.status is not RefundStatus.CANCELED:
                given[refund.source] += refund.units
        assert all(units <= it.seen[source].units for source, units in given.items()), "and never more than it is"
