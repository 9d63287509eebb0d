"""What deposits that are found by reading a block once more change of a payment's record. Pure.

BNB sent from inside a contract is found as what a vault's balance holds beyond the transfers on record. A transfer that
was missed was in that balance too, and so in what was taken for money from inside a contract. Once it is found, that
much less came from there.

Invariant: of every payment and token the sum on record is what reached the vault; nothing is on record twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from openpay.domain.deposit import Deposit, Source
from openpay.domain.refunds import Refund


@dataclass(frozen=True, kw_only=True)
class Correction:
    """`new` are deposits to add; `reduced` those on record that become smaller, each with the units left, which may be
    none; `explained` by the key of such a deposit whose money how much of it is."""

    new: tuple[Deposit, ...] = ()
    reduced: tuple[tuple[Deposit, int], ...] = ()
    explained: Mapping[str, tuple[tuple[bytes, int], ...]] = field(default_factory=dict)


def correct(recorded: Sequence[Deposit], found: Sequence[Deposit]) -> Correction:
    """Hold the deposits of one payment that were `found` in a block, or several, against those on record.

    Applying it and asking again changes nothing.
    """
    known = {deposit.key for deposit in recorded}
    new = [deposit for deposit in found if deposit.key not in known]
    internal = sorted((each for each in recorded if each.source is Source.INTERNAL), key=lambda each: each.order)
    left = {each.key: each.units for each in internal}
    explained: dict[str, tuple[tuple[bytes, int], ...]] = {}
    for deposit in sorted(new, key=lambda each: each.order):
        to_explain = deposit.units if deposit.source is Source.TRANSACTION else 0
        for each in internal:
            if each.token != deposit.token or each.block_number < deposit.block_number:
                continue  # a balance read before the transfer did not hold it
            units = min(to_explain, left[each.key])
            left[each.key] -= units
            to_explain -= units
            if units and deposit.payer is not None:
                explained[each.key] = (*explained.get(each.key, ()), (deposit.payer, units))
    reduced = [(each, left[each.key]) for each in internal if left[each.key] != each.units]
    return Correction(new=tuple(new), reduced=tuple(reduced), explained=explained)


def told_apart(refunds: Sequence[Refund], correction: Correction) -> tuple[Refund, ...]:
    """The refunds whose deposits a correction explains, with the senders that were found: those that changed."""
    return tuple(
        replace(refund, found_senders=(*refund.found_senders, *correction.explained[refund.source]))
        for refund in refunds
        if refund.source is not None and refund.source in correction.explained
    )
