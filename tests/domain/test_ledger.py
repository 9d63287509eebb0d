"""Holding the books against the chain."""

from __future__ import annotations

from dataclasses import replace

import pytest

from openpay.domain.ledger import unseen_in_vault
from openpay.domain.payment import LATE_WINDOW_S, Status
from tests.domain.builders import make_payment

TOKENS = ("USDT", "USDC", "BNB")
END = 2_000_000_000
"""Block time, later than any deadline here."""


@pytest.mark.parametrize(
    ("status", "at", "unseen"),
    [
        (Status.INITIATED, END + 10 * LATE_WINDOW_S, ()),
        (Status.CONFIRMING, END, ()),
        (Status.EXPIRED, END + LATE_WINDOW_S, ("BNB",)),
        (Status.EXPIRED, END + LATE_WINDOW_S + 1, TOKENS),
        (Status.PAID, END + LATE_WINDOW_S, ("BNB",)),
        (Status.PAID, END + LATE_WINDOW_S + 1, TOKENS),
    ],
)
def test_what_may_lie_unseen_in_a_vault_depends_on_whether_it_is_watched(
    status: Status, at: int, unseen: tuple[str, ...]
) -> None:
    ended_at = None if status in (Status.INITIATED, Status.CONFIRMING) else END
    payment = replace(make_payment(), status=status, ended_at=ended_at)
    assert unseen_in_vault(payment, TOKENS, native=["BNB"], at=at) == unseen
