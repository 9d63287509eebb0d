"""What a record is after a rescan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from openpay.domain.deposit import Deposit
from openpay.domain.refunds import Refund
from openpay.domain.rescanning import Correction, correct, told_apart


def corrected(recorded: Sequence[Deposit], correction: Correction) -> list[Deposit]:
    """The deposits of one payment after a correction."""
    units = {deposit.key: left for deposit, left in correction.reduced}
    kept = [replace(each, units=units.get(each.key, each.units)) for each in recorded]
    return [each for each in kept if each.units] + list(correction.new)


def rescanned(
    recorded: Sequence[Deposit], found: Sequence[Deposit], refunds: Sequence[Refund]
) -> tuple[list[Deposit], tuple[Refund, ...]]:
    """The deposits and refunds of one payment after `found` deposits were held against those on record."""
    correction = correct(recorded, found)
    changed = {refund.id: refund for refund in told_apart(refunds, correction)}
    return corrected(recorded, correction), tuple(changed.get(refund.id, refund) for refund in refunds)
