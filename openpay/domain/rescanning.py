"""What deposits that are found by reading a block once more change of a payment's record. Pure.

BNB sent from inside a contract is found as what a vault's balance holds beyond the transfers on record. A transfer that
was missed was in that balance too, and so in what was taken for money from inside a contract. Once it is found, that
much less came from there.

Invariant: of every payment and token the sum on record is what reached the vault; nothing is on record twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from openpay.domain.deposit import Deposit, Source


@dataclass(frozen=True, kw_only=True)
class Correction:
    """`new` are deposits to add; `reduced` those on record that become smaller, each with the units left, which may be
    none."""

    new: tuple[Deposit, ...] = ()
    reduced: tuple[tuple[Deposit, int], ...] = ()


def correct(recorded: Sequence[Deposit], found: Sequence[Deposit]) -> Correction:
    """Hold the deposits of one payment that were `found` in a block, or several, against those on record.

    Applying it and asking again changes nothing.
    """
    known = {_place(deposit) for deposit in recorded}
    new = [deposit for deposit in found if _place(deposit) not in known]
    internal = sorted((each for each in recorded if each.source is Source.INTERNAL), key=lambda each: each.order)
    left = {_place(each): each.units for each in internal}
    for deposit in sorted(new, key=lambda each: each.order):
        to_explain = deposit.units if deposit.source is Source.TRANSACTION else 0
        for each in internal:
            if each.token != deposit.token or each.block_number < deposit.block_number:
                continue  # a balance read before the transfer did not hold it
            explained = min(to_explain, left[_place(each)])
            left[_place(each)] -= explained
            to_explain -= explained
    reduced = [(each, left[_place(each)]) for each in internal if left[_place(each)] != each.units]
    return Correction(new=tuple(new), reduced=tuple(reduced))


def corrected(recorded: Sequence[Deposit], correction: Correction) -> list[Deposit]:
    """The record after a correction."""
    units = {_place(deposit): left for deposit, left in correction.reduced}
    kept = [replace(each, units=units.get(_place(each), each.units)) for each in recorded]
    return [each for each in kept if each.units] + list(correction.new)


def _place(deposit: Deposit) -> tuple[str, bytes, Source, int]:
    return (deposit.payment_id, deposit.block_hash, deposit.source, deposit.position)
