"""Escrow terms, and what follows from them: the id, the deposit address, and the amounts due.

The same arithmetic as `contracts/src/Escrow.sol`, so that a payment needs no node; the tests hold both equal.
"""

from __future__ import annotations

from dataclasses import dataclass

from openpay.domain.keccak import keccak
from openpay.domain.money import BPS, USD_DECIMALS, ceil_div
from openpay.errors import InvariantViolated

MAX_BPS = 500
"""The escrow's upper limit for both tolerances: 5 %."""

_FIELD_BITS = {
    "usd": 96,
    "slippage_bps": 16,
    "underpayment_bps": 16,
    "quoted_at": 40,
    "expiry": 40,
    "round": 80,
    "assets": 32,
}


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What a deposit address commits to. Field order and widths are the contract's `Terms` struct.

    `usd` in micros; `quoted_at` and `expiry` in Unix seconds; `round` is the Chainlink round that prices BNB (0 when
    no priced asset is accepted); `assets` a bitmap over the escrow's list; `payment_key` is keccak256 of the API id.
    Raises `InvariantViolated` for a value the contract could not hold.
    """

    merchant: bytes
    operator: bytes
    usd: int
    slippage_bps: int
    underpayment_bps: int
    quoted_at: int
    expiry: int
    round: int
    assets: int
    payment_key: bytes

    def __post_init__(self) -> None:
        for name, bits in _FIELD_BITS.items():
            value = getattr(self, name)
            if not 0 <= value < 1 << bits:
                raise InvariantViolated(f"terms.{name} = {value} does not fit into uint{bits}")
        for name, size in (("merchant", 20), ("operator", 20), ("payment_key", 32)):
            if len(getattr(self, name)) != size:
                raise InvariantViolated(f"terms.{name} must have {size} bytes")

    def encode(self) -> bytes:
        """`abi.encode(terms)`: ten 32-byte words (Solidity ABI specification, static tuple)."""
        numbers = (
            self.usd,
            self.slippage_bps,
            self.underpayment_bps,
            self.quoted_at,
            self.expiry,
            self.round,
            self.assets,
        )
        return b"".join(
            (
                self.merchant.rjust(32, b"\0"),
                self.operator.rjust(32, b"\0"),
                *(number.to_bytes(32, "big") for number in numbers),
                self.payment_key,
            )
        )

    def id(self) -> bytes:
        """The 32-byte id under which the escrow knows this payment."""
        return keccak(self.encode())


def payment_key(payment_id: str) -> bytes:
    """How terms name a payment: keccak256 of its API id's ASCII bytes."""
    return keccak(payment_id.encode("ascii"))


def price_full_units_up(usd: int, *, price: int, price_decimals: int, token_decimals: int) -> int:
    """Base units of a token worth `usd` micros at `price` (USD per token, `price_decimals` places), rounded up."""
    return ceil_div(usd * 10 ** (token_decimals + price_decimals), price * 10**USD_DECIMALS)


def peg_full_units_up(usd: int, *, token_decimals: int) -> int:
    """Base units of a stablecoin worth `usd` micros at 1 token = 1 USD, rounded up."""
    return ceil_div(usd * 10**token_decimals, 10**USD_DECIMALS)


def min_units_up(full_units: int, tolerance_bps: int) -> int:
    """The least the escrow accepts: `full_units` less the tolerance, rounded up."""
    return ceil_div(full_units * (BPS - tolerance_bps), BPS)
