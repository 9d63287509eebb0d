"""Payments, money out of their vaults, and the refunds that are decided for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from openpay.domain.assessment import Head
from openpay.domain.chains import Token
from openpay.domain.deposit import Deposit
from openpay.domain.keccak import keccak
from openpay.domain.payment import Payment, Status
from openpay.domain.receipts import Outflow
from openpay.domain.refunding import RefundRules, assess_refunds
from openpay.domain.refunds import Refund
from tests.domain.builders import LIFE_S, START, block_time, head_at, make_payment

EXPIRY = START + LIFE_S
AFTER = LIFE_S // 3 + 10
"""A block after the deadline."""
SENDER = bytes([5]) * 20
ELSEWHERE = bytes([9]) * 20
TOKENS = (
    Token(symbol="USDT", asset_index=0, contract=bytes([1]) * 20, decimals=18),
    Token(symbol="USDC", asset_index=1, contract=bytes([2]) * 20, decimals=18),
    Token(symbol="BNB", asset_index=2, contract=None, decimals=18, feed=bytes([7]) * 20),
)
HOUR_S = 3_600


def expired(**changes: Any) -> Payment:
    fields: dict[str, Any] = {"status": Status.EXPIRED, "ended_at": EXPIRY + 1}
    return make_payment(**fields | changes)


def assess(
    payment: Payment,
    *deposits: Deposit,
    outflows: Sequence[Outflow] = (),
    refunds: Sequence[Refund] = (),
    head: Head | None = None,
    rules: RefundRules | None = None,
    signed_for: Mapping[bytes, str] | None = None,
) -> tuple[Refund, ...]:
    head = head or head_at(AFTER + 100, final=AFTER + 90)
    rules = rules or RefundRules()

    def decided(known: Sequence[Refund]) -> tuple[Refund, ...]:
        return assess_refunds(
            payment,
            deposits=deposits,
            outflows=outflows,
            refunds=known,
            head=head,
            tokens=TOKENS,
            rules=rules,
            signed_for=signed_for or {},
        )

    first = decided(refunds)
    again = decided(first)
    assert again == first, "deciding twice must change nothing"
    return first


def the(refunds: Sequence[Refund]) -> Refund:
    assert len(refunds) == 1, refunds
    return refunds[0]


def outflow(name: str = "Refunded", *, units: int = 40, block: int = AFTER + 20, **changes: Any) -> Outflow:
    fields: dict[str, Any] = {
        "name": name,
        "token": "USDT",
        "units": units,
        "to": SENDER,
        "tx_hash": keccak(f"out {block}".encode()),
        "log_index": 0,
        "block_number": block,
        "block_time": block_time(block),
    }
    return Outflow(**fields | changes)
