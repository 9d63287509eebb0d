"""Deposits that take the place of others on record, whose money was sent back before. Pure.

Two things replace a deposit. A rescan finds the transfer that a balance read had taken for money from inside a
contract: earlier in the chain, and on record only now. A rewind brings the same transfer back in another block. Either
way its refund may be on its way, or done, and names the deposit that is gone. What it moved was the money of the one
that replaces it: not to be sent a second time, or what lies in the vault for others would go with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from openpay.domain.deposit import Deposit
from openpay.domain.refunds import Refund, RefundStatus


def given_back_before(
    owed: Mapping[str, Deposit], refunds: Sequence[Refund], moved: Collection[str]
) -> Mapping[str, int]:
    """How many units of each deposit went back by the refund of another that it replaces, by the id of its own refund.

    `owed` are the deposits on record that must go back, in chain order, by the same id; `refunds` all, in the order of
    their making; `moved` the ids of those that are on their way, or out of the vault.
    """
    rest = {
        refund.id: refund.units - (owed[refund.id].units if refund.id in owed else 0)
        for refund in refunds
        if refund.source is not None
    }
    given_back: Counter[str] = Counter()
    if not any(rest.get(each, 0) > 0 for each in moved):
        return given_back
    made = {refund.id: place for place, refund in enumerate(refunds)}
    canceled = {refund.id for refund in refunds if refund.status is RefundStatus.CANCELED}

    def may_replace(each: str, refund: Refund, units: int) -> bool:
        if made.get(each, len(made)) > made[refund.id]:
            return _may_replace(owed[each], refund)
        # A deposit whose refund was made before was on record beside the one that is gone; unless that refund was
        # canceled, and a second rewind brings back what the first one took away. Only whole, so that it stays canceled.
        return each in canceled and rest[refund.id] == units and _is_the_same(owed[each], refund)

    def share_out(refund: Refund, left: Counter[str]) -> Counter[str]:
        """Take the rest of `refund` from what is left of the deposits that may replace its own."""
        shares: Counter[str] = Counter()
        for each in left:
            if rest[refund.id] == 0:
                break
            if may_replace(each, refund, left[each]):
                shares[each] = min(rest[refund.id], left[each])
                rest[refund.id] -= shares[each]
        left -= shares  # and lets go of those of which nothing is left
        return shares

    orphans = [refund for refund in refunds if rest.get(refund.id, 0) > 0]
    left = Counter({each: deposit.units for each, deposit in owed.items() if each not in moved})
    kept: Counter[str] = Counter()
    for refund in orphans:
        # One that was never sent has a replacement too, in the same order: it leaves the next one to the next.
        (given_back if refund.id in moved else kept).update(share_out(refund, left))
    for refund in orphans:
        if refund.id in moved:
            # Unless it has none: what was sent has moved somebody's money for certain.
            given_back.update(share_out(refund, kept))
    return given_back


def _may_replace(deposit: Deposit, refund: Refund) -> bool:
    """Whether this deposit may be the money that `refund` was made for."""
    if deposit.token != refund.token:
        return False
    if refund.sender is not None:
        return deposit.payer == refund.sender
    # From inside a contract, or taken for that: it was in the vault when the refund was made.
    return deposit.block_time <= refund.created_at


def _is_the_same(deposit: Deposit, refund: Refund) -> bool:
    """Whether this looks like the very transfer that `refund` was made for, or one that is worth the same to its
    sender."""
    return deposit.payer is not None and (deposit.token, deposit.payer, deposit.units) == (
        refund.token,
        refund.sender,
        refund.units,
    )
