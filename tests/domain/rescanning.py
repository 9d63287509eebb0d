"""What a record is after a rescan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from openpay.domain.deposit import Deposit
from openpay.domain.rescanning import Correction


def corrected(recorded: Sequence[Deposit], correction: Correction) -> list[Deposit]:
    """The deposits of one payment after a correction."""
    units = {deposit.key: left for deposit, left in correction.reduced}
    kept = [replace(each, units=units.get(each.key, each.units)) for each in recorded]
    return [each for each in kept if each.units] + list(correction.new)
