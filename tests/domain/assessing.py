"""Payments that deposits have brought as far as a test needs them."""

from __future__ import annotations

from typing import Any

from openpay.domain.assessment import Accepted, Outcome, advance
from openpay.domain.deposit import Deposit
from openpay.domain.payment import Payment, Status
from tests.domain.builders import BLOCK_S, LIFE_S, evidence, head_at, make_payment

LAST_BLOCK = LIFE_S // BLOCK_S
"""The block whose time is exactly the deadline."""


def told(outcome: Outcome) -> list[str]:
    return [draft.type.value.removeprefix("payment.") for draft in outcome.events]


def confirming(*deposits: Deposit, **changes: Any) -> Payment:
    """A payment that these deposits made confirming in the block of the last one."""
    outcome = advance(make_payment(**changes), evidence(*deposits), head_at(max(d.block_number for d in deposits)))
    assert outcome.payment.status is Status.CONFIRMING
    return outcome.payment


def paid(*deposits: Deposit) -> Payment:
    last = max(deposit.block_number for deposit in deposits)
    outcome = advance(
        confirming(*deposits), evidence(*deposits, escrow_answer=Accepted()), head_at(last + 11, final=last)
    )
    assert outcome.payment.status is Status.PAID
    return outcome.payment
