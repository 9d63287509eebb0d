"""What is still owed of each deposit, once what moved is held against what each sender paid. Pure.

A refund moves the money of one deposit, and that deposit may be gone later: a rewind brings the same transfer back in
another block, or never; a rescan finds the transfer that a balance read had taken for money from inside a contract.
What had moved is not moved a second time, or what lies in the vault for others would go with it.

So every sender has an account of each token. It is owed what it paid on the present branch, less what was moved for it,
by whichever deposit's refund. Branches, rewinds and rescans are not told apart: with the sum of an account right,
nobody gets more than it is owed, except what had moved before, and whoever was given less gets the rest.

Invariant: each unit that moved is held against one unit on record, so that what is owed of a token is what lies in the
vault, less what is on its way. Nothing is accumulated: the same record gives the same answer.

Some of it cannot be known from what is on record:

- Which deposit of an account a refund was for, once it is gone: one of the same amount, else the first. The account's
  sum is right either way.
- Whose it was, of what came from inside contracts: that has no sender, and is one account of all such money. Some of it
  may be a transfer that was missed on one branch, and is on record as its sender's on another: the sender would get it
  twice, and somebody else too little. So once such money has moved and its deposit is gone, unless a rescan told whose
  it was, the merchant has to approve whatever else goes back in this token. Until then it stays in the vault.
- Who bears what was moved beyond all that its account has on this branch. It is missing in the vault, whatever is
  decided. Those bear it whose money lay there when it was decided, the newest first; what comes later is left alone.
  Should its own deposit come again, it is held against that, and those others are owed in full.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from openpay.domain.deposit import Deposit
from openpay.domain.refunds import Refund, RefundStatus


@dataclass(frozen=True, kw_only=True)
class Owed:
    """`units` that are still to go back of each deposit, by its key; 0 where nothing is. `unsure`: the tokens of which
    money from inside a contract moved whose deposit is gone. It may be anybody's, so that nothing of such a token goes
    back by itself."""

    units: Mapping[str, int]
    unsure: frozenset[str]


def still_owed(deposits: Sequence[Deposit], refunds: Sequence[Refund], moved: Collection[str]) -> Owed:
    """What is left to give back.

    `deposits` are those on record that must go back, in chain order; `refunds` all from this vault, in the order of
    their making; `moved` the ids of those that are on their way, or out of the vault.
    """
    left = {deposit.key: deposit.units for deposit in deposits}
    debts = [_Debt(refund=each, units=each.units) for each in refunds if each.id in moved]
    accounts: dict[tuple[str, bytes | None], list[str]] = defaultdict(list)
    for key, deposit in zip(left, deposits, strict=True):
        accounts[deposit.token, deposit.payer].append(key)

    def hold(debt: _Debt, among: Iterable[str], *, at_most: int | None = None) -> None:
        most = debt.units if at_most is None else min(debt.units, at_most)
        for key in among:
            if most == 0:
                return
            units = min(most, left[key])
            left[key] -= units
            debt.units -= units
            most -= units

    def hold_exactly(debt: _Debt, among: Iterable[str]) -> None:
        if debt.units:
            hold(debt, islice((key for key in among if left[key] == debt.units), 1))

    for debt in debts:
        if debt.refund.source in left:
            hold(debt, [debt.refund.source])
    # Nearly always that was all: each deposit on record, and what moved its own.
    debts = [debt for debt in debts if debt.units]
    for debt in debts:
        for sender, units in debt.refund.found_senders:
            hold(debt, accounts[debt.refund.token, sender], at_most=units)
    unsure = {debt.refund.token for debt in debts if debt.units and debt.is_of_unknown}
    for debt in debts:
        hold_exactly(debt, accounts[debt.account])
    for debt in debts:
        hold(debt, accounts[debt.account])
    newest_first = list(zip(reversed(left), reversed(deposits), strict=True))
    for debt in [debt for debt in debts if debt.units]:
        token, when = debt.refund.token, debt.refund.created_at
        there = [key for key, deposit in newest_first if deposit.token == token and deposit.block_time <= when]
        hold_exactly(debt, there)
        hold(debt, there)
    return Owed(units=left, unsure=frozenset(unsure))


def is_covered(refund: Refund, deposit: Deposit, refunds: Sequence[Refund]) -> bool:
    """Whether `refund` moves no more than what the payment's other `refunds` left of its own deposit.

    It follows from `still_owed`, by way of all that was decided since. Asked once more where money is about to leave.
    """
    gone = (RefundStatus.SUBMITTED, RefundStatus.SUCCEEDED)
    others = [each for each in refunds if each.source == deposit.key and each.id != refund.id]
    return refund.units + sum(each.units for each in others if each.status in gone) <= deposit.units


@dataclass(kw_only=True)
class _Debt:
    """A refund that moved, and what of it is not yet held against any deposit."""

    refund: Refund
    units: int

    @property
    def is_of_unknown(self) -> bool:
        return self.refund.source is not None and self.refund.sender is None

    @property
    def account(self) -> tuple[str, bytes | None]:
        """Token and sender. What the merchant sent by its own wish was for whoever got it."""
        refund = self.refund
        return (refund.token, refund.destination if refund.source is None else refund.sender)
