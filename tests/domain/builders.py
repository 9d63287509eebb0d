"""Payments, deposits and heads for tests: everything a test does not name is ordinary."""

from __future__ import annotations

from typing import Any

from openpay.domain.assessment import Evidence, Head, SettledLog
from openpay.domain.deposit import Deposit, RevertedAttempt, Source
from openpay.domain.keccak import keccak
from openpay.domain.payment import Offer, Payment, Status
from openpay.domain.terms import Terms, payment_key
from openpay.domain.vaults import vault_address

START = 1_774_530_000
"""26 March 2026, 13:00 UTC: the time of block 0."""
LIFE_S = 1_800
BLOCK_S = 3
ESCROW = bytes([0xEE]) * 20
WHOLE = 10**18

USDT = Offer(token="USDT", asset_index=0, contract=bytes([1]) * 20, decimals=18, full_units=100, min_units=100)
USDC = Offer(token="USDC", asset_index=1, contract=bytes([2]) * 20, decimals=18, full_units=100, min_units=95)
BNB = Offer(token="BNB", asset_index=2, contract=None, decimals=18, full_units=1_000, min_units=990)


def make_terms(payment_id: str = "pay_1", **changes: Any) -> Terms:
    fields: dict[str, Any] = {
        "merchant": bytes([3]) * 20,
        "operator": bytes([4]) * 20,
        "usd": 25_000_000,
        "slippage_bps": 100,
        "underpayment_bps": 0,
        "quoted_at": START,
        "expiry": START + LIFE_S,
        "round": 2**64 + 1,
        "assets": 0b111,
        "payment_key": payment_key(payment_id),
    }
    return Terms(**fields | changes)


def make_payment(payment_id: str = "pay_1", **changes: Any) -> Payment:
    """A payment of 25 USD that lives half an hour and asks for 100 units of a stablecoin, or 990 to 1,000 of BNB."""
    terms = make_terms(payment_id)
    fields: dict[str, Any] = {
        "id": payment_id,
        "merchant_id": "mer_1",
        "livemode": True,
        "chain_id": 56,
        "amount_usd": 25_000_000,
        "offers": (USDT, USDC, BNB),
        "terms": terms,
        "escrow": ESCROW,
        "address": vault_address(ESCROW, terms.id()),
        "created_at": START,
        "expires_at": START + LIFE_S,
        "deadline": START + LIFE_S,
        "required_confirmations": 12,
        "status": Status.PENDING,
    }
    return Payment(**fields | changes)


def block_time(number: int) -> int:
    return START + BLOCK_S * number


def block_hash(number: int, branch: str = "main") -> bytes:
    return keccak(f"{branch} {number}".encode())


def make_deposit(
    units: int = 100,
    token: str = "USDT",
    *,
    block: int = 10,
    position: int = 0,
    time: int | None = None,
    branch: str = "main",
    payment_id: str = "pay_1",
    tx_hash: bytes | None = None,
) -> Deposit:
    """A transfer in a block of that branch; its time is the block's unless given."""
    return Deposit(
        payment_id=payment_id,
        token=token,
        units=units,
        source=Source.TRANSACTION if token == "BNB" else Source.LOG,
        position=position,
        tx_hash=keccak(f"{branch} {block} {position}".encode()) if tx_hash is None else tx_hash,
        sender=bytes([5]) * 20,
        sender_nonce=7,
        payer=bytes([5]) * 20,
        block_number=block,
        block_hash=block_hash(block, branch),
        block_time=block_time(block) if time is None else time,
    )


def make_attempt(*, block: int = 10, time: int | None = None, payment_id: str = "pay_1") -> RevertedAttempt:
    """A transaction that the page's wallet reported and that failed in that block."""
    return RevertedAttempt(
        payment_id=payment_id,
        token="USDT",
        tx_hash=keccak(f"reverted {block}".encode()),
        block_number=block,
        block_hash=block_hash(block),
        block_time=block_time(block) if time is None else time,
    )


def make_settled(*, block: int = 10, token: str = "USDT", units: int = 100) -> SettledLog:
    return SettledLog(
        token=token,
        units=units,
        tx_hash=keccak(f"settle {block}".encode()),
        block_number=block,
        block_time=block_time(block),
    )


def head_at(number: int, *, final: int | None = None, tip: int | None = None) -> Head:
    """The view after reading (or undoing down to) block `number`, with `final` the newest final block.

    `tip` is the newest block of the branch that is being undone.
    """
    return Head(
        number=number,
        time=block_time(number),
        tip_time=block_time(number if tip is None else tip),
        final_number=final,
        final_time=None if final is None else block_time(final),
    )


def evidence(*deposits: Deposit, **more: Any) -> Evidence:
    return Evidence(deposits=deposits, **more)
