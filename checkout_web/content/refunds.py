"""What the page says about money on its way back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from openpay.domain.address import to_checksum
from openpay.domain.money import format_decimal
from openpay.domain.refunds import CLAIMABLE, NamedBy, Refund, RefundMode, RefundStatus

MOST_SHOWN = 20
"""Refunds on one page: a stranger can send any number of tiny deposits."""


@dataclass(frozen=True, kw_only=True)
class RefundLine:
    """One refund. `can_sign`: the sender's signature would name an address; else only the merchant's approval does."""

    id: str
    amount: str
    token: str
    status: RefundStatus
    destination: str | None
    vouched: bool
    """Whether the destination is more than a visitor's wish."""
    available_at: int
    tx_hash: str | None
    claimable: bool
    can_sign: bool


@dataclass(frozen=True, kw_only=True)
class ClaimRefused:
    """Why an address for a refund was not taken. Said at that refund's form, in which what was typed stands again."""

    refund_id: str
    typed: str
    text: str
    """Marked for translation."""
    is_address_wrong: bool
    """Whether the address is at fault, and not the signature beside it."""


def refund_lines(refunds: tuple[Refund, ...], decimals_of: Callable[[str], int]) -> tuple[RefundLine, ...]:
    """The refunds worth showing, in order of their making."""
    shown = [refund for refund in refunds if refund.status is not RefundStatus.CANCELED]
    return tuple(_line(refund, decimals_of(refund.token)) for refund in shown[:MOST_SHOWN])


def _line(refund: Refund, decimals: int) -> RefundLine:
    vouched = refund.named_by not in (None, NamedBy.VISITOR)
    return RefundLine(
        id=refund.id,
        amount=format_decimal(refund.units, decimals),
        token=refund.token,
        status=refund.status,
        destination=None if refund.destination is None else to_checksum(refund.destination),
        vouched=vouched,
        available_at=refund.available_at,
        tx_hash=None if refund.tx_hash is None else "0x" + refund.tx_hash.hex(),
        claimable=refund.status in CLAIMABLE and not (refund.status is RefundStatus.REQUESTED and vouched),
        can_sign=refund.sender is not None and refund.mode is not RefundMode.MANUAL,
    )
